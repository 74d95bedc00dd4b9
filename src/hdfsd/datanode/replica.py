"""Core. One replica of a block: its states, and who may do what with it when.

The machine is TRANSITIONS; a pair that is not in it is refused with Hadoop's reason. Lengths of a
replica under construction: `acked <= on_disk`, and readers see `acked` bytes (invariant P8: never
bytes whose checksum is unknown). Source: data-transfer.md sections 4 and 9; Hadoop's FsDatasetImpl
(createRbw, append, recoverRbw, recoverCheck, initReplicaRecovery, updateReplicaUnderRecovery).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, IntEnum

from hdfsd.base.errors import IOFault, RecoveryInProgress, RemoteFault, ReplicaNotFound
from hdfsd.base.ids import Block, BlockId, GenStamp

NO_RECOVERY = GenStamp(0)


class ReplicaAlreadyExists(RemoteFault):
    java_class = "org.apache.hadoop.hdfs.server.datanode.ReplicaAlreadyExistsException"


class ReplicaState(IntEnum):
    """Values as in block reports and ReplicaStateProto."""

    FINALIZED = 0
    RBW = 1
    RWR = 2
    RUR = 3
    TEMPORARY = 4


class Event(Enum):
    """What happens to a replica; its value is the verb of the refusal."""

    CREATE = "create"
    CREATE_TEMPORARY = "receive a copy of"
    RECOVER_RBW = "recover the pipeline of"
    APPEND = "append to"
    RECOVER_APPEND = "recover append to"
    RECOVER_CLOSE = "recover close of"
    CONVERT = "convert to RBW"
    FINALIZE = "finalize"
    RESTART = "load"
    START_RECOVERY = "start recovery of"
    UPDATE = "update after recovery"


_S, _E = ReplicaState, Event
TRANSITIONS: dict[tuple[ReplicaState | None, Event], ReplicaState] = {
    (None, _E.CREATE): _S.RBW,
    (None, _E.CREATE_TEMPORARY): _S.TEMPORARY,
    (_S.RBW, _E.RECOVER_RBW): _S.RBW,
    (_S.FINALIZED, _E.APPEND): _S.RBW,
    (_S.FINALIZED, _E.RECOVER_APPEND): _S.RBW,
    (_S.RBW, _E.RECOVER_APPEND): _S.RBW,
    (_S.FINALIZED, _E.RECOVER_CLOSE): _S.FINALIZED,
    (_S.RBW, _E.RECOVER_CLOSE): _S.FINALIZED,
    (_S.TEMPORARY, _E.CONVERT): _S.RBW,
    (_S.RBW, _E.FINALIZE): _S.FINALIZED,
    (_S.TEMPORARY, _E.FINALIZE): _S.FINALIZED,
    (_S.FINALIZED, _E.RESTART): _S.FINALIZED,
    (_S.RBW, _E.RESTART): _S.RWR,
    (_S.FINALIZED, _E.START_RECOVERY): _S.RUR,
    (_S.RBW, _E.START_RECOVERY): _S.RUR,
    (_S.RWR, _E.START_RECOVERY): _S.RUR,
    (_S.TEMPORARY, _E.START_RECOVERY): _S.RUR,
    (_S.RUR, _E.START_RECOVERY): _S.RUR,
    (_S.RUR, _E.UPDATE): _S.FINALIZED,
}


@dataclass(frozen=True, slots=True)
class Replica:
    """What a DataNode knows of its copy of a block; replaced, never changed in place."""

    block_id: BlockId
    gen_stamp: GenStamp
    state: ReplicaState
    on_disk: int
    """Bytes in the block file that have checksums."""
    acked: int
    """Bytes that the whole pipeline behind this node has; what readers may see."""
    storage_id: str
    corrupt: str = ""
    """Why it must not be served; empty for a good one."""
    recovery_id: GenStamp = NO_RECOVERY
    original: ReplicaState | None = None
    """The state before recovery began; set in RUR only."""

    @property
    def block(self) -> Block:
        return Block(self.block_id, self.on_disk, self.gen_stamp)

    @property
    def visible(self) -> int:
        """Bytes a reader may have; -1 for a copy that is still coming, and for a replica whose
        writer died: how much of that was acknowledged nobody here knows."""
        state = self.state if self.original is None else self.original
        if state is ReplicaState.FINALIZED:
            return self.on_disk
        return self.acked if state is ReplicaState.RBW else -1

    def describe(self) -> str:
        return (
            f"blk_{self.block_id}_{self.gen_stamp} {self.state.name} on {self.storage_id}, "
            f"{self.on_disk} bytes on disk, {self.acked} acknowledged"
        )

    def after(self, event: Event) -> Replica:
        """In the state that follows; raises IOFault when the event is not possible now."""
        state = TRANSITIONS.get((self.state, event))
        if state is None:
            raise IOFault(f"Cannot {event.value} {self.describe()}")
        return replace(self, state=state)


def refuse_create(existing: Replica, wanted: Block) -> None:
    """A new block may replace a replica of an older generation only; raises otherwise."""
    if existing.gen_stamp >= wanted.gen_stamp or existing.state is ReplicaState.RUR:
        raise ReplicaAlreadyExists(
            f"Block {wanted} already exists in state {existing.state.name} "
            "and thus cannot be created."
        )


def refuse_temporary(existing: Replica, wanted: Block, *, transfer: bool) -> None:
    """A copy may replace an older replica that is being written, or any older one in a transfer."""
    in_pipeline = existing.state in (ReplicaState.RBW, ReplicaState.TEMPORARY)
    if existing.gen_stamp >= wanted.gen_stamp or not (transfer or in_pipeline):
        raise ReplicaAlreadyExists(
            f"Block {wanted} already exists in state {existing.state.name} "
            "and thus cannot be created."
        )


def check_append(replica: Replica, block: Block, new_stamp: GenStamp, expected: int) -> Replica:
    """The replica opened for append with `new_stamp`; raises IOFault or ReplicaNotFound."""
    if new_stamp < block.gen_stamp:
        raise IOFault(
            f"The new generation stamp {new_stamp} should be greater than the replica "
            f"{block}'s generation stamp"
        )
    if replica.gen_stamp != block.gen_stamp:
        raise ReplicaNotFound(
            f"Cannot append to a replica with unexpected generation stamp {replica.gen_stamp}"
        )
    if replica.state is not ReplicaState.FINALIZED:
        raise ReplicaNotFound(f"Cannot append to an unfinalized replica {replica.describe()}")
    _check_length(replica, expected)
    return replace(replica.after(Event.APPEND), gen_stamp=new_stamp)


def check_recover_append(
    replica: Replica, block: Block, new_stamp: GenStamp, expected: int
) -> Replica:
    """Append tried again after a failed set-up: the replica may be open already."""
    _check_recoverable(replica, block, new_stamp, expected)
    return replace(replica.after(Event.RECOVER_APPEND), gen_stamp=new_stamp)


def check_recover_close(
    replica: Replica, block: Block, new_stamp: GenStamp, expected: int
) -> Replica:
    """The last packet's acknowledgement was lost: the replica may be finalized already."""
    _check_recoverable(replica, block, new_stamp, expected)
    return replace(replica.after(Event.RECOVER_CLOSE), gen_stamp=new_stamp)


def check_recover_rbw(
    replica: Replica, block: Block, new_stamp: GenStamp, *, bytes_min: int, bytes_max: int
) -> Replica:
    """The replica of a pipeline that goes on; cut at what was acknowledged.

    A tail that was never acknowledged may be wrong unnoticed when the last node, the only one that
    verifies, is the one that was lost. Raises ReplicaNotFound.
    """
    if replica.state is not ReplicaState.RBW:
        raise ReplicaNotFound(f"Cannot recover a non-RBW replica {replica.describe()}")
    if not block.gen_stamp <= replica.gen_stamp <= new_stamp:
        raise ReplicaNotFound(
            f"Cannot append to a replica with unexpected generation stamp {replica.gen_stamp}. "
            f"Expected GS range is [{block.gen_stamp}, {new_stamp}]."
        )
    if replica.acked < bytes_min or replica.on_disk > bytes_max:
        raise ReplicaNotFound(
            f"Unmatched length replica {replica.describe()}: BytesAcked = {replica.acked} "
            f"BytesRcvd = {replica.on_disk} are not in the range of [{bytes_min}, {bytes_max}]."
        )
    recovered = replica.after(Event.RECOVER_RBW)
    return replace(recovered, gen_stamp=new_stamp, on_disk=replica.acked)


def check_start_recovery(replica: Replica, block: Block, recovery_id: GenStamp) -> Replica:
    """The replica under the recovery `recovery_id`; a higher one preempts a lower one.

    Raises RecoveryInProgress or IOFault.
    """
    if replica.gen_stamp < block.gen_stamp:
        raise IOFault(
            f"replica.getGenerationStamp() < block.getGenerationStamp(), block={block}, "
            f"replica={replica.describe()}"
        )
    if replica.gen_stamp >= recovery_id:
        raise IOFault(
            "THIS IS NOT SUPPOSED TO HAPPEN: replica.getGenerationStamp() >= recoveryId = "
            f"{recovery_id}, block={block}, replica={replica.describe()}"
        )
    if replica.state is ReplicaState.RUR:
        if replica.recovery_id >= recovery_id:
            raise RecoveryInProgress(
                f"rur.getRecoveryID() >= recoveryId = {recovery_id}, block={block}, "
                f"rur={replica.describe()}"
            )
        return replace(replica, recovery_id=recovery_id)
    original = replica.state
    return replace(replica.after(Event.START_RECOVERY), recovery_id=recovery_id, original=original)


def check_update(replica: Replica, block: Block, recovery_id: GenStamp, new_length: int) -> Replica:
    """The finalized replica that ends a recovery: new stamp, agreed length. Raises IOFault."""
    if replica.state is not ReplicaState.RUR:
        raise IOFault(f"replica.getState() != RUR, replica={replica.describe()}")
    if replica.on_disk != block.num_bytes:
        raise IOFault(
            "THIS IS NOT SUPPOSED TO HAPPEN: replica.getBytesOnDisk() != block.getNumBytes(), "
            f"block={block}, replica={replica.describe()}"
        )
    if replica.recovery_id != recovery_id:
        raise IOFault(
            f"rur.getRecoveryID() != recoveryId = {recovery_id}, replica={replica.describe()}"
        )
    if new_length > replica.on_disk:
        raise IOFault(f"rur.getNumBytes() < newlength = {new_length}, replica={replica.describe()}")
    return replace(
        replica.after(Event.UPDATE),
        gen_stamp=recovery_id,
        on_disk=new_length,
        acked=new_length,
        recovery_id=NO_RECOVERY,
        original=None,
    )


def _check_recoverable(replica: Replica, block: Block, new_stamp: GenStamp, expected: int) -> None:
    if replica.state not in (ReplicaState.FINALIZED, ReplicaState.RBW):
        raise ReplicaNotFound(
            "Cannot recover append/close to a replica that's not FINALIZED and not RBW "
            + replica.describe()
        )
    if not block.gen_stamp <= replica.gen_stamp <= new_stamp:
        raise ReplicaNotFound(
            f"Cannot append to a replica with unexpected generation stamp {replica.gen_stamp}. "
            f"Expected GS range is [{block.gen_stamp}, {new_stamp}]."
        )
    if replica.state is ReplicaState.RBW and replica.acked != replica.on_disk:
        raise ReplicaAlreadyExists(
            f"RBW replica {replica.describe()}: bytesOnDisk and bytesAcked are not the same."
        )
    _check_length(replica, expected)


def _check_length(replica: Replica, expected: int) -> None:
    if replica.on_disk != expected:
        raise IOFault(
            f"Corrupted replica {replica.describe()} with a length of {replica.on_disk} "
            f"expected length is {expected}"
        )
