"""How `hdfsd dfs` finds the NameNodes of a file system."""

from __future__ import annotations

import pytest

from hdfsd.base.config import Configuration
from hdfsd.base.errors import ConfigError, NotBuilt, SnapshotReadOnly
from hdfsd.base.ids import Address
from hdfsd.base.proxy_providers import KEY, PACKAGE, ProxyProvider, Search
from hdfsd.base.settings import ClientSettings
from hdfsd.cli.filesystems import HdfsFileSystem, _native_fault

HA = {
    "dfs.nameservices": "ns",
    "dfs.ha.namenodes.ns": "nn1,nn2",
    "dfs.namenode.rpc-address.ns.nn1": "h1:8020",
    "dfs.namenode.rpc-address.ns.nn2": "h2:8020",
}


def file_system(authority: str, **values: str) -> HdfsFileSystem:
    conf = Configuration.parse([], {**HA, **values})
    return HdfsFileSystem(conf, ClientSettings.from_configuration(conf), authority)


def test_a_nameservice_has_all_its_namenodes_an_address_itself() -> None:
    both = [Address("h1", 8020), Address("h2", 8020)]
    assert file_system("ns")._addresses(ProxyProvider()) == both
    moved = ProxyProvider(Search.BY_ADDRESS)
    assert file_system("ns")._addresses(moved) == [Address("ns", 8020)]
    assert file_system("h9:9000")._addresses(ProxyProvider()) == [Address("h9", 9000)]
    with pytest.raises(ConfigError, match="hdfs://h9:port"):
        file_system("h9:port")._addresses(ProxyProvider())


@pytest.mark.parametrize(
    ("authority", "key", "name", "told"),
    [
        ("ns", "ns", "ConfiguredFailoverProxyProvider", "ConfiguredFailoverProxyProvider"),
        ("ns", "ns", "ObserverReadProxyProvider", "ObserverReadProxyProvider"),
        ("ns", "ns", "RequestHedgingProxyProvider", "ConfiguredFailoverProxyProvider"),
        ("h9:9000", "h9", "IPFailoverProxyProvider", "ConfiguredFailoverProxyProvider"),
    ],
)
def test_hdfs_native_is_told_of_a_provider_that_it_knows(
    authority: str, key: str, name: str, told: str
) -> None:
    native = file_system(authority, **{f"{KEY}.{key}": f"{PACKAGE}.{name}"})._native_values()
    assert native[f"{KEY}.{key}"] == f"{PACKAGE}.{told}"
    assert native["dfs.nameservices"] == "ns"


def test_an_unknown_provider_is_refused_before_anything_is_asked() -> None:
    unknown = file_system("ns", **{f"{KEY}.ns": "org.example.Provider"})
    with pytest.raises(NotBuilt, match=r"org\.example\.Provider"):
        unknown.status("/f")
    unknown.close()


@pytest.mark.parametrize(
    "text",
    [
        'RPCError("org.apache.hadoop.hdfs.protocol.SnapshotAccessControlException",'
        ' "Modification of \\"x\\"\\n\\tat org.apache.Some.place(Some.java:1)\\n")',
        "RPC error: org.apache.hadoop.hdfs.protocol.SnapshotAccessControlException"
        ' Modification of "x"\n\tat org.apache.Some.place(Some.java:1)',
    ],
)
def test_errors_of_hdfs_native_become_the_namenodes_own(text: str) -> None:
    fault = _native_fault(text)
    assert isinstance(fault, SnapshotReadOnly)
    assert fault.message == 'Modification of "x"'


def test_what_hdfs_native_says_itself_is_its_first_line() -> None:
    assert str(_native_fault("no DataNode answers\nmore")) == "no DataNode answers"
    assert str(_native_fault("")) == "hdfs-native gave no reason"
