"""WebHDFS's JSON, in the form in which Hadoop 3.4.1 writes it."""

from __future__ import annotations

import json

import pytest

from hdfsd.base.errors import (
    AccessControl,
    AuthorizationFailed,
    FileNotFound,
    IllegalState,
    InvalidPath,
    RemoteFault,
    SnapshotFault,
    StandbyError,
    Unsupported,
)
from hdfsd.web import webhdfs_json
from hdfsd.wire.messages import acl, hdfs

DIRECTORY = hdfs.HdfsFileStatusProto(
    fileType=hdfs.HdfsFileStatusProto.IS_DIR,
    path="ä".encode(),
    length=0,
    permission=acl.FsPermissionProto(perm=0o1755),
    owner="root",
    group="supergroup",
    modification_time=1795852168821,
    access_time=0,
    fileId=16396,
    childrenNum=2,
)
SHOWN = (
    '{"accessTime":0,"blockSize":0,"childrenNum":2,"fileId":16396,"group":"supergroup","length":0,'
    '"modificationTime":1795852168821,"owner":"root","pathSuffix":"ä","permission":"1755",'
    '"replication":0,"storagePolicy":0,"type":"DIRECTORY"}'
)


def text(value: object) -> str:
    return webhdfs_json.encoded(value).decode()


def test_an_inode() -> None:
    assert text(webhdfs_json.file_status(DIRECTORY)) == SHOWN
    marked = hdfs.HdfsFileStatusProto()
    marked.CopyFrom(DIRECTORY)
    marked.flags = hdfs.HdfsFileStatusProto.HAS_ACL | hdfs.HdfsFileStatusProto.SNAPSHOT_ENABLED
    more = webhdfs_json.file_status(marked)
    assert more["aclBit"] is True
    assert more["snapshotEnabled"] is True
    assert "encBit" not in more


def test_snapshottable_directories() -> None:
    found = hdfs.SnapshottableDirectoryListingProto(
        snapshottableDirListing=[
            hdfs.SnapshottableDirectoryStatusProto(
                dirStatus=DIRECTORY, snapshot_quota=65536, snapshot_number=4, parent_fullpath=b"/"
            )
        ]
    )
    assert text(webhdfs_json.snapshottable_directories(found)) == (
        f'{{"SnapshottableDirectoryList":[{{"dirStatus":{SHOWN},"parentFullPath":"/",'
        '"snapshotNumber":4,"snapshotQuota":65536}]}'
    )
    nothing = hdfs.SnapshottableDirectoryListingProto()
    assert webhdfs_json.snapshottable_directories(nothing) == {"SnapshottableDirectoryList": []}


def test_snapshots() -> None:
    found = hdfs.SnapshotListingProto(
        snapshotListing=[
            hdfs.SnapshotStatusProto(
                dirStatus=DIRECTORY, snapshotID=7, parent_fullpath=parent, isDeleted=deleted
            )
            for parent, deleted in ((b"/w", False), (b"/", True))
        ]
    )
    assert text(webhdfs_json.snapshots(found)) == (
        f'{{"SnapshotList":[{{"deletionStatus":"ACTIVE","dirStatus":{SHOWN},'
        '"fullPath":"/w/.snapshot/ä","snapshotID":7},'
        f'{{"deletionStatus":"DELETED","dirStatus":{SHOWN},'
        '"fullPath":"/.snapshot/ä","snapshotID":7}]}'
    )


def test_a_difference() -> None:
    entry = hdfs.SnapshotDiffReportEntryProto
    report = hdfs.SnapshotDiffReportProto(
        snapshotRoot="/w",
        fromSnapshot="s1",
        toSnapshot="",
        diffReportEntries=[
            entry(fullpath=b"", modificationLabel="M"),
            entry(fullpath=b"new n", modificationLabel="+"),
            entry(fullpath=b"old", modificationLabel="-"),
            entry(fullpath=b"x", modificationLabel="R", targetPath=b"z"),
        ],
    )
    assert text(webhdfs_json.difference(report)) == (
        '{"SnapshotDiffReport":{"diffList":[{"sourcePath":"","type":"MODIFY"},'
        '{"sourcePath":"new n","type":"CREATE"},{"sourcePath":"old","type":"DELETE"},'
        '{"sourcePath":"x","targetPath":"z","type":"RENAME"}],'
        '"fromSnapshot":"s1","snapshotRoot":"/w","toSnapshot":""}}'
    )
    of_nothing = hdfs.SnapshotDiffReportProto(snapshotRoot="/w", fromSnapshot="", toSnapshot="")
    assert text(webhdfs_json.difference(of_nothing)) == (
        '{"SnapshotDiffReport":{"diffList":[],"fromSnapshot":null,"snapshotRoot":"/w",'
        '"toSnapshot":null}}'
    )


def test_a_page_of_a_difference() -> None:
    entry = hdfs.SnapshotDiffReportListingEntryProto
    page = hdfs.SnapshotDiffReportListingProto(
        modifiedEntries=[entry(fullpath=b"", dirId=1, fileId=1, isReference=True)],
        createdEntries=[entry(fullpath=b"z", dirId=1, fileId=2, isReference=True)],
        deletedEntries=[entry(fullpath=b"x", dirId=1, fileId=2, isReference=True, targetPath=b"z")],
        isFromEarlier=True,
        cursor=hdfs.SnapshotDiffReportCursorProto(startPath=b"x", index=3),
    )
    assert text(webhdfs_json.difference_page(page)) == (
        '{"SnapshotDiffReportListing":{'
        '"createList":[{"dirId":1,"fileId":2,"isReference":true,"sourcePath":"z"}],'
        '"deleteList":[{"dirId":1,"fileId":2,"isReference":true,"sourcePath":"x",'
        '"targetPath":"z"}],'
        '"isFromEarlier":true,"lastIndex":3,"lastPath":"x",'
        '"modifyList":[{"dirId":1,"fileId":1,"isReference":true,"sourcePath":""}]}}'
    )


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (AuthorizationFailed("no"), 401),
        (AccessControl("no"), 403),
        (SnapshotFault("no"), 403),
        (StandbyError("no"), 403),
        (RemoteFault("no", "org.apache.hadoop.some.Unknown$InnerException"), 403),
        (FileNotFound("no"), 404),
        (InvalidPath("no"), 400),
        (Unsupported("no"), 400),
        (IllegalState("no"), 500),
    ],
)
def test_errors(error: RemoteFault, status: int) -> None:
    found, told = webhdfs_json.fault(error)
    assert found == status
    assert json.loads(text(told)) == {
        "RemoteException": {
            "exception": error.wire_class.rpartition(".")[2].removeprefix("Unknown$"),
            "javaClassName": error.wire_class,
            "message": "no",
        }
    }
