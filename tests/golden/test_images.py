"""Images that Hadoop wrote: sections to the same bytes; load, save, replay: the same records."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from image_trees import shown

from hdfsd.editlog import codec, files, segment
from hdfsd.editlog.ops import MkdirOp
from hdfsd.image import sections
from hdfsd.image.load import load
from hdfsd.image.packing import StringTable
from hdfsd.image.save import save
from hdfsd.image.sections import ImageHeader, ImageReader
from hdfsd.namespace.apply import apply
from hdfsd.namespace.inode import Limits, Permission
from hdfsd.namespace.tree import Namespace
from hdfsd.wire.messages import Message
from hdfsd.wire.messages import fsimage as pb

DATA = Path(__file__).parent / "data"
WITH_SNAPSHOTS = ("fsimage_0000000000000000330", "fsimage_0000000000000000382")
IN_THE_LOG = (
    sections.NS_INFO,
    sections.ERASURE_CODING,
    sections.INODE,
    sections.INODE_DIR,
    sections.SNAPSHOT,
    sections.INODE_REFERENCE,
    sections.CACHE_MANAGER,
)
LOADABLE = ("fsimage_new", "fsimage_plain", "fsimage_compressed")


def fresh() -> Namespace:
    return Namespace(Limits(), Permission("nobody", "nogroup", 0), 0)


def loaded(name: str) -> tuple[Namespace, ImageHeader]:
    namespace = fresh()
    return namespace, load((DATA / name).read_bytes(), namespace, name)


def records(data: bytes) -> dict[str, list[object]]:
    """Sections → records, with string ids replaced by the strings: their numbers are free."""
    reader = ImageReader(data, "image")
    strings = string_table(reader)
    return {
        name: [resolved(message, strings) for message in reader.messages(name)]
        for name in reader.sections
        if name != sections.STRING_TABLE
    }


def string_table(reader: ImageReader) -> StringTable:
    head, *entries = reader.messages(sections.STRING_TABLE)
    assert isinstance(head, pb.StringTableSection)
    strings = StringTable(head.maskBits)
    for entry in entries:
        assert isinstance(entry, pb.StringTableSection.Entry)
        strings.add(entry.id, entry.str)
    return strings


def resolved(message: Message, strings: StringTable) -> object:
    if not isinstance(message, pb.INodeSection.INode):
        return message
    part = getattr(message, {1: "file", 2: "directory", 3: "symlink"}[message.type])
    features: list[object] = [strings.permission(part.permission)]
    part.permission = 0
    if not isinstance(part, pb.INodeSection.INodeSymlink):
        features += [strings.acl(part.acl), strings.xattrs(part.xAttrs)]
        part.ClearField("acl")
        part.ClearField("xAttrs")
    return message, features


@pytest.mark.parametrize("name", [*WITH_SNAPSHOTS, "fsimage_new", "fsimage_plain"])
def test_every_section_is_written_as_it_was_read(name: str) -> None:
    data = (DATA / name).read_bytes()
    reader = ImageReader(data, name)
    written = sections.write(
        ((s, [sections.delimited(m) for m in reader.messages(s)]) for s in reader.sections),
        reader.layout_version,
    )
    assert b"".join(written) == data


def test_a_compressed_image_has_the_records_of_hadoop() -> None:
    name = "fsimage_compressed"
    data = (DATA / name).read_bytes()
    reader = ImageReader(data, name)
    assert reader.codec == sections.DEFAULT_CODEC
    again = b"".join(
        sections.write(
            ((s, [sections.delimited(m) for m in reader.messages(s)]) for s in reader.sections),
            reader.layout_version,
            reader.codec,
        )
    )
    assert records(again) == records(data)


@pytest.mark.parametrize("codec_class", [sections.NO_CODEC, sections.DEFAULT_CODEC])
@pytest.mark.parametrize("name", LOADABLE)
def test_what_loads_is_saved_again_record_by_record(name: str, codec_class: str) -> None:
    namespace, header = loaded(name)
    saved = b"".join(save(namespace, header, codec_class))
    assert records(saved) == records((DATA / name).read_bytes())


def test_a_new_namespace_is_saved_to_the_same_bytes() -> None:
    namespace, header = loaded("fsimage_new")
    assert b"".join(save(namespace, header)) == (DATA / "fsimage_new").read_bytes()


def test_an_image_and_its_edits_give_the_next_image() -> None:
    namespace, _ = loaded("fsimage_new")
    assert replay(namespace, "edits_plain") == 156
    assert_same_tree(namespace, "fsimage_plain")


def test_a_new_namespace_and_edits_with_links_and_tokens_give_hadoops_image() -> None:
    namespace, _ = loaded("fsimage_new")
    assert replay(namespace, "edits_compressed") == 36
    # Hadoop's image leaves out the default replication of a cache pool; ours has it.
    pools = namespace.retained.cache_pools
    assert pools["p"].default_replication == 3
    pools["p"] = replace(pools["p"], default_replication=None)
    assert_same_tree(namespace, "fsimage_compressed")


def test_snapshots_of_hadoops_image_are_what_its_edits_make() -> None:
    replayed, _ = loaded("fsimage_new")
    assert replay(replayed, "edits_snapshots") == 105
    image, _ = loaded("fsimage_snapshots")
    assert len([line for line in shown(image) if "/.snapshot/" in line]) == 18
    assert without_times(shown(replayed)) == without_times(shown(image))
    assert replayed.snapshots.counter == image.snapshots.counter


def test_snapshots_of_hadoops_image_are_the_same_in_ours() -> None:
    image, header = loaded("fsimage_snapshots")
    saved = b"".join(save(image, header))
    again = fresh()
    load(saved, again, "ours")
    assert shown(again) == shown(image)
    assert b"".join(save(again, header)) == saved


def without_times(lines: list[str]) -> list[str]:
    """With Hadoop a directory that got a child shows its new time in older snapshots too."""
    return [re.sub(r"modification_time: \d+", "", line) for line in lines]


def replay(namespace: Namespace, name: str) -> int:
    data = (DATA / name).read_bytes()
    last_txid = 0
    for op, txid in codec.iter_ops(data, offset=segment.HEADER_BYTES, where=name):
        if isinstance(op, MkdirOp):
            op = replace(op, xattrs=())  # no writer sets them, and Hadoop's loader ignores them
        apply(namespace, op)
        last_txid = txid
    return last_txid


def assert_same_tree(namespace: Namespace, name: str) -> None:
    expected_header = loaded(name)[1]
    ours = records(b"".join(save(namespace, expected_header)))
    theirs = records((DATA / name).read_bytes())
    for section in IN_THE_LOG:
        assert ours[section] == theirs[section], section
    # Sets in Hadoop: their order means nothing.
    for section in sections.SECRET_MANAGER, sections.FILES_UNDERCONSTRUCTION:
        assert Counter(map(str, ours[section])) == Counter(map(str, theirs[section])), section


def test_md5_side_file_belongs_to_its_image() -> None:
    name = WITH_SNAPSHOTS[0]
    parsed = files.parse_md5_line((DATA / files.md5_name(name)).read_text())
    assert parsed == (hashlib.md5((DATA / name).read_bytes()).hexdigest(), name)
