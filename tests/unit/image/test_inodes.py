"""Inodes to messages and back; what can't be held is refused by name."""

from __future__ import annotations

import pytest

from hdfsd.base.errors import NotBuilt
from hdfsd.base.ids import Block, BlockId, GenStamp, InodeId
from hdfsd.editlog.ops import AclEntry, XAttr
from hdfsd.image.inodes import InodePacker, InodeUnpacker, blocks_of, signed
from hdfsd.image.packing import MASK_BITS, StringNumbers, StringTable
from hdfsd.namespace.inode import DirectoryRow, FileLayout, FileRow, Limits, Permission, SymlinkRow
from hdfsd.namespace.tree import Namespace
from hdfsd.wire.messages import fsimage as pb
from hdfsd.wire.messages import hdfs

BLOCKS = (Block(BlockId(5), 100, GenStamp(1001)), Block(BlockId(6), 7, GenStamp(1002)))
ACL = (AclEntry(0, 0, 7, "bob"),)
XATTRS = (XAttr(0, "note", b"v"),)


class Both:
    """A packer, and an unpacker that knows its strings."""

    def __init__(self) -> None:
        self.ns = Namespace(Limits(), Permission("ann", "staff", 0o755), 0)
        self._strings = StringNumbers()
        self.packer = InodePacker(self.ns, self._strings)

    def unpacker(self) -> InodeUnpacker:
        table = StringTable(MASK_BITS)
        for number, text in self._strings.entries():
            table.add(number, text)
        return InodeUnpacker(self.ns, table, "fsimage_9 (INODE)")


def a_file(ns: Namespace) -> FileRow:
    layout = ns.intern_layout(FileLayout(3, 128, 7, 0))
    return FileRow(
        InodeId(16390), b"f", 0, layout, 11, 12, BLOCKS, ACL, XATTRS, ("client", "machine")
    )


def test_a_file() -> None:
    both = Both()
    row = a_file(both.ns)
    message = both.packer.inode(row)
    assert both.unpacker().file(message.id, message.name, message.file) == row


def test_a_copy_for_a_snapshot_has_no_blocks() -> None:
    both = Both()
    message = pb.INodeSection.INodeFile()
    both.packer.file(message, a_file(both.ns), with_blocks=False)
    assert not message.blocks
    assert both.unpacker().file(16390, b"f", message) == a_file(both.ns)._replace(blocks=())


def test_a_directory() -> None:
    both = Both()
    row = DirectoryRow(InodeId(16391), b"d", 0, 5, ACL, XATTRS, 12, -1, ((1, 99),))
    message = both.packer.inode(row)
    assert both.unpacker().directory(message.id, message.name, message.directory) == row


def test_a_link() -> None:
    both = Both()
    row = SymlinkRow(InodeId(16392), b"l", 0, 5, 6, b"/target")
    message = both.packer.inode(row)
    assert both.unpacker().symlink(message.id, message.name, message.symlink) == row


def test_permissions_are_numbered_once() -> None:
    both = Both()
    first, second = (both.packer.inode(a_file(both.ns)).file.permission for _ in range(2))
    assert first == second


def test_unknown_strings() -> None:
    both = Both()
    message = both.packer.inode(a_file(both.ns))
    message.file.permission = 9 << 40
    with pytest.raises(KeyError):
        both.unpacker().file(message.id, message.name, message.file)


def test_striped_files_are_refused() -> None:
    both = Both()
    message = both.packer.inode(a_file(both.ns))
    message.file.blockType = hdfs.STRIPED
    with pytest.raises(NotBuilt, match=r"fsimage_9 \(INODE\): erasure-coded .*16390 \('f'\)"):
        both.unpacker().file(message.id, message.name, message.file)


def test_encrypted_files_are_refused() -> None:
    both = Both()
    secret = XAttr(4, "hdfs.crypto.encryption.zone", b"")
    message = both.packer.inode(a_file(both.ns)._replace(xattrs=(secret,)))
    with pytest.raises(NotBuilt, match="encryption zones are not built, and inode 16390"):
        both.unpacker().file(message.id, message.name, message.file)


def test_numbers_with_a_sign() -> None:
    assert [signed(n) for n in (0, 2**63 - 1, 2**63, 2**64 - 1)] == [0, 2**63 - 1, -(2**63), -1]


def test_blocks() -> None:
    message = hdfs.BlockProto(blockId=5, genStamp=1001, numBytes=100)
    assert blocks_of([message]) == BLOCKS[:1]
