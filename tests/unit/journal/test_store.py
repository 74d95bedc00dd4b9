"""A journal's directory: bytes as Hadoop's, recovered at a restart, nothing by halves."""

from __future__ import annotations

import asyncio
import struct
import zlib
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any

import pytest

from hdfsd.base.errors import CorruptData, IOFault, OutcomeUnknown, StorageError
from hdfsd.base.ids import INVALID_TXID, Epoch, StorageInfo, TxId
from hdfsd.io.clock import RealClock
from hdfsd.io.disk import RealDisk
from hdfsd.journal.acceptor import (
    Accepted,
    Append,
    CloseSegment,
    DropAccepted,
    Effect,
    FetchSegment,
    FinalizeSegment,
    Format,
    InstallFetched,
    NoteCommitted,
    OpenSegment,
    PersistAccepted,
    PersistPromise,
    PersistWriterEpoch,
    PurgeBelow,
    Segment,
    SetAside,
)
from hdfsd.journal.store import JournalStore
from hdfsd.sim.world import Process, World

STORAGE = StorageInfo(-67, 4711, 1700000000000, "CID-a")
HEADER = bytes.fromhex("ffffffbd00000000")
MIB = 1 << 20
URL = "http://peer/getJournal"


def frame(txid: int, body: bytes = b"") -> bytes:
    head = struct.pack(">BIq", 24, 12 + len(body), txid) + body
    return head + struct.pack(">I", zlib.crc32(head))


def frames(first: int, last: int) -> bytes:
    return b"".join(frame(txid) for txid in range(first, last + 1))


def append(first: int, last: int) -> Append:
    return Append(TxId(first), TxId(last), frames(first, last))


class Peer:
    """An HTTP client that answers one body."""

    def __init__(
        self, body: bytes = b"", *, status: int = 200, length: int | None = -1, cut: bool = False
    ) -> None:
        self.body = body
        self.status = status
        self.reason = "as told"
        length = len(body) if length == -1 else length
        self.headers = {} if length is None else {"content-length": str(length)}
        self.cut = cut

    async def request(self, method: str, url: str, **_: Any) -> Peer:
        return self

    async def chunks(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self.body), 100):
            yield self.body[start : start + 100]
        if self.cut:
            raise OutcomeUnknown("cut")

    async def close(self) -> None:
        pass


class Rig:
    """A store over a real directory; `reopen` is a restart."""

    def __init__(self, root: Path, peer: Peer | None = None) -> None:
        self.root = root / "ns"
        self.current = self.root / "current"
        self.peer = peer or Peer()
        self.store = self.new_store()

    def new_store(self) -> JournalStore:
        http: Any = self.peer
        return JournalStore(str(self.root), disk=RealDisk(), http=http, clock=RealClock())

    async def do(self, *effects: Effect) -> None:
        for effect in effects:
            await self.store.execute(effect)
            if isinstance(effect, Append):
                await self.store.sync()

    async def reopen(self) -> Any:
        self.store.close()
        self.store = self.new_store()
        return await self.store.load()

    def names(self) -> list[str]:
        return sorted(path.name for path in self.current.glob("edits*"))


def simulated_store(process: Process) -> JournalStore:
    """One whose disk may lose power."""
    http: Any = Peer()
    return JournalStore("/ns", disk=process.disk, http=http, clock=process.clock)


def play(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


INPROGRESS_1 = "edits_inprogress_0000000000000000001"


def test_a_journal_from_format_to_restart(tmp_path: Path) -> None:
    async def story() -> None:
        rig = Rig(tmp_path)
        assert (await rig.store.load()).storage is None
        assert not rig.root.exists()
        await rig.do(Format(STORAGE))
        state = await rig.reopen()
        assert (state.storage, state.has_data, state.promised, state.writer_epoch) == (
            STORAGE,
            True,
            0,
            0,
        )
        assert state.committed == INVALID_TXID
        await rig.do(
            PersistPromise(Epoch(4)),
            PersistWriterEpoch(Epoch(3)),
            NoteCommitted(TxId(2)),
            OpenSegment(TxId(1), -67),
            append(1, 3),
        )
        assert (rig.current / "last-promised-epoch").read_bytes() == b"4\n"
        assert (rig.current / "last-writer-epoch").read_bytes() == b"3\n"
        assert (rig.current / "committed-txid").read_bytes() == struct.pack(">q", 2)
        data = (rig.current / INPROGRESS_1).read_bytes()
        assert data == (HEADER + frames(1, 3)).ljust(MIB, b"\xff")
        state = await rig.reopen()
        assert (state.promised, state.writer_epoch, state.committed) == (4, 3, 2)
        assert state.segments == {1: Segment(TxId(1), TxId(3), False)}
        rig.store.close()

    play(story())


def test_preallocation_by_mebibytes(tmp_path: Path) -> None:
    async def story() -> None:
        rig = Rig(tmp_path)
        await rig.do(Format(STORAGE), OpenSegment(TxId(1), -67))
        path = rig.current / INPROGRESS_1
        assert path.stat().st_size == MIB
        big = frame(1, b"x" * (MIB - 8 - 17))
        await rig.do(Append(TxId(1), TxId(1), big))
        assert path.stat().st_size == MIB
        await rig.do(append(2, 2))
        assert path.stat().st_size == 2 * MIB
        huge = frame(3, b"y" * (3 * MIB))
        await rig.do(Append(TxId(3), TxId(3), huge))
        assert path.stat().st_size == 5 * MIB
        whole = HEADER + big + frame(2) + huge
        assert path.read_bytes() == whole.ljust(5 * MIB, b"\xff")
        await rig.do(CloseSegment(TxId(1), trim=True), FinalizeSegment(TxId(1), TxId(3)))
        assert rig.names() == ["edits_0000000000000000001-0000000000000000003"]
        assert (rig.current / rig.names()[0]).read_bytes() == whole
        rig.store.close()

    play(story())


def test_a_torn_tail_ends_the_segment(tmp_path: Path) -> None:
    async def story() -> None:
        rig = Rig(tmp_path)
        await rig.do(Format(STORAGE), OpenSegment(TxId(1), -67), append(1, 3))
        path = rig.current / INPROGRESS_1
        whole = path.read_bytes()
        for cut in range(8, 8 + 17 * 3 + 1):
            path.write_bytes(whole[:cut])
            state = await rig.reopen()
            last = (cut - 8) // 17
            assert state.segments[1].last_txid == (last or None)
        path.write_bytes(b"")
        assert (await rig.reopen()).segments[1].last_txid is None
        path.write_bytes(HEADER + frames(5, 6))
        assert (await rig.reopen()).segments[1].last_txid is None
        rig.store.close()

    play(story())


def test_what_is_loaded_is_durable() -> None:
    """A process dies between write and sync: what the next one finds must survive the power."""
    world = World("1")
    machine = world.add_machine("jn1")
    found: list[Any] = []

    async def write(process: Process) -> None:
        writer = simulated_store(process)
        await writer.execute(Format(STORAGE))
        await writer.execute(OpenSegment(TxId(1), -67))
        writer.append(append(1, 3))

    async def load(process: Process) -> None:
        found.append((await simulated_store(process).load()).segments[TxId(1)].last_txid)

    async def story() -> None:
        for main in (write, load):
            await machine.start("journalnode", main).ended
        machine.power_off()
        machine.power_on()
        await machine.start("journalnode", load).ended

    world.run(story())
    assert found == [3, 3]


@pytest.mark.parametrize("seed", range(6))
def test_names_that_are_loaded_are_durable(seed: int) -> None:
    """A process dies between a rename and the sync of its directory: so must the new name."""
    world = World(f"seed {seed}")
    machine = world.add_machine("jn1")
    machine.platter.half_done = 1.0
    found: list[Any] = []

    async def write(process: Process) -> None:
        writer = simulated_store(process)
        await writer.execute(Format(STORAGE))
        await writer.execute(OpenSegment(TxId(1), -67))
        writer.append(append(1, 3))
        await writer.sync()
        world.loop.call_soon(process.kill, context=world.loop.world.context)
        await writer.execute(FinalizeSegment(TxId(1), TxId(3)))

    async def load(process: Process) -> None:
        found.append((await simulated_store(process).load()).segments[TxId(1)])

    async def story() -> None:
        for main in (write, load):
            await machine.start("journalnode", main).ended
        machine.power_off()
        machine.power_on()
        await machine.start("journalnode", load).ended

    world.run(story())
    assert found == [Segment(TxId(1), TxId(3), True)] * 2


def test_an_empty_segment_is_overwritten_or_set_aside(tmp_path: Path) -> None:
    async def story() -> None:
        rig = Rig(tmp_path)
        await rig.do(Format(STORAGE), OpenSegment(TxId(1), -67), append(1, 1))
        await rig.do(CloseSegment(TxId(1), trim=False), OpenSegment(TxId(1), -66))
        data = (rig.current / INPROGRESS_1).read_bytes()
        assert data == struct.pack(">ii", -66, 0).ljust(MIB, b"\xff")
        await rig.do(CloseSegment(TxId(1), trim=False))
        await rig.do(SetAside(Segment(TxId(1), None, False), ".empty"))
        assert rig.names() == [f"{INPROGRESS_1}.empty"]
        assert (await rig.reopen()).segments == {}
        rig.store.close()

    play(story())


ACCEPTED = Accepted(TxId(1), TxId(5), True, Epoch(4))


def test_fetch_and_install(tmp_path: Path) -> None:
    async def story() -> None:
        body = (HEADER + frames(1, 5)).ljust(5000, b"\xff")
        rig = Rig(tmp_path, Peer(body))
        await rig.do(Format(STORAGE), OpenSegment(TxId(1), -67), append(1, 3))
        await rig.do(CloseSegment(TxId(1), trim=False))
        await rig.do(FetchSegment(TxId(1), TxId(5), Epoch(4), URL))
        assert rig.names() == [INPROGRESS_1, f"{INPROGRESS_1}.epoch=4"]
        await rig.do(PersistAccepted(ACCEPTED), InstallFetched(TxId(1), Epoch(4)))
        assert rig.names() == [INPROGRESS_1]
        assert (rig.current / INPROGRESS_1).read_bytes() == body
        state = await rig.reopen()
        assert state.accepted == {1: ACCEPTED}
        assert state.segments[1].last_txid == 5
        await rig.do(DropAccepted(TxId(1)))
        assert (await rig.reopen()).accepted == {}
        rig.store.close()

    play(story())


def test_a_crash_between_accept_and_install_is_rolled_forward(tmp_path: Path) -> None:
    async def story() -> None:
        rig = Rig(tmp_path, Peer(HEADER + frames(1, 5)))
        await rig.do(Format(STORAGE), OpenSegment(TxId(1), -67), append(1, 3))
        await rig.do(FetchSegment(TxId(1), TxId(5), Epoch(4), URL))
        state = await rig.reopen()
        assert state.segments[1].last_txid == 3
        await rig.do(PersistAccepted(ACCEPTED))
        state = await rig.reopen()
        assert state.segments[1].last_txid == 5
        assert rig.names() == [INPROGRESS_1]
        rig.store.close()

    play(story())


def test_a_left_over_of_another_epoch_stays_aside(tmp_path: Path) -> None:
    async def story() -> None:
        rig = Rig(tmp_path, Peer(HEADER + frames(1, 5)))
        await rig.do(Format(STORAGE), FetchSegment(TxId(1), TxId(5), Epoch(3), URL))
        await rig.do(PersistAccepted(ACCEPTED))
        assert (await rig.reopen()).segments == {}
        assert rig.names() == [f"{INPROGRESS_1}.epoch=3"]
        rig.store.close()

    play(story())


GOOD = HEADER + frames(1, 5)


@pytest.mark.parametrize(
    ("peer", "text"),
    [
        (Peer(status=404), "HTTP 404"),
        (Peer(GOOD, length=None), "No Content-Length"),
        (Peer(GOOD, length=len(GOOD) + 1), "bytes of"),
        (Peer(GOOD, length=10), "more than its Content-Length"),
        (Peer(GOOD, length=1 << 62), "more than is free"),
        (Peer(GOOD, cut=True), "cut"),
        (Peer(HEADER + frames(1, 4)), "holds txids 1..4, not 1..5"),
        (Peer(HEADER + frames(1, 6)), "holds txids 1..6, not 1..5"),
        (Peer(HEADER + frames(1, 5)[:-1] + b"z"), "wrong checksum"),
        (Peer(b"<html>" * 9), "not a segment header"),
    ],
)
def test_a_bad_fetch_leaves_nothing(tmp_path: Path, peer: Peer, text: str) -> None:
    async def story() -> None:
        rig = Rig(tmp_path, peer)
        await rig.do(Format(STORAGE))
        with pytest.raises(IOFault, match=text):
            await rig.do(FetchSegment(TxId(1), TxId(5), Epoch(4), URL))
        assert rig.names() == []
        rig.store.close()

    play(story())


def test_purge(tmp_path: Path) -> None:
    async def story() -> None:
        rig = Rig(tmp_path)
        await rig.do(Format(STORAGE), PersistAccepted(ACCEPTED))
        for name in ("edits_0000000000000000001-0000000000000000009", f"{INPROGRESS_1}.empty"):
            (rig.current / name).write_bytes(b"")
        await rig.do(OpenSegment(TxId(10), -67), PurgeBelow(TxId(99), TxId(10)))
        assert rig.names() == ["edits_inprogress_0000000000000000010"]
        assert list((rig.current / "paxos").iterdir()) == []
        rig.store.close()

    play(story())


def test_format_wipes(tmp_path: Path) -> None:
    async def story() -> None:
        rig = Rig(tmp_path)
        await rig.do(Format(STORAGE), PersistPromise(Epoch(9)), OpenSegment(TxId(1), -67))
        other = StorageInfo(-67, 5, 6, "CID-b")
        await rig.do(Format(other))
        assert sorted(path.name for path in rig.current.iterdir()) == ["VERSION", "paxos"]
        assert (await rig.reopen()).storage == other
        assert rig.current.stat().st_mode & 0o777 == 0o700
        rig.store.close()

    play(story())


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("VERSION", b"storageType=NAME_NODE\n"),
        ("VERSION", b"\xff\xfe"),
        ("last-promised-epoch", b"x\n"),
        ("last-writer-epoch", b""),
        ("committed-txid", b"123"),
        ("paxos/7", b"\x00"),
        ("paxos/7", bytes.fromhex("0a0a060801100518011004") + b"\n"),
    ],
)
def test_damage_names_the_file_and_destroys_nothing(tmp_path: Path, name: str, data: bytes) -> None:
    async def story() -> None:
        rig = Rig(tmp_path)
        await rig.do(Format(STORAGE))
        (rig.current / name).write_bytes(data)
        with pytest.raises(CorruptData, match=name):
            await rig.reopen()
        assert (rig.current / name).read_bytes() == data
        rig.store.close()

    play(story())


def test_one_process_at_a_time(tmp_path: Path) -> None:
    async def story() -> None:
        rig = Rig(tmp_path)
        await rig.do(Format(STORAGE))
        held = rig.store
        http: Any = rig.peer
        other = JournalStore(str(rig.root), disk=rig.store._disk, http=http, clock=RealClock())
        with pytest.raises(StorageError, match="in use"):
            await other.load()
        held.close()
        assert (await other.load()).storage == STORAGE
        other.close()

    play(story())


def test_a_directory_that_is_no_journal(tmp_path: Path) -> None:
    async def story() -> None:
        rig = Rig(tmp_path)
        rig.current.mkdir(parents=True)
        state = await rig.reopen()
        assert (state.storage, state.has_data) == (None, False)
        (rig.current / "precious").write_bytes(b"1")
        state = await rig.reopen()
        assert (state.storage, state.has_data) == (None, True)
        rig.store.close()

    play(story())
