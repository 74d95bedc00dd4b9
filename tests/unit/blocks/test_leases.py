from __future__ import annotations

import pytest

from hdfsd.blocks.leases import NO_LEASE, ReportLeases
from hdfsd.blocks.settings import BlockSettings


@pytest.fixture
def leases(worlds):
    return ReportLeases(BlockSettings(report_leases=2, report_lease_ms=100), worlds.Dice())


def test_only_so_many_at_a_time(leases):
    first, second = leases.request("a", 0), leases.request("b", 0)
    assert first != second
    assert NO_LEASE not in (first, second)
    assert leases.request("c", 0) == NO_LEASE
    leases.release("a")
    assert leases.request("c", 0) != NO_LEASE


def test_a_lease_is_valid_for_its_node_until_it_ends(leases):
    lease = leases.request("a", 0)
    assert leases.valid("a", lease, 99)
    assert not leases.valid("b", lease, 99)
    assert not leases.valid("a", lease + 1, 99)
    assert not leases.valid("a", lease, 100)
    assert leases.request("b", 100) != NO_LEASE
    assert leases.request("c", 100) != NO_LEASE


def test_asking_again_replaces_the_old_lease(leases):
    old = leases.request("a", 0)
    new = leases.request("a", 0)
    assert not leases.valid("a", old, 1)
    assert leases.valid("a", new, 1)


def test_a_report_without_lease_is_taken(leases):
    assert leases.valid("nobody", NO_LEASE, 0)


def test_no_limit(worlds):
    leases = ReportLeases(BlockSettings(report_leases=0), worlds.Dice())
    assert all(leases.request(str(number), 0) for number in range(50))
