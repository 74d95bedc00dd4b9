"""The shared journal in a directory: what a writer, a reader and a successor may rely on."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from hdfsd.base.errors import CorruptData, IOFault, QuorumLost
from hdfsd.base.ids import NamespaceInfo, StorageInfo, TxId
from hdfsd.cli.journal_sources import read_directory
from hdfsd.daemons.world import World
from hdfsd.editlog import codec, ops, segment
from hdfsd.io.disk import RealDisk
from hdfsd.namenode.directory_journal import COMMITTED, WRITER, DirectoryJournal
from hdfsd.quorum.inspect import Severity, verify
from hdfsd.sim.world import Process
from hdfsd.sim.world import World as SimWorld

INFO = NamespaceInfo(StorageInfo(-67, 77, 1234, "CID-x"), "BP-1-127.0.0.1-1234")
OPEN_1 = "edits_inprogress_0000000000000000001"
OPEN_6 = "edits_inprogress_0000000000000000006"
CLOSED_1 = "edits_0000000000000000001-0000000000000000005"


def frames(first: int, last: int, name: str = "") -> bytes:
    found = (codec.encode(ops.DeleteOp(f"/{name}{t}", 1), t) for t in range(first, last + 1))
    return b"".join(found)


class Rig:
    """A directory and handles on it, as NameNodes of several hosts would have."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.current = root / "shared/current"
        self.world = World()
        self.opened: list[DirectoryJournal] = []

    def journal(self, info: NamespaceInfo = INFO, disk: RealDisk | None = None) -> DirectoryJournal:
        made = DirectoryJournal(
            str(self.root / "shared"),
            info,
            disk=disk or self.world.disk,
            clock=self.world.clock,
            dice=self.world.dice,
        )
        self.opened.append(made)
        return made

    async def writer(self) -> DirectoryJournal:
        """Of an empty journal, with the segment at 1 open."""
        journal = self.journal()
        await journal.format(INFO)
        assert await journal.recover() == 0
        await journal.start_segment(TxId(1))
        return journal

    def names(self) -> list[str]:
        return sorted(path.name for path in self.current.iterdir() if "edits" in path.name)


Story = Callable[[Rig], Coroutine[Any, Any, None]]


def play(tmp_path: Path, story: Story) -> None:
    @asynccontextmanager
    async def rig() -> AsyncIterator[Rig]:
        made = Rig(tmp_path)
        try:
            yield made
        finally:
            for journal in made.opened:
                await journal.close()

    async def run() -> None:
        async with asyncio.timeout(60), rig() as made:
            await story(made)

    asyncio.run(run())


def test_a_life_leaves_what_hadoop_lays_out(tmp_path: Path) -> None:
    async def story(rig: Rig) -> None:
        journal = await rig.writer()
        assert journal.epoch == 1
        await journal.write(TxId(1), 2, frames(1, 2))
        await journal.write(TxId(3), 3, frames(3, 5))
        assert journal.committed_txid == 5
        data = (rig.current / OPEN_1).read_bytes()
        assert data == (segment.header() + frames(1, 5)).ljust(1 << 20, b"\xff")
        await journal.finalize_segment(TxId(1), TxId(5))
        assert (rig.current / CLOSED_1).read_bytes() == segment.header() + frames(1, 5)
        await journal.start_segment(TxId(6))
        assert (rig.current / "seen_txid").read_text() == "6\n"
        assert rig.names() == [CLOSED_1, OPEN_6]
        assert "storageType=NAME_NODE" in (rig.current / "VERSION").read_text()
        (row,) = journal.health()
        assert (row.acked_txid, row.in_sync, row.lag_txns) == (5, True, 0)

    play(tmp_path, story)


def test_batches_that_wait_share_a_sync_and_are_done_in_order(tmp_path: Path) -> None:
    async def story(rig: Rig) -> None:
        journal = await rig.writer()
        done: list[int] = []
        futures = [journal.write(TxId(t), 1, frames(t, t)) for t in range(1, 50)]
        for txid, future in enumerate(futures, 1):
            future.add_done_callback(lambda _, txid=txid: done.append(txid))
        await asyncio.gather(*futures)
        assert done == list(range(1, 50))
        assert (await rig.journal().edits(TxId(1))).data == frames(1, 49)

    play(tmp_path, story)


def test_a_reader_sees_the_open_segment_as_far_as_it_is_durable(tmp_path: Path) -> None:
    async def story(rig: Rig) -> None:
        journal, reader = await rig.writer(), rig.journal()
        assert (await reader.edits(TxId(1))).count == 0
        await journal.write(TxId(1), 5, frames(1, 5))
        chunk = await reader.edits(TxId(1), 2)
        assert (chunk.first_txid, chunk.count, chunk.data) == (1, 2, frames(1, 2))
        assert (await reader.edits(TxId(3))).data == frames(3, 5)
        # What was written but not said to be synced is not shown.
        with open(rig.current / OPEN_1, "r+b") as file:
            file.seek(8 + len(frames(1, 5)))
            file.write(frames(6, 6))
        assert (await reader.edits(TxId(6))).count == 0
        assert await reader.newest_txid() == 5
        assert await reader.manifest(TxId(1)) == []
        (info,) = await reader.manifest(TxId(1), in_progress_ok=True)
        assert (info.first_txid, info.last_txid, info.in_progress) == (1, 5, True)

    play(tmp_path, story)


def test_reading_across_segments(tmp_path: Path) -> None:
    async def story(rig: Rig) -> None:
        journal, reader = await rig.writer(), rig.journal()
        await journal.write(TxId(1), 5, frames(1, 5))
        assert (await reader.edits(TxId(1), 3)).count == 3
        await journal.finalize_segment(TxId(1), TxId(5))
        await journal.start_segment(TxId(6))
        await journal.write(TxId(6), 4, frames(6, 9))
        found, at = b"", 4
        while chunk := await reader.edits(TxId(at), 2):
            if chunk.count == 0:
                break
            assert chunk.first_txid == at
            found, at = found + chunk.data, at + chunk.count
        assert found == frames(4, 9)
        infos = await reader.manifest(TxId(2), in_progress_ok=True)
        assert [(i.first_txid, i.last_txid) for i in infos] == [(1, 5), (6, 9)]
        await journal.purge(TxId(6))
        assert rig.names() == [OPEN_6]
        with pytest.raises(CorruptData, match="holds txids up to 9, but not 3"):
            await reader.edits(TxId(3))

    play(tmp_path, story)


def test_who_recovers_fences_who_was_there(tmp_path: Path) -> None:
    async def story(rig: Rig) -> None:
        old, new = await rig.writer(), rig.journal()
        await old.write(TxId(1), 3, frames(1, 3))
        assert await new.recover() == 3
        assert new.epoch == 2
        assert rig.names() == ["edits_0000000000000000001-0000000000000000003"]
        with pytest.raises(QuorumLost, match="another writer, of epoch 2, replaced us of 1"):
            await old.write(TxId(4), 1, frames(4, 4, "late"))
        for step in (
            old.confirm(),
            old.start_segment(TxId(4)),
            old.finalize_segment(TxId(1), TxId(4)),
            old.purge(TxId(3)),
        ):
            with pytest.raises(QuorumLost):
                await step
        with pytest.raises(QuorumLost):
            await old.write(TxId(5), 1, frames(5, 5))
        assert not old.health()[0].in_sync
        await new.start_segment(TxId(4))
        await new.write(TxId(4), 1, frames(4, 4))
        await new.confirm()
        assert (await rig.journal().edits(TxId(1))).data == frames(1, 3)
        assert (await rig.journal().edits(TxId(4))).data == frames(4, 4)
        # What the replaced writer had sent to the disk before it knew is behind the end.
        (closed,) = verify([read_directory(str(rig.root / "shared"))]).findings
        assert closed.severity is Severity.NOTE
        assert "-0000000000000000003 holds txids up to 4 behind its end 3" in closed.text

    play(tmp_path, story)


class Hanging(RealDisk):
    """Its NameNode is stopped right behind the opening of a segment, while others go on."""

    def __init__(self, meanwhile: Callable[[], None]) -> None:
        super().__init__()
        self._meanwhile = meanwhile

    def open(self, path: str) -> Any:
        file = super().open(path)
        if path.endswith(OPEN_1):
            self._meanwhile()
        return file


def test_a_recovery_that_hangs_takes_nothing_from_the_next_one(tmp_path: Path) -> None:
    """It has read less: a transaction of the first writer came to the disk since then."""

    async def story(rig: Rig) -> None:
        first = await rig.writer()
        await first.write(TxId(1), 3, frames(1, 3))

        async def next_one() -> None:
            with open(rig.current / OPEN_1, "r+b") as file:
                file.seek(len(segment.header() + frames(1, 3)))
                file.write(frames(4, 5))
            third = rig.journal()
            assert await third.recover() == 5
            await third.start_segment(TxId(6))
            await third.write(TxId(6), 1, frames(6, 6))

        with ThreadPoolExecutor(1) as other_host:
            disk = Hanging(lambda: other_host.submit(asyncio.run, next_one()).result(30))
            with pytest.raises(QuorumLost, match="another writer, of epoch 3, replaced us of 2"):
                await rig.journal(disk=disk).recover()
        assert rig.names() == [CLOSED_1, OPEN_6]
        assert (await rig.journal().edits(TxId(1))).data == frames(1, 5)
        assert (await rig.journal().edits(TxId(6))).data == frames(6, 6)

    play(tmp_path, story)


def test_confirm_finds_out_by_itself(tmp_path: Path) -> None:
    async def story(rig: Rig) -> None:
        old, new = await rig.writer(), rig.journal()
        await old.confirm()
        await new.recover()
        with pytest.raises(QuorumLost, match="epoch 2"):
            await old.confirm()

    play(tmp_path, story)


def test_a_hadoop_namenode_that_closed_our_segment_fences_us_too(tmp_path: Path) -> None:
    async def story(rig: Rig) -> None:
        journal = await rig.writer()
        await journal.write(TxId(1), 5, frames(1, 5))
        (rig.current / OPEN_1).rename(rig.current / CLOSED_1)
        with pytest.raises(QuorumLost, match="somebody else has closed our segment"):
            await journal.write(TxId(6), 1, frames(6, 6))
        assert (await rig.journal().edits(TxId(5))).data == frames(5, 5)

    play(tmp_path, story)


def test_recovery_of_what_a_crash_left(tmp_path: Path) -> None:
    async def story(rig: Rig) -> None:
        journal = await rig.writer()
        await journal.write(TxId(1), 5, frames(1, 5))
        with open(rig.current / OPEN_1, "r+b") as file:
            file.seek(8 + len(frames(1, 5)))
            file.write(frames(6, 6) + frames(7, 7)[:-3])
        assert await rig.journal().recover() == 6
        (name,) = rig.names()
        assert name == "edits_0000000000000000001-0000000000000000006"
        assert (rig.current / name).read_bytes().startswith(segment.header() + frames(1, 6))
        assert (await rig.journal().edits(TxId(1))).data == frames(1, 6)

    play(tmp_path, story)


@pytest.mark.parametrize(
    ("content", "suffix"),
    [(segment.header(), "empty"), (b"\xff" * 99, "corrupt"), (b"", "corrupt")],
)
def test_an_open_segment_without_transactions_is_moved_aside(
    content: bytes, suffix: str, tmp_path: Path
) -> None:
    async def story(rig: Rig) -> None:
        journal = await rig.writer()
        await journal.write(TxId(1), 5, frames(1, 5))
        await journal.finalize_segment(TxId(1), TxId(5))
        (rig.current / OPEN_6).write_bytes(content)
        second = rig.journal()
        assert await second.recover() == 5
        assert rig.names() == [CLOSED_1, f"{OPEN_6}.{suffix}"]
        await second.start_segment(TxId(6))

    play(tmp_path, story)


def test_a_recovery_that_finds_less_than_was_acknowledged_changes_no_segment(
    tmp_path: Path,
) -> None:
    async def story(rig: Rig) -> None:
        journal = await rig.writer()
        await journal.write(TxId(1), 5, frames(1, 5))
        path = rig.current / OPEN_1
        data = bytearray(path.read_bytes())
        data[8 + len(frames(1, 3)) + 20] ^= 1
        path.write_bytes(data)
        for _ in range(2):
            with pytest.raises(QuorumLost, match=r"txid 5 was acknowledged, but .* end at 3"):
                await rig.journal().recover()
        assert rig.names() == [OPEN_1]
        assert path.read_bytes() == data

    play(tmp_path, story)


def test_format_and_whose_directory_it_is(tmp_path: Path) -> None:
    async def story(rig: Rig) -> None:
        journal = rig.journal()
        assert not await journal.has_data()
        with pytest.raises(QuorumLost, match="not formatted"):
            await journal.recover()
        journal = await rig.writer()
        assert await journal.has_data()
        with pytest.raises(IOFault, match="is not empty"):
            await rig.journal().format(INFO)
        stranger = NamespaceInfo(StorageInfo(-67, 78, 1, "CID-y"), "BP-2-127.0.0.1-1")
        with pytest.raises(QuorumLost, match=r"is of namespace .*77.* ours is .*78"):
            await rig.journal(stranger).recover()
        with pytest.raises(QuorumLost, match="is of namespace"):
            await rig.journal(stranger).edits(TxId(1))
        await journal.write(TxId(1), 1, frames(1, 1))
        await rig.journal().format(INFO, force=True)
        assert rig.names() == []
        with pytest.raises(QuorumLost, match="another writer, of epoch none"):
            await journal.write(TxId(2), 1, frames(2, 2))

    play(tmp_path, story)


def test_a_finalized_segment_that_ends_too_soon_is_told(tmp_path: Path) -> None:
    async def story(rig: Rig) -> None:
        journal = await rig.writer()
        await journal.write(TxId(1), 5, frames(1, 5))
        await journal.finalize_segment(TxId(1), TxId(5))
        (rig.current / CLOSED_1).write_bytes(segment.header() + frames(1, 3))
        reader = rig.journal()
        assert (await reader.edits(TxId(1), 2)).count == 2
        with pytest.raises(CorruptData, match="ends before txid 5"):
            await reader.edits(TxId(3))

    play(tmp_path, story)


class FullDisk(RealDisk):
    """Fails when it is looked at."""

    full = False

    def exists(self, path: str) -> bool:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device", path)
        return super().exists(path)


def test_a_directory_that_fails_ends_the_writer(tmp_path: Path) -> None:
    async def story(rig: Rig) -> None:
        await (await rig.writer()).close()
        disk = FullDisk()
        journal = rig.journal(disk=disk)
        assert await journal.recover() == 0
        await journal.start_segment(TxId(1))
        disk.full = True
        with pytest.raises(QuorumLost, match="No space left"):
            await journal.write(TxId(1), 1, frames(1, 1))
        disk.full = False
        with pytest.raises(QuorumLost, match="after the loss"):
            await journal.confirm()

    play(tmp_path, story)


class _Taken:
    def __init__(self, file: Any, disk: TakenOver) -> None:
        self._file = file
        self._disk = disk

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    async def sync(self) -> None:
        await self._file.sync()
        if self._disk.claim is not None:
            self._disk.claim.write_text("9 other\n")


class TakenOver(RealDisk):
    """Another host takes over while the sync of a batch is under way."""

    claim: Path | None = None

    def create(self, path: str) -> Any:
        return _Taken(super().create(path), self)


def test_whose_journal_it_is_is_asked_behind_the_sync(tmp_path: Path) -> None:
    async def story(rig: Rig) -> None:
        await (await rig.writer()).close()
        disk = TakenOver()
        journal = rig.journal(disk=disk)
        await journal.recover()
        await journal.start_segment(TxId(1))
        await journal.write(TxId(1), 1, frames(1, 1))
        disk.claim = rig.current / WRITER
        with pytest.raises(QuorumLost, match="another writer, of epoch 9, replaced us of 2"):
            await journal.write(TxId(2), 1, frames(2, 2))
        assert (rig.current / COMMITTED).read_bytes() == (1).to_bytes(8, "big")

    play(tmp_path, story)


def test_a_directory_that_is_gone_is_said_to_readers(tmp_path: Path) -> None:
    async def story(rig: Rig) -> None:
        await rig.writer()
        reader = rig.journal()
        rig.current.parent.rename(tmp_path / "unmounted")
        with pytest.raises(QuorumLost):
            await reader.edits(TxId(1))

    play(tmp_path, story)


# -- two writers on one file server, in the simulator ----------------------------------------


async def _lead(process: Process, acknowledged: dict[int, bytes], name: str) -> None:
    """A NameNode's life: recovers, then writes small batches until it is fenced."""
    journal = DirectoryJournal(
        "/shared", INFO, disk=process.disk, clock=process.clock, dice=process.dice
    )
    with suppress(QuorumLost):
        last = await journal.recover()
        assert last >= max(acknowledged, default=0), f"{name} begins at {last}: {acknowledged}"
        txid = last + 1
        for _ in range(20):
            await journal.start_segment(TxId(txid))
            first = txid
            for count in (1, 3, 2):
                data = frames(txid, txid + count - 1, name)
                await journal.write(TxId(txid), count, data)
                for t in range(txid, txid + count):
                    assert t not in acknowledged, f"{t} acknowledged twice"
                    acknowledged[t] = frames(t, t, name)
                txid += count
            await journal.finalize_segment(TxId(first), TxId(txid - 1))
    await journal.close()


async def _duel(world: SimWorld, dice: Any) -> tuple[dict[int, bytes], bytes, int]:
    """Leaders come and go, are paused and killed, the server loses power."""
    machine = world.add_machine("nas")
    acknowledged: dict[int, bytes] = {}
    setup: Process = machine.start("format", _wait)
    journal = DirectoryJournal("/shared", INFO, disk=setup.disk, clock=setup.clock, dice=setup.dice)
    await journal.format(INFO)
    setup.kill()
    running: list[Process] = []
    for number in range(6):
        name = f"nn{number}"
        running.append(machine.start(name, lambda p, name=name: _lead(p, acknowledged, name)))
        await asyncio.sleep(dice.below(60) / 1000)
        match dice.below(4):
            case 0:
                running[-1].pause()
            case 1:
                running[-1].kill()
            case 2:
                machine.power_off()
                machine.power_on()
                running.clear()
        for process in running:
            if dice.below(2):
                process.resume()
    for process in running:
        process.resume()
    reader = machine.start("reader", _wait)
    for _ in range(10):
        last = DirectoryJournal(
            "/shared", INFO, disk=reader.disk, clock=reader.clock, dice=reader.dice
        )
        # Who was resumed may be in the midst of its own recovery.
        with suppress(QuorumLost):
            newest = await last.recover()
            break
    found = b""
    while len(found) < 1 << 24:
        chunk = await last.edits(TxId(1 + _count(found)))
        if chunk.count == 0:
            break
        found += chunk.data
    for process in running:
        assert process.outcome is None or process.outcome == "killed", process.outcome
    return acknowledged, found, newest


async def _wait(process: Process) -> None:
    await asyncio.get_running_loop().create_future()


def _count(data: bytes) -> int:
    return sum(1 for _ in codec.iter_ops(data)) if data else 0


@pytest.mark.parametrize("seed", range(80))
def test_no_duel_loses_what_was_acknowledged(seed: int) -> None:
    world = SimWorld(f"duel {seed}")
    acknowledged, found, newest = world.run(_duel(world, world.dice.fork("duel")))
    assert newest >= max(acknowledged, default=0)
    offset = 0
    for txid in range(1, newest + 1):
        _, read, end = codec.decode_frame(found, offset)
        assert read == txid
        if txid in acknowledged:
            assert found[offset:end] == acknowledged[txid]
        offset = end
    assert offset == len(found)


def test_the_small_files(tmp_path: Path) -> None:
    async def story(rig: Rig) -> None:
        journal = await rig.writer()
        await journal.write(TxId(1), 5, frames(1, 5))
        epoch, token = (rig.current / WRITER).read_text().split()
        assert (epoch, len(token)) == ("1", 32)
        assert (rig.current / COMMITTED).read_bytes() == (5).to_bytes(8, "big")

    play(tmp_path, story)
