"""Adapter. A NameNode with snapshots that only remembers what it was asked, for command tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from hdfsd.base.errors import RemoteFault
from hdfsd.cli.filesystems import HdfsFileSystem
from hdfsd.wire.messages import Message, acl, client_namenode, hdfs


def status(
    name: str, *, directory: bool = True, owner: str = "root", group: str = "supergroup"
) -> hdfs.HdfsFileStatusProto:
    """What a server says of one inode."""
    return hdfs.HdfsFileStatusProto(
        fileType=hdfs.HdfsFileStatusProto.IS_DIR if directory else hdfs.HdfsFileStatusProto.IS_FILE,
        path=name.encode(),
        length=0,
        permission=acl.FsPermissionProto(perm=0o1755),
        owner=owner,
        group=group,
        modification_time=0,
        access_time=0,
    )


class SnapshotCalls:
    """Answers by method: a message, an error to raise, or a list of them, one for each call."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Message]] = []
        self.answers: dict[str, Any] = {}
        self.files = {"/d": status(""), "/d/f": status("", directory=False)}

    def __call__(self, method: str, request: Any) -> Any:
        if method == "getFileInfo":
            found = self.files.get(request.src)
            return client_namenode.GetFileInfoResponseProto(fs=found)
        self.asked.append((method, request))
        answer = self.answers.get(method)
        if isinstance(answer, list):
            answer = answer.pop(0)
        if isinstance(answer, RemoteFault):
            raise answer
        return answer


@contextmanager
def snapshot_calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[SnapshotCalls]:
    """Every HDFS of the commands is this one; the default file system is one."""
    calls = SnapshotCalls()
    with monkeypatch.context() as patched:
        patched.delenv("HADOOP_CONF_DIR", raising=False)
        patched.setenv("HADOOP_USER_NAME", "root")
        patched.setattr(HdfsFileSystem, "_call", lambda _self, m, r: calls(m, r))
        yield calls


HDFS = ("-D", "fs.defaultFS=hdfs://nn:8020")
