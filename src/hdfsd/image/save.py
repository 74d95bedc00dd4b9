"""Core. A namespace to the bytes of an image: pure, so that a forked child can run it (D7)."""

from __future__ import annotations

from collections.abc import Iterator

from hdfsd.editlog.ops import CacheDirective, CachePool
from hdfsd.image import sections
from hdfsd.image.inodes import InodePacker
from hdfsd.image.packing import MASK_BITS, StringNumbers
from hdfsd.image.save_snapshots import PastSaver
from hdfsd.image.sections import NO_CODEC, ImageHeader, delimited
from hdfsd.namespace import saved_past
from hdfsd.namespace.inode import FileRow
from hdfsd.namespace.tree import Namespace
from hdfsd.wire.messages import client_namenode
from hdfsd.wire.messages import fsimage as pb

_UNSIGNED = (1 << 64) - 1
_DEFAULT_CACHE_REPLICATION = 1


def save(namespace: Namespace, header: ImageHeader, codec: str = NO_CODEC) -> Iterator[bytes]:
    """The image in chunks, from the first byte to the last; the caller writes and digests them.

    `codec` is a compression class of sections.ZLIB_WINDOW.
    """
    yield from sections.write(_sections(namespace, header), header.layout_version, codec)


def _sections(namespace: Namespace, header: ImageHeader) -> Iterator[tuple[str, Iterator[bytes]]]:
    strings = StringNumbers()
    packer = InodePacker(namespace, strings)
    past = PastSaver(namespace, packer)
    yield sections.NS_INFO, _ns_info(namespace, header)
    yield sections.ERASURE_CODING, _erasure_coding(namespace)
    yield sections.INODE, _inodes(namespace, packer)
    yield sections.INODE_DIR, past.directories()
    yield sections.FILES_UNDERCONSTRUCTION, _files_under_construction(namespace)
    yield sections.SNAPSHOT, past.snapshots()
    if namespace.snapshots.count:
        yield sections.SNAPSHOT_DIFF, past.diffs()
    yield sections.INODE_REFERENCE, past.references()
    yield sections.SECRET_MANAGER, _secrets(namespace)
    yield sections.CACHE_MANAGER, _cache(namespace)
    yield sections.STRING_TABLE, _strings(strings)


def _ns_info(namespace: Namespace, header: ImageHeader) -> Iterator[bytes]:
    info = pb.NameSystemSection(
        namespaceId=header.namespace_id,
        genstampV1=namespace.gen_stamp_v1,
        genstampV1Limit=namespace.gen_stamp_v1_limit,
        genstampV2=namespace.gen_stamp,
        lastAllocatedBlockId=namespace.last_block_id,
        lastAllocatedStripedBlockId=namespace.last_striped_block_id & _UNSIGNED,
        transactionId=header.txid,
    )
    if namespace.retained.rolling_upgrade_start_ms is not None:
        info.rollingUpgradeStartTime = namespace.retained.rolling_upgrade_start_ms
    yield delimited(info)


def _erasure_coding(namespace: Namespace) -> Iterator[bytes]:
    section = pb.ErasureCodingSection()
    for policy in namespace.retained.ec_policies.values():
        out = section.policies.add(id=policy.policy_id, state=policy.state)
        if policy.schema is None:
            continue
        out.name = policy.name
        out.cellSize = policy.schema.cell_size
        out.schema.codecName = policy.schema.codec
        out.schema.dataUnits = policy.schema.data_units
        out.schema.parityUnits = policy.schema.parity_units
        for key, value in policy.schema.options:
            out.schema.options.add(key=key, value=value)
    yield delimited(section)


# -- the tree --------------------------------------------------------------------------------


def _inodes(namespace: Namespace, packer: InodePacker) -> Iterator[bytes]:
    count = namespace.inode_count
    if namespace.detached:
        count = sum(1 for _ in saved_past.all_rows(namespace))
    yield delimited(pb.INodeSection(lastInodeId=namespace.last_inode_id, numInodes=count))
    for row in saved_past.all_rows(namespace):
        record = namespace.inode_record(saved_past.last_state(namespace, row))
        if isinstance(record, FileRow) and namespace.snapshots.grown:
            record = record._replace(blocks=saved_past.last_blocks(namespace, row))
        yield delimited(packer.inode(record))


def _files_under_construction(namespace: Namespace) -> Iterator[bytes]:
    for inode_id, _ in namespace.leased_files():
        yield delimited(
            pb.FilesUnderConstructionSection.FileUnderConstructionEntry(
                inodeId=inode_id, fullPath=namespace.path_of(inode_id)
            )
        )


# -- sections around the tree ----------------------------------------------------------------


def _secrets(namespace: Namespace) -> Iterator[bytes]:
    retained = namespace.retained
    section = pb.SecretManagerSection
    yield delimited(
        section(
            currentId=retained.delegation_key_id,
            tokenSequenceNumber=retained.delegation_sequence_number,
            numKeys=len(retained.delegation_keys),
            numTokens=len(retained.delegation_tokens),
        )
    )
    for key in retained.delegation_keys.values():
        yield delimited(
            section.DelegationKey(
                id=key.key_id, expiryDate=key.expiry_date & _UNSIGNED, key=key.key
            )
        )
    for token, expiry_date in retained.delegation_tokens.values():
        yield delimited(
            section.PersistToken(
                owner=token.owner,
                renewer=token.renewer,
                realUser=token.real_user,
                issueDate=token.issue_date & _UNSIGNED,
                maxDate=token.max_date & _UNSIGNED,
                sequenceNumber=token.sequence_number,
                masterKeyId=token.master_key_id,
                expiryDate=expiry_date & _UNSIGNED,
            )
        )


def _cache(namespace: Namespace) -> Iterator[bytes]:
    retained = namespace.retained
    yield delimited(
        pb.CacheManagerSection(
            nextDirectiveId=retained.next_directive_id,
            numPools=len(retained.cache_pools),
            numDirectives=len(retained.cache_directives),
        )
    )
    for pool in retained.cache_pools.values():
        yield delimited(_pool(pool))
    for directive in retained.cache_directives.values():
        yield delimited(_directive(directive))


def _pool(pool: CachePool) -> client_namenode.CachePoolInfoProto:
    message = client_namenode.CachePoolInfoProto(
        poolName=pool.name,
        ownerName=pool.owner,
        groupName=pool.group,
        mode=pool.mode,
        limit=pool.limit,
        maxRelativeExpiry=pool.max_relative_expiry,
    )
    # Hadoop does not save it at all; where it is the default, neither do we.
    if pool.default_replication not in (None, _DEFAULT_CACHE_REPLICATION):
        message.defaultReplication = pool.default_replication
    return message


def _directive(directive: CacheDirective) -> client_namenode.CacheDirectiveInfoProto:
    message = client_namenode.CacheDirectiveInfoProto(
        id=directive.directive_id,
        path=directive.path,
        replication=directive.replication,
        pool=directive.pool,
    )
    if directive.expiration is not None:
        message.expiration.millis = directive.expiration
        message.expiration.isRelative = False
    return message


def _strings(strings: StringNumbers) -> Iterator[bytes]:
    yield delimited(pb.StringTableSection(numEntry=len(strings), maskBits=MASK_BITS))
    for string_id, text in strings.entries():
        yield delimited(pb.StringTableSection.Entry(id=string_id, str=text))
