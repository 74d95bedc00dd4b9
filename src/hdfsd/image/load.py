"""Core. An image's bytes into a fresh namespace.

What the namespace can't hold ends the load with NotBuilt, naming file, section and inode: an image
that loads has lost nothing. The caller compares the md5.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal, cast

from hdfsd.base.errors import CorruptData, NotBuilt
from hdfsd.base.ids import ROOT_INODE_ID, Block, BlockId, GenStamp, InodeId, TxId
from hdfsd.editlog.ops import (
    XATTR_RAW,
    CacheDirective,
    CachePool,
    DelegationKey,
    DelegationTokenIdentifier,
    ErasureCodingPolicy,
    XAttr,
)
from hdfsd.image import sections
from hdfsd.image.packing import STORAGE_TYPE_OF_PROTO, StringTable
from hdfsd.image.sections import ImageHeader, ImageReader, Records
from hdfsd.namespace import quota
from hdfsd.namespace.inode import DirectoryRow, FileLayout, FileRow, SymlinkRow
from hdfsd.namespace.retained import BUILT_IN_EC_POLICIES, EcPolicyRecord
from hdfsd.namespace.tree import Namespace
from hdfsd.wire.messages import client_namenode, hdfs
from hdfsd.wire.messages import fsimage as pb

REQUIRED_SECTIONS = (sections.NS_INFO, sections.STRING_TABLE, sections.INODE, sections.INODE_DIR)
ENCRYPTION_XATTRS = frozenset({"hdfs.crypto.encryption.zone", "hdfs.crypto.file.encryption.info"})
_NAMES_IN_ERROR_MAX = 5

Field = Literal["file", "directory", "symlink"]


def load(data: bytes, namespace: Namespace, where: str) -> ImageHeader:
    """Fills a fresh Namespace from the image `where` (a file name, for errors).

    Raises CorruptData or NotBuilt; the namespace is then of no use.
    """
    reader = ImageReader(data, where)
    for name in REQUIRED_SECTIONS:
        if name not in reader.sections:
            raise CorruptData(where, None, f"the section {name} is missing")
    _refuse_snapshots(reader, namespace)
    header = _load_header(reader, namespace)
    strings = _load_strings(reader)
    _load_erasure_coding(reader, namespace)
    _InodeLoader(reader, namespace, strings).run()
    _load_directories(reader, namespace)
    _load_files_under_construction(reader, namespace)
    _load_secrets(reader, namespace)
    _load_cache(reader, namespace)
    try:
        namespace.restore_finish()
    except CorruptData as error:
        raise CorruptData(f"{where} ({sections.INODE_DIR})", None, error.cause) from error
    quota.recount(namespace)
    return header


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


# -- what can't be held ----------------------------------------------------------------------


def _refuse_snapshots(reader: ImageReader, namespace: Namespace) -> None:
    messages = reader.messages(sections.SNAPSHOT)
    head = cast("pb.SnapshotSection | None", next(messages, None))
    if head is not None:
        found = [cast("pb.SnapshotSection.Snapshot", m) for m in messages]
        if found:
            names = [
                f"{s.root.name.decode(errors='replace')!r} of inode {s.root.id}" for s in found
            ]
            raise NotBuilt(
                f"{reader.where} (SNAPSHOT): snapshots are not built, and the image holds"
                f" {len(found)}: {_some(names)}"
            )
        if head.snapshottableDir:
            ids = [f"inode {i}" for i in head.snapshottableDir]
            raise NotBuilt(
                f"{reader.where} (SNAPSHOT): snapshots are not built, and the image has"
                f" {len(ids)} snapshottable directories: {_some(ids)}"
            )
        namespace.retained.snapshot_counter = head.snapshotCounter
    for name in (sections.SNAPSHOT_DIFF, sections.INODE_REFERENCE):
        if reader.records(name):
            raise NotBuilt(
                f"{reader.where} ({name}): snapshots are not built, and the section is not empty"
            )


def _some(names: list[str]) -> str:
    more = len(names) - _NAMES_IN_ERROR_MAX
    return ", ".join(names[:_NAMES_IN_ERROR_MAX]) + (f" and {more} more" if more > 0 else "")


def _refuse_encryption(inode_id: int, xattrs: tuple[XAttr, ...], where: str) -> None:
    for xattr in xattrs:
        if xattr.namespace == XATTR_RAW and xattr.name in ENCRYPTION_XATTRS:
            raise NotBuilt(
                f"{where}: encryption zones are not built, and inode {inode_id} has"
                f" the attribute raw.{xattr.name}"
            )


# -- sections around the tree ----------------------------------------------------------------


def _load_header(reader: ImageReader, namespace: Namespace) -> ImageHeader:
    info = cast("pb.NameSystemSection", next(reader.messages(sections.NS_INFO)))
    namespace.gen_stamp_v1 = GenStamp(info.genstampV1)
    namespace.gen_stamp_v1_limit = GenStamp(info.genstampV1Limit)
    namespace.gen_stamp = GenStamp(info.genstampV2)
    namespace.last_block_id = BlockId(info.lastAllocatedBlockId)
    if info.HasField("lastAllocatedStripedBlockId"):
        namespace.last_striped_block_id = BlockId(_signed(info.lastAllocatedStripedBlockId))
    if info.HasField("rollingUpgradeStartTime"):
        namespace.retained.rolling_upgrade_start_ms = info.rollingUpgradeStartTime
    return ImageHeader(info.namespaceId, TxId(info.transactionId), reader.layout_version)


def _load_strings(reader: ImageReader) -> StringTable:
    records = reader.records(sections.STRING_TABLE)
    head = records.take(pb.StringTableSection)
    try:
        strings = StringTable(head.maskBits)
        for _ in range(head.numEntry):
            entry = records.take(pb.StringTableSection.Entry)
            strings.add(entry.id, entry.str)
    except ValueError as error:
        raise records.corrupt(str(error)) from error
    records.finish()
    return strings


def _load_erasure_coding(reader: ImageReader, namespace: Namespace) -> None:
    built_in = {policy.policy_id: policy.name for policy in BUILT_IN_EC_POLICIES}
    for message in reader.messages(sections.ERASURE_CODING):
        policies = {}
        for policy in cast("pb.ErasureCodingSection", message).policies:
            schema = None
            name = policy.name or built_in.get(policy.id, f"policy {policy.id}")
            if policy.HasField("schema"):
                options = tuple((o.key, o.value) for o in policy.schema.options)
                schema = ErasureCodingPolicy(
                    policy.schema.codecName,
                    policy.schema.dataUnits,
                    policy.schema.parityUnits,
                    policy.cellSize,
                    options,
                )
            policies[name] = EcPolicyRecord(policy.id, name, policy.state, schema)
        namespace.retained.ec_policies = policies


def _load_files_under_construction(reader: ImageReader, namespace: Namespace) -> None:
    # Leases come with the files themselves; the section must agree with them.
    records = reader.records(sections.FILES_UNDERCONSTRUCTION)
    while records:
        entry = records.take(pb.FilesUnderConstructionSection.FileUnderConstructionEntry)
        inode_id = InodeId(entry.inodeId)
        if not namespace.has(inode_id) or namespace.writer_of(inode_id) is None:
            raise records.corrupt(
                f"{entry.fullPath!r} (inode {inode_id}) is said to be open, but is no open file"
            )


def _load_secrets(reader: ImageReader, namespace: Namespace) -> None:
    retained = namespace.retained
    for message in reader.messages(sections.SECRET_MANAGER):
        if isinstance(message, pb.SecretManagerSection):
            retained.delegation_key_id = message.currentId
            retained.delegation_sequence_number = message.tokenSequenceNumber
        elif isinstance(message, pb.SecretManagerSection.DelegationKey):
            key = message.key if message.HasField("key") else None
            retained.delegation_keys[message.id] = DelegationKey(
                message.id, _signed(message.expiryDate), key
            )
        else:
            token = cast("pb.SecretManagerSection.PersistToken", message)
            retained.delegation_tokens[token.sequenceNumber] = (
                DelegationTokenIdentifier(
                    token.owner,
                    token.renewer,
                    token.realUser,
                    _signed(token.issueDate),
                    _signed(token.maxDate),
                    token.sequenceNumber,
                    token.masterKeyId,
                ),
                _signed(token.expiryDate),
            )


def _load_cache(reader: ImageReader, namespace: Namespace) -> None:
    retained = namespace.retained
    for message in reader.messages(sections.CACHE_MANAGER):
        if isinstance(message, pb.CacheManagerSection):
            retained.next_directive_id = message.nextDirectiveId
        elif isinstance(message, client_namenode.CachePoolInfoProto):
            retained.cache_pools[message.poolName] = CachePool(
                message.poolName,
                _field(message, "ownerName"),
                _field(message, "groupName"),
                _field(message, "mode"),
                _field(message, "limit"),
                _field(message, "maxRelativeExpiry"),
                _field(message, "defaultReplication"),
            )
        else:
            directive = cast("client_namenode.CacheDirectiveInfoProto", message)
            retained.cache_directives[directive.id] = _directive(directive, reader.where)


def _directive(message: client_namenode.CacheDirectiveInfoProto, where: str) -> CacheDirective:
    expiration = None
    if message.HasField("expiration"):
        if message.expiration.isRelative:
            raise CorruptData(
                f"{where} (CACHE_MANAGER)", None, f"directive {message.id} expires relatively"
            )
        expiration = message.expiration.millis
    return CacheDirective(
        message.id,
        _field(message, "path"),
        _field(message, "replication"),
        _field(message, "pool"),
        expiration,
    )


def _field(message: Any, name: str) -> Any:
    return getattr(message, name) if message.HasField(name) else None


# -- the tree --------------------------------------------------------------------------------


class _InodeLoader:
    """Section INODE → rows. Permissions and layouts repeat: each is unpacked once."""

    def __init__(self, reader: ImageReader, namespace: Namespace, strings: StringTable) -> None:
        self._records = reader.records(sections.INODE)
        self._namespace = namespace
        self._strings = strings
        self._permissions: dict[int, int] = {}
        self._layouts: dict[FileLayout, int] = {}
        self._has_root = False

    def run(self) -> None:
        records = self._records
        head = records.take(pb.INodeSection)
        restore: dict[int, tuple[Field, Callable[[pb.INodeSection.INode], None]]] = {
            pb.INodeSection.INode.FILE: ("file", self._file),
            pb.INodeSection.INode.DIRECTORY: ("directory", self._directory),
            pb.INodeSection.INode.SYMLINK: ("symlink", self._symlink),
        }
        kind = pb.INodeSection.INode
        last_inode_id = head.lastInodeId
        for _ in range(head.numInodes):
            inode = records.take(kind)
            field, restore_inode = restore[inode.type]
            if not inode.HasField(field) or inode.id > last_inode_id:
                raise records.corrupt(
                    f"inode {inode.id} is no {field}, or above the last id {last_inode_id}"
                )
            try:
                restore_inode(inode)
            except (KeyError, ValueError, OverflowError) as error:
                raise records.corrupt(
                    f"inode {inode.id} holds what can't be ({type(error).__name__}: {error})"
                ) from error
            except CorruptData as error:
                raise records.corrupt(error.cause) from error
        records.finish()
        if not self._has_root:
            raise records.corrupt(f"the root directory (inode {ROOT_INODE_ID}) is missing")
        self._namespace.last_inode_id = InodeId(last_inode_id)

    def _file(self, inode: pb.INodeSection.INode) -> None:
        file = inode.file
        acl = self._strings.acl(file.acl) if file.HasField("acl") else ()
        xattrs = self._xattrs(inode.id, file.xAttrs) if file.HasField("xAttrs") else ()
        if file.blockType != hdfs.CONTIGUOUS or file.erasureCodingPolicyID:
            raise NotBuilt(
                f"{self._records.where}: erasure-coded files are not built, and inode {inode.id}"
                f" ({inode.name.decode(errors='replace')!r}) has the policy"
                f" {file.erasureCodingPolicyID}"
            )
        writer = None
        if file.HasField("fileUC"):
            writer = (file.fileUC.clientName, file.fileUC.clientMachine)
        layout = FileLayout(file.replication, file.preferredBlockSize, file.storagePolicyID, 0)
        index = self._layouts.get(layout)
        if index is None:
            index = self._layouts[layout] = self._namespace.intern_layout(layout)
        self._namespace.restore_file(
            FileRow(
                InodeId(inode.id),
                inode.name,
                self._permission(file.permission),
                index,
                file.modificationTime,
                file.accessTime,
                tuple(
                    [
                        Block(BlockId(b.blockId), b.numBytes, GenStamp(b.genStamp))
                        for b in file.blocks
                    ]
                ),
                acl,
                xattrs,
                writer,
            )
        )

    def _directory(self, inode: pb.INodeSection.INode) -> None:
        directory = inode.directory
        row = DirectoryRow(
            InodeId(inode.id),
            inode.name,
            self._permission(directory.permission),
            directory.modificationTime,
            self._strings.acl(directory.acl) if directory.HasField("acl") else (),
            self._xattrs(inode.id, directory.xAttrs) if directory.HasField("xAttrs") else (),
            _signed(directory.nsQuota),
            _signed(directory.dsQuota),
            tuple(
                (STORAGE_TYPE_OF_PROTO[q.storageType], _signed(q.quota))
                for q in directory.typeQuotas.quotas
            ),
        )
        if inode.id == ROOT_INODE_ID and not self._has_root:
            self._has_root = True
            self._namespace.restore_root(row)
        else:
            self._namespace.restore_directory(row)

    def _symlink(self, inode: pb.INodeSection.INode) -> None:
        symlink = inode.symlink
        self._namespace.restore_symlink(
            SymlinkRow(
                InodeId(inode.id),
                inode.name,
                self._permission(symlink.permission),
                symlink.modificationTime,
                symlink.accessTime,
                symlink.target,
            )
        )

    def _xattrs(
        self, inode_id: int, feature: pb.INodeSection.XAttrFeatureProto
    ) -> tuple[XAttr, ...]:
        xattrs = self._strings.xattrs(feature)
        _refuse_encryption(inode_id, xattrs, self._records.where)
        return xattrs

    def _permission(self, packed: int) -> int:
        index = self._permissions.get(packed)
        if index is None:
            index = self._namespace.intern_permission(*self._strings.permission(packed))
            self._permissions[packed] = index
        return index


def _load_directories(reader: ImageReader, namespace: Namespace) -> None:
    for records, entry in _directory_entries(reader):
        if entry.refChildren:
            raise NotBuilt(
                f"{records.where}: snapshots are not built, and directory {entry.parent} has"
                f" {len(entry.refChildren)} children renamed out of a snapshot"
            )
        try:
            namespace.restore_children(InodeId(entry.parent), cast("list[InodeId]", entry.children))
        except OverflowError as error:
            raise records.corrupt(str(error)) from error
        except CorruptData as error:
            raise records.corrupt(error.cause) from error


def _directory_entries(
    reader: ImageReader,
) -> Iterator[tuple[Records, pb.INodeDirectorySection.DirEntry]]:
    records = reader.records(sections.INODE_DIR)
    while records:
        yield records, records.take(pb.INodeDirectorySection.DirEntry)
