"""Core. The tree of inodes as rows of packed columns (D12), behind an interface of ids and paths.

Rows are for the modules of this room; others speak of inode ids and paths. One row per inode:
fixed columns (`array`), its name (a list of bytes), and side tables for what few inodes have.
A file's only block stands in its row; files of several blocks have a packed array in
`many_blocks`. The children of a directory are an array of rows, sorted by name as Hadoop does
(`name_order`).

Invariants: the row of id i is `row_of(i)`; a live row other than the root's is in the children of
its parent exactly once, unless its tree was deleted and waits for `removal`; a path in the
directory cache has all its ancestors there too.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence

from hdfsd.base.errors import CorruptData, InvariantBroken, ensure
from hdfsd.base.ids import FIRST_BLOCK_ID, ROOT_INODE_ID, Block, BlockId, GenStamp, InodeId
from hdfsd.editlog.ops import AclEntry, XAttr
from hdfsd.namespace.inode import (
    QUOTA_DONT_SET,
    QUOTA_RESET,
    DirectoryRow,
    FileLayout,
    FileRow,
    Kind,
    Limits,
    Permission,
    Quotas,
    SymlinkRow,
)
from hdfsd.namespace.lease import Leases
from hdfsd.namespace.retained import Retained
from hdfsd.namespace.snapshot import Snapshots, SnapshottableDirectory
from hdfsd.namespace.storage_policy import STORAGE_TYPE_COUNT, policy_of_xattrs

ROOT = 0
"""The root's row."""
NO_ROW = -1
FREE, FILE, DIRECTORY, SYMLINK = 0, 1, 2, 3
"""`Kind` as plain numbers, for the column."""

_NO_BLOCK = 0
_MANY_BLOCKS = -1
"""In the column of block ids: the list stands in `many_blocks`. No block has such an id (those of
striped groups end in four zero bits)."""
_PAGE_BITS = 12
_PAGE = 1 << _PAGE_BITS
_EMPTY_PAGE = array("i", [NO_ROW]) * _PAGE
_CACHED_DIRECTORIES_MAX = 1 << 16
_FIRST_GEN_STAMP = GenStamp(1000)
"""HdfsConstants.GENERATION_STAMP... of a new namespace (wire/editlog.md, section 5)."""

_NO_QUOTAS = Quotas(QUOTA_RESET, QUOTA_RESET, (QUOTA_RESET,) * STORAGE_TYPE_COUNT)
_SIGNED = bytes(byte ^ 0x80 for byte in range(256))


def name_order(name: bytes) -> bytes:
    """A key for the order of names: Hadoop compares bytes as signed, so that names of other
    scripts come first (DFSUtilClient.compareBytes). Images and listings have that order."""
    return name.translate(_SIGNED)


def comes_before(name: bytes, other: bytes) -> bool:
    """In the order of names in a directory."""
    if name.isascii() and other.isascii():
        return name < other
    return name_order(name) < name_order(other)


class QuotaDirectory:
    """Quotas of a directory (-1: none) and what its tree uses of them."""

    __slots__ = ("inodes", "namespace_quota", "space", "space_quota", "type_quotas", "type_space")

    def __init__(
        self, namespace_quota: int, space_quota: int, type_quotas: list[int] | None = None
    ) -> None:
        self.namespace_quota = namespace_quota
        self.space_quota = space_quota
        self.type_quotas = type_quotas or [QUOTA_RESET] * STORAGE_TYPE_COUNT
        self.inodes = 0
        """Files, directories and links of the tree, itself included."""
        self.space = 0
        """Bytes, replicas counted."""
        self.type_space = [0] * STORAGE_TYPE_COUNT

    def quotas(self) -> Quotas:
        return Quotas(self.namespace_quota, self.space_quota, tuple(self.type_quotas))

    def has_quota(self) -> bool:
        return self.namespace_quota >= 0 or self.space_quota >= 0 or self.has_type_quota()

    def has_type_quota(self) -> bool:
        return any(quota >= 0 for quota in self.type_quotas)


class OpenRecord:
    """Who writes a file under construction. `last_open`: its last block is being written."""

    __slots__ = ("client_machine", "client_name", "last_open")

    def __init__(self, client_name: str, client_machine: str, last_open: bool) -> None:
        self.client_name = client_name
        self.client_machine = client_machine
        self.last_open = last_open


class Namespace:
    """All inodes, their blocks' (id, generation stamp, length), leases, counters.

    Changed by `apply` only (and by `restore_*` while an image is loaded into a fresh one).
    """

    def __init__(self, limits: Limits, root: Permission, now_ms: int) -> None:
        """A new namespace with a root directory (16385) and a fresh set of counters."""
        self.limits = limits
        self.leases = Leases(limits.lease_soft_limit_ms, limits.lease_hard_limit_ms)
        self.retained = Retained()
        self.snapshots = Snapshots()
        self.last_inode_id = ROOT_INODE_ID
        self.gen_stamp = _FIRST_GEN_STAMP
        self.gen_stamp_v1 = _FIRST_GEN_STAMP
        self.gen_stamp_v1_limit = GenStamp(0)
        self.last_block_id = BlockId(FIRST_BLOCK_ID - 1)
        self.last_striped_block_id = BlockId(-(2**63))
        self.permissions: list[Permission] = []
        self.layouts: list[FileLayout] = []
        self._permission_index: dict[Permission, int] = {}
        self._layout_index: dict[FileLayout, int] = {}
        # columns
        self.ids = array("q")
        self.parents = array("i")
        self.names: list[bytes] = []
        self.kinds = array("B")
        self.perms = array("I")
        self.mtimes = array("q")
        self.atimes = array("q")
        self.layout_of = array("I")
        self.block_ids = array("q")
        self.block_stamps = array("q")
        self.block_bytes = array("q")
        # side tables, by row
        self.children: dict[int, array[int]] = {}
        self.many_blocks: dict[int, array[int]] = {}
        self.open_files: dict[int, OpenRecord] = {}
        self.symlinks: dict[int, bytes] = {}
        self.acls: dict[int, tuple[AclEntry, ...]] = {}
        self.xattrs: dict[int, tuple[XAttr, ...]] = {}
        self.directory_policies: dict[int, int] = {}
        self.quotas: dict[int, QuotaDirectory] = {}
        self.type_quota_count = 0
        """Directories with a quota by storage type: only then the use by type is kept."""
        self.detached: dict[int, None] = {}
        """Tops of deleted trees whose rows are not all free yet, the oldest first (`removal`)."""
        self.way_down: list[int] = []
        """From the first of them, which is not in it, to the directory that `removal` works in."""
        self._free = array("i")
        self._shadows = 0
        """Rows of inodes that have another row: past ones, and those left behind by renames."""
        self._pages: dict[int, array[int]] = {}
        self._page_live: dict[int, int] = {}
        self._blocks = 0
        self._cache: dict[str, int] = {}
        # Where `child` looked last: a request looks, its op looks again and links there.
        self._beyond_ascii: set[int] = set()
        """Directories with (or once with) a name of more than ASCII: plain order isn't theirs."""
        self._seen_directory = NO_ROW
        self._seen_name = b""
        self._seen_at = 0
        self._new_row(ROOT_INODE_ID, b"", DIRECTORY, self.intern_permission(*root), now_ms, 0)
        self.quotas[ROOT] = QuotaDirectory(QUOTA_DONT_SET, QUOTA_RESET)
        self.quotas[ROOT].inodes = 1
        self.snapshots.directories[ROOT] = SnapshottableDirectory(quota=0)
        self._cache[""] = ROOT

    # ---- counts

    @property
    def inode_count(self) -> int:
        """Inodes, those that only snapshots show and those still to be freed included."""
        return len(self.ids) - len(self._free) - self._shadows

    @property
    def block_count(self) -> int:
        return self._blocks

    @property
    def directory_cache_size(self) -> int:
        return len(self._cache)

    # ---- rows: allocation, ids

    def _new_row(
        self, inode_id: int, name: bytes, kind: int, permission: int, mtime_ms: int, atime_ms: int
    ) -> int:
        row = self._take_row(inode_id, name, kind, permission, mtime_ms, atime_ms)
        self._index(row)
        return row

    def _take_row(
        self, inode_id: int, name: bytes, kind: int, permission: int, mtime_ms: int, atime_ms: int
    ) -> int:
        if self._free:
            row = self._free.pop()
            self.ids[row] = inode_id
            self.names[row] = name
            self.kinds[row] = kind
            self.perms[row] = permission
            self.mtimes[row] = mtime_ms
            self.atimes[row] = atime_ms
        else:
            row = len(self.ids)
            self.ids.append(inode_id)
            self.parents.append(NO_ROW)
            self.names.append(name)
            self.kinds.append(kind)
            self.perms.append(permission)
            self.mtimes.append(mtime_ms)
            self.atimes.append(atime_ms)
            self.layout_of.append(0)
            self.block_ids.append(_NO_BLOCK)
            self.block_stamps.append(0)
            self.block_bytes.append(0)
        return row

    def _index(self, row: int) -> None:
        inode_id = self.ids[row]
        number = inode_id >> _PAGE_BITS
        page = self._pages.get(number)
        if page is None:
            page = self._pages[number] = _EMPTY_PAGE[:]
            self._page_live[number] = 0
        page[inode_id & (_PAGE - 1)] = row
        self._page_live[number] += 1

    def _unindex(self, row: int) -> None:
        inode_id = self.ids[row]
        number = inode_id >> _PAGE_BITS
        self._pages[number][inode_id & (_PAGE - 1)] = NO_ROW
        self._page_live[number] -= 1
        if not self._page_live[number]:
            del self._pages[number], self._page_live[number]

    def _free_row(self, row: int) -> None:
        self._unindex(row)
        self._give_back(row)

    def _give_back(self, row: int) -> None:
        self.kinds[row] = FREE
        self.names[row] = b""
        self.parents[row] = NO_ROW
        self.layout_of[row] = 0
        self.block_ids[row] = _NO_BLOCK
        self._free.append(row)

    def row_of(self, inode_id: int) -> int:
        """NO_ROW when there is no such inode."""
        page = self._pages.get(inode_id >> _PAGE_BITS)
        if page is None:
            return NO_ROW
        row = page[inode_id & (_PAGE - 1)]
        return NO_ROW if self.detached and row > ROOT and not self._is_attached(row) else row

    def _is_attached(self, row: int) -> bool:
        """Whether a row's tree is in the namespace still."""
        while row > ROOT and row not in self.detached:
            row = self.parents[row]
        return row == ROOT

    def _live_row(self, inode_id: int) -> int:
        row = self.row_of(inode_id)
        if row < 0:
            raise KeyError(inode_id)
        return row

    # ---- reads by id (KeyError when there is no such inode)

    def has(self, inode_id: InodeId) -> bool:
        return self.row_of(inode_id) >= 0

    def kind_of(self, inode_id: InodeId) -> Kind:
        return Kind(self.kinds[self._live_row(inode_id)])

    def path_of(self, inode_id: InodeId) -> str:
        """Full path of a live inode."""
        return self.path_of_row(self._live_row(inode_id))

    def blocks_of(self, inode_id: InodeId) -> tuple[Block, ...]:
        return self.row_blocks(self._live_row(inode_id))

    def replication_of(self, inode_id: InodeId) -> int:
        return self.layouts[self.layout_of[self._live_row(inode_id)]].replication

    def storage_policy_of(self, inode_id: InodeId) -> int:
        """The effective policy: its own or the nearest ancestor's; 0 when none is set."""
        return self.effective_policy(self._live_row(inode_id))

    def writer_of(self, inode_id: InodeId) -> tuple[str, str] | None:
        """(client name, client machine) of a file under construction."""
        record = self.open_files.get(self._live_row(inode_id))
        return None if record is None else (record.client_name, record.client_machine)

    def leased_files(self, after: int = 0) -> Iterator[tuple[InodeId, str]]:
        """(inode id, holder), ascending from the first id above `after`; without those that were
        deleted and whose leases are not freed yet."""
        for inode_id, holder in self.leases.open_files(after):
            if self.has(inode_id):
                yield inode_id, holder

    # ---- reads by path and row

    def child(self, directory: int, name: bytes) -> int:
        """Row of the child with this name, or NO_ROW."""
        rows = self.children.get(directory)
        if rows is None:
            return NO_ROW
        names = self.names
        if directory == self._seen_directory and name == self._seen_name:
            at = self._seen_at
        else:
            at = self._place(directory, rows, name)
            self._seen_directory = directory
            self._seen_name = name
            self._seen_at = at
        if at < len(rows):
            row = rows[at]
            if names[row] == name:
                return row
        return NO_ROW

    def _place(self, directory: int, rows: array[int], name: bytes) -> int:
        names = self.names
        if name.isascii() and directory not in self._beyond_ascii:
            return bisect_left(rows, name, key=names.__getitem__)
        return bisect_left(rows, name_order(name), key=lambda row: name_order(names[row]))

    def place_behind(self, directory: int, name: bytes) -> int:
        """How many children of a directory come before or are this name."""
        rows = self.children.get(directory)
        if rows is None:
            return 0
        at = self._place(directory, rows, name)
        return at + (at < len(rows) and self.names[rows[at]] == name)

    def directory_row(self, path: str) -> int:
        """Row of the directory at this path ("" is the root), or NO_ROW: missing, no directory."""
        row = self._cache.get(path)
        return row if row is not None else self._find_directory(path)

    def _find_directory(self, path: str) -> int:
        if len(self._cache) > _CACHED_DIRECTORIES_MAX:
            self.forget_directories()
        known = path
        missing: list[str] = []
        while (row := self._cache.get(known, NO_ROW)) == NO_ROW:
            known, _, name = known.rpartition("/")
            missing.append(name)
        for name in reversed(missing):
            row = self.child(row, name.encode())
            if row < 0 or self.kinds[row] != DIRECTORY:
                return NO_ROW
            known = f"{known}/{name}"
            self._cache[known] = row
        return row

    def lookup(self, path: str) -> int:
        """Row at a plain path (no `//`, no trailing `/` but the root's), or NO_ROW."""
        parent, _, name = path.rpartition("/")
        if not name:
            return ROOT
        directory = self.directory_row(parent)
        return self.child(directory, name.encode()) if directory >= 0 else NO_ROW

    def path_of_row(self, row: int) -> str:
        if row == ROOT:
            return "/"
        parts: list[bytes] = []
        while row != ROOT:
            parts.append(self.names[row])
            row = self.parents[row]
            ensure("tree", row >= 0, "an inode without a parent has no path")
        parts.append(b"")
        parts.reverse()
        return b"/".join(parts).decode()

    def quotas_of(self, row: int) -> Quotas:
        """Of a directory now, or of a row of its past."""
        quota = self.quotas.get(row)
        return quota.quotas() if quota else self.snapshots.past_quotas.get(row, _NO_QUOTAS)

    def own_policy(self, row: int) -> int:
        """Storage policy id that the inode itself has, else 0."""
        if self.kinds[row] == FILE:
            return self.layouts[self.layout_of[row]].storage_policy_id
        return self.directory_policies.get(row, 0)

    def effective_policy(self, row: int) -> int:
        """Storage policy id of the row or of its nearest ancestor that has one, else 0."""
        if self.kinds[row] == FILE:
            own = self.layouts[self.layout_of[row]].storage_policy_id
            if own:
                return own
            row = self.parents[row]
        policies = self.directory_policies
        if not policies:
            return 0
        while row >= 0:
            if row in policies:
                return policies[row]
            row = self.parents[row]
        return 0

    # ---- blocks of a row

    def row_blocks(self, row: int) -> tuple[Block, ...]:
        block_id = self.block_ids[row]
        if block_id == _NO_BLOCK:
            return ()
        if block_id != _MANY_BLOCKS:
            return (
                Block(BlockId(block_id), self.block_bytes[row], GenStamp(self.block_stamps[row])),
            )
        packed = self.many_blocks[row]
        return tuple(
            Block(BlockId(packed[at]), packed[at + 2], GenStamp(packed[at + 1]))
            for at in range(0, len(packed), 3)
        )

    def last_block(self, row: int) -> Block | None:
        block_id = self.block_ids[row]
        if block_id == _NO_BLOCK:
            return None
        if block_id != _MANY_BLOCKS:
            return Block(BlockId(block_id), self.block_bytes[row], GenStamp(self.block_stamps[row]))
        packed = self.many_blocks[row]
        return Block(BlockId(packed[-3]), packed[-1], GenStamp(packed[-2]))

    def row_block_count(self, row: int) -> int:
        block_id = self.block_ids[row]
        if block_id == _NO_BLOCK:
            return 0
        return 1 if block_id != _MANY_BLOCKS else len(self.many_blocks[row]) // 3

    def row_length(self, row: int) -> int:
        """Bytes of all blocks, the recorded length of one being written included."""
        block_id = self.block_ids[row]
        if block_id == _NO_BLOCK:
            return 0
        return (
            self.block_bytes[row] if block_id != _MANY_BLOCKS else sum(self.many_blocks[row][2::3])
        )

    def set_blocks(self, row: int, blocks: Sequence[Block]) -> None:
        self._blocks += len(blocks) - self.row_block_count(row)
        self.many_blocks.pop(row, None)
        if len(blocks) > 1:
            self.block_ids[row] = _MANY_BLOCKS
            self.many_blocks[row] = array(
                "q", [n for b in blocks for n in (b.block_id, b.gen_stamp, b.num_bytes)]
            )
        elif blocks:
            self._set_only_block(row, blocks[0])
        else:
            self.block_ids[row] = _NO_BLOCK

    def _set_only_block(self, row: int, block: Block) -> None:
        self.block_ids[row] = block.block_id
        self.block_stamps[row] = block.gen_stamp
        self.block_bytes[row] = block.num_bytes

    def append_block(self, row: int, block: Block) -> None:
        block_id = self.block_ids[row]
        self._blocks += 1
        if block_id == _NO_BLOCK:
            self._set_only_block(row, block)
            return
        if block_id != _MANY_BLOCKS:
            self.many_blocks[row] = array(
                "q", [block_id, self.block_stamps[row], self.block_bytes[row]]
            )
            self.block_ids[row] = _MANY_BLOCKS
        self.many_blocks[row].extend((block.block_id, block.gen_stamp, block.num_bytes))

    def replace_last_block(self, row: int, block: Block) -> None:
        if self.block_ids[row] == _MANY_BLOCKS:
            self.many_blocks[row][-3:] = array(
                "q", (block.block_id, block.gen_stamp, block.num_bytes)
            )
        else:
            self._set_only_block(row, block)

    # ---- changes of the tree (for `apply`)

    def link(self, directory: int, row: int) -> None:
        """Puts a row under a directory that has no child of its name."""
        names = self.names
        name = names[row]
        rows = self.children.get(directory)
        if not name.isascii():
            self._beyond_ascii.add(directory)
        if rows is None:
            self.children[directory] = array("i", (row,))
        elif comes_before(names[rows[-1]], name):
            rows.append(row)
        else:
            if self.child(directory, name) != NO_ROW:
                raise InvariantBroken(f"tree: two children of one name: {name!r}")
            rows.insert(self._seen_at, row)
        self._seen_directory = NO_ROW
        self.parents[row] = directory

    def unlink(self, row: int) -> None:
        """Takes a row out of its directory; the row lives on."""
        directory = self.parents[row]
        ensure("tree", self.child(directory, self.names[row]) == row, "an inode is misplaced")
        self._take_out(directory, self._seen_at)
        self.parents[row] = NO_ROW

    def _take_out(self, directory: int, at: int) -> None:
        rows = self.children[directory]
        if len(rows) == 1:
            del self.children[directory]
            self._beyond_ascii.discard(directory)
        else:
            del rows[at]
        self._seen_directory = NO_ROW

    def add_inode(
        self,
        directory: int,
        inode_id: int,
        name: bytes,
        kind: int,
        permission: int,
        times_ms: tuple[int, int],
    ) -> int:
        """`times_ms`: modification, access. Moves the directory's modification time forward."""
        mtime_ms, atime_ms = times_ms
        row = self._new_row(inode_id, name, kind, permission, mtime_ms, atime_ms)
        self.link(directory, row)
        if self.mtimes[directory] < mtime_ms:
            self.mtimes[directory] = mtime_ms
        if self.last_inode_id < inode_id:
            self.last_inode_id = InodeId(inode_id)
        return row

    def subtree(self, row: int) -> Iterator[int]:
        """The row and all below it, parents first."""
        stack = [row]
        while stack:
            row = stack.pop()
            yield row
            below = self.children.get(row)
            if below is not None:
                stack.extend(below)

    def last_child(self, directory: int) -> int:
        """NO_ROW when it has none."""
        rows = self.children.get(directory)
        return NO_ROW if rows is None else rows[-1]

    def unlink_last_child(self, directory: int) -> None:
        """Of a directory that nobody finds any more. The child keeps its parent."""
        self._take_out(directory, len(self.children[directory]) - 1)

    def free_inode(self, row: int) -> list[int]:
        """Frees a row that is in no directory and has no children; gives the ids of its blocks."""
        gone: list[int] = []
        block_id = self.block_ids[row]
        if block_id == _MANY_BLOCKS:
            gone.extend(self.many_blocks.pop(row)[0::3])
        elif block_id != _NO_BLOCK:
            gone.append(block_id)
        self._drop_side_tables(row)
        self._free_row(row)
        self._blocks -= len(gone)
        return gone

    def _drop_side_tables(self, row: int) -> None:
        if self.kinds[row] == FILE:
            if row in self.open_files:
                del self.open_files[row]
                self.leases.remove(InodeId(self.ids[row]))
        elif self.kinds[row] == DIRECTORY:
            self.children.pop(row, None)
            self.directory_policies.pop(row, None)
            self.snapshots.directories.pop(row, None)
            self.snapshots.past_quotas.pop(row, None)
            quota = self.quotas.pop(row, None)
            if quota is not None and quota.has_type_quota():
                self.type_quota_count -= 1
        else:
            self.symlinks.pop(row, None)
        if self.acls:
            self.acls.pop(row, None)
        if self.xattrs:
            self.xattrs.pop(row, None)

    # ---- rows of the past (for `history`)

    def copy_row(self, row: int) -> int:
        """A past row: all that the inode has now, its children as they are named now."""
        past = self.shadow(row)
        kind = self.kinds[row]
        if kind == FILE:
            self.layout_of[past] = self.layout_of[row]
            self.block_ids[past] = self.block_ids[row]
            self.block_stamps[past] = self.block_stamps[row]
            self.block_bytes[past] = self.block_bytes[row]
            if row in self.many_blocks:
                self.many_blocks[past] = self.many_blocks[row][:]
        elif kind == DIRECTORY:
            if row in self.children:
                self.children[past] = self.children[row][:]
            if row in self._beyond_ascii:
                self._beyond_ascii.add(past)
            if row in self.directory_policies:
                self.directory_policies[past] = self.directory_policies[row]
            if (quotas := self.quotas_of(row)) != _NO_QUOTAS:
                self.snapshots.past_quotas[past] = quotas
        else:
            self.symlinks[past] = self.symlinks[row]
        if row in self.acls:
            self.acls[past] = self.acls[row]
        if row in self.xattrs:
            self.xattrs[past] = self.xattrs[row]
        self._seen_directory = NO_ROW
        return past

    def shadow(self, row: int) -> int:
        """A row with the identity of another: id, name, kind, parent; it is not found by its id."""
        shadow = self._take_row(
            self.ids[row],
            self.names[row],
            self.kinds[row],
            self.perms[row],
            self.mtimes[row],
            self.atimes[row],
        )
        self._shadows += 1
        self.parents[shadow] = self.parents[row]
        return shadow

    def retire(self, row: int) -> None:
        """An (unlinked) inode is current no more, but snapshots show it: an empty shell is left."""
        self._empty(row)
        self._unindex(row)

    def drop_shadow(self, row: int) -> None:
        """Frees a past row, or a shell that was left behind."""
        self._empty(row)
        self._shadows -= 1
        self._give_back(row)

    def drop_shell(self, row: int) -> None:
        """Frees the shell of an inode that has no other row any more."""
        self._give_back(row)

    def _empty(self, row: int) -> None:
        self._drop_side_tables(row)
        self.many_blocks.pop(row, None)
        self.block_ids[row] = _NO_BLOCK
        self._beyond_ascii.discard(row)
        self._seen_directory = NO_ROW

    def count_blocks(self, change: int) -> None:
        """Blocks that snapshots hold count as well, when the rows of the present let go of them."""
        self._blocks += change

    def forget_directory(self, path: str, row: int) -> None:
        """Before a directory is renamed or deleted: its path, and all paths below, are no more."""
        if path not in self._cache:
            return
        if row in self.children:
            self.forget_directories()
        else:
            del self._cache[path]

    def forget_directories(self) -> None:
        self._cache.clear()
        self._cache[""] = ROOT

    # ---- interned tuples

    def intern_permission(self, user: str, group: str, mode: int) -> int:
        permission = Permission(user, group, mode)
        index = self._permission_index.get(permission)
        if index is None:
            index = self._permission_index[permission] = len(self.permissions)
            self.permissions.append(permission)
        return index

    def intern_layout(self, layout: FileLayout) -> int:
        index = self._layout_index.get(layout)
        if index is None:
            index = self._layout_index[layout] = len(self.layouts)
            self.layouts.append(layout)
        return index

    def set_xattrs(self, row: int, xattrs: tuple[XAttr, ...]) -> None:
        if xattrs:
            self.xattrs[row] = xattrs
        else:
            self.xattrs.pop(row, None)
        if self.kinds[row] == DIRECTORY:
            policy = policy_of_xattrs(xattrs)
            if policy:
                self.directory_policies[row] = policy
            else:
                self.directory_policies.pop(row, None)

    # ---- image out: ascending ids; children in name order

    def rows_by_id(self) -> Iterator[int]:
        """Rows of the present."""
        for number in sorted(self._pages):
            for row in self._pages[number]:
                if row >= 0 and (not self.detached or self._is_attached(row)):
                    yield row

    def inodes(self) -> Iterator[FileRow | DirectoryRow | SymlinkRow]:
        """Those of the present."""
        return map(self.inode_record, self.rows_by_id())

    def inode_record(self, row: int) -> FileRow | DirectoryRow | SymlinkRow:
        """All that a row, of the present or the past, says of itself."""
        kind = self.kinds[row]
        if kind == FILE:
            return self.file_record(row)
        if kind == DIRECTORY:
            return self.directory_record(row)
        return SymlinkRow(
            InodeId(self.ids[row]),
            self.names[row],
            self.perms[row],
            self.mtimes[row],
            self.atimes[row],
            self.symlinks[row],
        )

    def file_record(self, row: int) -> FileRow:
        record = self.open_files.get(row)
        return FileRow(
            InodeId(self.ids[row]),
            self.names[row],
            self.perms[row],
            self.layout_of[row],
            self.mtimes[row],
            self.atimes[row],
            self.row_blocks(row),
            self.acls.get(row, ()),
            self.xattrs.get(row, ()),
            None if record is None else (record.client_name, record.client_machine),
        )

    def directory_record(self, row: int) -> DirectoryRow:
        names, space, types = self.quotas_of(row)
        return DirectoryRow(
            InodeId(self.ids[row]),
            self.names[row],
            self.perms[row],
            self.mtimes[row],
            self.acls.get(row, ()),
            self.xattrs.get(row, ()),
            names,
            space,
            tuple((ordinal, q) for ordinal, q in enumerate(types) if q >= 0),
        )

    def directories_with_children(self) -> Iterator[InodeId]:
        for row in self.rows_by_id():
            if row in self.children:
                yield InodeId(self.ids[row])

    def child_ids(self, inode_id: InodeId) -> list[InodeId]:
        ids = self.ids
        rows = self.children.get(self._live_row(inode_id), ())
        return [InodeId(ids[row]) for row in rows]

    # ---- image in: into a fresh Namespace; inodes first (any order), then children, then finish

    def restore_root(self, row: DirectoryRow) -> None:
        """The root exists already: takes its attributes."""
        if row.inode_id != ROOT_INODE_ID:
            raise CorruptData("image", None, f"root inode has id {row.inode_id}")
        self.fill(ROOT, row)
        self._restore_quotas(ROOT, row)

    def restore_file(self, row: FileRow) -> None:
        new = self._restore_row(row.inode_id, row.name, FILE, row.permission)
        self.fill(new, row)
        if row.writer is not None:
            self.open_files[new] = OpenRecord(*row.writer, last_open=bool(row.blocks))
            self.leases.add(row.writer[0], row.inode_id, 0)

    def restore_directory(self, row: DirectoryRow) -> None:
        new = self._restore_row(row.inode_id, row.name, DIRECTORY, row.permission)
        self.fill(new, row)
        self._restore_quotas(new, row)

    def fill(self, new: int, row: FileRow | DirectoryRow) -> None:
        """Gives a row, of the present or the past, what a record says of an inode itself."""
        self.perms[new] = row.permission
        self.mtimes[new] = row.mtime_ms
        if row.acl:
            self.acls[new] = row.acl
        if row.xattrs:
            self.set_xattrs(new, row.xattrs)
        if isinstance(row, FileRow):
            self.atimes[new] = row.atime_ms
            self.layout_of[new] = row.layout
            if row.blocks:
                self.set_blocks(new, row.blocks)

    def restore_symlink(self, row: SymlinkRow) -> None:
        new = self._restore_row(row.inode_id, row.name, SYMLINK, row.permission)
        self.mtimes[new] = row.mtime_ms
        self.atimes[new] = row.atime_ms
        self.symlinks[new] = row.target

    def _restore_row(self, inode_id: int, name: bytes, kind: int, permission: int) -> int:
        if self.row_of(inode_id) >= 0:
            raise CorruptData("image", None, f"inode {inode_id} stands there twice")
        if not name or b"/" in name:
            raise CorruptData("image", None, f"inode {inode_id} has the name {name!r}")
        return self._new_row(inode_id, name, kind, permission, 0, 0)

    def _restore_quotas(self, new: int, row: DirectoryRow) -> None:
        types = [QUOTA_RESET] * STORAGE_TYPE_COUNT
        for ordinal, quota in row.type_quotas:
            types[ordinal] = quota
        record = QuotaDirectory(row.namespace_quota, row.space_quota, types)
        if record.has_quota() or new == ROOT:
            self.quotas[new] = record
            self.type_quota_count += record.has_type_quota()

    def restore_children(self, parent: InodeId, children: Sequence[InodeId]) -> None:
        """In name order. Raises CorruptData for unknown ids, a non-directory, wrong order."""
        directory = self.row_of(parent)
        if directory < 0 or self.kinds[directory] != DIRECTORY:
            raise CorruptData("image", None, f"inode {parent} has children, but is no directory")
        rows = array("i", [self.row_of(inode_id) for inode_id in children])
        last = b""
        for row, inode_id in zip(rows, children, strict=True):
            if row <= ROOT or self.parents[row] != NO_ROW:
                raise CorruptData("image", None, f"child {inode_id} of {parent} is not free")
            name = self.names[row]
            if last and not comes_before(last, name):
                raise CorruptData("image", None, f"children of {parent} are not in name order")
            last = name
            self.parents[row] = directory
        if rows and directory in self.children:
            raise CorruptData("image", None, f"children of {parent} stand there twice")
        self.set_children(directory, rows)

    def set_children(self, directory: int, rows: array[int]) -> None:
        """All at once, in name order: of a row of the past, or while an image is loaded."""
        if rows:
            self.children[directory] = rows
        if not b"".join([self.names[row] for row in rows]).isascii():
            self._beyond_ascii.add(directory)
        self._seen_directory = NO_ROW

    def restore_finish(self) -> None:
        """Checks that every inode hangs in a directory (CorruptData). Call `quota.recount` next."""
        for row in range(1, len(self.ids)):
            if self.parents[row] != NO_ROW or self.kinds[row] == FREE:
                continue
            if self.ids[row] != ROOT_INODE_ID:  # a past row of the root
                raise CorruptData("image", None, f"inode {self.ids[row]} is in no directory")
