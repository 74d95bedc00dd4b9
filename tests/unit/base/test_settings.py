"""What each daemon takes from the configuration."""

from __future__ import annotations

from typing import Any

import pytest

from hdfsd.base.config import Configuration
from hdfsd.base.errors import ConfigError, NotBuilt
from hdfsd.base.ids import Address
from hdfsd.base.settings import (
    ClientSettings,
    DataDirectory,
    DataNodeSettings,
    FailoverSettings,
    JournalNodeSettings,
    LimitSettings,
    NameNodeSettings,
    directory_of,
    fencing_methods,
    umask_of,
)

HA = {
    "fs.defaultFS": "hdfs://ns",
    "dfs.nameservices": "ns",
    "dfs.ha.namenodes.ns": "nn1,nn2,nn3",
    "dfs.ha.namenode.id": "nn2",
    "dfs.namenode.rpc-address.ns.nn1": "h1:8020",
    "dfs.namenode.rpc-address.ns.nn2": "h2:8020",
    "dfs.namenode.rpc-address.ns.nn3": "h3:8020",
    "dfs.namenode.shared.edits.dir": "qjournal://j1:8485;j2:8485;j3:8485/ns",
}


def nowhere(host: str) -> bool:
    return False


def namenode(**more: str) -> NameNodeSettings:
    values = {key.replace("__", "."): value for key, value in more.items()}
    return NameNodeSettings.from_configuration(Configuration.parse([], HA | values), nowhere)


def parse(values: dict[str, str]) -> Configuration:
    return Configuration.parse([], HA | values)


def test_a_namenode_knows_itself_and_its_peers() -> None:
    settings = namenode()
    assert (settings.nameservice, settings.node_id, settings.ha) == ("ns", "nn2", True)
    assert settings.addresses.rpc == settings.rpc_bind == Address("h2", 8020)
    assert [peer.node_id for peer in settings.peers] == ["nn1", "nn3"]
    assert settings.journal is not None
    assert settings.journal.journal_id == "ns"
    assert settings.name_dirs == settings.edits_dirs == ("/tmp/hadoop-hdfs/dfs/name",)


def test_a_namenode_with_hadoops_defaults() -> None:
    settings = namenode()
    assert settings.replication.dead_after_ms == 630_000
    assert settings.checkpoint.period_ms == 3_600_000
    assert settings.safemode.threshold == pytest.approx(0.999)
    assert settings.safemode.replication_min == 1
    assert settings.limits.block_size_min == 1 << 20
    assert settings.server_defaults.block_size == 128 << 20
    assert settings.quorum.write_ms == 20_000
    assert settings.quorum.operations_ms == 60_000
    assert settings.retry_cache_expiry_ms == 600_000
    assert settings.lease.hard_limit_ms == 1_200_000
    assert settings.umask == 0o022


def test_own_keys_come_with_suffixes_and_bind_hosts_apart() -> None:
    conf = parse(
        {
            "dfs.namenode.name.dir.ns.nn2": "file:///d1, /d%202,file:///d%203",
            "dfs.namenode.edits.dir": "/e",
            "dfs.namenode.rpc-bind-host.ns.nn2": "0.0.0.0",
            "dfs.namenode.http-address.ns.nn2": "0.0.0.0:99",
            "dfs.namenode.servicerpc-address.ns.nn2": "h2:8021",
            "dfs.namenode.servicerpc-bind-host": "::",
        }
    )
    settings = NameNodeSettings.from_configuration(conf, nowhere)
    assert settings.name_dirs == ("/d1", "/d%202", "/d 3")
    assert settings.edits_dirs == ("/e",)
    assert settings.rpc_bind == Address("0.0.0.0", 8020)
    assert settings.service_rpc_bind == Address("::", 8021)
    assert (settings.http_bind, settings.addresses.http) == (
        Address("0.0.0.0", 99),
        Address("h2", 99),
    )


def test_in_progress_tailing_is_on_unless_turned_off() -> None:
    assert namenode().tail.in_progress
    assert namenode().tail.period_ms == 250
    off = parse({"dfs.ha.tail-edits.in-progress": "false"})
    tail = NameNodeSettings.from_configuration(off, nowhere).tail
    assert (tail.in_progress, tail.period_ms) == (False, 60_000)
    slow = parse({"dfs.ha.tail-edits.period": "5"})
    assert NameNodeSettings.from_configuration(slow, nowhere).tail.period_ms == 5000


def test_a_journalnode() -> None:
    settings = JournalNodeSettings.from_configuration(
        parse(
            {
                "dfs.journalnode.rpc-address": "j2:8485",
                "dfs.journalnode.edits.dir": "/jn",
                "dfs.journalnode.edits.dir.other": "/elsewhere",
                "dfs.nameservices": "ns,other",
                "dfs.ha.namenodes.other": "a",
            }
        )
    )
    assert settings.edits_dir_of("ns") == "/jn"
    assert settings.edits_dir_of("other") == "/elsewhere"
    assert settings.http == Address("0.0.0.0", 8480)
    assert settings.edit_cache_bytes is None
    assert settings.directory_mode == 0o700
    assert settings.peers_of("ns", "j2".__eq__) == (Address("j1", 8485), Address("j3", 8485))
    assert settings.peers_of("unknown", nowhere) == ()


def test_a_datanode() -> None:
    settings = DataNodeSettings.from_configuration(
        parse(
            {
                "dfs.datanode.data.dir": "[SSD]file:///s, /d ,[archive]/a",
                "dfs.datanode.du.reserved": "1g",
                "dfs.heartbeat.interval": "2s",
                "dfs.datanode.scan.period.hours": "-1",
            }
        )
    )
    assert settings.directories == (
        DataDirectory("/s", "SSD"),
        DataDirectory("/d", "DISK"),
        DataDirectory("/a", "ARCHIVE"),
    )
    assert settings.reserved_bytes == 1 << 30
    assert settings.balance_bandwidth == 100 << 20
    assert (settings.heartbeat_interval_ms, settings.lifeline_interval_ms) == (2000, 6000)
    assert settings.scan_period_ms == 0
    assert [node.rpc.host for node in settings.nameservices["ns"]] == ["h1", "h2", "h3"]


def test_a_datanode_joins_its_internal_nameservices_only() -> None:
    conf = parse({"dfs.nameservices": "ns,far", "dfs.internal.nameservices": "ns"})
    assert list(DataNodeSettings.from_configuration(conf).nameservices) == ["ns"]


def test_how_images_are_compressed() -> None:
    gzip = "org.apache.hadoop.io.compress.GzipCodec"
    codec = "dfs.image.compression.codec"
    for values, found in (
        ({}, ""),
        ({codec: "org.example.Codec"}, ""),
        ({"dfs.image.compress": "true"}, "org.apache.hadoop.io.compress.DefaultCodec"),
        ({"dfs.image.compress": "true", codec: gzip}, gzip),
    ):
        made = NameNodeSettings.from_configuration(parse(values), nowhere)
        assert made.checkpoint.codec == found
    with pytest.raises(NotBuilt, match=f"{codec}=org.example.Codec"):
        NameNodeSettings.from_configuration(
            parse({"dfs.image.compress": "true", codec: "org.example.Codec"}), nowhere
        )


def test_deletions_go_on_by_some_inodes() -> None:
    assert LimitSettings.from_configuration(parse({})).deletion_step == 1000, "as Hadoop's"
    key = "dfs.namenode.block.deletion.increment"
    assert LimitSettings.from_configuration(parse({key: "7"})).deletion_step == 7
    with pytest.raises(ConfigError, match=f"{key}.*at least 1"):
        LimitSettings.from_configuration(parse({key: "0"}))


def test_who_lets_others_go_first_and_who_is_never_elected() -> None:
    usual = FailoverSettings.from_configuration(parse({}), nowhere)
    assert (usual.election_yield_ms, usual.election_eligible) == (0, True), "as Hadoop's"
    keys = {
        "hdfsd.ha.election.yield.ns.nn2": "5s",
        "hdfsd.ha.election.yield.ns.nn1": "9s",
        "hdfsd.ha.election.eligible.ns.nn2": "false",
    }
    settings = FailoverSettings.from_configuration(parse(keys), nowhere)
    assert (settings.election_yield_ms, settings.election_eligible) == (5000, False)
    for wrong in ("61s", "-1"):
        with pytest.raises(ConfigError, match=r"hdfsd.ha.election.yield: .*0 to 60s|0 to 60s"):
            FailoverSettings.from_configuration(parse({"hdfsd.ha.election.yield": wrong}), nowhere)


def test_a_failover_controller() -> None:
    settings = FailoverSettings.from_configuration(
        parse(
            {
                "ha.zookeeper.quorum": "z1:2181,z2:2181",
                "dfs.ha.fencing.methods": "sshfence(hdfs:22)\n  shell(/bin/true)\n\n# none\n",
                "dfs.ha.zkfc.port.ns.nn2": "8119",
                "dfs.ha.automatic-failover.enabled.ns": "true",
                "hdfsd.ha.lock.dir": "file:///run/lock",
            }
        ),
        nowhere,
    )
    assert settings.bind == Address("h2", 8119)
    assert settings.automatic_failover
    assert settings.zookeeper is not None
    assert settings.zookeeper.quorum == "z1:2181,z2:2181"
    assert settings.zookeeper.parent_znode == "/hadoop-ha"
    assert settings.lock_dir == "/run/lock"
    assert settings.fencing_methods == ("sshfence(hdfs:22)", "shell(/bin/true)")
    assert [peer.zkfc.port for peer in settings.peers] == [8019, 8019]
    assert settings.environment["dfs.ha.namenode.id"] == "nn2"
    assert settings.graceful_fence_timeout_ms == 5000


def test_a_client() -> None:
    settings = ClientSettings.from_configuration(parse({"dfs.blocksize": "1m"}))
    assert settings.default_fs == "hdfs://ns"
    assert settings.block_size == 1 << 20
    assert [node.node_id for node in settings.nameservices["ns"]] == ["nn1", "nn2", "nn3"]
    plain = ClientSettings.from_configuration(Configuration.parse([]))
    assert (plain.default_fs, plain.nameservices) == ("file:///", {})


REFUSED: list[tuple[Any, dict[str, str], type[Exception], str]] = [
    ("nn", {"hadoop.security.authentication": "kerberos"}, NotBuilt, "kerberos: not built"),
    ("nn", {"hadoop.security.authentication": "magic"}, ConfigError, "write simple"),
    ("nn", {"dfs.checksum.type": "MD5"}, ConfigError, "write CRC32C, CRC32 or NULL"),
    ("nn", {"dfs.encrypt.data.transfer": "true"}, NotBuilt, "encryption of block data"),
    ("nn", {"dfs.namenode.name.dir": ","}, ConfigError, "at least one directory"),
    ("nn", {"dfs.namenode.name.dir": "s3://b/d"}, NotBuilt, "scheme 's3' are not built"),
    (
        "nn",
        {"hadoop.security.groups.cache.background.reload.threads": "0"},
        ConfigError,
        "at least 1",
    ),
    ("nn", {"dfs.blocksize": "huge"}, ConfigError, "dfs.blocksize='huge'"),
    ("nn", {"fs.permissions.umask-mode": "u=rwx"}, ConfigError, "an octal umask"),
    ("dn", {"dfs.datanode.data.dir": "[TAPE]/d"}, ConfigError, "a storage type of DISK"),
    ("dn", {"dfs.datanode.data.dir.perm": "rwx"}, ConfigError, "an octal mode"),
    ("zk", {"hdfsd.ha.graceful-fence.connect.timeout.ms": "0"}, ConfigError, "at least 1 ms"),
    ("zk", {"ha.zookeeper.quorum": "z", "ha.zookeeper.parent-znode": "x"}, ConfigError, "absolute"),
]


@pytest.mark.parametrize(("kind", "values", "error", "cause"), REFUSED)
def test_what_is_refused(
    kind: str, values: dict[str, str], error: type[Exception], cause: str
) -> None:
    conf = parse(values)
    with pytest.raises(error, match=cause) as caught:
        if kind == "nn":
            NameNodeSettings.from_configuration(conf, nowhere)
        elif kind == "dn":
            DataNodeSettings.from_configuration(conf)
        else:
            FailoverSettings.from_configuration(conf, nowhere)
    key, value = list(values.items())[-1]
    assert key in str(caught.value) or value in str(caught.value)


def test_directories() -> None:
    assert directory_of("/d") == "/d"
    assert directory_of("file:/d") == "/d"
    assert directory_of("file:///a%20b") == "/a b"


def test_fencing_and_umask_of_nothing() -> None:
    conf = Configuration.parse([])
    assert fencing_methods(conf) == ()
    assert umask_of(conf) == 0o022
    assert umask_of(Configuration.parse([], {"fs.permissions.umask-mode": "077"})) == 0o077


HADOOPS, OURS = "ha.health-monitor.rpc-timeout.ms", "hdfsd.ha.heartbeat.timeout"


@pytest.mark.parametrize(
    ("keys", "heartbeat_ms"),
    [
        ({}, 3000),
        ({HADOOPS: "45000"}, 0),
        ({HADOOPS: "45000", OURS: "5s"}, 5000),
        ({OURS: "0"}, 0),
    ],
)
def test_hadoops_own_key_for_a_freeze_is_obeyed_alone_when_it_is_set(
    keys: dict[str, str], heartbeat_ms: int
) -> None:
    settings = FailoverSettings.from_configuration(parse(keys), nowhere)
    assert settings.health.heartbeat_ms == heartbeat_ms
    assert settings.health.rpc_timeout_ms == 45_000
