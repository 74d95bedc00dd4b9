"""Core. Recovery of a block whose writer is gone: which DataNode leads it, and its command.

Behaviour: Hadoop's BlockUnderConstructionFeature.initializeBlockRecovery and
DatanodeManager.getBlockRecoveryCommand.
"""

from __future__ import annotations

from collections.abc import Sequence

from hdfsd.blocks.blockmap import UnderConstruction, WrittenReplica
from hdfsd.blocks.datanodes import DataNode, Registry


def choose_primary(construction: UnderConstruction) -> DataNode | None:
    """The live node heard of last among those not tried yet; when all were, all may be again."""
    alive = [replica for replica in construction.replicas if replica.storage.node.registered]
    if all(replica.chosen_primary for replica in alive):
        for replica in construction.replicas:
            replica.chosen_primary = False
    untried = [replica for replica in alive if not replica.chosen_primary]
    if not untried:
        return None
    primary = max(untried, key=lambda replica: replica.storage.node.last_update_ms)
    primary.chosen_primary = True
    return primary.storage.node


def participants(
    replicas: Sequence[WrittenReplica], datanodes: Registry, now_ms: int
) -> list[WrittenReplica]:
    """Whom the primary asks: without the stale nodes when two or more others are left."""
    fresh = [r for r in replicas if not datanodes.is_stale(r.storage.node, now_ms)]
    return fresh if len(fresh) > 1 else list(replicas)
