from __future__ import annotations

from pathlib import Path

import pytest

from hdfsd.base.config import Configuration
from hdfsd.base.errors import ConfigError
from hdfsd.base.settings import FailoverSettings
from hdfsd.io.election import coordination_of, host_name
from hdfsd.io.file_lock import FileLockCoordination
from hdfsd.io.zookeeper import ZooKeeperCoordination


def settings(**changes: str) -> FailoverSettings:
    """Keys have `__` for `.`."""
    values = {
        "dfs.nameservices": "ns1",
        "dfs.ha.namenodes.ns1": "nn1,nn2",
        "dfs.ha.namenode.id": "nn1",
        "dfs.namenode.rpc-address.ns1.nn1": "127.0.0.1:8020",
        "dfs.namenode.rpc-address.ns1.nn2": "127.0.0.1:8021",
        **{key.replace("__", "."): value for key, value in changes.items()},
    }
    return FailoverSettings.from_configuration(Configuration.parse([], values), lambda _: True)


def test_zookeeper_at_hadoops_place() -> None:
    lock, directory = coordination_of(settings(ha__zookeeper__quorum="a:1,b:2"))
    assert isinstance(lock, ZooKeeperCoordination)
    assert directory == "/hadoop-ha/ns1"
    other = settings(ha__zookeeper__quorum="a:1", **{"ha__zookeeper__parent-znode": "/x/y/"})
    assert coordination_of(other)[1] == "/x/y/ns1"


def test_the_embedded_lock_counts_when_there_is_no_zookeeper(tmp_path: Path) -> None:
    lock, directory = coordination_of(settings(hdfsd__ha__lock__dir=str(tmp_path)))
    assert isinstance(lock, FileLockCoordination)
    assert directory == str(tmp_path / "ns1")
    both = settings(hdfsd__ha__lock__dir=str(tmp_path), ha__zookeeper__quorum="a:1")
    assert isinstance(coordination_of(both)[0], ZooKeeperCoordination)


def test_neither() -> None:
    with pytest.raises(ConfigError, match=r"ha\.zookeeper\.quorum nor hdfsd\.ha\.lock\.dir"):
        coordination_of(settings())


def test_secrets_can_be_in_files(tmp_path: Path) -> None:
    (tmp_path / "auth").write_text("digest:hdfs:secret\n")
    (tmp_path / "bad").write_text("secret\n")
    found = settings(ha__zookeeper__quorum="a:1", ha__zookeeper__auth=f"@{tmp_path}/auth")
    assert coordination_of(found)[0]
    bad = settings(ha__zookeeper__quorum="a:1", ha__zookeeper__auth=f"@{tmp_path}/bad")
    with pytest.raises(ConfigError, match="entry 1"):
        coordination_of(bad)
    missing = settings(ha__zookeeper__quorum="a:1", ha__zookeeper__acl=f"@{tmp_path}/missing")
    with pytest.raises(ConfigError, match="missing"):
        coordination_of(missing)


def test_tls_as_hadoops_keys_want_it(tmp_path: Path) -> None:
    own, central = "dfs__ha__zkfc__client__ssl__enabled", "hadoop__zk__ssl__enabled"
    store = "hadoop__zk__ssl__truststore__location"
    (tmp_path / "store").write_bytes(b"\xfe\xed\xfe\xed")
    for enabled in ({own: "true"}, {central: "true"}, {own: "false", central: "true"}):
        with pytest.raises(ConfigError, match=r"hadoop\.zk\.ssl\.truststore\.location is not set"):
            settings(ha__zookeeper__quorum="a:1", **enabled)
        found = settings(ha__zookeeper__quorum="a:1", **enabled, **{store: f"{tmp_path}/store"})
        with pytest.raises(ConfigError, match="is a JKS store"):
            coordination_of(found)
    for disabled in ({}, {own: "false"}, {own: "true", central: "false"}):
        found = settings(ha__zookeeper__quorum="a:1", **disabled)
        assert found.zookeeper is not None
        assert found.zookeeper.tls is None


def test_host_names_are_javas() -> None:
    assert host_name("some.host.example") == "some.host.example"
    assert host_name("127.0.0.1") == "localhost"
    assert host_name("192.0.2.1") == "192.0.2.1", "no name leads back to it"
