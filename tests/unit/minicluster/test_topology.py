"""Which daemons a cluster has, on which ports, with which configuration."""

from __future__ import annotations

import json

import pytest

from hdfsd.base.config import Configuration
from hdfsd.base.errors import ConfigError
from hdfsd.base.ids import Address
from hdfsd.base.settings import (
    ClientSettings,
    DataNodeSettings,
    FailoverSettings,
    JournalNodeSettings,
    NameNodeSettings,
)
from hdfsd.minicluster.topology import (
    NAMESERVICE,
    Options,
    Plan,
    plan,
    port_count,
    site_files,
    site_xml,
)

DIRECTORY = "/c"


def made(options: Options | None = None) -> Plan:
    options = options or Options()
    return plan(DIRECTORY, options, range(20_000, 20_000 + port_count(options)))


def conf_of(cluster: Plan, daemon_id: str | None) -> Configuration:
    directory = cluster.conf_dir
    if daemon_id is not None:
        directory = cluster.conf_dir_of(cluster.find(daemon_id))
    texts = dict(site_files(cluster))
    names = [f"{directory}/core-site.xml", f"{directory}/hdfs-site.xml"]
    return Configuration.parse([(name, texts[name]) for name in names])


def nowhere(host: str) -> bool:
    return False


def test_the_usual_cluster() -> None:
    cluster = made()
    assert [daemon.id for daemon in cluster.daemons] == [
        *("jn1", "jn2", "jn3"),
        *("nn1", "zkfc1", "nn2", "zkfc2"),
        *("dn1", "dn2", "dn3"),
    ]
    ports = [port for daemon in cluster.daemons for port in daemon.ports.values()]
    assert ports == list(range(20_000, 20_021))
    assert cluster.replication == 3


WRONG = [
    (Options(namenodes=1), "2 or more"),
    (Options(journalnodes=2), "an odd number"),
    (Options(journalnodes=0), "an odd number"),
    (Options(datanodes=0), "at least 1"),
]


@pytest.mark.parametrize(("options", "cause"), WRONG)
def test_clusters_that_could_not_work(options: Options, cause: str) -> None:
    with pytest.raises(ConfigError, match=cause):
        made(options)


def test_ports_must_suffice() -> None:
    with pytest.raises(ConfigError, match="needs 21 ports"):
        plan(DIRECTORY, Options(), range(20))
    with pytest.raises(ConfigError, match="between 1 and 65535"):
        plan(DIRECTORY, Options(), range(65_530, 65_551))


@pytest.mark.parametrize(
    "options",
    [
        Options(),
        Options(namenodes=3, journalnodes=5, datanodes=1, zookeeper="z:2181"),
        Options(overrides={"a.b": "<&>", "dfs.replication": "2"}),
    ],
)
def test_the_plan_survives_its_file(options: Options) -> None:
    cluster = made(options)
    assert Plan.from_json(json.loads(json.dumps(cluster.to_json())), DIRECTORY) == cluster


def test_a_file_of_another_version_is_refused() -> None:
    with pytest.raises(ConfigError, match="format 99"):
        Plan.from_json(made().to_json() | {"format": 99}, DIRECTORY)


def test_every_daemon_finds_itself_in_its_files() -> None:
    cluster = made(Options(namenodes=3, datanodes=2))
    for daemon in cluster.daemons:
        conf = conf_of(cluster, daemon.id)
        rpc = Address("127.0.0.1", daemon.ports["rpc"])
        if daemon.role == "namenode":
            settings = NameNodeSettings.from_configuration(conf, nowhere)
            assert (settings.node_id, settings.rpc_bind) == (daemon.id, rpc)
            assert settings.name_dirs == daemon.dirs
            assert len(settings.peers) == 2
            assert settings.safemode.extension_ms == 0
        elif daemon.role == "zkfc":
            controller = FailoverSettings.from_configuration(conf, nowhere)
            assert (controller.node_id[-1], controller.bind) == (daemon.id[-1], rpc)
            assert controller.automatic_failover
            assert controller.lock_dir == f"{DIRECTORY}/lock"
            assert controller.zookeeper is None
        elif daemon.role == "journalnode":
            journal = JournalNodeSettings.from_configuration(conf)
            assert (journal.rpc, journal.edits_dir) == (rpc, daemon.dirs[0])
            assert len(journal.peers_of(NAMESERVICE, "127.0.0.1".__eq__)) == 2
        else:
            datanode = DataNodeSettings.from_configuration(conf)
            assert (datanode.ipc, datanode.directories[0].path) == (rpc, daemon.dirs[0])


def test_clients_find_the_namenodes() -> None:
    cluster = made()
    settings = ClientSettings.from_configuration(conf_of(cluster, None))
    assert settings.default_fs == f"hdfs://{NAMESERVICE}"
    assert [str(node.rpc) for node in settings.nameservices[NAMESERVICE]] == [
        f"127.0.0.1:{daemon.ports['rpc']}" for daemon in cluster.of_role("namenode")
    ]


def test_a_zookeeper_takes_the_lock_s_place() -> None:
    conf = conf_of(made(Options(zookeeper="z:2181")), "zkfc1")
    settings = FailoverSettings.from_configuration(conf, nowhere)
    assert settings.lock_dir is None
    assert settings.zookeeper is not None
    assert (settings.zookeeper.quorum, settings.zookeeper.parent_znode) == (
        "z:2181",
        "/hdfsd-20000",
    )


def test_the_user_s_settings_win() -> None:
    options = Options(datanodes=1, overrides={"dfs.replication": "2", "x": "<a & b>"})
    conf = conf_of(made(options), "nn1")
    assert (conf.get("dfs.replication"), conf.get("x")) == ("2", "<a & b>")
    assert conf_of(made(Options(datanodes=1)), None).get("dfs.replication") == "1"


def test_daemons_by_name() -> None:
    cluster = made()
    assert cluster.find("zkfc2").address("rpc") == Address("127.0.0.1", 20_011)
    assert cluster.find("zkfc2").address("http") is None
    with pytest.raises(ConfigError, match="no daemon 'nn9': there are jn1"):
        cluster.find("nn9")


def test_site_xml_escapes() -> None:
    conf = Configuration.parse([("x", site_xml({"k<": "a&b"}))])
    assert conf.get("k<") == "a&b"
