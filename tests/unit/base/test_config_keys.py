"""The tables of keys."""

from __future__ import annotations

from hdfsd.base.config import Configuration
from hdfsd.base.config_keys import DEFAULTS, DEPRECATED


def test_present_names_are_not_deprecated() -> None:
    assert not set(DEPRECATED.values()) & set(DEPRECATED)
    assert not set(DEFAULTS) & set(DEPRECATED)


def test_defaults_that_people_rely_on() -> None:
    conf = Configuration.parse([])
    expected = {
        "dfs.blocksize": "134217728",
        "dfs.replication": "3",
        "dfs.heartbeat.interval": "3",
        "ha.zookeeper.parent-znode": "/hadoop-ha",
        "dfs.permissions.superusergroup": "supergroup",
        "dfs.namenode.name.dir": "file:///tmp/hadoop-hdfs/dfs/name",
    }
    assert {key: conf.get(key) for key in expected} == expected


def test_every_default_can_be_substituted() -> None:
    conf = Configuration.parse([])
    assert all("${" not in (conf.get(key) or "") for key in DEFAULTS)
