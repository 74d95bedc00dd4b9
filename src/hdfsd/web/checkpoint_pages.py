"""Driver. What /jmx and /metrics of a NameNode say of its images: saved, given away, received.

The names of Hadoop's attributes are Hadoop's (FSNamesystem); the rest stands in a bean of our own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from hdfsd.namenode.lifecycle import Lifecycle
from hdfsd.namenode.state import NameNodeState
from hdfsd.namenode.storage import NameStorage
from hdfsd.ports.disk import Disk
from hdfsd.standby.checkpointer import LastSave
from hdfsd.standby.checkpoints import Receiver
from hdfsd.web.image_transfer import ImageTransfer, ReceivedImage

BEAN = "hdfsd:service=NameNode,name=Checkpoints"
LAST_TIME, SINCE_LAST = "LastCheckpointTime", "TransactionsSinceLastCheckpoint"


class CheckpointPages(Collector):
    """Looks when it is asked."""

    def __init__(
        self,
        *,
        state: NameNodeState,
        storage: NameStorage,
        lifecycle: Lifecycle,
        transfer: ImageTransfer,
        disk: Disk,
    ) -> None:
        self._state = state
        self._storage = storage
        self._lifecycle = lifecycle
        self._transfer = transfer
        self._disk = disk

    def of_hadoop(self) -> dict[str, int]:
        """Attributes of the bean FSNamesystem: the newest image, and what came after it."""
        images = self._storage.images()
        if not images:
            return {LAST_TIME: 0, SINCE_LAST: self._state.applied_txid}
        return {
            LAST_TIME: self._disk.mtime_ms(images[0].path),
            SINCE_LAST: self._state.applied_txid - images[0].txid,
        }

    def bean(self) -> dict[str, Any]:
        made, transfer = self._lifecycle.checkpointer, self._transfer
        return {
            "name": BEAN,
            "LastCheckpointTxId": self._storage.newest_image_txid() or 0,
            **self.of_hadoop(),
            "LastSave": _save_row(made.last_save) if made is not None else None,
            "SavesFailed": made.saves_failed if made is not None else 0,
            "LastFailure": made.failure if made is not None else "",
            "Receivers": [_receiver_row(row) for row in self._receivers()],
            "LastReceived": _received_row(transfer.last_received),
            "UploadsRefused": {str(status): count for status, count in transfer.refused.items()},
            "UploadsBroken": transfer.broken,
        }

    def _receivers(self) -> tuple[Receiver, ...]:
        made = self._lifecycle.checkpointer
        return tuple(made.receivers) if made is not None else ()

    def collect(self) -> Iterator[Metric]:
        """For Prometheus."""
        made, hadoops = self._lifecycle.checkpointer, self.of_hadoop()
        name = "hdfsd_namenode_checkpoint"
        yield GaugeMetricFamily(
            f"{name}_txid", "Newest image", value=self._storage.newest_image_txid() or 0
        )
        yield GaugeMetricFamily(
            f"{name}_time_seconds", "When it was made", value=hadoops[LAST_TIME] / 1000
        )
        yield GaugeMetricFamily(
            f"{name}_transactions_since", "Transactions after it", value=hadoops[SINCE_LAST]
        )
        if made is not None:
            if made.last_save is not None:
                took_s = made.last_save.took_ms / 1000
                yield GaugeMetricFamily(f"{name}_save_seconds", "Last save took", value=took_s)
            yield CounterMetricFamily(
                f"{name}_saves_failed", "Saves that failed", value=made.saves_failed
            )
        yield from self._of_receivers(name)
        refused = CounterMetricFamily(
            f"{name}_uploads_refused", "Uploads not taken, by status", labels=["status"]
        )
        for status, count in self._transfer.refused.items():
            refused.add_metric([str(status)], count)
        yield refused
        yield CounterMetricFamily(
            f"{name}_uploads_broken", "Uploads that broke off", value=self._transfer.broken
        )

    def _of_receivers(self, name: str) -> Iterator[Metric]:
        taken = GaugeMetricFamily(
            f"{name}_taken_txid", "Newest image of ours that a peer took", labels=["namenode"]
        )
        failures = GaugeMetricFamily(
            f"{name}_upload_failures", "Uploads to a peer that failed in a row", labels=["namenode"]
        )
        for row in self._receivers():
            taken.add_metric([str(row.peer)], row.taken_txid or 0)
            failures.add_metric([str(row.peer)], row.failures)
        yield taken
        yield failures


def _save_row(save: LastSave | None) -> dict[str, Any] | None:
    if save is None:
        return None
    return {
        "TxId": save.txid,
        "Reason": save.reason,
        "Began": save.began_wall_ms,
        "DurationMs": save.took_ms,
        "Bytes": save.size,
    }


def _receiver_row(row: Receiver) -> dict[str, Any]:
    return {
        "NameNode": str(row.peer),
        "Outcome": row.outcome.value if row.outcome is not None else "",
        "Detail": row.detail,
        "TakenTxId": row.taken_txid or 0,
        "OfferedTxId": row.wanted_txid or 0,
        "SendingTxId": row.sending_txid or 0,
        "Primary": row.is_primary,
        "Failures": row.failures,
        "BytesResumed": row.bytes_resumed,
    }


def _received_row(received: ReceivedImage | None) -> dict[str, Any] | None:
    if received is None:
        return None
    return {
        "TxId": received.txid,
        "From": received.peer,
        "Time": received.wall_ms,
        "DurationMs": received.took_ms,
        "Bytes": received.size,
        "BytesResumed": received.bytes_resumed,
    }
