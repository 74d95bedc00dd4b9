"""Driver. /metrics of an event loop: what held it up."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from hdfsd.base.stalls import STALL_MS, Stalls

LATE = f"the event loop did not come round for more than {STALL_MS} ms"


class LoopPages(Collector):
    def __init__(self, stalls: Stalls) -> None:
        self._stalls = stalls

    def collect(self) -> Iterator[Metric]:
        stalls = self._stalls
        yield CounterMetricFamily(
            "hdfsd_namenode_loop_stalls", f"How often {LATE}", value=stalls.count
        )
        yield CounterMetricFamily(
            "hdfsd_namenode_loop_stall_seconds", f"How long {LATE}", value=stalls.total_ms / 1000
        )
        yield GaugeMetricFamily(
            "hdfsd_namenode_loop_stall_seconds_max",
            "The longest of these times",
            value=stalls.max_ms / 1000,
        )
