"""Strings that are not UTF-8 are found at any depth."""

from __future__ import annotations

import pytest

from hdfsd.wire.framing import delimited
from hdfsd.wire.messages import Message, client_namenode, hdfs, inotify, qjournal
from hdfsd.wire.strings import bad_string

BAD = b"\xff\xfe"


def parsed(kind: type[Message], data: bytes) -> tuple[Message, bytes]:
    return kind.FromString(data), data


@pytest.mark.parametrize(
    ("kind", "data", "found"),
    [
        (client_namenode.GetFileInfoRequestProto, b"\x0a" + delimited(BAD), "src"),
        (client_namenode.GetFileInfoRequestProto, b"\x0a" + delimited("/ä".encode()), None),
        (client_namenode.GetFileInfoRequestProto, b"\x0a" + delimited(b"/a"), None),
        (client_namenode.ConcatRequestProto, b"\x0a\x01/\x12" + delimited(BAD), "srcs"),
        (
            client_namenode.GetFileInfoResponseProto,
            b"\x0a" + delimited(b"\x32" + delimited(BAD)),
            "fs.group",
        ),
        (
            qjournal.JournalRequestProto,
            b"\x0a" + delimited(b"\x0a" + delimited(b"\x0a" + delimited(BAD))),
            "reqInfo.journalId.identifier",
        ),
        (
            hdfs.DirectoryListingProto,
            b"\x0a" + delimited(b"\x0a\x01a") + b"\x0a" + delimited(b"\x2a" + delimited(BAD)),
            "partialListing.owner",
        ),
        # bytes fields may hold anything
        (qjournal.JournalRequestProto, b"\x2a" + delimited(BAD), None),
    ],
)
def test_bad_string(kind: type[Message], data: bytes, found: str | None) -> None:
    assert bad_string(*parsed(kind, data)) == found


def test_plain_ascii_is_not_searched() -> None:
    assert bad_string(inotify.EventsListProto(), b"plain") is None
