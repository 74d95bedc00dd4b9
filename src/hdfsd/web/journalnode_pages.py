"""Driver. /jmx and /metrics of a JournalNode: how far behind each journal is, and whom it obeys.

Beans and attributes are Hadoop's JournalNodeInfo and JournalMetrics; what Hadoop has not (the lag
in time, divergent segments, learning) stands in a bean of our own, and in /metrics for Prometheus.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from hdfsd import __version__
from hdfsd.journal.journal import Journal
from hdfsd.journal.metrics import BOUNDS_MICROS
from hdfsd.journal.node import JournalNode
from hdfsd.ports.clock import Clock
from hdfsd.ports.http import HttpRequest, HttpResponse

JMX = "/jmx"
METRICS = "/metrics"
UNKNOWN = -1
"""Hadoop's value of what an unformatted journal does not have."""

GAUGES: Mapping[str, tuple[str, str]] = {
    "LastWrittenTxId": ("last_written_txid", "The last transaction that is durable here"),
    "CommittedTxId": ("committed_txid", "The last transaction known to be on a majority"),
    "CurrentLagTxns": ("lag_txns", "Committed transactions that are not durable here"),
    "CurrentLagMillis": ("lag_milliseconds", "For how long some have been missing"),
    "LastPromisedEpoch": ("last_promised_epoch", "Nothing older than this epoch is obeyed"),
    "LastWriterEpoch": ("last_writer_epoch", "The epoch that wrote the newest segment"),
    "Formatted": ("formatted", "1 when the journal is formatted"),
    "Learning": ("learning", "1 while it was formatted from its peers and does not vote yet"),
    "DivergentSegments": ("divergent_segments", "Finalized segments that peers hold otherwise"),
    "SyncRounds": ("sync_rounds", "Rounds of the syncer that asked its peers"),
}
COUNTERS: Mapping[str, tuple[str, str]] = {
    "BatchesWritten": ("batches_written", "Batches written"),
    "BatchesWrittenWhileLagging": ("batches_written_while_lagging", "Of them, already committed"),
    "TxnsWritten": ("transactions_written", "Transactions written"),
    "BytesWritten": ("bytes_written", "Bytes of edits written"),
    "TxnsServedViaRpc": ("transactions_served", "Transactions given to tailers from memory"),
    "RpcRequestCacheMissAmountNumMisses": ("cache_misses", "Requests of tailers below the cache"),
    "NumEditLogsSynced": ("segments_synced", "Segments fetched from peers"),
}


class JournalNodePages:
    """Answers for the paths of PAGES."""

    def __init__(self, node: JournalNode, clock: Clock) -> None:
        self._node = node
        self._clock = clock
        self._registry = CollectorRegistry()
        self._registry.register(_Collected(node, clock))

    def jmx(self, request: HttpRequest) -> HttpResponse:
        """All beans, or with `qry` those whose name matches."""
        beans, wanted = self.beans(), request.query.get("qry")
        if wanted is not None:
            beans = [bean for bean in beans if fnmatchcase(bean["name"], wanted)]
        content = {"Content-Type": "application/json; charset=utf8"}
        return HttpResponse(200, content, json.dumps({"beans": beans}, indent=2).encode())

    def metrics(self, request: HttpRequest) -> HttpResponse:
        """The text format of Prometheus."""
        content = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        return HttpResponse(200, content, generate_latest(self._registry))

    def beans(self) -> list[dict[str, Any]]:
        journals, now_ms = self._node.journals(), self._clock.now_ms()
        beans = [self._info(journals)]
        for journal_id, journal in journals.items():
            name = f"Journal-{journal_id}"
            beans.append(
                {
                    "name": f"Hadoop:service=JournalNode,name={name}",
                    "modelerType": name,
                    "tag.Context": "dfs",
                    "tag.JournalId": journal_id,
                    **_hadoops(journal, now_ms),
                }
            )
            beans.append(
                {
                    "name": f"hdfsd:service=JournalNode,name={name}",
                    **_ours(journal),
                    "Divergent": list(journal.sync_status.divergent),
                }
            )
        return beans

    def _info(self, journals: Mapping[str, Journal]) -> dict[str, Any]:
        known = [
            storage
            for journal in journals.values()
            if journal.is_open and (storage := journal.acceptor.state.storage) is not None
        ]
        status = {name: {"Formatted": _formatted_text(journals[name])} for name in journals}
        return {
            "name": "Hadoop:service=JournalNode,name=JournalNodeInfo",
            "modelerType": "org.apache.hadoop.hdfs.qjournal.server.JournalNode",
            "Version": f"hdfsd {__version__}",
            "JournalsStatus": json.dumps(status, separators=(",", ":")),
            "HostAndPort": str(self._node.rpc_address),
            "ClusterIds": [storage.cluster_id for storage in known],
            "JNStartedTimeInMillis": self._node.started_wall_ms,
            "StorageInfos": [
                f"{{ClusterId={s.cluster_id}, CreationTime={s.ctime_ms},"
                f" NamespaceId={s.namespace_id}, LayoutVersion={s.layout_version}}}"
                for s in known
            ],
        }


def _formatted_text(journal: Journal) -> str:
    if not journal.is_open:
        return "unknown"
    return str(journal.acceptor.state.storage is not None).lower()


def _hadoops(journal: Journal, now_ms: int) -> dict[str, int | float]:
    """What Hadoop's bean of a journal has."""
    attributes = journal.metrics.attributes(now_ms)
    attributes["NumEditLogsSynced"] = journal.sync_status.segments_synced
    formatted = journal.is_open and journal.acceptor.state.storage is not None
    state = journal.acceptor.state if formatted else None
    return attributes | {
        "LastWrittenTxId": journal.acceptor.durable_txid if formatted else 0,
        "LastPromisedEpoch": UNKNOWN if state is None else state.promised,
        "LastWriterEpoch": UNKNOWN if state is None else state.writer_epoch,
        "CurrentLagTxns": journal.lag_txns if formatted else UNKNOWN,
    }


def _ours(journal: Journal) -> dict[str, int]:
    """What Hadoop's bean has not."""
    status = journal.sync_status
    state = journal.acceptor.state if journal.is_open else None
    return {
        "Formatted": int(state is not None and state.storage is not None),
        "Learning": int(state is not None and state.learn_until is not None),
        "CommittedTxId": UNKNOWN if state is None else max(state.committed, status.peers_committed),
        "CurrentLagMillis": journal.lag_ms,
        "DivergentSegments": len(status.divergent),
        "SyncRounds": status.rounds,
    }


class _Collected(Collector):
    """Asked at each scrape."""

    def __init__(self, node: JournalNode, clock: Clock) -> None:
        self._node = node
        self._clock = clock

    def collect(self) -> Iterator[Metric]:
        journals, now_ms = self._node.journals(), self._clock.now_ms()
        rows = {name: _hadoops(j, now_ms) | _ours(j) for name, j in journals.items()}
        for kind, table in ((GaugeMetricFamily, GAUGES), (CounterMetricFamily, COUNTERS)):
            for key, (name, text) in table.items():
                family = kind(f"hdfsd_journal_{name}", text, labels=["journal"])
                for journal_id, row in rows.items():
                    family.add_metric([journal_id], row[key])
                yield family
        yield self._syncs(journals)

    def _syncs(self, journals: Mapping[str, Journal]) -> Metric:
        family = HistogramMetricFamily(
            "hdfsd_journal_sync_seconds", "How long an fsync of edits takes", labels=["journal"]
        )
        for journal_id, journal in journals.items():
            buckets, total = [], 0
            for bound, count in zip(BOUNDS_MICROS, journal.metrics.sync_counts, strict=False):
                total += count
                buckets.append((str(bound / 1e6), float(total)))
            buckets.append(("+Inf", float(journal.metrics.syncs)))
            family.add_metric([journal_id], buckets, journal.metrics.syncs_micros / 1e6)
        return family
