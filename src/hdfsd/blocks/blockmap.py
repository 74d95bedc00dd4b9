"""Core. Block id -> generation stamp, length, replication, file, state and replicas (D12).

One row of packed columns per block: about 60 bytes, replicas included (three storages in the row,
further ones beside it). Rows are this room's own business: a row is given again after its block is
removed, so whatever outlives a call keeps block ids.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum, IntEnum

from hdfsd.base.errors import ensure
from hdfsd.base.ids import FIRST_BLOCK_ID, Block, BlockId, GenStamp, InodeId
from hdfsd.blocks.datanodes import Storage
from hdfsd.blocks.reports import ReplicaState

WIDTH = 3
"""Replicas kept in the row itself."""
PAGE_BITS = 10
PAGE_MASK = (1 << PAGE_BITS) - 1
SEQUENTIAL_END = FIRST_BLOCK_ID + (1 << 40)
"""Ids from FIRST_BLOCK_ID on are dense and go through pages; older random ids through a dict."""
NO_ROW = -1
SAFE = 0x80
"""Flag beside the state: counted as a safe block."""
STATE = 0x0F


class BlockState(IntEnum):
    """Hadoop's HdfsServerConstants.BlockUCState, by name."""

    COMPLETE = 0
    UNDER_CONSTRUCTION = 1
    UNDER_RECOVERY = 2
    COMMITTED = 3


class Added(Enum):
    """What became of a replica that was added (DatanodeStorageInfo.AddBlockResult)."""

    ADDED = "added"
    REPLACED = "replaced"
    """It was on another storage of the same node."""
    ALREADY = "already"


class CorruptReason(Enum):
    """Why a replica is bad (CorruptReplicasMap.Reason)."""

    REPORTED = "CORRUPTION_REPORTED"
    GEN_STAMP = "GENSTAMP_MISMATCH"
    SIZE = "SIZE_MISMATCH"
    STATE = "INVALID_STATE"


@dataclass(frozen=True, slots=True)
class CorruptMark:
    reason: CorruptReason
    gen_stamp: int
    """Of the replica as reported: a DataNode deletes only what matches it."""


@dataclass(slots=True)
class WrittenReplica:
    """A replica of a block that is being written (ReplicaUnderConstruction)."""

    storage: Storage
    gen_stamp: int
    state: int = ReplicaState.RBW
    chosen_primary: bool = False


@dataclass(slots=True)
class UnderConstruction:
    """What is known of a block only until it is complete (BlockUnderConstructionFeature)."""

    replicas: list[WrittenReplica] = field(default_factory=list)
    recovery_id: GenStamp | None = None
    truncate_to: int | None = None
    """Length in bytes that the recovery cuts the block to, when it serves a truncate."""
    copy_of: BlockId | None = None
    """The recovery makes it from the first bytes of this one (copy on truncate)."""

    def note(self, storage: Storage, gen_stamp: int, state: int) -> None:
        """A replica was reported; the last word per node counts (addReplicaIfNotPresent)."""
        for replica in self.replicas:
            if replica.storage is storage:
                replica.gen_stamp = gen_stamp
                replica.state = state
                return
            if replica.storage.node is storage.node:
                replica.storage, replica.gen_stamp, replica.state = storage, gen_stamp, state
                return
        self.replicas.append(WrittenReplica(storage, gen_stamp, state))

    def forget(self, storage: Storage) -> None:
        self.replicas = [r for r in self.replicas if r.storage is not storage]


class BlockMap:
    """The rows; counts of complete and safe blocks are kept with every change."""

    def __init__(self, storages: Sequence[Storage], safe_replication: int = 1) -> None:
        """`storages` by index, as the registry keeps them (it may grow meanwhile)."""
        self._storages = storages
        self._safe_replication = safe_replication
        self._ids = array("q")
        self._stamps = array("q")
        self._lengths = array("q")
        self._inodes = array("q")
        self._replication = array("h")
        self._states = bytearray()
        self._slots = array("i")
        """WIDTH storage indexes + 1 per row; 0 is empty, empties come last."""
        self._extra: dict[int, list[int]] = {}
        self._free: list[int] = []
        self._pages: dict[int, array[int]] = {}
        self._page_counts: dict[int, int] = {}
        self._others: dict[int, int] = {}
        self.corrupt: dict[int, dict[int, CorruptMark]] = {}
        """Row -> storage index -> why, for replicas that are known to be bad."""
        self.open: dict[int, UnderConstruction] = {}
        """Row -> the rest of a block that is not complete."""
        self.complete_count = 0
        self.safe_count = 0

    def __len__(self) -> int:
        return len(self._ids) - len(self._free)

    # --- rows ----------------------------------------------------------------------------------

    def row(self, block_id: int) -> int:
        """NO_ROW when the block is not there."""
        if FIRST_BLOCK_ID <= block_id < SEQUENTIAL_END:
            page = self._pages.get(block_id >> PAGE_BITS)
            return page[block_id & PAGE_MASK] - 1 if page is not None else NO_ROW
        return self._others.get(block_id, NO_ROW)

    def need(self, block_id: int) -> int:
        """The row; raises KeyError when the block is not there."""
        row = self.row(block_id)
        if row == NO_ROW:
            raise KeyError(block_id)
        return row

    def rows(self) -> Iterator[int]:
        """All rows in use, also while rows are added (those may be missed) or removed."""
        for row in range(len(self._ids)):
            if self._inodes[row]:
                yield row

    def add(self, inode_id: InodeId, block: Block, replication: int, state: BlockState) -> int:
        """A new row, without replicas. Raises InvariantBroken when the id is there already."""
        ensure("B1", self.row(block.block_id) == NO_ROW, f"{block} is in the map already")
        if self._free:
            row = self._free.pop()
            self._ids[row], self._stamps[row] = block.block_id, block.gen_stamp
            self._lengths[row], self._inodes[row] = block.num_bytes, inode_id
            self._replication[row], self._states[row] = replication, state
        else:
            row = len(self._ids)
            self._ids.append(block.block_id)
            self._stamps.append(block.gen_stamp)
            self._lengths.append(block.num_bytes)
            self._inodes.append(inode_id)
            self._replication.append(replication)
            self._states.append(state)
            self._slots.extend((0,) * WIDTH)
        self._index(block.block_id, row)
        if state == BlockState.COMPLETE:
            self.complete_count += 1
            self._recount(row)
        else:
            self.open[row] = UnderConstruction()
        return row

    def remove(self, row: int) -> None:
        """Takes the block and all of its replicas out."""
        for storage in self.holders(row):
            storage.rows.discard(row)
        flags = self._states[row]
        if flags & STATE == BlockState.COMPLETE:
            self.complete_count -= 1
        if flags & SAFE:
            self.safe_count -= 1
        self._unindex(self._ids[row])
        self._inodes[row] = 0
        self._states[row] = 0
        for slot in range(row * WIDTH, row * WIDTH + WIDTH):
            self._slots[slot] = 0
        self._extra.pop(row, None)
        self.corrupt.pop(row, None)
        self.open.pop(row, None)
        self._free.append(row)

    def _index(self, block_id: int, row: int) -> None:
        if not FIRST_BLOCK_ID <= block_id < SEQUENTIAL_END:
            self._others[block_id] = row
            return
        number = block_id >> PAGE_BITS
        page = self._pages.get(number)
        if page is None:
            page = self._pages[number] = array("i", bytes(4 << PAGE_BITS))
            self._page_counts[number] = 0
        page[block_id & PAGE_MASK] = row + 1
        self._page_counts[number] += 1

    def _unindex(self, block_id: int) -> None:
        if not FIRST_BLOCK_ID <= block_id < SEQUENTIAL_END:
            del self._others[block_id]
            return
        number = block_id >> PAGE_BITS
        self._page_counts[number] -= 1
        if self._page_counts[number]:
            self._pages[number][block_id & PAGE_MASK] = 0
        else:
            del self._pages[number], self._page_counts[number]

    # --- columns -------------------------------------------------------------------------------

    def block(self, row: int) -> Block:
        return Block(self.block_id(row), self._lengths[row], self.gen_stamp(row))

    def block_id(self, row: int) -> BlockId:
        return BlockId(self._ids[row])

    def gen_stamp(self, row: int) -> GenStamp:
        return GenStamp(self._stamps[row])

    def length(self, row: int) -> int:
        return self._lengths[row]

    def inode_id(self, row: int) -> InodeId:
        return InodeId(self._inodes[row])

    def replication(self, row: int) -> int:
        """Expected number of replicas."""
        return self._replication[row]

    def state(self, row: int) -> BlockState:
        return BlockState(self._states[row] & STATE)

    def is_complete(self, row: int) -> bool:
        return self._states[row] & STATE == BlockState.COMPLETE

    def set_block(self, row: int, block: Block) -> None:
        """New length and generation stamp."""
        self._lengths[row], self._stamps[row] = block.num_bytes, block.gen_stamp

    def set_inode(self, row: int, inode_id: InodeId) -> None:
        self._inodes[row] = inode_id

    def set_replication(self, row: int, replication: int) -> None:
        self._replication[row] = replication

    def set_state(self, row: int, state: BlockState) -> None:
        """COMPLETE drops what is known of construction; leaving it starts that anew."""
        was_complete = self.is_complete(row)
        self._states[row] = (self._states[row] & ~STATE) | state
        if state == BlockState.COMPLETE:
            self.open.pop(row, None)
            self.complete_count += not was_complete
        else:
            self.open.setdefault(row, UnderConstruction())
            self.complete_count -= was_complete
        self._recount(row)

    # --- replicas ------------------------------------------------------------------------------

    def holders(self, row: int) -> list[Storage]:
        """Storages with a finalized replica, corrupt ones included."""
        at = row * WIDTH
        slots, storages = self._slots, self._storages
        found = [storages[slots[i] - 1] for i in range(at, at + WIDTH) if slots[i]]
        if row in self._extra:
            found.extend(storages[index] for index in self._extra[row])
        return found

    def live_count(self, row: int) -> int:
        """Replicas that are not known to be corrupt."""
        at = row * WIDTH
        slots = self._slots
        count = (slots[at] > 0) + (slots[at + 1] > 0) + (slots[at + 2] > 0)
        if row in self._extra:
            count += len(self._extra[row])
        if row in self.corrupt:
            count -= len(self.corrupt[row])
        return count

    def holds(self, row: int, storage: Storage) -> bool:
        return row in storage.rows

    def add_replica(self, row: int, storage: Storage) -> Added:
        """A finalized replica; a node has at most one, so an older storage of it is replaced."""
        if storage.scan is not None:
            storage.scan.add(row)
        if not storage.rows.add(row):
            return Added.ALREADY
        result = Added.ADDED
        for other in self.holders(row):
            if other.node is storage.node:
                self._take_out(row, other)
                result = Added.REPLACED
        self._put_in(row, storage.index)
        self._recount(row)
        return result

    def remove_replica(self, row: int, storage: Storage) -> bool:
        """False when it was not there."""
        if row not in storage.rows:
            return False
        self._take_out(row, storage)
        self._recount(row)
        return True

    def mark_corrupt(self, row: int, storage: Storage, mark: CorruptMark) -> None:
        """The replica must be held; it counts no longer as live."""
        ensure("B2", row in storage.rows, f"no replica of row {row} on {storage}")
        self.corrupt.setdefault(row, {})[storage.index] = mark
        self._recount(row)

    def unmark_corrupt(self, row: int, storage: Storage) -> None:
        self._unmark(row, storage.index)
        self._recount(row)

    def corrupt_mark(self, row: int, storage: Storage) -> CorruptMark | None:
        marks = self.corrupt.get(row)
        return marks.get(storage.index) if marks is not None else None

    def is_corrupt(self, row: int, storage: Storage) -> bool:
        return row in self.corrupt and storage.index in self.corrupt[row]

    def _unmark(self, row: int, index: int) -> None:
        marks = self.corrupt.get(row)
        if marks is not None and marks.pop(index, None) is not None and not marks:
            del self.corrupt[row]

    def _put_in(self, row: int, index: int) -> None:
        for slot in range(row * WIDTH, row * WIDTH + WIDTH):
            if not self._slots[slot]:
                self._slots[slot] = index + 1
                return
        self._extra.setdefault(row, []).append(index)

    def _take_out(self, row: int, storage: Storage) -> None:
        storage.rows.discard(row)
        self._unmark(row, storage.index)
        extra = self._extra.get(row)
        if extra is not None and storage.index in extra:
            extra.remove(storage.index)
        else:
            at = row * WIDTH
            kept = [i for i in self._slots[at : at + WIDTH] if i and i != storage.index + 1]
            if extra:
                kept.append(extra.pop(0) + 1)
            self._slots[at : at + WIDTH] = array("i", kept + [0] * (WIDTH - len(kept)))
        if extra is not None and not extra:
            del self._extra[row]

    def _recount(self, row: int) -> None:
        flags = self._states[row]
        safe = flags & STATE == 0 and self.live_count(row) >= self._safe_replication
        if safe != bool(flags & SAFE):
            self._states[row] = flags ^ SAFE
            self.safe_count += 1 if safe else -1
