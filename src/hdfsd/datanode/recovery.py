"""Core. Block recovery: which replicas agree on which length, and what the NameNode is told.

Source: Hadoop's BlockRecoveryWorker.RecoveryTaskContiguous (recover, syncBlock).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hdfsd.base.errors import IOFault
from hdfsd.base.ids import GenStamp
from hdfsd.datanode.replica import ReplicaState


@dataclass(frozen=True, slots=True)
class Vote:
    """What one DataNode said to initReplicaRecovery; `node` is its place in the located block."""

    node: int
    state: ReplicaState
    num_bytes: int
    gen_stamp: GenStamp


@dataclass(frozen=True, slots=True)
class Decision:
    """Whom to update to which length; nobody and 0: the block has no data anywhere, delete it."""

    nodes: tuple[int, ...]
    length: int
    reason: str

    @property
    def delete(self) -> bool:
        return not self.nodes


def decide(
    votes: Sequence[Vote], *, asked: int, failed: int, gen_stamp: GenStamp, truncate_to: int | None
) -> Decision:
    """The outcome of asking `asked` nodes, of which `failed` gave no answer; raises IOFault.

    A finalized replica was acknowledged whole, so its length stands; among replicas that were being
    written the shortest has every byte that was acknowledged. RWR counts only when nothing better
    is there.
    """
    if failed == asked:
        raise IOFault("All datanodes failed")
    candidates = [v for v in votes if v.gen_stamp >= gen_stamp and v.num_bytes > 0]
    usable = [v for v in candidates if v.state <= ReplicaState.RWR]
    if not usable:
        if candidates:
            raise IOFault(f"Found {len(candidates)} replica(s) but none is in RWR or better state")
        return Decision((), 0, "no replica with data anywhere")
    best = min(v.state for v in usable)
    if best is ReplicaState.FINALIZED:
        decision = _by_finalized(usable)
    else:
        chosen = [v for v in usable if v.state is best]
        length = min(v.num_bytes for v in chosen)
        nodes = tuple(v.node for v in chosen)
        decision = Decision(nodes, length, f"shortest of {len(nodes)} {best.name} replicas")
    if truncate_to is None:
        return decision
    if truncate_to > decision.length:
        raise IOFault(f"truncate to {truncate_to}, but the replicas have {decision.length} bytes")
    return Decision(decision.nodes, truncate_to, f"{decision.reason}; truncated")


def _by_finalized(usable: Sequence[Vote]) -> Decision:
    lengths = {v.num_bytes for v in usable if v.state is ReplicaState.FINALIZED}
    if len(lengths) > 1:
        raise IOFault(f"Inconsistent size of finalized replicas: {sorted(lengths)}")
    length = lengths.pop()
    nodes = tuple(
        v.node
        for v in usable
        if v.state is ReplicaState.FINALIZED
        or (v.state is ReplicaState.RBW and v.num_bytes == length)
    )
    return Decision(nodes, length, f"length of the finalized replica; {len(nodes)} take part")
