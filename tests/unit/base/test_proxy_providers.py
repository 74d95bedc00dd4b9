"""Hadoop's classes and keys, and what they are here."""

from __future__ import annotations

import pytest

from hdfsd.base.config import Configuration
from hdfsd.base.errors import ConfigError, NotBuilt
from hdfsd.base.proxy_providers import KEY, PACKAGE, ProxyProvider, Search, provider_of


def provider(**values: str) -> ProxyProvider:
    return provider_of(Configuration.parse([], dict(values)), "ns")


@pytest.mark.parametrize(
    ("name", "search"),
    [
        ("ConfiguredFailoverProxyProvider", Search.IN_TURN),
        ("RequestHedgingProxyProvider", Search.HEDGED),
        ("ObserverReadProxyProvider", Search.READING_OBSERVERS),
        ("IPFailoverProxyProvider", Search.BY_ADDRESS),
    ],
)
def test_classes(name: str, search: Search) -> None:
    assert provider(**{f"{KEY}.ns": f"{PACKAGE}.{name}"}).search is search
    assert provider(**{f"{KEY}.other": f"{PACKAGE}.{name}"}).search is Search.IN_TURN


@pytest.mark.parametrize(
    "name", [f"{PACKAGE}.RouterObserverReadProxyProvider", "ConfiguredFailoverProxyProvider", "x"]
)
def test_any_other_class_is_refused_with_its_key_and_what_to_write(name: str) -> None:
    with pytest.raises(NotBuilt) as caught:
        provider(**{f"{KEY}.ns": name})
    for part in (f"{KEY}.ns='{name}'", "-D", "RequestHedgingProxyProvider", PACKAGE):
        assert part in str(caught.value)


def test_limits_of_reading_and_hadoops_defaults() -> None:
    assert provider() == ProxyProvider(random_order=True)
    chosen = provider(
        **{
            "dfs.client.failover.observer.auto-msync-period.ns": "2s",
            "dfs.client.failover.observer.probe.retry.period": "1m",
            "dfs.client.failover.namenode.ha-state.probe.timeout": "300ms",
            "dfs.client.failover.random.order": "false",
        }
    )
    assert chosen == ProxyProvider(Search.IN_TURN, 2_000, 60_000, 300, False)


def test_a_bad_limit_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"probe\.retry\.period"):
        provider(**{"dfs.client.failover.observer.probe.retry.period": "soon"})
