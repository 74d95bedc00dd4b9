"""Snapshots over WebHDFS: Hadoop's NameNode and ours give the same answers to the same requests."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hdfs_native import Client
from snapshot_servers import hadoop_server, our_server

from hdfsd.base.settings import ClientSettings
from hdfsd.io.site import read_configuration

pytestmark = [pytest.mark.interop, pytest.mark.timeout(600)]

TOP = "/w"
BEFORE = """
PUT @?op=ALLOWSNAPSHOT
PUT @?op=ALLOWSNAPSHOT&user.name=alice
PUT @?op=allowsnapshot&USER.NAME=
PUT /none?op=ALLOWSNAPSHOT
PUT @/f?op=ALLOWSNAPSHOT
PUT @/x?op=ALLOWSNAPSHOT
PUT @?op=CREATESNAPSHOT&snapshotname=s1
PUT @?op=CREATESNAPSHOT&snapshotname=s1
PUT @?op=CREATESNAPSHOT&snapshotname=
PUT @?op=CREATESNAPSHOT&snapshotname=.snapshot
PUT @?op=CREATESNAPSHOT&snapshotname=a/b
PUT @?op=CREATESNAPSHOT&snapshotname=s1&user.name=alice
"""
AFTER = """
PUT @?op=CREATESNAPSHOT&snapshotname=s2
PUT @?op=CREATESNAPSHOT
GET @?op=GETSNAPSHOTDIFF&oldsnapshotname=s1&snapshotname=s2
GET @?op=GETSNAPSHOTDIFF&oldsnapshotname=s2&snapshotname=s1
GET @?op=GETSNAPSHOTDIFF&oldsnapshotname=s1
GET @?op=GETSNAPSHOTDIFF&snapshotname=s1
GET @?op=GETSNAPSHOTDIFF
GET @?op=GETSNAPSHOTDIFF&oldsnapshotname=s1&snapshotname=no
GET @/x?op=GETSNAPSHOTDIFF&oldsnapshotname=s1&snapshotname=s2
GET /none?op=GETSNAPSHOTDIFF&oldsnapshotname=s1&snapshotname=s2
GET @?op=GETSNAPSHOTDIFFLISTING&oldsnapshotname=s1&snapshotname=s2
GET @?op=GETSNAPSHOTDIFFLISTING&oldsnapshotname=s2&snapshotname=s1
GET @?op=GETSNAPSHOTDIFFLISTING&oldsnapshotname=s1&snapshotname=s2&snapshotdiffstartpath=x
GET @?op=GETSNAPSHOTDIFFLISTING&oldsnapshotname=s1&snapshotname=s2&snapshotdiffindex=x
GET @?op=GETSNAPSHOTLIST
GET @?op=GETSNAPSHOTLIST&user.name=alice
GET @/x?op=GETSNAPSHOTLIST
GET /none?op=GETSNAPSHOTLIST
GET /?op=GETSNAPSHOTTABLEDIRECTORYLIST
GET @?op=GETSNAPSHOTTABLEDIRECTORYLIST
GET /?op=GETSNAPSHOTTABLEDIRECTORYLIST&user.name=alice
PUT @?op=RENAMESNAPSHOT&oldsnapshotname=s1&snapshotname=s9
PUT @?op=RENAMESNAPSHOT&oldsnapshotname=s1&snapshotname=s8
PUT @?op=RENAMESNAPSHOT&oldsnapshotname=s9&snapshotname=s2
PUT @?op=RENAMESNAPSHOT&oldsnapshotname=s1
PUT @?op=RENAMESNAPSHOT&snapshotname=s1
PUT @?op=RENAMESNAPSHOT
DELETE @?op=DELETESNAPSHOT&snapshotname=s9&user.name=alice
DELETE @?op=DELETESNAPSHOT&snapshotname=s9
DELETE @?op=DELETESNAPSHOT&snapshotname=s9
DELETE @?op=DELETESNAPSHOT
PUT @?op=DISALLOWSNAPSHOT
PUT @?op=DELETESNAPSHOT&snapshotname=s2
GET @?op=ALLOWSNAPSHOT
GET @?op=NOTHING
GET @
PUT @
DELETE @?op=
POST @?op=GETSNAPSHOTLIST
GET @?op=GETSNAPSHOTLIST&user.name=a%20b
"""
SECRET = re.compile(r"s20\d{6}-\d{6}\.\d{3}")
"""The name of a snapshot that was given none: its moment."""


class Server:
    """One NameNode, as WebHDFS and as a file system."""

    def __init__(self, conf: Path) -> None:
        self._authority = _active_http_address(conf)
        self.files = Client(config_dir=str(conf))
        self._ids: dict[int, str] = {}

    def ask(self, line: str) -> tuple[int, str, Any]:
        """(status, type, what is said) of the answer, without ids and moments."""
        verb, _, target = line.partition(" ")
        path, mark, query = target.replace("@", TOP).partition("?")
        if "user.name" not in query.lower():
            query = f"{query}&user.name=root" if mark else "user.name=root"
        connection = http.client.HTTPConnection(self._authority, timeout=60)
        try:
            connection.request(verb, f"/webhdfs/v1{quote(path)}?{query}")
            answer = connection.getresponse()
            body = answer.read().decode()
        finally:
            connection.close()
        told = json.loads(body, object_hook=self._plain) if body else None
        kind = (answer.getheader("Content-Type") or "").split(";")[0]
        assert body == "" or list(json.loads(body)) == sorted(json.loads(body))
        return answer.status, kind, told

    def _plain(self, found: dict[str, Any]) -> dict[str, Any]:
        for name, value in found.items():
            if name in ("fileId", "dirId", "snapshotID"):
                found[name] = self._ids.setdefault(value, f"id {len(self._ids)}")
            elif name == "modificationTime":
                found[name] = "a moment" if value else 0
            elif isinstance(value, str):
                found[name] = SECRET.sub("s-moment", value)
        return found


def _active_http_address(conf: Path) -> str:
    configuration = read_configuration(str(conf))
    settings = ClientSettings.from_configuration(configuration)
    nodes = [node for nodes in settings.nameservices.values() for node in nodes]
    addresses = [str(node.http) for node in nodes]
    for address in addresses:
        connection = http.client.HTTPConnection(address, timeout=60)
        try:
            connection.request("GET", "/isActive")
            if connection.getresponse().status == 200:
                return address
        finally:
            connection.close()
    assert not addresses, f"none of {addresses} is active"
    return configuration.get("dfs.namenode.http-address") or ""


@pytest.fixture(scope="module")
def servers(
    hadoop_lib: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Server, Server]]:
    root = tmp_path_factory.mktemp("webhdfs")
    with (
        hadoop_server(hadoop_lib, root / "hadoop") as theirs,
        our_server(root / "hdfsd") as ours,
    ):
        yield Server(theirs), Server(ours)


def test_the_same_answers(servers: tuple[Server, Server]) -> None:
    for server in servers:
        server.files.mkdirs(f"{TOP}/x/y", create_parent=True)
        with server.files.create(f"{TOP}/f") as writer:
            writer.write(b"some text")
    _compare(servers, BEFORE)
    for server in servers:
        server.files.rename(f"{TOP}/f", f"{TOP}/g")
        server.files.mkdirs(f"{TOP}/new n/ö", create_parent=True)
        server.files.delete(f"{TOP}/x/y", True)
    _compare(servers, AFTER)


def _compare(servers: tuple[Server, Server], script: str) -> None:
    different = []
    for line in script.strip().splitlines():
        expected, found = (server.ask(line) for server in servers)
        if expected != found:
            different.append(f"{line}\n  Hadoop {expected}\n  hdfsd  {found}")
    assert not different, "\n".join(different)


def test_what_is_not_built_is_refused_by_name(servers: tuple[Server, Server]) -> None:
    _, ours = servers
    status, _, told = ours.ask("GET @?op=LISTSTATUS")
    assert status == 400
    assert told["RemoteException"]["exception"] == "UnsupportedOperationException"
    assert "LISTSTATUS" in told["RemoteException"]["message"]
