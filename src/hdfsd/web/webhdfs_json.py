"""Core. Answers of WebHDFS as JSON, in the form of Hadoop's (hadoop hdfs.web.JsonUtil).

Names within an object are sorted, as those of its sorted maps are.
"""

from __future__ import annotations

import json
from typing import Any

from hdfsd.base.errors import (
    AuthorizationFailed,
    FileNotFound,
    HadoopIllegalArgument,
    IllegalArgument,
    IllegalState,
    InvalidPath,
    RemoteFault,
    Unsupported,
)
from hdfsd.wire.messages import hdfs

SNAPSHOT_DIRECTORY = ".snapshot"
TYPES = {1: "DIRECTORY", 2: "FILE", 3: "SYMLINK"}
FLAGS = (
    (hdfs.HdfsFileStatusProto.HAS_ACL, "aclBit"),
    (hdfs.HdfsFileStatusProto.HAS_CRYPT, "encBit"),
    (hdfs.HdfsFileStatusProto.HAS_EC, "ecBit"),
    (hdfs.HdfsFileStatusProto.SNAPSHOT_ENABLED, "snapshotEnabled"),
)
DIFFERENCES = {"+": "CREATE", "-": "DELETE", "M": "MODIFY", "R": "RENAME"}
STATUSES: tuple[tuple[tuple[type[RemoteFault], ...], int], ...] = (
    ((AuthorizationFailed,), 401),
    ((FileNotFound,), 404),
    ((IllegalArgument, HadoopIllegalArgument, InvalidPath, Unsupported), 400),
    ((IllegalState,), 500),
)
"""What is none of these is an IOException: 403 (hdfs.web.resources.ExceptionHandler)."""

Json = dict[str, Any]


def encoded(value: Any) -> bytes:
    """The bytes of an answer."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def fault(error: RemoteFault) -> tuple[int, Json]:
    """(HTTP status, the object that stands for an exception)."""
    status = next((number for kinds, number in STATUSES if isinstance(error, kinds)), 403)
    told = {
        "exception": error.wire_class.rpartition(".")[2].rpartition("$")[2],
        "javaClassName": error.wire_class,
        "message": error.message,
    }
    return status, {"RemoteException": told}


def file_status(status: hdfs.HdfsFileStatusProto) -> Json:
    """An inode."""
    shown = {
        "accessTime": status.access_time,
        "blockSize": status.blocksize,
        "childrenNum": status.childrenNum,
        "fileId": status.fileId,
        "group": status.group,
        "length": status.length,
        "modificationTime": status.modification_time,
        "owner": status.owner,
        "pathSuffix": _text(status.path),
        "permission": f"{status.permission.perm & 0o1777:o}",
        "replication": status.block_replication,
        "storagePolicy": status.storagePolicy,
        "type": TYPES[status.fileType],
    }
    return shown | {name: True for flag, name in FLAGS if status.flags & flag}


def snapshottable_directories(found: hdfs.SnapshottableDirectoryListingProto) -> Json:
    """GETSNAPSHOTTABLEDIRECTORYLIST."""
    rows = [
        {
            "dirStatus": file_status(entry.dirStatus),
            "parentFullPath": _text(entry.parent_fullpath),
            "snapshotNumber": entry.snapshot_number,
            "snapshotQuota": entry.snapshot_quota,
        }
        for entry in found.snapshottableDirListing
    ]
    return {"SnapshottableDirectoryList": rows}


def snapshots(found: hdfs.SnapshotListingProto) -> Json:
    """GETSNAPSHOTLIST."""
    rows = [
        {
            "deletionStatus": "DELETED" if entry.isDeleted else "ACTIVE",
            "dirStatus": file_status(entry.dirStatus),
            "fullPath": f"{_text(entry.parent_fullpath).rstrip('/')}/{SNAPSHOT_DIRECTORY}/"
            + _text(entry.dirStatus.path),
            "snapshotID": entry.snapshotID,
        }
        for entry in found.snapshotListing
    ]
    return {"SnapshotList": rows}


def difference(report: hdfs.SnapshotDiffReportProto) -> Json:
    """GETSNAPSHOTDIFF."""
    # Without any name nothing was compared, and none is told.
    compared = bool(report.fromSnapshot or report.toSnapshot)
    shown = {
        "diffList": [_difference(entry) for entry in report.diffReportEntries],
        "fromSnapshot": report.fromSnapshot if compared else None,
        "snapshotRoot": report.snapshotRoot,
        "toSnapshot": report.toSnapshot if compared else None,
    }
    return {"SnapshotDiffReport": shown}


def _difference(entry: hdfs.SnapshotDiffReportEntryProto) -> Json:
    shown = {
        "sourcePath": _text(entry.fullpath),
        "type": DIFFERENCES[entry.modificationLabel],
    }
    return shown | _target(entry)


def difference_page(page: hdfs.SnapshotDiffReportListingProto) -> Json:
    """GETSNAPSHOTDIFFLISTING."""
    shown = {
        "createList": [_listed_difference(entry) for entry in page.createdEntries],
        "deleteList": [_listed_difference(entry) for entry in page.deletedEntries],
        "isFromEarlier": page.isFromEarlier,
        "lastIndex": page.cursor.index,
        "lastPath": _text(page.cursor.startPath),
        "modifyList": [_listed_difference(entry) for entry in page.modifiedEntries],
    }
    return {"SnapshotDiffReportListing": shown}


def _listed_difference(entry: hdfs.SnapshotDiffReportListingEntryProto) -> Json:
    shown = {
        "dirId": entry.dirId,
        "fileId": entry.fileId,
        "isReference": entry.isReference,
        "sourcePath": _text(entry.fullpath),
    }
    return shown | _target(entry)


def _target(
    entry: hdfs.SnapshotDiffReportEntryProto | hdfs.SnapshotDiffReportListingEntryProto,
) -> Json:
    return {"targetPath": _text(entry.targetPath)} if entry.HasField("targetPath") else {}


def _text(name: bytes) -> str:
    return name.decode("utf-8", "replace")
