"""JournalNodes on real sockets that fetch from each other what they lack."""

from __future__ import annotations

import asyncio
import socket
import struct
import zlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from hdfsd.base.config import Configuration
from hdfsd.base.errors import IOFault, NoSuchMethod, RemoteFault
from hdfsd.base.ids import Address, Epoch, StorageInfo, TxId
from hdfsd.base.settings import JournalNodeSettings
from hdfsd.daemons.journalnode import JournalNodeDaemon
from hdfsd.daemons.world import World
from hdfsd.io.clock import RealClock
from hdfsd.io.disk import RealDisk
from hdfsd.journal.acceptor import (
    Append,
    CloseSegment,
    Effect,
    FinalizeSegment,
    Format,
    OpenSegment,
    PersistPromise,
    Segment,
)
from hdfsd.journal.peers import Peer
from hdfsd.journal.store import JournalStore
from hdfsd.rpc.client import RpcClient
from hdfsd.wire.messages import qjournal
from hdfsd.wire.services import QJOURNAL_PROTOCOL

STORAGE = StorageInfo(-67, 4711, 1700000000000, "CID-a")
DEADLINE_S = 90


def frames(first: int, last: int) -> bytes:
    heads = [struct.pack(">BIq", 24, 12, txid) for txid in range(first, last + 1)]
    return b"".join(head + struct.pack(">I", zlib.crc32(head)) for head in heads)


def written(first: int, last: int, *, finalize: bool = True) -> list[Effect]:
    effects: list[Effect] = [
        OpenSegment(TxId(first), -67),
        Append(TxId(first), TxId(last), frames(first, last)),
        CloseSegment(TxId(first), trim=finalize),
    ]
    return [*effects, FinalizeSegment(TxId(first), TxId(last))] if finalize else effects


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


class Rig:
    """Three JournalNodes that know each other."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.ports = free_ports(6)
        self.nodes: dict[int, JournalNodeDaemon] = {}

    async def furnish(self, index: int, *effects: Effect) -> None:
        http: Any = None
        store = JournalStore(
            f"{self.root}/jn{index}/ns1", disk=RealDisk(), http=http, clock=RealClock()
        )
        for effect in (Format(STORAGE), *effects):
            await store.execute(effect)
        store.close()

    def settings(self, index: int, **other: str) -> JournalNodeSettings:
        peers = ";".join(f"127.0.0.1:{port}" for port in self.ports[:3])
        keys = {
            "dfs.nameservices": "ns1",
            "dfs.namenode.shared.edits.dir": f"qjournal://{peers}/ns1",
            "dfs.journalnode.rpc-address": f"127.0.0.1:{self.ports[index]}",
            "dfs.journalnode.http-address": f"127.0.0.1:{self.ports[3 + index]}",
            "dfs.journalnode.edits.dir": f"{self.root}/jn{index}",
            "dfs.journalnode.sync.interval": "50",
            **{f"dfs.journalnode.{key.replace('_', '.')}": value for key, value in other.items()},
        }
        return JournalNodeSettings.from_configuration(Configuration.parse([], keys))

    async def start(self, index: int, **other: str) -> None:
        self.nodes[index] = JournalNodeDaemon(self.settings(index, **other), World())
        await self.nodes[index].startup()

    async def stop(self) -> None:
        for node in self.nodes.values():
            await node.shutdown()

    def current(self, index: int) -> Path:
        return self.root / f"jn{index}/ns1/current"

    def segments(self, index: int) -> dict[str, bytes]:
        return {p.name: p.read_bytes() for p in self.current(index).glob("edits_*")}

    def journal(self, index: int) -> Any:
        return self.nodes[index].node.journal("ns1")

    async def ask(self, index: int, method: str, request: Any) -> Any:
        world = World()
        address = Address("127.0.0.1", self.ports[index])
        client = RpcClient(world.network, address, QJOURNAL_PROTOCOL, user="t", dice=world.dice)
        try:
            return await client.call(method, request, deadline_ms=20_000)
        finally:
            await client.close()


def play(root: Path, story: Callable[[Rig], Awaitable[None]]) -> None:
    async def run() -> None:
        rig = Rig(root)
        try:
            await story(rig)
        finally:
            await rig.stop()

    asyncio.run(run())


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not holds():  # noqa: ASYNC110 - what is waited for has no event of its own
            await asyncio.sleep(0.02)


def new_epoch(epoch: int) -> qjournal.NewEpochRequestProto:
    return qjournal.NewEpochRequestProto(
        jid={"identifier": "ns1"},
        epoch=epoch,
        nsInfo={
            "buildVersion": "",
            "unused": 0,
            "blockPoolID": "BP",
            "softwareVersion": "3.4.1",
            "storageInfo": {
                "layoutVersion": 4294967229,
                "namespceID": 4711,
                "clusterID": "CID-a",
                "cTime": 1700000000000,
            },
        },
    )


def test_what_was_missed_is_fetched_and_stale_halves_give_way(tmp_path: Path) -> None:
    async def story(rig: Rig) -> None:
        await rig.furnish(0, *written(1, 5), *written(6, 9), *written(10, 12, finalize=False))
        await rig.furnish(1, *written(1, 5))
        await rig.furnish(2, *written(1, 5), *written(6, 7, finalize=False))
        for index in range(3):
            await rig.start(index)
        name = "edits_0000000000000000006-0000000000000000009"
        await until(lambda: all(name in rig.segments(index) for index in (1, 2)))
        await until(lambda: rig.journal(2).sync_status.segments_synced == 1)
        for index in (1, 2):
            segments = rig.segments(index)
            assert segments[name] == rig.segments(0)[name]
            assert "edits_inprogress_0000000000000000006" not in segments
            assert rig.journal(index).acceptor.state.segments[6] == Segment(TxId(6), TxId(9), True)
            # What is in progress elsewhere is not decided: it is left to recovery.
            assert 10 not in rig.journal(index).acceptor.state.segments
        assert "edits_inprogress_0000000000000000006.stale" in rig.segments(2)
        assert not (tmp_path / "jn1/ns1/edits.sync").exists()

    play(tmp_path, story)


def test_a_damaged_copy_is_refused_and_another_one_taken(tmp_path: Path) -> None:
    async def story(rig: Rig) -> None:
        for index in (0, 1):
            await rig.furnish(index, *written(1, 5))
        await rig.furnish(2)
        name = "edits_0000000000000000001-0000000000000000005"
        whole = rig.segments(1)[name]
        (rig.current(0) / name).write_bytes(whole[:40] + b"\0" + whole[41:])
        for index in range(3):
            await rig.start(index)
        await until(lambda: rig.journal(2).sync_status.segments_synced == 1)
        assert rig.segments(2)[name] == whole

    play(tmp_path, story)


def test_nothing_damaged_is_ever_put_in_place(tmp_path: Path) -> None:
    async def story(rig: Rig) -> None:
        for index in (0, 1):
            await rig.furnish(index, *written(1, 5))
            name = "edits_0000000000000000001-0000000000000000005"
            whole = rig.segments(index)[name]
            damaged = whole[:-1] if index else whole + b"garbage"
            (rig.current(index) / name).write_bytes(damaged)
        await rig.furnish(2)
        for index in range(3):
            await rig.start(index)
        await until(lambda: rig.journal(2).sync_status.rounds >= 2)
        assert rig.segments(2) == {}
        assert rig.journal(2).acceptor.state.segments == {}

    play(tmp_path, story)


def test_sync_can_be_switched_off(tmp_path: Path) -> None:
    async def story(rig: Rig) -> None:
        await rig.furnish(0, *written(1, 5))
        await rig.furnish(1)
        await rig.start(0)
        await rig.start(1, enable_sync="false")
        await until(lambda: rig.journal(0).sync_status.rounds >= 2)
        assert rig.journal(1).sync_status.rounds == 0
        assert rig.segments(1) == {}

    play(tmp_path, story)


def test_an_empty_journal_formats_itself_and_votes_when_it_has_caught_up(tmp_path: Path) -> None:
    async def story(rig: Rig) -> None:
        await rig.furnish(0, PersistPromise(Epoch(7)), *written(1, 5))
        await rig.furnish(
            1, PersistPromise(Epoch(6)), *written(1, 5), *written(6, 8, finalize=False)
        )
        await rig.start(2, enable_sync_format="true")
        await rig.start(0)
        # One of two is not enough: the other may know of more.
        await asyncio.sleep(0.3)
        assert not rig.current(2).exists()
        await rig.start(1)
        await until(lambda: bool(rig.current(2).exists() and rig.segments(2)))
        assert rig.segments(2) == rig.segments(0)
        state = rig.journal(2).acceptor.state
        assert state.storage == STORAGE
        assert state.promised == 7
        assert (rig.current(2) / "last-promised-epoch").read_bytes() == b"7\n"
        # 6..8 may be committed, with the vote that this journal has forgotten.
        with pytest.raises(IOFault, match="takes no part in a recovery"):
            await rig.ask(2, "newEpoch", new_epoch(8))
        assert (rig.current(2) / "last-promised-epoch").read_bytes() == b"7\n"
        for index in (0, 1):
            await rig.ask(index, "newEpoch", new_epoch(8))
        await _finish_6_to_8(rig)
        await until(lambda: state.learn_until is None)
        assert not (rig.current(2) / "learning-until").exists()
        await rig.ask(2, "newEpoch", new_epoch(9))

    async def _finish_6_to_8(rig: Rig) -> None:
        info = {"journalId": {"identifier": "ns1"}, "epoch": 8}
        accept = qjournal.AcceptRecoveryRequestProto(
            reqInfo={**info, "ipcSerialNumber": 1},
            stateToAccept={"startTxId": 6, "endTxId": 8, "isInProgress": True},
            fromURL=f"http://127.0.0.1:{rig.ports[4]}/getJournal?jid=ns1&segmentTxId=6",
        )
        finish = qjournal.FinalizeLogSegmentRequestProto(
            reqInfo={**info, "ipcSerialNumber": 2}, startTxId=6, endTxId=8
        )
        for index in (0, 1):
            await rig.ask(index, "acceptRecovery", accept)
            await rig.ask(index, "finalizeLogSegment", finish)

    play(tmp_path, story)


def test_learning_survives_a_restart(tmp_path: Path) -> None:
    async def story(rig: Rig) -> None:
        await rig.furnish(0)
        store_root = tmp_path / "jn2/ns1"
        http: Any = None
        store = JournalStore(str(store_root), disk=RealDisk(), http=http, clock=RealClock())
        await store.execute(Format(STORAGE, Epoch(4), TxId(9)))
        store.close()
        await rig.start(2)
        with pytest.raises(IOFault, match="up to txid 9"):
            await rig.ask(2, "newEpoch", new_epoch(5))

    play(tmp_path, story)


def test_without_the_key_an_empty_journal_waits_for_a_namenode(tmp_path: Path) -> None:
    async def story(rig: Rig) -> None:
        for index in (0, 1):
            await rig.furnish(index, *written(1, 5))
            await rig.start(index)
        await rig.start(2)
        await until(lambda: rig.journal(0).sync_status.rounds >= 3)
        assert not rig.current(2).exists()

    play(tmp_path, story)


def test_a_journal_of_another_namespace_gives_nothing(tmp_path: Path) -> None:
    async def story(rig: Rig) -> None:
        await rig.furnish(0, *written(1, 5))
        await rig.furnish(1, Format(StorageInfo(-67, 99, 1, "CID-b")))
        await rig.start(0)
        await rig.start(1)
        await until(lambda: rig.journal(1).sync_status.rounds >= 2)
        assert rig.segments(1) == {}

    play(tmp_path, story)


def test_divergence_is_told(tmp_path: Path) -> None:
    async def story(rig: Rig) -> None:
        await rig.furnish(0, *written(1, 5))
        await rig.furnish(1, *written(1, 6))
        await rig.start(0)
        await rig.start(1)
        await until(lambda: bool(rig.journal(1).sync_status.divergent))
        (cause,) = rig.journal(1).sync_status.divergent
        assert f"1..5 on 127.0.0.1:{rig.ports[0]} overlaps ours, 1..6" in cause

    play(tmp_path, story)


def test_who_a_peer_is_without_the_newer_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hadoop before 3.5 tells it in its refusal of a foreigner; ours words it alike."""

    async def story(rig: Rig) -> None:
        await rig.furnish(0, PersistPromise(Epoch(3)), *written(1, 5))
        await rig.start(0)
        world = World()
        peer = Peer(
            Address("127.0.0.1", rig.ports[0]),
            "ns1",
            network=world.network,
            http=world.http_client,
            dice=world.dice,
            user="t",
            timeout_ms=20_000,
        )
        known = await peer.identify()
        assert (known.storage, known.promised, known.highest_txid) == (STORAGE, 3, 5)

        async def not_there(method: str, *_: Any, **more: Any) -> Any:
            if method == "getStorageInfo":
                raise NoSuchMethod("Unknown method getStorageInfo")
            return await call(method, *_, **more)

        call = peer._inter.call
        monkeypatch.setattr(peer._inter, "call", not_there)
        assert await peer.identify() == known
        await peer.close()
        await world.http_client.close()

    play(tmp_path, story)


def test_an_unformatted_peer_says_so(tmp_path: Path) -> None:
    async def story(rig: Rig) -> None:
        await rig.start(0)
        world = World()
        peer = Peer(
            Address("127.0.0.1", rig.ports[0]),
            "ns1",
            network=world.network,
            http=world.http_client,
            dice=world.dice,
            user="t",
            timeout_ms=20_000,
        )
        with pytest.raises(RemoteFault, match="not formatted"):
            await peer.identify()
        await peer.close()
        await world.http_client.close()

    play(tmp_path, story)
