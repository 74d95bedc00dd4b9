"""Core. Inodes of the namespace to and from the messages of an image (fsimage.md section 5)."""

from __future__ import annotations

from collections.abc import Iterable

from hdfsd.base.errors import NotBuilt
from hdfsd.base.ids import Block, BlockId, GenStamp, InodeId
from hdfsd.editlog.ops import XATTR_RAW, XAttr
from hdfsd.image.packing import (
    PROTO_OF_STORAGE_TYPE,
    STORAGE_TYPE_OF_PROTO,
    StringNumbers,
    StringTable,
)
from hdfsd.namespace.inode import DirectoryRow, FileLayout, FileRow, SymlinkRow
from hdfsd.namespace.tree import Namespace
from hdfsd.wire.messages import fsimage as pb
from hdfsd.wire.messages import hdfs

ENCRYPTION_XATTRS = frozenset({"hdfs.crypto.encryption.zone", "hdfs.crypto.file.encryption.info"})
_UNSIGNED = (1 << 64) - 1


def signed(value: int) -> int:
    """A uint64 field that holds an int64."""
    return value - (1 << 64) if value >= 1 << 63 else value


class InodePacker:
    """Records of the namespace → messages. Permissions repeat: each is packed once."""

    def __init__(self, namespace: Namespace, strings: StringNumbers) -> None:
        self._namespace = namespace
        self._strings = strings
        self._permissions: dict[int, int] = {}

    def inode(self, row: FileRow | DirectoryRow | SymlinkRow) -> pb.INodeSection.INode:
        inode = pb.INodeSection.INode(id=row.inode_id, name=row.name)
        if isinstance(row, FileRow):
            inode.type = pb.INodeSection.INode.FILE
            self.file(inode.file, row)
        elif isinstance(row, DirectoryRow):
            inode.type = pb.INodeSection.INode.DIRECTORY
            self.directory(inode.directory, row)
        else:
            inode.type = pb.INodeSection.INode.SYMLINK
            self._symlink(inode.symlink, row)
        return inode

    def file(
        self, file: pb.INodeSection.INodeFile, row: FileRow, *, with_blocks: bool = True
    ) -> None:
        layout = self._namespace.layouts[row.layout]
        file.replication = layout.replication
        file.modificationTime = row.mtime_ms
        file.accessTime = row.atime_ms
        file.preferredBlockSize = layout.block_size
        file.permission = self._permission(row.permission)
        file.storagePolicyID = layout.storage_policy_id
        file.blockType = hdfs.CONTIGUOUS
        for block in row.blocks if with_blocks else ():
            file.blocks.add(
                blockId=block.block_id, genStamp=block.gen_stamp, numBytes=block.num_bytes
            )
        if row.writer is not None:
            file.fileUC.clientName, file.fileUC.clientMachine = row.writer
        if row.acl:
            file.acl.CopyFrom(self._strings.acl(row.acl))
        if row.xattrs:
            file.xAttrs.CopyFrom(self._strings.xattrs(row.xattrs))

    def directory(self, directory: pb.INodeSection.INodeDirectory, row: DirectoryRow) -> None:
        directory.modificationTime = row.mtime_ms
        directory.nsQuota = row.namespace_quota & _UNSIGNED
        directory.dsQuota = row.space_quota & _UNSIGNED
        directory.permission = self._permission(row.permission)
        if row.acl:
            directory.acl.CopyFrom(self._strings.acl(row.acl))
        if row.xattrs:
            directory.xAttrs.CopyFrom(self._strings.xattrs(row.xattrs))
        for storage_type, quota in row.type_quotas:
            directory.typeQuotas.quotas.add(
                storageType=PROTO_OF_STORAGE_TYPE[storage_type],
                quota=quota,
            )

    def _symlink(self, symlink: pb.INodeSection.INodeSymlink, row: SymlinkRow) -> None:
        symlink.permission = self._permission(row.permission)
        symlink.target = row.target
        symlink.modificationTime = row.mtime_ms
        symlink.accessTime = row.atime_ms

    def _permission(self, index: int) -> int:
        packed = self._permissions.get(index)
        if packed is None:
            packed = self._strings.permission(*self._namespace.permissions[index])
            self._permissions[index] = packed
        return packed


class InodeUnpacker:
    """Messages → records of the namespace. Permissions and layouts repeat: each is unpacked once.

    What a field can't hold is a KeyError, ValueError or OverflowError."""

    def __init__(self, namespace: Namespace, strings: StringTable, where: str) -> None:
        """`where`: file and section, for errors."""
        self._namespace = namespace
        self._strings = strings
        self._where = where
        self._permissions: dict[int, int] = {}
        self._layouts: dict[FileLayout, int] = {}

    def file(self, inode_id: int, name: bytes, file: pb.INodeSection.INodeFile) -> FileRow:
        acl = self._strings.acl(file.acl) if file.HasField("acl") else ()
        xattrs = self._xattrs(inode_id, file.xAttrs) if file.HasField("xAttrs") else ()
        if file.blockType != hdfs.CONTIGUOUS or file.erasureCodingPolicyID:
            raise NotBuilt(
                f"{self._where}: erasure-coded files are not built, and inode {inode_id}"
                f" ({name.decode(errors='replace')!r}) has the policy"
                f" {file.erasureCodingPolicyID}"
            )
        writer = None
        if file.HasField("fileUC"):
            writer = (file.fileUC.clientName, file.fileUC.clientMachine)
        layout = FileLayout(file.replication, file.preferredBlockSize, file.storagePolicyID, 0)
        index = self._layouts.get(layout)
        if index is None:
            index = self._layouts[layout] = self._namespace.intern_layout(layout)
        return FileRow(
            InodeId(inode_id),
            name,
            self._permission(file.permission),
            index,
            file.modificationTime,
            file.accessTime,
            blocks_of(file.blocks),
            acl,
            xattrs,
            writer,
        )

    def directory(
        self, inode_id: int, name: bytes, directory: pb.INodeSection.INodeDirectory
    ) -> DirectoryRow:
        return DirectoryRow(
            InodeId(inode_id),
            name,
            self._permission(directory.permission),
            directory.modificationTime,
            self._strings.acl(directory.acl) if directory.HasField("acl") else (),
            self._xattrs(inode_id, directory.xAttrs) if directory.HasField("xAttrs") else (),
            signed(directory.nsQuota),
            signed(directory.dsQuota),
            tuple(
                (STORAGE_TYPE_OF_PROTO[q.storageType], signed(q.quota))
                for q in directory.typeQuotas.quotas
            ),
        )

    def symlink(
        self, inode_id: int, name: bytes, symlink: pb.INodeSection.INodeSymlink
    ) -> SymlinkRow:
        return SymlinkRow(
            InodeId(inode_id),
            name,
            self._permission(symlink.permission),
            symlink.modificationTime,
            symlink.accessTime,
            symlink.target,
        )

    def _xattrs(
        self, inode_id: int, feature: pb.INodeSection.XAttrFeatureProto
    ) -> tuple[XAttr, ...]:
        xattrs = self._strings.xattrs(feature)
        for xattr in xattrs:
            if xattr.namespace == XATTR_RAW and xattr.name in ENCRYPTION_XATTRS:
                raise NotBuilt(
                    f"{self._where}: encryption zones are not built, and inode {inode_id} has"
                    f" the attribute raw.{xattr.name}"
                )
        return xattrs

    def _permission(self, packed: int) -> int:
        index = self._permissions.get(packed)
        if index is None:
            index = self._namespace.intern_permission(*self._strings.permission(packed))
            self._permissions[packed] = index
        return index


def blocks_of(blocks: Iterable[hdfs.BlockProto]) -> tuple[Block, ...]:
    return tuple([Block(BlockId(b.blockId), b.numBytes, GenStamp(b.genStamp)) for b in blocks])
