"""Core. An image's bytes into a fresh namespace.

What the namespace can't hold ends the load with NotBuilt, naming file, section and inode: an image
that loads has lost nothing. The caller compares the md5.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, cast

from hdfsd.base.errors import CorruptData
from hdfsd.base.ids import ROOT_INODE_ID, BlockId, GenStamp, InodeId, TxId
from hdfsd.editlog.ops import (
    CacheDirective,
    CachePool,
    DelegationKey,
    DelegationTokenIdentifier,
    ErasureCodingPolicy,
)
from hdfsd.image import sections
from hdfsd.image.inodes import InodeUnpacker, signed
from hdfsd.image.load_snapshots import PastLoader
from hdfsd.image.packing import StringTable
from hdfsd.image.sections import ImageHeader, ImageReader
from hdfsd.namespace import quota
from hdfsd.namespace.retained import BUILT_IN_EC_POLICIES, EcPolicyRecord
from hdfsd.namespace.tree import Namespace
from hdfsd.wire.messages import client_namenode
from hdfsd.wire.messages import fsimage as pb

REQUIRED_SECTIONS = (sections.NS_INFO, sections.STRING_TABLE, sections.INODE, sections.INODE_DIR)

Field = Literal["file", "directory", "symlink"]


def load(data: bytes, namespace: Namespace, where: str) -> ImageHeader:
    """Fills a fresh Namespace from the image `where` (a file name, for errors).

    Raises CorruptData or NotBuilt; the namespace is then of no use.
    """
    reader = ImageReader(data, where)
    for name in REQUIRED_SECTIONS:
        if name not in reader.sections:
            raise CorruptData(where, None, f"the section {name} is missing")
    header = _load_header(reader, namespace)
    strings = _load_strings(reader)
    _load_erasure_coding(reader, namespace)
    inodes = _InodeLoader(reader, namespace, strings)
    inodes.run()
    past = PastLoader(reader, namespace, inodes.unpacker)
    past.references()
    past.snapshots()
    _load_directories(reader, namespace, past)
    past.differences()
    _load_files_under_construction(reader, namespace)
    _load_secrets(reader, namespace)
    _load_cache(reader, namespace)
    try:
        namespace.restore_finish()
    except CorruptData as error:
        raise CorruptData(f"{where} ({sections.INODE_DIR})", None, error.cause) from error
    quota.recount(namespace)
    return header


# -- sections around the tree ----------------------------------------------------------------


def _load_header(reader: ImageReader, namespace: Namespace) -> ImageHeader:
    info = cast("pb.NameSystemSection", next(reader.messages(sections.NS_INFO)))
    namespace.gen_stamp_v1 = GenStamp(info.genstampV1)
    namespace.gen_stamp_v1_limit = GenStamp(info.genstampV1Limit)
    namespace.gen_stamp = GenStamp(info.genstampV2)
    namespace.last_block_id = BlockId(info.lastAllocatedBlockId)
    if info.HasField("lastAllocatedStripedBlockId"):
        namespace.last_striped_block_id = BlockId(signed(info.lastAllocatedStripedBlockId))
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
                message.id, signed(message.expiryDate), key
            )
        else:
            token = cast("pb.SecretManagerSection.PersistToken", message)
            retained.delegation_tokens[token.sequenceNumber] = (
                DelegationTokenIdentifier(
                    token.owner,
                    token.renewer,
                    token.realUser,
                    signed(token.issueDate),
                    signed(token.maxDate),
                    token.sequenceNumber,
                    token.masterKeyId,
                ),
                signed(token.expiryDate),
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
    """Section INODE → rows."""

    def __init__(self, reader: ImageReader, namespace: Namespace, strings: StringTable) -> None:
        self._records = reader.records(sections.INODE)
        self._namespace = namespace
        self.unpacker = InodeUnpacker(namespace, strings, self._records.where)
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
        self._namespace.restore_file(self.unpacker.file(inode.id, inode.name, inode.file))

    def _directory(self, inode: pb.INodeSection.INode) -> None:
        row = self.unpacker.directory(inode.id, inode.name, inode.directory)
        if inode.id == ROOT_INODE_ID and not self._has_root:
            self._has_root = True
            self._namespace.restore_root(row)
        else:
            self._namespace.restore_directory(row)

    def _symlink(self, inode: pb.INodeSection.INode) -> None:
        row = self.unpacker.symlink(inode.id, inode.name, inode.symlink)
        self._namespace.restore_symlink(row)


def _load_directories(reader: ImageReader, namespace: Namespace, past: PastLoader) -> None:
    records = reader.records(sections.INODE_DIR)
    while records:
        entry = records.take(pb.INodeDirectorySection.DirEntry)
        try:
            namespace.restore_children(InodeId(entry.parent), cast("list[InodeId]", entry.children))
        except OverflowError as error:
            raise records.corrupt(str(error)) from error
        except CorruptData as error:
            raise records.corrupt(error.cause) from error
        if entry.refChildren:
            past.moved_children(records, entry)
