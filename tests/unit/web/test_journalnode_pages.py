"""/jmx and /metrics of a JournalNode: Hadoop's names, and a lag that shows and goes."""

from __future__ import annotations

import asyncio
import json
import struct
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from hdfsd.base.ids import Address, Epoch, StorageInfo, TxId
from hdfsd.io.disk import RealDisk
from hdfsd.journal.acceptor import AdoptStorage
from hdfsd.journal.node import JournalNode
from hdfsd.ports.http import HttpRequest
from hdfsd.web.edits_transfer import EditsTransfer
from hdfsd.wire.messages import Message, qjournal

# What Hadoop 3.4.1 shows under /jmx, recorded, without the name of the machine.
HADOOPS_ATTRIBUTES = {
    "name",
    "modelerType",
    "tag.Context",
    "tag.JournalId",
    *(
        f"Syncs{window}s{what}"
        for window in (60, 300, 3600)
        for what in (
            "NumOps",
            *(f"{percent}thPercentileLatencyMicros" for percent in (50, 75, 90, 95, 99)),
        )
    ),
    "RpcRequestCacheMissAmountNumMisses",
    "RpcRequestCacheMissAmountAvgTxns",
    "BatchesWritten",
    "BatchesWrittenWhileLagging",
    "BytesServedViaRpc",
    "BytesWritten",
    "NumEditLogsSynced",
    "RpcEmptyResponses",
    "TxnsServedViaRpc",
    "TxnsWritten",
    "LastWrittenTxId",
    "LastPromisedEpoch",
    "LastWriterEpoch",
    "LastJournalTimestamp",
    "CurrentLagTxns",
}


class HandClock:
    """Stands until it is moved."""

    def __init__(self) -> None:
        self.ms = 1000

    def now_ms(self) -> int:
        return self.ms

    def wall_ms(self) -> int:
        return self.ms + 1_700_000_000_000


async def nothing() -> AsyncIterator[bytes]:
    return
    yield b""


def frames(first: int, last: int) -> bytes:
    heads = [struct.pack(">BIq", 24, 12, txid) for txid in range(first, last + 1)]
    return b"".join(head + struct.pack(">I", zlib.crc32(head)) for head in heads)


class Rig:
    def __init__(self, root: Path) -> None:
        http: Any = None
        self.clock = HandClock()
        self.node = JournalNode(
            lambda journal_id: str(root), disk=RealDisk(), http=http, clock=self.clock
        )
        self.node.rpc_address = Address("jn1", 8485)
        self.http = EditsTransfer(self.node, self.clock)
        self.serial = 0

    async def page(self, path: str, **query: str) -> str:
        response = await self.http.handle(HttpRequest("GET", path, query, {}, nothing()))
        assert response.status == 200
        assert isinstance(response.body, bytes)
        return response.body.decode()

    async def beans(self, **query: str) -> dict[str, dict[str, Any]]:
        found = json.loads(await self.page("/jmx", **query))["beans"]
        return {bean["name"]: bean for bean in found}

    async def gauge(self, name: str) -> float:
        text = await self.page("/metrics")
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name == f"hdfsd_journal_{name}" and sample.labels == {"journal": "ns"}:
                    return sample.value
        raise AssertionError(f"no {name}")

    async def format(self) -> None:
        journal = self.node.keep(self.node.journal("ns"))
        adopt = AdoptStorage(StorageInfo(-67, 7, 1234, "CID-a"), Epoch(0), None)
        await journal.perform("adopt_storage", adopt)

    async def send(self, method: str, kind: Callable[..., Message], **fields: Any) -> None:
        self.serial += 1
        info = {"journalId": {"identifier": "ns"}, "epoch": 3, "ipcSerialNumber": self.serial}
        if "committed" in fields:
            info["committedTxId"] = fields.pop("committed")
        await self.node.journal("ns").perform(method, kind(reqInfo=info, **fields))

    async def write(self, first: int, last: int, **more: int) -> None:
        await self.send(
            "journal",
            qjournal.JournalRequestProto,
            firstTxnId=first,
            numTxns=last - first + 1,
            records=frames(first, last),
            segmentTxnId=1,
            **more,
        )


def play(root: Path, story: Callable[[Rig], Awaitable[None]]) -> None:
    async def run() -> None:
        rig = Rig(root)
        try:
            await story(rig)
        finally:
            await rig.node.close()

    asyncio.run(run())


def test_the_beans_of_hadoop(tmp_path: Path) -> None:
    async def story(rig: Rig) -> None:
        await rig.format()
        await rig.send("start_log_segment", qjournal.StartLogSegmentRequestProto, txid=1)
        await rig.write(1, 5)
        await rig.write(6, 9)
        beans = await rig.beans()
        info = beans["Hadoop:service=JournalNode,name=JournalNodeInfo"]
        assert json.loads(info["JournalsStatus"]) == {"ns": {"Formatted": "true"}}
        assert info["HostAndPort"] == "jn1:8485"
        assert info["ClusterIds"] == ["CID-a"]
        assert info["JNStartedTimeInMillis"] == 1_700_000_001_000
        assert info["StorageInfos"] == [
            "{ClusterId=CID-a, CreationTime=1234, NamespaceId=7, LayoutVersion=-67}"
        ]
        journal = beans["Hadoop:service=JournalNode,name=Journal-ns"]
        assert set(journal) == HADOOPS_ATTRIBUTES
        assert (journal["LastPromisedEpoch"], journal["LastWriterEpoch"]) == (3, 3)
        assert (journal["LastWrittenTxId"], journal["CurrentLagTxns"]) == (9, 0)
        assert (journal["BatchesWritten"], journal["TxnsWritten"]) == (2, 9)
        assert journal["BytesWritten"] == 9 * 17
        assert journal["LastJournalTimestamp"] == 1_700_000_001_000
        rig.clock.ms += 60_000
        one = await rig.beans(qry="Hadoop:service=JournalNode,name=Journal-*")
        assert list(one) == ["Hadoop:service=JournalNode,name=Journal-ns"]
        assert one["Hadoop:service=JournalNode,name=Journal-ns"]["Syncs60sNumOps"] == 2

    play(tmp_path, story)


def test_a_lag_shows_in_transactions_and_in_time_and_goes(tmp_path: Path) -> None:
    async def story(rig: Rig) -> None:
        await rig.format()
        await rig.send("start_log_segment", qjournal.StartLogSegmentRequestProto, txid=1)
        await rig.write(1, 5)
        assert await rig.gauge("lag_txns") == 0
        assert await rig.gauge("lag_milliseconds") == 0
        # The writer gave up on us: it tells only what the others have.
        await rig.send("heartbeat", qjournal.HeartbeatRequestProto, committed=12)
        rig.clock.ms += 700
        await rig.send("heartbeat", qjournal.HeartbeatRequestProto, committed=13)
        assert await rig.gauge("lag_txns") == 8
        assert await rig.gauge("lag_milliseconds") == 700
        assert await rig.gauge("committed_txid") == 13
        await rig.write(6, 14)
        assert await rig.gauge("batches_written_while_lagging_total") == 0
        assert await rig.gauge("lag_txns") == 0
        assert await rig.gauge("lag_milliseconds") == 0
        # What a peer knows to be committed counts as well.
        journal = rig.node.journal("ns")
        journal.sync_status.peers_committed = TxId(20)
        journal.note_lag()
        rig.clock.ms += 5
        assert await rig.gauge("lag_txns") == 6
        assert await rig.gauge("lag_milliseconds") == 5

    play(tmp_path, story)


def test_metrics_of_epochs_divergence_and_syncs(tmp_path: Path) -> None:
    async def story(rig: Rig) -> None:
        await rig.format()
        await rig.send("start_log_segment", qjournal.StartLogSegmentRequestProto, txid=1)
        await rig.write(1, 5)
        journal = rig.node.journal("ns")
        journal.sync_status.divergent = ("segment 1 is two things",)
        journal.sync_status.segments_synced = 4
        for name, value in (
            ("last_promised_epoch", 3),
            ("last_writer_epoch", 3),
            ("last_written_txid", 5),
            ("formatted", 1),
            ("learning", 0),
            ("divergent_segments", 1),
            ("segments_synced_total", 4),
            ("transactions_written_total", 5),
            ("sync_seconds_count", 1),
        ):
            assert await rig.gauge(name) == value
        bean = (await rig.beans())["hdfsd:service=JournalNode,name=Journal-ns"]
        assert bean["Divergent"] == ["segment 1 is two things"]

    play(tmp_path, story)


def test_a_journal_that_is_not_formatted(tmp_path: Path) -> None:
    async def story(rig: Rig) -> None:
        journal = rig.node.keep(rig.node.journal("ns"))
        for status in ("unknown", "false"):
            beans = await rig.beans()
            info = beans["Hadoop:service=JournalNode,name=JournalNodeInfo"]
            assert json.loads(info["JournalsStatus"]) == {"ns": {"Formatted": status}}
            bean = beans["Hadoop:service=JournalNode,name=Journal-ns"]
            # As Hadoop's.
            assert (bean["LastPromisedEpoch"], bean["CurrentLagTxns"]) == (-1, -1)
            assert await rig.gauge("formatted") == 0
            await journal.open()

    play(tmp_path, story)
