"""Data. How a client finds the NameNode to ask: Hadoop's proxy providers, by the names of their
classes (`dfs.client.failover.proxy.provider.<nameservice>`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from hdfsd.base.config import Configuration
from hdfsd.base.errors import NotBuilt

PACKAGE = "org.apache.hadoop.hdfs.server.namenode.ha"
KEY = "dfs.client.failover.proxy.provider"
OBSERVER_KEYS = "dfs.client.failover.observer"
STATE_PROBE_TIMEOUT_KEY = "dfs.client.failover.namenode.ha-state.probe.timeout"


class Search(Enum):
    """How the active NameNode is found."""

    IN_TURN = f"{PACKAGE}.ConfiguredFailoverProxyProvider"
    """The next one when the one that was asked is not it."""
    HEDGED = f"{PACKAGE}.RequestHedgingProxyProvider"
    """All are asked; the first that answers is it, until it fails."""
    READING_OBSERVERS = f"{PACKAGE}.ObserverReadProxyProvider"
    """In turn for writes; reads go to an observer where there is one."""
    BY_ADDRESS = f"{PACKAGE}.IPFailoverProxyProvider"
    """One address, which somebody moves from one NameNode to the other."""


SEARCHES: Mapping[str, Search] = {search.value: search for search in Search}
NAMES = ", ".join(search.value.rpartition(".")[2] for search in Search)


@dataclass(frozen=True, slots=True)
class ProxyProvider:
    """The choice for one nameservice, and the limits of reading from observers."""

    search: Search = Search.IN_TURN
    auto_msync_ms: int = -1
    """A read may show what is older than this; 0: never, each asks the active first; below 0: what
    this client has seen itself is new enough."""
    observer_probe_ms: int = 600_000
    """When there was no observer, nobody looks for one again before this time."""
    state_probe_timeout_ms: int = 0
    """For the question what a NameNode is; 0: the time-out of any call."""
    random_order: bool = False
    """Each client begins with an observer of its own choice, not all with the first."""


def provider_of(conf: Configuration, nameservice: str) -> ProxyProvider:
    """What is configured for a nameservice, or for a host that stands in its place.

    Raises NotBuilt for a class that is none of ours."""
    key = f"{KEY}.{nameservice}"
    name = conf.get(key) or Search.IN_TURN.value
    search = SEARCHES.get(name)
    if search is None:
        raise NotBuilt(
            f"{key}={name!r} ({conf.source(key)}): no such proxy provider in hdfsd: write one of"
            f" {NAMES}, each with {PACKAGE}. in front"
        )
    return ProxyProvider(
        search=search,
        auto_msync_ms=conf.get_duration_ms(
            f"{OBSERVER_KEYS}.auto-msync-period.{nameservice}", default=-1
        ),
        observer_probe_ms=conf.get_duration_ms(f"{OBSERVER_KEYS}.probe.retry.period"),
        state_probe_timeout_ms=conf.get_duration_ms(STATE_PROBE_TIMEOUT_KEY),
        random_order=conf.get_bool("dfs.client.failover.random.order"),
    )
