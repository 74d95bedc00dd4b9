"""hdfsd journal: directories and live JournalNodes, exit codes, and that nothing is changed."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from hdfsd.base.config import Configuration
from hdfsd.base.ids import Address, NamespaceInfo, StorageInfo, TxId
from hdfsd.base.settings import JournalNodeSettings, QuorumSettings
from hdfsd.cli.journal import main
from hdfsd.daemons.journalnode import JournalNodeDaemon
from hdfsd.daemons.world import World
from hdfsd.editlog import ops
from hdfsd.editlog.codec import encode
from hdfsd.journal import layout
from hdfsd.quorum.manager import QuorumJournal
from hdfsd.wire.messages import qjournal

NAMESPACE = NamespaceInfo(StorageInfo(-67, 4711, 1700000000000, "CID-a"), "BP-1-127.0.0.1-1")
SETTINGS = QuorumSettings.from_configuration(Configuration.parse([], {}))


def frames(first: int, last: int) -> bytes:
    return b"".join(encode(ops.DeleteOp(f"/{txid}", 1), txid) for txid in range(first, last + 1))


async def started(root: Path) -> list[JournalNodeDaemon]:
    nodes = []
    for index in range(3):
        keys = {
            "dfs.journalnode.rpc-address": "127.0.0.1:0",
            "dfs.journalnode.http-address": "127.0.0.1:0",
            "dfs.journalnode.edits.dir": f"{root}/jn{index}",
        }
        settings = JournalNodeSettings.from_configuration(Configuration.parse([], keys))
        node = JournalNodeDaemon(settings, World())
        await node.startup()
        nodes.append(node)
    return nodes


async def written(addresses: list[Address]) -> None:
    """Txids 1 to 5 finalized, 6 to 9 in the open segment of a writer that died."""
    world = World()
    journal = QuorumJournal(
        addresses,
        "ns1",
        NAMESPACE,
        network=world.network,
        http=world.http_client,
        clock=world.clock,
        dice=world.dice,
        user="hdfs",
        settings=SETTINGS,
    )
    try:
        await journal.format(NAMESPACE)
        await journal.recover()
        await journal.start_segment(TxId(1))
        await journal.write(TxId(1), 5, frames(1, 5))
        await journal.finalize_segment(TxId(1), TxId(5))
        await journal.start_segment(TxId(6))
        await journal.write(TxId(6), 4, frames(6, 9))
        for _ in range(2000):
            if all(row.acked_txid == 9 for row in journal.health()):
                return
            await asyncio.sleep(0.01)
        raise TimeoutError("a journal never had it all")
    finally:
        await journal.close()
        await world.http_client.close()


While = Callable[[list[str]], Awaitable[None]]


def with_quorum(root: Path, look: While | None = None) -> list[str]:
    """A quorum that was written; `look` is called with its addresses while it runs."""

    async def scenario() -> list[str]:
        nodes = await started(root)
        try:
            addresses = [node.rpc.address for node in nodes]
            await written(addresses)
            if look is not None:
                await look([str(address) for address in addresses])
        finally:
            for node in nodes:
                await node.shutdown()
        return [f"{root}/jn{index}/ns1" for index in range(3)]

    return asyncio.run(scenario())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("quorum")
    with_quorum(root)
    return root


@pytest.fixture
def journals(made: Path, tmp_path: Path) -> list[str]:
    """Three directories to do harm to."""
    for index in range(3):
        shutil.copytree(made / f"jn{index}", tmp_path / f"jn{index}")
    return [f"{tmp_path}/jn{index}/ns1" for index in range(3)]


def everything(directories: list[str]) -> dict[str, tuple[bytes, int]]:
    """Path → content and time of change of every file."""
    return {
        str(path): (path.read_bytes(), path.stat().st_mtime_ns)
        for directory in directories
        for path in sorted(Path(directory).rglob("*"))
        if path.is_file()
    }


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    code = main(words)
    return code, capsys.readouterr().out


def segment(directory: str, name: str) -> Path:
    (path,) = Path(directory, "current").glob(name)
    return path


OPEN = "edits_inprogress_*6"
CLOSED = "edits_*1-*5"


def test_a_clean_quorum(journals: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    before = everything(journals)
    code, out = run(capsys, "verify", *journals)
    assert code == 0, out
    assert "On a majority (2 of 3): txids 1 to 9\n" in out
    assert out.endswith("\nclean\n")
    assert f"{journals[1]}: namespace 4711 of cluster CID-a; promised epoch 1" in out
    code, out = run(capsys, "recover", "--dry-run", *journals)
    assert code == 0
    assert "The segment would end at txid 9; txid 10 is next." in out
    assert out.endswith("Nothing was changed.\n")
    assert everything(journals) == before


def test_json(journals: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code, out = run(capsys, "verify", "--json", *journals)
    found: dict[str, Any] = json.loads(out)
    assert (code, found["clean"], found["majority"]) == (0, True, 2)
    assert found["onMajority"] == [{"first": 1, "last": 9}]
    assert [s["inProgress"] for s in found["journals"][0]["segments"]] == [False, True]
    _, out = run(capsys, "recover", "--dry-run", "--json", *journals)
    forecast = json.loads(out)
    assert (forecast["epoch"], forecast["segment"], forecast["endTxId"]) == (2, 6, 9)
    assert set(forecast["journals"]) == set(journals)


def test_harm_is_found(journals: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    damaged = segment(journals[0], CLOSED)
    data = bytearray(damaged.read_bytes())
    data[60] ^= 4
    damaged.write_bytes(data)
    other = segment(journals[1], OPEN)
    other.write_bytes(other.read_bytes()[:8] + frames(6, 7) + encode(ops.DeleteOp("/x", 1), 8))
    segment(journals[2], OPEN).unlink()
    code, out = run(capsys, "verify", *journals)
    assert code == 1
    assert f"PROBLEM: {journals[0]} {damaged.name} at offset" in out
    assert "wrong checksum of the op" in out
    assert f"txids 8 to 8 have other bytes on {journals[0]} and {journals[1]}" in out
    assert f"NOTE: {journals[2]} misses txids 6 to 7, which a majority holds" in out


def test_damage_of_small_files_and_other_namespaces(
    journals: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    Path(journals[0], "current/last-promised-epoch").write_text("many")
    version = Path(journals[1], "current/VERSION")
    version.write_text(version.read_text().replace("4711", "4712"))
    code, out = run(capsys, "verify", *journals)
    assert code == 1
    assert "last-promised-epoch at offset 0: b'many' is not a number" in out
    assert "the journals are of different namespaces" in out


def test_a_half_done_recovery_is_read_as_the_journal_will(
    journals: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    # It had persisted the decision and fetched the segment, and crashed before the rename.
    current = Path(journals[0], "current")
    path = segment(journals[0], OPEN)
    data = path.read_bytes()
    path.write_bytes(data[:8] + frames(6, 7))
    (current / layout.fetched_name(6, 2)).write_bytes(data)
    state = qjournal.SegmentStateProto(startTxId=6, endTxId=9, isInProgress=True)
    accepted = qjournal.PersistedRecoveryPaxosData(segmentState=state, acceptedInEpoch=2)
    (current / "paxos").mkdir(exist_ok=True)
    (current / "paxos/6").write_bytes(layout.render_paxos(accepted))
    code, out = run(capsys, "verify", *journals)
    assert code == 0, out
    assert "accepted 6..9 in a recovery of epoch 2" in out
    _, out = run(capsys, "recover", "--dry-run", *journals)
    assert f"{journals[0]} has 6..9 in progress, writer epoch 1, accepted in epoch 2." in out


def test_live_journals(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def look(addresses: list[str]) -> None:
        uri = f"qjournal://{';'.join(addresses)}/ns1"
        before = everything([f"{tmp_path}/jn{index}" for index in range(3)])
        assert await asyncio.to_thread(main, ["verify", uri]) == 0
        mixed = ["verify", "--journal", "ns1", *addresses[:2], f"{tmp_path}/jn2/ns1"]
        assert await asyncio.to_thread(main, mixed) == 0
        assert await asyncio.to_thread(main, ["recover", "--dry-run", uri]) == 0
        assert everything([f"{tmp_path}/jn{index}" for index in range(3)]) == before
        wrong = ["verify", "--journal", "other", *addresses]
        assert await asyncio.to_thread(main, wrong) == 1

    with_quorum(tmp_path, look)
    out = capsys.readouterr().out
    assert out.count("On a majority (2 of 3): txids 1 to 9\n") == 2
    assert "promised epoch 1; last writer's epoch 1" in out
    assert "can't be seen from outside" in out
    assert "The segment would end at txid 9" in out
    assert "not formatted" in out


def test_a_journal_that_is_down(journals: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code, out = run(capsys, "verify", "--journal", "ns1", *journals[:2], "127.0.0.1:1")
    assert code == 1
    assert "PROBLEM: 127.0.0.1:1 can't be asked: " in out
    code, out = run(
        capsys, "recover", "--dry-run", "--journal", "ns1", *journals[:2], "127.0.0.1:1"
    )
    assert code == 0
    assert "127.0.0.1:1 would take no part: it can't be read" in out


USAGES = [
    ([], "a command is missing"),
    (["mend"], "'mend' is no command"),
    (["verify", "--dry-run"], "'--dry-run' is no option here"),
    (["verify", "host:1"], "Add --journal ID"),
    (["verify", "/no/such/dir"], "/no/such/dir is no directory"),
    (["verify", "/usr"], "/usr is no journal directory"),
    (["verify", "qjournal://h:1/"], "write qjournal://"),
    (["verify", "--journal", "j", "h:1", "h:1"], "a journal is named twice"),
    (["verify"], "name the journals, or set dfs.namenode.shared.edits.dir"),
    (["recover", "/usr"], "the NameNode recovers the journal when it becomes active"),
]


@pytest.mark.parametrize(("words", "text"), USAGES)
def test_usage(
    words: list[str],
    text: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("HADOOP_CONF_DIR", raising=False)
    assert main(words) == 2
    assert text in capsys.readouterr().err
