"""Stalls as Prometheus sees them."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest

from hdfsd.base.stalls import Stall, Stalls
from hdfsd.web.loop_pages import LoopPages


def test_metrics() -> None:
    stalls, registry = Stalls(), CollectorRegistry()
    registry.register(LoopPages(stalls))
    for millis in (100, 400):
        stalls.add(Stall("something", millis, 7, 0))
    lines = generate_latest(registry).decode().splitlines()
    assert "hdfsd_namenode_loop_stalls_total 2.0" in lines
    assert "hdfsd_namenode_loop_stall_seconds_total 0.5" in lines
    assert "hdfsd_namenode_loop_stall_seconds_max 0.4" in lines
