"""Adapter. Hadoop's NameNode on images of ours, and all that a namespace shows, ours or its."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hadoop
from snapshot_servers import SETTINGS
from snapshot_side import Side

from hdfsd.base.ids import TxId
from hdfsd.editlog import codec, files, segment
from hdfsd.editlog.ops import EditOp, EndLogSegmentOp, StartLogSegmentOp
from hdfsd.image.load import load
from hdfsd.image.sections import ImageHeader
from hdfsd.namespace import query
from hdfsd.namespace.inode import Limits, Permission
from hdfsd.namespace.tree import NO_ROW, Namespace
from hdfsd.wire.messages import client_namenode, hdfs

NO_DATANODE = {"dfs.namenode.safemode.threshold-pct": "0"}
COMPLAINTS = ("Exception", " ERROR ", " FATAL ", "at org.apache.hadoop")


# ---- directories of a NameNode


def newest_image(name_dir: Path) -> Path:
    """The image that a NameNode would load."""
    return max(p for p in (name_dir / "current").glob("fsimage_*") if files.parse_image(p.name))


def loaded(image: Path) -> tuple[Namespace, ImageHeader]:
    """An image as we read it."""
    namespace = Namespace(Limits(), Permission("nobody", "nogroup", 0), 0)
    return namespace, load(image.read_bytes(), namespace, image.name)


def made_name_dir(
    target: Path, like: Path, image: bytes, txid: int, edits: Sequence[EditOp] = ()
) -> None:
    """A NameNode's directory with an image and the edits that follow it."""
    current = target / "current"
    current.mkdir(parents=True)
    shutil.copy(like / "current/VERSION", current / "VERSION")
    name = files.image_name(TxId(txid))
    (current / name).write_bytes(image)
    (current / files.md5_name(name)).write_text(
        files.md5_line(hashlib.md5(image).hexdigest(), name)
    )
    last = txid
    if edits:
        ops = [StartLogSegmentOp(), *edits, EndLogSegmentOp()]
        last = txid + len(ops)
        frames = b"".join(codec.encode(op, TxId(txid + i)) for i, op in enumerate(ops, 1))
        segment_name = files.finalized_name(TxId(txid + 1), TxId(last))
        (current / segment_name).write_bytes(segment.header() + frames)
    (current / "seen_txid").write_text(f"{last}\n")


@dataclass(slots=True)
class HadoopNameNode:
    """One without DataNodes."""

    conf: Path
    log: Path
    name_dir: Path

    def complaints(self) -> list[str]:
        """Lines of its log that tell of a fault."""
        lines = self.log.read_text(errors="replace").splitlines()
        return [line for line in lines if any(word in line for word in COMPLAINTS)]


@contextmanager
def hadoop_on(lib: Path, root: Path) -> Iterator[HadoopNameNode]:
    """Hadoop's NameNode on the directory `root`/name."""
    rpc, http = hadoop.free_ports(2)
    core = {"fs.defaultFS": f"hdfs://{hadoop.HOST}:{rpc}", "hadoop.tmp.dir": f"{root}/tmp"}
    sites = {
        **SETTINGS,
        **NO_DATANODE,
        "dfs.namenode.http-address": f"{hadoop.HOST}:{http}",
        "dfs.namenode.name.dir": f"file://{root}/name",
    }
    conf = hadoop.write_conf(root / "conf", core, sites)
    java = hadoop.Hadoop(lib, root)
    try:
        daemon = java.start("namenode", conf, hadoop.NAMENODE)
        hadoop.wait_for_port(rpc)
        yield HadoopNameNode(conf, daemon.log, root / "name")
    finally:
        java.close()


# ---- what is shown


async def save_namespace(side: Side) -> None:
    """Makes the server write an image."""
    await side.call("setSafeMode", action=client_namenode.SAFEMODE_ENTER)
    await side.call("saveNamespace")
    await side.call("setSafeMode", action=client_namenode.SAFEMODE_LEAVE)


async def shown_by(side: Side) -> list[str]:
    """A line for each inode of the present and of every snapshot."""
    lines = await _below(side, "", [])
    listing = (await side.call("getSnapshottableDirListing")).snapshottableDirList
    for entry in listing.snapshottableDirListing:
        parent = entry.parent_fullpath.decode().rstrip("/")
        root = f"{parent}/{entry.dirStatus.path.decode()}".rstrip("/")
        lines.append(f"{root} holds {entry.snapshot_number} of {entry.snapshot_quota}")
        lines += await _below(side, f"{root}/.snapshot", [])
    return sorted(lines)


async def _below(side: Side, top: str, lines: list[str]) -> list[str]:
    answer = await side.call("getListing", src=top or "/", startAfter=b"", needLocation=True)
    assert not answer.dirList.remainingEntries, f"{top}: more than one page"
    for status in answer.dirList.partialListing:
        path = f"{top}/{status.path.decode()}"
        lines.append(_line(path, status, [b.b.blockId for b in status.locations.blocks]))
        if status.fileType == hdfs.HdfsFileStatusProto.IS_DIR:
            await _below(side, path, lines)
    return lines


def shown(namespace: Namespace) -> list[str]:
    """The same of a namespace of ours."""
    lines = _ours_below(namespace, "", [])
    for row, record in namespace.snapshots.directories.items():
        if record.quota:
            root = namespace.path_of_row(row).rstrip("/")
            lines.append(f"{root} holds {len(record.snapshots)} of {record.quota}")
            _ours_below(namespace, f"{root}/.snapshot", lines)
    return sorted(lines)


def _ours_below(namespace: Namespace, top: str, lines: list[str]) -> list[str]:
    listing = query.listing(namespace, None, top or "/", b"")
    assert listing is not None, top
    for status, row in zip(listing.statuses, listing.rows, strict=True):
        path = f"{top}/{status.path.decode()}"
        blocks = () if row == NO_ROW else namespace.row_blocks(row)
        lines.append(_line(path, status, [block.block_id for block in blocks]))
        if status.fileType == hdfs.HdfsFileStatusProto.IS_DIR:
            _ours_below(namespace, path, lines)
    return lines


def _line(path: str, status: Any, blocks: Sequence[int]) -> str:
    told = hdfs.HdfsFileStatusProto()
    told.CopyFrom(status)
    told.ClearField("locations")
    told.ClearField("path")
    for name in ("ecPolicy", "fileEncryptionInfo", "symlink", "namespace"):
        if not status.HasField(name):
            told.ClearField(name)
    return f"{path}: {' '.join(str(told).split())} blocks={list(blocks)}"
