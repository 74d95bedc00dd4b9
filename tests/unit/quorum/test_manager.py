"""The quorum journal over three JournalNodes of this process: real sockets, real files."""

from __future__ import annotations

import asyncio
import struct
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hdfsd.base.config import Configuration
from hdfsd.base.errors import ConfigError, CorruptData, InvariantBroken, IOFault, QuorumLost
from hdfsd.base.ids import Address, NamespaceInfo, StorageInfo, TxId
from hdfsd.base.settings import JournalNodeSettings, QuorumSettings
from hdfsd.daemons.journalnode import JournalNodeDaemon
from hdfsd.daemons.world import World
from hdfsd.ports.journal import EditsChunk, SegmentInfo
from hdfsd.quorum.manager import QuorumJournal

NAMESPACE = NamespaceInfo(StorageInfo(-67, 4711, 1700000000000, "CID-a"), "BP-1-127.0.0.1-1")
SETTINGS = QuorumSettings.from_configuration(Configuration.parse([], {}))


def frame(txid: int, body: bytes = b"") -> bytes:
    head = struct.pack(">BIq", 24, 12 + len(body), txid) + body
    return head + struct.pack(">I", zlib.crc32(head))


def frames(first: int, last: int) -> bytes:
    return b"".join(frame(txid) for txid in range(first, last + 1))


class Rig:
    """JournalNodes that can be stopped and started, and journals to write and read with."""

    def __init__(self, root: Path, *, tailing: bool = True) -> None:
        self.root = root
        self.tailing = tailing
        self.nodes: dict[int, JournalNodeDaemon] = {}
        self.addresses = [Address("127.0.0.1", 0)] * 3
        self.http = [0] * 3
        self.opened: list[QuorumJournal] = []
        self.world = World()

    async def start(self, *indexes: int) -> None:
        for index in indexes or range(3):
            keys = {
                "dfs.journalnode.rpc-address": str(self.addresses[index]),
                "dfs.journalnode.http-address": f"127.0.0.1:{self.http[index]}",
                "dfs.journalnode.edits.dir": f"{self.root}/jn{index}",
                "dfs.ha.tail-edits.in-progress": str(self.tailing).lower(),
            }
            settings = JournalNodeSettings.from_configuration(Configuration.parse([], keys))
            node = JournalNodeDaemon(settings, World())
            await node.startup()
            self.nodes[index] = node
            self.addresses[index] = node.rpc.address
            self.http[index] = node.node.http_address.port

    async def stop(self, *indexes: int) -> None:
        for index in indexes:
            await self.nodes.pop(index).shutdown()

    def journal(self, settings: QuorumSettings = SETTINGS) -> QuorumJournal:
        journal = QuorumJournal(
            self.addresses,
            "ns1",
            NAMESPACE,
            network=self.world.network,
            http=self.world.http_client,
            clock=self.world.clock,
            dice=self.world.dice,
            user="tester",
            settings=settings,
        )
        self.opened.append(journal)
        return journal

    async def writer(self, first: int | None = None) -> QuorumJournal:
        """A writer that has recovered and started a segment."""
        journal = self.journal()
        last = await journal.recover()
        await journal.start_segment(TxId(last + 1 if first is None else first))
        return journal

    def current(self, index: int) -> Path:
        return self.root / f"jn{index}/ns1/current"

    async def close(self) -> None:
        for journal in self.opened:
            await journal.close()
        await self.world.http_client.close()
        await self.stop(*list(self.nodes))


def play(
    root: Path,
    story: Callable[[Rig], Awaitable[None]],
    *,
    formatted: bool = True,
    tailing: bool = True,
) -> None:
    async def run() -> None:
        rig = Rig(root, tailing=tailing)
        try:
            await rig.start()
            if formatted:
                await rig.journal().format(NAMESPACE)
            await story(rig)
        finally:
            await rig.close()

    asyncio.run(run())


async def write(journal: QuorumJournal, first: int, last: int) -> None:
    await journal.write(TxId(first), last - first + 1, frames(first, last))


async def settled(journal: QuorumJournal) -> None:
    """Every journal, not only a majority, has acknowledged everything."""
    async with asyncio.timeout(20):
        while any(row.lag_txns for row in journal.health()):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.001)


async def read_all(journal: QuorumJournal, since: int = 1, max_txns: int = 5000) -> bytes:
    data, txid = b"", since
    while (chunk := await journal.edits(TxId(txid), max_txns)).count:
        assert chunk.first_txid == txid
        assert chunk.layout_version == -67
        data, txid = data + chunk.data, chunk.last_txid + 1
    return data


def test_format_and_questions(tmp_path: Path) -> None:
    async def story(rig: Rig) -> None:
        journal = rig.journal()
        assert not await journal.has_data()
        with pytest.raises(QuorumLost, match="not formatted"):
            await journal.recover()
        fresh = rig.journal()
        await fresh.format(NAMESPACE)
        assert await fresh.has_data()
        with pytest.raises(IOFault, match="Could not format one or more JournalNodes"):
            await fresh.format(NAMESPACE)
        await fresh.format(NAMESPACE, force=True)
        assert await fresh.newest_txid() == 0
        assert await fresh.manifest(TxId(1), True) == []
        assert await fresh.edits(TxId(1)) == EditsChunk(TxId(1), 0, b"", -67)
        await rig.stop(2)
        with pytest.raises(QuorumLost, match="Unable to check"):
            await fresh.has_data()

    play(tmp_path, story, formatted=False)


def test_one_finalized_copy_is_enough_beside_one_that_lags(tmp_path: Path) -> None:
    async def story(rig: Rig) -> None:
        journal = await rig.writer()
        await write(journal, 1, 3)
        await settled(journal)
        await rig.stop(2)
        await write(journal, 4, 4)
        await journal.finalize_segment(TxId(1), TxId(4))
        await rig.stop(1)
        await rig.start(2)
        assert await read_all(rig.journal()) == frames(1, 4)
        assert await read_all(rig.journal(), 4) == frame(4)

    play(tmp_path, story)


def test_write_finalize_read(tmp_path: Path) -> None:
    async def story(rig: Rig) -> None:
        journal = await rig.writer()
        assert (journal.epoch, journal.committed_txid) == (1, 0)
        await asyncio.gather(*(journal.write(TxId(t), 1, frame(t)) for t in range(1, 51)))
        assert journal.committed_txid == 50
        reader = rig.journal()
        assert await read_all(reader, max_txns=7) == frames(1, 50)
        assert await reader.manifest(TxId(1), True) == [SegmentInfo(TxId(1), TxId(50), True)]
        await journal.finalize_segment(TxId(1), TxId(50))
        await journal.start_segment(TxId(51))
        await write(journal, 51, 60)
        assert await read_all(reader, 45) == frames(45, 60)
        assert await reader.newest_txid() == 60
        assert await reader.manifest(TxId(1)) == [SegmentInfo(TxId(1), TxId(50), False)]
        assert [row.lag_txns for row in journal.health() if row.in_sync].count(0) >= 2

    play(tmp_path, story)


def test_reading_without_tailing_goes_over_http(tmp_path: Path) -> None:
    async def story(rig: Rig) -> None:
        journal = await rig.writer()
        await write(journal, 1, 50)
        await journal.finalize_segment(TxId(1), TxId(50))
        await journal.start_segment(TxId(51))
        await write(journal, 51, 60)
        reader = rig.journal()
        assert await read_all(reader, max_txns=8) == frames(1, 60)
        assert await read_all(reader, 55) == frames(55, 60)

    play(tmp_path, story, tailing=False)


def test_a_takeover_recovers_the_open_segment_and_fences(tmp_path: Path) -> None:
    async def story(rig: Rig) -> None:
        old = await rig.writer()
        await write(old, 1, 5)
        new = rig.journal()
        assert await new.recover() == 5
        assert (new.epoch, new.committed_txid) == (2, 5)
        with pytest.raises(QuorumLost, match="epoch 1 is less than the last promised epoch 2"):
            await write(old, 6, 6)
        with pytest.raises(QuorumLost):
            await write(old, 7, 7)
        with pytest.raises(QuorumLost):
            await old.finalize_segment(TxId(1), TxId(5))
        await new.start_segment(TxId(6))
        await write(new, 6, 9)
        assert await read_all(rig.journal()) == frames(1, 9)
        names = {path.name for path in rig.current(0).glob("edits*")}
        assert "edits_0000000000000000001-0000000000000000005" in names

    play(tmp_path, story)


def test_a_journal_that_was_down_is_given_the_segment(tmp_path: Path) -> None:
    """acceptRecovery fetches what is missing over HTTP from the best copy."""

    async def story(rig: Rig) -> None:
        old = await rig.writer()
        await write(old, 1, 5)
        await rig.stop(2)
        await write(old, 6, 9)
        assert [row.in_sync for row in old.health()] == [True, True, False]
        await rig.stop(0)
        await rig.start(2)
        # jn1 and jn2 are a quorum; jn2 has five transactions, jn1 has nine.
        new = rig.journal()
        assert await new.recover() == 9
        finished = "edits_0000000000000000001-0000000000000000009"
        data = (rig.current(2) / finished).read_bytes()
        assert data.startswith(b"\xff\xff\xff\xbd\0\0\0\0" + frames(1, 9))
        assert list((rig.current(2) / "paxos").iterdir()) == []

    play(tmp_path, story)


def test_a_journal_out_of_sync_rejoins_with_the_next_segment(tmp_path: Path) -> None:
    async def story(rig: Rig) -> None:
        journal = await rig.writer()
        await write(journal, 1, 2)
        await rig.stop(1)
        await write(journal, 3, 4)
        await rig.start(1)
        await write(journal, 5, 6)
        row = journal.health()[1]
        assert (row.in_sync, row.lag_txns > 0) == (False, True)
        assert "failed txns" in row.reason
        await journal.finalize_segment(TxId(1), TxId(6))
        await journal.start_segment(TxId(7))
        await rig.stop(0)
        await write(journal, 7, 8)
        row = journal.health()[1]
        assert (row.in_sync, row.acked_txid, row.reason) == (True, 8, "")

    play(tmp_path, story)


def test_a_lost_quorum_names_every_reason(tmp_path: Path) -> None:
    async def story(rig: Rig) -> None:
        journal = await rig.writer()
        await write(journal, 1, 1)
        await rig.stop(0, 1)
        waiting = [journal.write(TxId(t), 1, frame(t)) for t in (2, 3)]
        for future in waiting:
            with pytest.raises(QuorumLost) as caught:
                await future
            assert set(caught.value.reasons) == {str(address) for address in rig.addresses}
        with pytest.raises(QuorumLost, match="after the loss"):
            await journal.finalize_segment(TxId(1), TxId(1))

    play(tmp_path, story)


def test_silent_journals_time_out(tmp_path: Path) -> None:
    async def story(rig: Rig) -> None:
        journal = rig.journal(replace(SETTINGS, write_ms=50))
        await journal.recover()
        await journal.start_segment(TxId(1))
        for index in (0, 1):
            # They take the batch and never answer.
            rig.nodes[index].node.journal("ns1").submit = lambda *_: None  # type: ignore[method-assign]
        with pytest.raises(QuorumLost) as caught:
            await write(journal, 1, 1)
        assert "no a" in str(caught.value)

    play(tmp_path, story)


@pytest.mark.parametrize(
    ("key", "method"),
    [
        ("new-epoch", "new_epoch"),
        ("prepare-recovery", "prepare_recovery"),
        ("accept-recovery", "accept_recovery"),
        ("start-segment", "start_log_segment"),
        ("write-txns", "journal"),
        ("finalize-segment", "finalize_log_segment"),
    ],
)
def test_every_phase_has_its_own_time_out(tmp_path: Path, key: str, method: str) -> None:
    name = f"dfs.qjournal.{key}.timeout.ms"
    settings = QuorumSettings.from_configuration(Configuration.parse([], {name: "50"}))

    async def go_silent(rig: Rig) -> None:
        for index in (0, 1):
            node = rig.nodes[index].node.journal("ns1")
            submit = node.submit
            node.submit = lambda name, *rest, submit=submit: (  # type: ignore[method-assign, misc]
                None if name == method else submit(name, *rest)
            )

    async def story(rig: Rig) -> None:
        await write(await rig.writer(), 1, 5)
        await go_silent(rig)
        journal = rig.journal(settings)
        with pytest.raises(QuorumLost, match=r"(in|after) 50 ms"):
            last = await journal.recover()
            await journal.start_segment(TxId(last + 1))
            await write(journal, last + 1, last + 1)
            await journal.finalize_segment(TxId(last + 1), TxId(last + 1))

    play(tmp_path, story)


def test_one_silent_journal_holds_nobody_up(tmp_path: Path) -> None:
    async def story(rig: Rig) -> None:
        journal = await rig.writer()
        rig.nodes[1].node.journal("ns1").submit = lambda *_: None  # type: ignore[method-assign]
        await write(journal, 1, 5)
        assert journal.committed_txid == 5
        assert journal.health()[1].lag_txns == 5
        assert journal.health()[1].queued_bytes == 5 * 17

    play(tmp_path, story)


def test_a_reader_waits_for_no_silent_journal_when_another_can_not_tell(tmp_path: Path) -> None:
    """The machine of the active is gone, and a journal with it; another one was given the newest
    transaction by the recovery, and does not have it in memory."""

    async def never(*_: object) -> object:
        return await asyncio.Event().wait()

    async def story(rig: Rig) -> None:
        journal = await rig.writer()
        await write(journal, 1, 4)
        await settled(journal)
        lagging = rig.nodes[2].node.journal("ns1")
        submit, lagging.submit = lagging.submit, lambda *_: None  # type: ignore[method-assign]
        await write(journal, 5, 5)
        lagging.submit = submit  # type: ignore[method-assign]
        new = rig.journal(replace(SETTINGS, select_streams_ms=3_600_000))
        rig.nodes[1].node.journal("ns1").submit = lambda *_: None  # type: ignore[method-assign]
        list(new._channels.values())[1].read = never  # type: ignore[method-assign]
        assert await new.recover() == 5
        async with asyncio.timeout(60):
            assert (await new.edits(TxId(5))).data == frame(5)

    play(tmp_path, story)


def test_a_writer_out_of_turn(tmp_path: Path) -> None:
    async def story(rig: Rig) -> None:
        journal = rig.journal()
        with pytest.raises(InvariantBroken):
            await journal.start_segment(TxId(1))
        journal = await rig.writer()
        with pytest.raises(InvariantBroken):
            journal.write(TxId(5), 1, frame(5))

    play(tmp_path, story)


def test_purged_transactions_are_missed(tmp_path: Path) -> None:
    async def story(rig: Rig) -> None:
        journal = await rig.writer()
        await write(journal, 1, 5)
        await journal.finalize_segment(TxId(1), TxId(5))
        await journal.start_segment(TxId(6))
        await journal.purge(TxId(6))
        # Behind the purge in every journal's queue.
        await write(journal, 6, 7)
        await settled(journal)
        reader = rig.journal()
        for index in range(3):
            rig.nodes[index].node.journal("ns1")._cache.clear()  # type: ignore[union-attr]
        with pytest.raises(CorruptData, match="but not 1"):
            await reader.edits(TxId(1))

    play(tmp_path, story)


def test_a_reader_changes_its_source_when_a_copy_fails(tmp_path: Path) -> None:
    async def story(rig: Rig) -> None:
        journal = await rig.writer()
        await write(journal, 1, 9)
        await journal.finalize_segment(TxId(1), TxId(9))
        await journal.start_segment(TxId(10))
        await write(journal, 10, 10)
        await settled(journal)
        finished = "edits_0000000000000000001-0000000000000000009"
        for index in range(2):
            path = rig.current(index) / finished
            path.write_bytes(path.read_bytes()[:60])
        assert await read_all(rig.journal(), max_txns=4) == frames(1, 10)

    play(tmp_path, story, tailing=False)


def test_recovery_of_a_segment_that_no_quorum_holds(tmp_path: Path) -> None:
    async def story(rig: Rig) -> None:
        journal = await rig.writer()
        await write(journal, 1, 5)
        await journal.finalize_segment(TxId(1), TxId(5))
        await journal.start_segment(TxId(6))
        new = rig.journal()
        assert await new.recover() == 5
        await new.start_segment(TxId(6))
        await write(new, 6, 6)

    play(tmp_path, story)


@pytest.mark.parametrize(
    ("addresses", "journal_id"),
    [
        ([Address("h", 1)], ""),
        ([Address("h", 1)], "a/b"),
        ([Address("h", 1)], ".a"),
        ([], "ns1"),
        ([Address("h", 1), Address("h", 1)], "ns1"),
    ],
)
def test_addresses_that_make_no_journal(addresses: list[Address], journal_id: str) -> None:
    world = World()
    with pytest.raises(ConfigError):
        QuorumJournal(
            addresses,
            journal_id,
            NAMESPACE,
            network=world.network,
            http=world.http_client,
            clock=world.clock,
            dice=world.dice,
            user="tester",
            settings=SETTINGS,
        )
