"""Who is in the cluster."""

from __future__ import annotations

import pytest

from hdfsd.base.config import Configuration
from hdfsd.base.errors import ConfigError, NotBuilt
from hdfsd.base.ids import Address
from hdfsd.base.nameservices import (
    JournalAddress,
    SharedDirectory,
    journal_of,
    local_namenode,
    namenode,
    namenode_ids,
    namenodes,
    nameservice_ids,
    parse_shared_edits,
)

HA = {
    "dfs.nameservices": "ns",
    "dfs.ha.namenodes.ns": "nn1, nn2",
    "dfs.namenode.rpc-address.ns.nn1": "h1:8020",
    "dfs.namenode.rpc-address.ns.nn2": "h2",
    "dfs.namenode.servicerpc-address.ns.nn1": "h1:8021",
    "dfs.namenode.http-address.ns.nn2": "0.0.0.0:9999",
    "dfs.ha.zkfc.port.ns.nn2": "8119",
    "dfs.namenode.shared.edits.dir": "qjournal://j1:8485;j2;j3:1/ns",
}


def conf_of(values: dict[str, str]) -> Configuration:
    return Configuration.parse([], values)


def test_an_ha_pair() -> None:
    conf = conf_of(HA)
    assert nameservice_ids(conf) == ("ns",)
    assert namenode_ids(conf, "ns") == ("nn1", "nn2")
    first, second = namenodes(conf, "ns")
    assert (first.rpc, first.service_rpc, first.for_servers) == (
        Address("h1", 8020),
        Address("h1", 8021),
        Address("h1", 8021),
    )
    assert (second.rpc, second.for_servers) == (Address("h2", 8020), Address("h2", 8020))
    assert (first.http, second.http) == (Address("h1", 9870), Address("h2", 9999))
    assert (first.zkfc, second.zkfc) == (Address("h1", 8019), Address("h2", 8119))


def test_one_namenode_without_ha() -> None:
    conf = conf_of({"fs.defaultFS": "hdfs://host"})
    assert (nameservice_ids(conf), namenode_ids(conf, "")) == (("",), ("",))
    assert namenode(conf, "", "").rpc == Address("host", 8020)
    assert local_namenode(conf, lambda host: False) == ("", "")


def test_an_address_that_is_missing_is_named() -> None:
    with pytest.raises(ConfigError, match=r"dfs\.namenode\.rpc-address\.ns\.nn3 is not set"):
        namenodes(conf_of(HA | {"dfs.ha.namenodes.ns": "nn1,nn3"}), "ns")
    with pytest.raises(ConfigError, match=r"dfs\.namenode\.rpc-address is not set"):
        namenode(conf_of({}), "", "")


LOCAL = [
    # dfs.ha.namenode.id, local hosts, outcome
    ("nn2", (), ("ns", "nn2")),
    (None, ("h1",), ("ns", "nn1")),
    (None, ("h2", "x"), ("ns", "nn2")),
    (None, ("h1", "h2"), "several NameNodes match"),
    (None, (), "no NameNode matches"),
    ("nn9", ("h1",), "no NameNode matches"),
]


@pytest.mark.parametrize(("node_id", "hosts", "expected"), LOCAL)
def test_which_one_is_here(
    node_id: str | None, hosts: tuple[str, ...], expected: tuple[str, str] | str
) -> None:
    conf = conf_of(HA | ({"dfs.ha.namenode.id": node_id} if node_id else {}))
    if isinstance(expected, tuple):
        assert local_namenode(conf, hosts.__contains__) == expected
    else:
        with pytest.raises(ConfigError, match=f"{expected}.*set dfs.ha.namenode.id"):
            local_namenode(conf, hosts.__contains__)


def test_several_nameservices_need_an_id() -> None:
    conf = HA | {
        "dfs.nameservices": "ns,other",
        "dfs.ha.namenodes.other": "nn1",
        "dfs.namenode.rpc-address.other.nn1": "h1:1",
        "dfs.ha.namenode.id": "nn1",
    }
    with pytest.raises(ConfigError, match="several"):
        local_namenode(conf_of(conf), lambda host: True)
    chosen = conf_of(conf | {"dfs.nameservice.id": "other"})
    assert local_namenode(chosen, lambda host: False) == ("other", "nn1")


def test_the_journal() -> None:
    nodes = (Address("j1", 8485), Address("j2", 8485), Address("j3", 1))
    assert journal_of(conf_of(HA), "ns", "nn1") == JournalAddress("ns", nodes)
    assert journal_of(conf_of({}), "", "") is None


@pytest.mark.parametrize("uri", ["file:///mnt/nfs/a%20b", "file:/mnt/nfs/a b/", "/mnt/nfs/a b"])
def test_a_shared_directory(uri: str) -> None:
    conf = conf_of(HA | {"dfs.namenode.shared.edits.dir": uri})
    assert journal_of(conf, "ns", "nn1") == SharedDirectory("/mnt/nfs/a b")


BAD_URIS = [
    ("qjournal://", ConfigError, "write qjournal://"),
    ("qjournal:///ns", ConfigError, "write qjournal://"),
    ("qjournal://h:1", ConfigError, "write qjournal://"),
    ("qjournal://h:1/", ConfigError, "write qjournal://"),
    ("qjournal://h:1/a/b", ConfigError, "write qjournal://"),
    ("qjournal://h:port/ns", ConfigError, "is no port number"),
    ("qjournal://h:1;h:1;g:1/ns", ConfigError, "named twice"),
    ("s3://bucket/edits", NotBuilt, "such shared edits are not built"),
    ("mnt/nfs", NotBuilt, "such shared edits are not built"),
    ("file:///", ConfigError, "write one absolute directory"),
    ("file:edits", ConfigError, "write one absolute directory"),
    ("/mnt/a,/mnt/b", ConfigError, "write one absolute directory"),
]


@pytest.mark.parametrize(("uri", "kind", "cause"), BAD_URIS)
def test_journals_that_can_not_be(uri: str, kind: type[Exception], cause: str) -> None:
    with pytest.raises(kind, match=cause) as caught:
        parse_shared_edits("dfs.key", uri)
    assert str(caught.value).startswith(f"dfs.key={uri!r}")
