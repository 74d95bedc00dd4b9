"""Loading: what an image says is in the namespace; what can't be held, or can't be, is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from hdfsd.base.errors import CorruptData, NotBuilt
from hdfsd.base.ids import Block
from hdfsd.editlog.ops import AclEntry, CacheDirective, CachePool, XAttr
from hdfsd.image import sections
from hdfsd.image.load import load
from hdfsd.image.sections import DEFAULT_CODEC, NO_CODEC, ImageHeader, delimited
from hdfsd.namespace.inode import Kind, Limits, Permission
from hdfsd.namespace.tree import Namespace
from hdfsd.wire.messages import Message, client_namenode, hdfs
from hdfsd.wire.messages import fsimage as pb

INODE = pb.INodeSection.INode
PERMISSION = 1 << 40 | 1 << 16 | 0o755
NO_QUOTA = 2**64 - 1
Parts = dict[str, list[Message]]


def parts() -> Parts:
    """A small image that loads: /d/f of two blocks, /open being written, a link."""
    root = INODE(type=2, id=16385, name=b"")
    root.directory.permission = PERMISSION
    root.directory.nsQuota = 2**63 - 1
    root.directory.dsQuota = NO_QUOTA
    directory = INODE(type=2, id=16386, name=b"d")
    directory.directory.modificationTime = 5
    directory.directory.permission = PERMISSION
    directory.directory.nsQuota = 12
    directory.directory.dsQuota = NO_QUOTA
    directory.directory.typeQuotas.quotas.add(storageType=hdfs.SSD, quota=99)
    directory.directory.xAttrs.xAttrs.add(name=1 << 30 | 1 << 6, value=b"v")
    file = INODE(type=1, id=16387, name=b"f")
    file.file.replication = 2
    file.file.preferredBlockSize = 1024
    file.file.permission = PERMISSION
    file.file.blocks.add(blockId=1, genStamp=1001, numBytes=1024)
    file.file.blocks.add(blockId=2, genStamp=1002, numBytes=5)
    file.file.acl.entries.append(1 << 6 | 7)
    opened = INODE(type=1, id=16388, name=b"open")
    opened.file.replication = 1
    opened.file.permission = PERMISSION
    opened.file.fileUC.clientName = "client"
    opened.file.fileUC.clientMachine = "machine"
    link = INODE(type=3, id=16389, name=b"link")
    link.symlink.permission = PERMISSION
    link.symlink.target = b"/d/f"
    entry = pb.INodeDirectorySection.DirEntry
    return {
        sections.NS_INFO: [
            pb.NameSystemSection(
                namespaceId=7,
                genstampV1=1000,
                genstampV2=1002,
                lastAllocatedBlockId=3,
                lastAllocatedStripedBlockId=2**64 - 32,
                transactionId=55,
                rollingUpgradeStartTime=44,
            )
        ],
        sections.ERASURE_CODING: [pb.ErasureCodingSection()],
        sections.INODE: [
            pb.INodeSection(lastInodeId=16399, numInodes=5),
            root,
            directory,
            file,
            opened,
            link,
        ],
        sections.INODE_DIR: [
            entry(parent=16385, children=[16386, 16389, 16388]),
            entry(parent=16386, children=[16387]),
        ],
        sections.FILES_UNDERCONSTRUCTION: [
            pb.FilesUnderConstructionSection.FileUnderConstructionEntry(
                inodeId=16388, fullPath="/open"
            )
        ],
        sections.SNAPSHOT: [pb.SnapshotSection(snapshotCounter=4, numSnapshots=0)],
        sections.SECRET_MANAGER: [
            pb.SecretManagerSection(currentId=3, tokenSequenceNumber=9, numKeys=1, numTokens=1),
            pb.SecretManagerSection.DelegationKey(id=3, expiryDate=8, key=b"key"),
            pb.SecretManagerSection.PersistToken(owner="ann", sequenceNumber=9, expiryDate=77),
        ],
        sections.CACHE_MANAGER: [
            pb.CacheManagerSection(nextDirectiveId=6, numPools=1, numDirectives=1),
            client_namenode.CachePoolInfoProto(poolName="p", limit=5),
            client_namenode.CacheDirectiveInfoProto(id=5, path="/d", pool="p"),
        ],
        sections.STRING_TABLE: [
            pb.StringTableSection(numEntry=3, maskBits=3),
            pb.StringTableSection.Entry(id=1 << 29 | 1, str="ann"),
            pb.StringTableSection.Entry(id=2 << 29 | 1, str="staff"),
            pb.StringTableSection.Entry(id=3 << 29 | 1, str="note"),
        ],
    }


def written(image: Parts, codec: str = NO_CODEC) -> bytes:
    def encoded() -> Iterator[tuple[str, list[bytes]]]:
        for name, messages in image.items():
            yield name, [delimited(message) for message in messages]

    return b"".join(sections.write(encoded(), codec=codec))


def loaded(data: bytes) -> tuple[Namespace, ImageHeader]:
    namespace = Namespace(Limits(), Permission("nobody", "nogroup", 0), 0)
    return namespace, load(data, namespace, "fsimage_55")


@pytest.mark.parametrize("codec", [NO_CODEC, DEFAULT_CODEC])
def test_the_tree(codec: str) -> None:
    namespace, header = loaded(written(parts(), codec))
    assert header == ImageHeader(7, 55, -67)  # type: ignore[arg-type]
    root, directory, file, opened, link = namespace.inodes()
    assert [namespace.path_of(i.inode_id) for i in (root, directory, file, opened, link)] == [
        "/",
        "/d",
        "/d/f",
        "/open",
        "/link",
    ]
    assert namespace.permissions[root.permission] == Permission("ann", "staff", 0o755)
    assert directory.mtime_ms == 5  # type: ignore[union-attr]
    assert directory.namespace_quota == 12  # type: ignore[union-attr]
    assert directory.space_quota == -1  # type: ignore[union-attr]
    assert directory.type_quotas == ((1, 99),)  # type: ignore[union-attr]
    assert directory.xattrs == (XAttr(1, "note", b"v"),)  # type: ignore[union-attr]
    assert file.blocks == (Block(1, 1024, 1001), Block(2, 5, 1002))  # type: ignore
    assert file.acl == (AclEntry(0, 0, 7, "ann"),)  # type: ignore[union-attr]
    assert opened.writer == ("client", "machine")  # type: ignore[union-attr]
    assert namespace.leases.holder_of(opened.inode_id) == "client"
    assert namespace.kind_of(link.inode_id) is Kind.SYMLINK
    assert link.target == b"/d/f"  # type: ignore[union-attr]


def test_counters_and_what_is_kept_beside_the_tree() -> None:
    namespace, _ = loaded(written(parts()))
    assert (namespace.gen_stamp_v1, namespace.gen_stamp) == (1000, 1002)
    assert (namespace.last_block_id, namespace.last_striped_block_id) == (3, -32)
    assert namespace.last_inode_id == 16399
    kept = namespace.retained
    assert kept.rolling_upgrade_start_ms == 44
    assert namespace.snapshots.counter == 4
    assert (kept.delegation_key_id, kept.delegation_sequence_number) == (3, 9)
    assert kept.delegation_keys[3].key == b"key"
    token, expiry = kept.delegation_tokens[9]
    assert (token.owner, expiry) == ("ann", 77)
    assert kept.next_directive_id == 6
    assert kept.cache_pools == {"p": CachePool("p", None, None, None, 5, None, None)}
    assert kept.cache_directives == {5: CacheDirective(5, "/d", None, "p", None)}


def test_quotas_are_counted() -> None:
    namespace, _ = loaded(written(parts()))
    root = namespace.quotas[0]
    assert (root.inodes, root.space) == (5, 2 * 1029)


def test_sections_that_may_be_missing() -> None:
    image = parts()
    for name in sections.SNAPSHOT, sections.SECRET_MANAGER, sections.CACHE_MANAGER:
        del image[name]
    namespace, _ = loaded(written(image))
    assert namespace.inode_count == 5


# -- refused ---------------------------------------------------------------------------------

Change = Callable[[Parts], object]


def changed(change: Change) -> bytes:
    image = parts()
    change(image)
    return written(image)


def inode(image: Parts, index: int) -> Any:
    return image[sections.INODE][1 + index]


def encrypted(image: Parts) -> None:
    image[sections.STRING_TABLE][3].str = "hdfs.crypto.encryption.zone"  # type: ignore[attr-defined]
    inode(image, 1).directory.xAttrs.xAttrs[0].name = 1 << 6 | 1 << 5


def striped(image: Parts) -> None:
    inode(image, 2).file.blockType = hdfs.STRIPED
    inode(image, 2).file.erasureCodingPolicyID = 3


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (encrypted, r"\(INODE\): encryption zones .*inode 16386 .*raw.hdfs.crypto.encryption.zone"),
        (striped, r"\(INODE\): erasure-coded files .*inode 16387 \('f'\) has the policy 3"),
    ],
)
def test_what_can_not_be_held_is_named(change: Change, reason: str) -> None:
    with pytest.raises(NotBuilt, match="fsimage_55 " + reason):
        loaded(changed(change))


def relative(image: Parts) -> None:
    directive: Any = image[sections.CACHE_MANAGER][2]
    directive.expiration.millis, directive.expiration.isRelative = 5, True


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda i: i["INODE"].pop(), "the section ends where a record's length should stand"),
        (lambda i: i["INODE"].append(inode(i, 0)), "bytes follow the last record"),
        (lambda i: setattr(inode(i, 2), "id", 16386), "inode 16386 stands there twice"),
        (lambda i: setattr(inode(i, 0), "id", 16390), "the name b''"),
        (lambda i: setattr(inode(i, 2), "name", b"a/b"), "has the name b'a/b'"),
        (lambda i: setattr(inode(i, 2), "id", 16400), "above the last id 16399"),
        (lambda i: inode(i, 2).ClearField("file"), "inode 16387 is no file"),
        (lambda i: setattr(inode(i, 2), "type", 2), "inode 16387 is no directory"),
        (
            lambda i: setattr(inode(i, 2).file, "permission", 9 << 40),
            r"inode 16387 holds what can't be \(KeyError",
        ),
        (
            lambda i: setattr(inode(i, 2).file, "modificationTime", 2**63),
            r"inode 16387 holds what can't be \(OverflowError",
        ),
        (
            lambda i: inode(i, 2).file.acl.entries.append(5 << 6),
            r"inode 16387 holds what can't be \(KeyError",
        ),
        (
            lambda i: i.update(
                INODE=[pb.INodeSection(lastInodeId=16399, numInodes=4), *i["INODE"][2:]]
            ),
            r"the root directory \(inode 16385\) is missing",
        ),
        (lambda i: i["INODE_DIR"].pop(), "inode 16387 is in no directory"),
        (lambda i: i["INODE_DIR"].append(i["INODE_DIR"][1]), "child 16387 of 16386 is not free"),
        (
            lambda i: i["INODE_DIR"][0].children.append(16395),  # type: ignore[attr-defined]
            "child 16395 of 16385",
        ),
        (
            lambda i: i["INODE_DIR"][0].children.reverse(),  # type: ignore[attr-defined]
            "not in name order",
        ),
        (lambda i: setattr(i["INODE_DIR"][1], "parent", 16387), "inode 16387 has children"),
        (
            lambda i: setattr(i["FILES_UNDERCONSTRUCTION"][0], "inodeId", 16387),
            r"'/open' \(inode 16387\) is said to be open",
        ),
        (
            lambda i: setattr(i["FILES_UNDERCONSTRUCTION"][0], "inodeId", 1),
            r"'/open' \(inode 1\) is said to be open",
        ),
        (lambda i: setattr(i["STRING_TABLE"][0], "maskBits", 20), "20 mask bits"),
        (lambda i: setattr(i["STRING_TABLE"][2], "id", 1 << 29 | 1), "twice"),
        (lambda i: i["STRING_TABLE"].pop(), "should stand"),
        (lambda i: i["SECRET_MANAGER"].pop(), "should stand"),
        (relative, "directive 5 expires relatively"),
    ],
)
def test_what_can_not_be_is_corrupt(change: Change, reason: str) -> None:
    with pytest.raises(CorruptData, match=reason) as caught:
        loaded(changed(change))
    assert caught.value.where.startswith("fsimage_55")


@pytest.mark.parametrize("name", ["NS_INFO", "STRING_TABLE", "INODE", "INODE_DIR"])
def test_sections_that_must_be_there(name: str) -> None:
    with pytest.raises(CorruptData, match=f"section {name} is missing"):
        loaded(changed(lambda image: image.pop(name)))


@pytest.mark.parametrize("codec", [NO_CODEC, DEFAULT_CODEC])
def test_cut_at_every_byte(codec: str) -> None:
    data = written(parts(), codec)
    for size in range(len(data)):
        with pytest.raises(CorruptData):
            loaded(data[:size])


@pytest.mark.parametrize("name", sorted(parts().keys() - {sections.FILES_UNDERCONSTRUCTION}))
def test_a_section_cut_after_each_of_its_records(name: str) -> None:
    image = parts()
    for count in range(len(image[name])):
        with pytest.raises(CorruptData):
            loaded(written(image | {name: image[name][:count]}))


def test_an_open_file_keeps_its_lease_without_its_entry() -> None:
    namespace, _ = loaded(changed(lambda image: image.pop("FILES_UNDERCONSTRUCTION")))
    assert [holder for _, holder in namespace.leases.open_files()] == ["client"]
