"""What a WebHDFS request asks for, and how a wrong one is refused."""

from __future__ import annotations

import pytest

from hdfsd.base.errors import IllegalArgument, RemoteFault, Unsupported
from hdfsd.web.webhdfs_operations import ANYBODY, NAMES, OPERATIONS, understood
from hdfsd.wire.messages import Message, client_namenode, hdfs
from hdfsd.wire.services import CLIENT_PROTOCOL, PROTOCOLS

PATH = "/webhdfs/v1/w"


@pytest.mark.parametrize(
    ("verb", "query", "request_"),
    [
        (
            "PUT",
            {"op": "ALLOWSNAPSHOT"},
            client_namenode.AllowSnapshotRequestProto(snapshotRoot="/w"),
        ),
        (
            "PUT",
            {"op": "disallowsnapshot"},
            client_namenode.DisallowSnapshotRequestProto(snapshotRoot="/w"),
        ),
        (
            "PUT",
            {"op": "CREATESNAPSHOT", "snapshotname": ""},
            client_namenode.CreateSnapshotRequestProto(snapshotRoot="/w"),
        ),
        (
            "PUT",
            {"op": "CREATESNAPSHOT", "SnapshotName": "s1"},
            client_namenode.CreateSnapshotRequestProto(snapshotRoot="/w", snapshotName="s1"),
        ),
        (
            "PUT",
            {"op": "RENAMESNAPSHOT", "oldsnapshotname": "a", "snapshotname": "b"},
            client_namenode.RenameSnapshotRequestProto(
                snapshotRoot="/w", snapshotOldName="a", snapshotNewName="b"
            ),
        ),
        (
            "DELETE",
            {"op": "DELETESNAPSHOT", "snapshotname": "a"},
            client_namenode.DeleteSnapshotRequestProto(snapshotRoot="/w", snapshotName="a"),
        ),
        (
            "GET",
            {"op": "GETSNAPSHOTDIFF", "oldsnapshotname": "a"},
            client_namenode.GetSnapshotDiffReportRequestProto(
                snapshotRoot="/w", fromSnapshot="a", toSnapshot=""
            ),
        ),
        (
            "GET",
            {
                "op": "GETSNAPSHOTDIFFLISTING",
                "oldsnapshotname": "a",
                "snapshotname": "b",
                "snapshotdiffstartpath": "x/y",
                "snapshotdiffindex": "3",
            },
            client_namenode.GetSnapshotDiffReportListingRequestProto(
                snapshotRoot="/w",
                fromSnapshot="a",
                toSnapshot="b",
                cursor=hdfs.SnapshotDiffReportCursorProto(startPath=b"x/y", index=3),
            ),
        ),
        (
            "HEAD",
            {"op": "GETSNAPSHOTLIST"},
            client_namenode.GetSnapshotListingRequestProto(snapshotRoot="/w"),
        ),
        (
            "GET",
            {"op": "GETSNAPSHOTTABLEDIRECTORYLIST"},
            client_namenode.GetSnapshottableDirListingRequestProto(),
        ),
    ],
)
def test_requests(verb: str, query: dict[str, str], request_: Message) -> None:
    asked = understood(verb, PATH, query)
    assert asked.request == request_
    assert asked.user == ANYBODY
    method = PROTOCOLS[CLIENT_PROTOCOL].methods[asked.operation.method]
    assert isinstance(request_, method.request)


def test_a_page_is_the_first_unless_told_otherwise() -> None:
    request = understood("GET", PATH, {"op": "GETSNAPSHOTDIFFLISTING"}).request
    assert isinstance(request, client_namenode.GetSnapshotDiffReportListingRequestProto)
    assert (request.cursor.startPath, request.cursor.index) == (b"", -1)


def test_the_root_and_the_user() -> None:
    asked = understood("PUT", "/webhdfs/v1", {"op": "ALLOWSNAPSHOT", "User.Name": "bob$"})
    assert asked.user == "bob$"
    assert asked.request == client_namenode.AllowSnapshotRequestProto(snapshotRoot="/")


@pytest.mark.parametrize(
    ("verb", "query", "kind", "message"),
    [
        ("GET", {}, Unsupported, "op=NULL is not supported"),
        ("GET", {"op": ""}, Unsupported, "op=NULL is not supported"),
        (
            "GET",
            {"op": "what"},
            IllegalArgument,
            'Invalid value for webhdfs parameter "op": WHAT is not a valid GET operation.',
        ),
        (
            "PUT",
            {"op": "DELETESNAPSHOT"},
            IllegalArgument,
            'Invalid value for webhdfs parameter "op": DELETESNAPSHOT'
            " is not a valid PUT operation.",
        ),
        (
            "DELETE",
            {"op": "DELETESNAPSHOT"},
            IllegalArgument,
            "Required param snapshotname for op: DELETESNAPSHOT is null or empty",
        ),
        (
            "PUT",
            {"op": "RENAMESNAPSHOT", "snapshotname": "a", "oldsnapshotname": ""},
            IllegalArgument,
            "Required param oldsnapshotname for op: RENAMESNAPSHOT is null or empty",
        ),
        (
            "GET",
            {"op": "GETSNAPSHOTDIFFLISTING", "snapshotdiffindex": "4294967296"},
            IllegalArgument,
            'Invalid value for webhdfs parameter "snapshotdiffindex":'
            ' Failed to parse "4294967296" as a radix-10 integer.',
        ),
        (
            "GET",
            {"op": "GETSNAPSHOTLIST", "user.name": "a b"},
            IllegalArgument,
            'Invalid value for webhdfs parameter "user.name": Invalid value: "a b" does not belong'
            " to the domain ^[A-Za-z_][A-Za-z0-9._-]*[$]?$",
        ),
        (
            "GET",
            {"op": "LISTSTATUS"},
            Unsupported,
            "op=LISTSTATUS is not built in hdfsd; see docs/COVERAGE.md",
        ),
    ],
)
def test_refusals(verb: str, query: dict[str, str], kind: type[RemoteFault], message: str) -> None:
    with pytest.raises(kind) as caught:
        understood(verb, PATH, query)
    assert caught.value.message == message


def test_every_operation_is_one_of_hadoops() -> None:
    for verb, name in OPERATIONS:
        assert name in NAMES[verb]
