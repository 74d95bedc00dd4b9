"""Journals by id: several nameservices on one node, and what keeps the others serving."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from hdfsd.base.errors import IllegalArgument, StorageError
from hdfsd.base.ids import Address, StorageInfo
from hdfsd.io.clock import RealClock
from hdfsd.io.disk import RealDisk
from hdfsd.journal.acceptor import Format
from hdfsd.journal.node import JournalNode


def node_of(base: Path, disk: RealDisk | None = None) -> JournalNode:
    http: Any = None
    node = JournalNode(
        lambda journal_id: str(base), disk=disk or RealDisk(), http=http, clock=RealClock()
    )
    node.http_address = Address("127.0.0.1", 8480)
    return node


async def format_journals(node: JournalNode, *journal_ids: str) -> None:
    for number, journal_id in enumerate(journal_ids):
        journal = node.keep(node.journal(journal_id))
        await journal.store.execute(Format(StorageInfo(-67, 100 + number, 1, "CID-a")))


def test_journals_are_found_again(tmp_path: Path) -> None:
    async def story() -> None:
        node = node_of(tmp_path)
        await format_journals(node, "ns1", "ns2")
        await node.close()
        (tmp_path / "a-file").write_text("")
        (tmp_path / ".hidden").mkdir()
        node = node_of(tmp_path)
        await node.open_all((str(tmp_path),))
        assert list(node.journals()) == ["ns1", "ns2"]
        ids = [node.journal(j).acceptor.check_formatted().namespace_id for j in ("ns1", "ns2")]
        assert ids == [100, 101]
        assert node.journal("ns1") is node.journal("ns1")
        await node.close()

    asyncio.run(story())


def test_an_unknown_id_is_not_kept(tmp_path: Path) -> None:
    node = node_of(tmp_path)
    assert node.journal("ns9") is not node.journal("ns9")
    assert node.journals() == {}
    for bad in ("", "../x", "a/b"):
        with pytest.raises(IllegalArgument):
            node.journal(bad)


def test_a_damaged_journal_leaves_the_others_alone(tmp_path: Path) -> None:
    async def story() -> None:
        node = node_of(tmp_path)
        await format_journals(node, "bad", "good")
        await node.close()
        (tmp_path / "bad/current/VERSION").write_text("nonsense")
        node = node_of(tmp_path)
        await node.open_all((str(tmp_path),))
        assert {name: journal.is_open for name, journal in node.journals().items()} == {
            "bad": False,
            "good": True,
        }
        await node.close()

    asyncio.run(story())


def test_a_journal_in_use_stops_the_start(tmp_path: Path) -> None:
    async def story() -> None:
        disk = RealDisk()
        node = node_of(tmp_path, disk)
        await format_journals(node, "ns1")
        with pytest.raises(StorageError, match="in use"):
            await node_of(tmp_path, disk).open_all((str(tmp_path),))
        await node.close()

    asyncio.run(story())


@pytest.mark.parametrize(
    ("url", "own"),
    [
        ("http://127.0.0.1:8480/getJournal?jid=a", True),
        ("http://127.0.0.1:8481/getJournal", False),
        ("http://other:8480/getJournal", False),
        ("http://127.0.0.1:99999999/x", False),
        ("", False),
    ],
)
def test_own_urls(tmp_path: Path, url: str, own: bool) -> None:
    (tmp_path / "ns1").mkdir()
    assert node_of(tmp_path).journal("ns1").is_own_url(url) == own
