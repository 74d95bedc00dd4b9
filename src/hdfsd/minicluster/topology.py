"""Core. Which daemons a cluster on one machine has, on which ports, with which configuration.

The site files are ordinary: any Hadoop client or daemon can be pointed at them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from xml.sax.saxutils import escape

from hdfsd.base.errors import ConfigError
from hdfsd.base.ids import Address

HOST = "127.0.0.1"
"""D16: a cluster for one machine is reachable from this machine only."""
NAMESERVICE = "hdfsd"
PROXY_PROVIDER = "org.apache.hadoop.hdfs.server.namenode.ha.ConfiguredFailoverProxyProvider"
PORT_MAX = 65535
FORMAT_VERSION = 1
"""Of the plan as kept in cluster.json."""

ROLES = ("journalnode", "namenode", "zkfc", "datanode")
PORT_NAMES: Mapping[str, Sequence[str]] = {
    "journalnode": ("rpc", "http"),
    "namenode": ("rpc", "http"),
    "zkfc": ("rpc",),
    "datanode": ("data", "http", "rpc"),
}
"""What a daemon of each role listens on, in the order in which ports are given out."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the user asked for."""

    namenodes: int = 2
    journalnodes: int = 3
    datanodes: int = 3
    zookeeper: str | None = None
    """HOST:PORT[,...]; None: the embedded lock."""
    overrides: Mapping[str, str] = field(default_factory=dict)

    def check(self) -> None:
        """Raises ConfigError for a cluster that could not work."""
        if self.namenodes < 2:
            raise ConfigError(f"--namenodes {self.namenodes}: an HA cluster has 2 or more")
        if self.journalnodes < 1 or self.journalnodes % 2 == 0:
            raise ConfigError(
                f"--journalnodes {self.journalnodes}: take an odd number, such as 1, 3 or 5:"
                " an even one tolerates no more failures and costs one node more"
            )
        if self.datanodes < 1:
            raise ConfigError(f"--datanodes {self.datanodes}: files need at least 1")


@dataclass(frozen=True, slots=True)
class Daemon:
    """One process: its role, its name, where it listens and where its data lie."""

    role: str
    id: str
    ports: Mapping[str, int]
    dirs: tuple[str, ...]

    def address(self, name: str) -> Address | None:
        """Where it listens for `rpc`, `http` or `data`."""
        return Address(HOST, self.ports[name]) if name in self.ports else None


@dataclass(frozen=True, slots=True)
class Plan:
    """A cluster as it stands in cluster.json; the same after down and up."""

    directory: str
    options: Options
    daemons: tuple[Daemon, ...]

    @property
    def replication(self) -> int:
        """The default replication of its files."""
        return int(self.options.overrides.get("dfs.replication", min(3, self.options.datanodes)))

    @property
    def conf_dir(self) -> str:
        """For clients: HADOOP_CONF_DIR."""
        return f"{self.directory}/conf"

    def conf_dir_of(self, daemon: Daemon) -> str:
        """For one daemon: the same and its own addresses and directories."""
        return f"{self.directory}/conf/{daemon.id}"

    def of_role(self, role: str) -> tuple[Daemon, ...]:
        """The daemons of one role, in order."""
        return tuple(daemon for daemon in self.daemons if daemon.role == role)

    def find(self, daemon_id: str) -> Daemon:
        """The daemon of that name. Raises ConfigError listing the names."""
        for daemon in self.daemons:
            if daemon.id == daemon_id:
                return daemon
        names = ", ".join(daemon.id for daemon in self.daemons)
        raise ConfigError(f"no daemon {daemon_id!r}: there are {names}")

    def to_json(self) -> dict[str, Any]:
        """As kept on disk."""
        options = self.options
        return {
            "format": FORMAT_VERSION,
            "directory": self.directory,
            "namenodes": options.namenodes,
            "journalnodes": options.journalnodes,
            "datanodes": options.datanodes,
            "zookeeper": options.zookeeper,
            "overrides": dict(options.overrides),
            "ports": {daemon.id: dict(daemon.ports) for daemon in self.daemons},
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any], directory: str) -> Plan:
        """Raises ConfigError when it is not of this format."""
        if found.get("format") != FORMAT_VERSION:
            raise ConfigError(
                f"{directory}/cluster.json: format {found.get('format')!r} is not of this hdfsd:"
                " bring it down with the version that made it, or use another directory"
            )
        options = Options(
            namenodes=found["namenodes"],
            journalnodes=found["journalnodes"],
            datanodes=found["datanodes"],
            zookeeper=found["zookeeper"],
            overrides=found["overrides"],
        )
        ports = [port for given in found["ports"].values() for port in given.values()]
        return plan(directory, options, ports)


def ids(options: Options) -> Iterator[tuple[str, str]]:
    """(role, id) of every daemon."""
    for number in range(1, options.journalnodes + 1):
        yield "journalnode", f"jn{number}"
    for number in range(1, options.namenodes + 1):
        yield "namenode", f"nn{number}"
        yield "zkfc", f"zkfc{number}"
    for number in range(1, options.datanodes + 1):
        yield "datanode", f"dn{number}"


def port_count(options: Options) -> int:
    """How many ports the cluster needs."""
    return sum(len(PORT_NAMES[role]) for role, _ in ids(options))


def plan(directory: str, options: Options, ports: Sequence[int]) -> Plan:
    """The cluster on these ports, given out in order. Raises ConfigError."""
    options.check()
    needed = port_count(options)
    if len(ports) != needed or any(not 0 < port <= PORT_MAX for port in ports):
        raise ConfigError(f"the cluster needs {needed} ports between 1 and {PORT_MAX}")
    given = iter(ports)
    daemons = []
    for role, daemon_id in ids(options):
        own = {name: next(given) for name in PORT_NAMES[role]}
        dirs = () if role == "zkfc" else (f"{directory}/data/{daemon_id}",)
        daemons.append(Daemon(role, daemon_id, own, dirs))
    return Plan(directory, options, tuple(daemons))


def core_site(plan: Plan) -> dict[str, str]:
    """core-site.xml, for clients and daemons alike."""
    values = {
        "fs.defaultFS": f"hdfs://{NAMESERVICE}",
        "hadoop.tmp.dir": f"{plan.directory}/tmp",
        "ha.health-monitor.check-interval.ms": "500",
        "ha.health-monitor.connect-retry-interval.ms": "100",
        "ha.health-monitor.sleep-after-disconnect.ms": "100",
        "ha.health-monitor.rpc-timeout.ms": "1000",
        "ha.failover-controller.graceful-fence.rpc-timeout.ms": "1000",
    }
    if plan.options.zookeeper is None:
        values["hdfsd.ha.lock.dir"] = f"{plan.directory}/lock"
    else:
        # Clusters that share a ZooKeeper differ by their ports, so their elections do too.
        values["ha.zookeeper.quorum"] = plan.options.zookeeper
        values["ha.zookeeper.parent-znode"] = f"/hdfsd-{min(_all_ports(plan))}"
        values["ha.zookeeper.session-timeout.ms"] = "4000"
    return values


def _all_ports(plan: Plan) -> Iterator[int]:
    for daemon in plan.daemons:
        yield from daemon.ports.values()


def hdfs_site(plan: Plan) -> dict[str, str]:
    """hdfs-site.xml of the whole cluster: settings that suit tests, then the user's own."""
    namenodes = plan.of_role("namenode")
    journals = ";".join(str(daemon.address("rpc")) for daemon in plan.of_role("journalnode"))
    values = {
        "dfs.nameservices": NAMESERVICE,
        f"dfs.ha.namenodes.{NAMESERVICE}": ",".join(daemon.id for daemon in namenodes),
        f"dfs.client.failover.proxy.provider.{NAMESERVICE}": PROXY_PROVIDER,
        "dfs.namenode.shared.edits.dir": f"qjournal://{journals}/{NAMESERVICE}",
        "dfs.ha.automatic-failover.enabled": "true",
        # The journal's epochs keep a deposed NameNode from writing (P2): nothing more is needed.
        "dfs.ha.fencing.methods": "shell(/bin/true)",
        "dfs.ha.tail-edits.in-progress": "true",
        "dfs.ha.tail-edits.period": "100ms",
        "dfs.replication": str(plan.replication),
        "dfs.namenode.safemode.extension": "0",
        "dfs.namenode.fs-limits.min-block-size": "0",
        "dfs.namenode.datanode.registration.ip-hostname-check": "false",
        "dfs.heartbeat.interval": "1s",
        "dfs.namenode.heartbeat.recheck-interval": "1000",
        "dfs.namenode.stale.datanode.interval": "3000",
        "dfs.namenode.redundancy.interval.seconds": "1s",
        # One connection more than the others have makes a node of three "too busy": files would get
        # two replicas, and an append to such a file fails in the client.
        "dfs.namenode.redundancy.considerLoad": "false",
        "dfs.client.failover.sleep.base.millis": "50",
        "dfs.client.failover.sleep.max.millis": "500",
        "dfs.client.failover.max.attempts": "100",
    }
    for daemon, controller in zip(namenodes, plan.of_role("zkfc"), strict=True):
        suffix = f"{NAMESERVICE}.{daemon.id}"
        values[f"dfs.namenode.rpc-address.{suffix}"] = str(daemon.address("rpc"))
        values[f"dfs.namenode.http-address.{suffix}"] = str(daemon.address("http"))
        values[f"dfs.namenode.name.dir.{suffix}"] = f"file://{daemon.dirs[0]}"
        values[f"dfs.ha.zkfc.port.{suffix}"] = str(controller.ports["rpc"])
    return values | dict(plan.options.overrides)


def own_site(plan: Plan, daemon: Daemon) -> dict[str, str]:
    """What one daemon's hdfs-site.xml says beyond the cluster's."""
    match daemon.role:
        case "journalnode":
            return {
                "dfs.journalnode.rpc-address": str(daemon.address("rpc")),
                "dfs.journalnode.http-address": str(daemon.address("http")),
                "dfs.journalnode.edits.dir": daemon.dirs[0],
            }
        case "datanode":
            return {
                "dfs.datanode.address": str(daemon.address("data")),
                "dfs.datanode.http.address": str(daemon.address("http")),
                "dfs.datanode.ipc.address": str(daemon.address("rpc")),
                "dfs.datanode.hostname": HOST,
                "dfs.datanode.data.dir": f"file://{daemon.dirs[0]}",
            }
        case "namenode":
            return {"dfs.ha.namenode.id": daemon.id}
        case _:
            return {"dfs.ha.namenode.id": daemon.id.replace("zkfc", "nn")}


def site_files(plan: Plan) -> Iterator[tuple[str, str]]:
    """(path, text) of every configuration file of the cluster."""
    core, common = core_site(plan), hdfs_site(plan)
    yield f"{plan.conf_dir}/core-site.xml", site_xml(core)
    yield f"{plan.conf_dir}/hdfs-site.xml", site_xml(common)
    for daemon in plan.daemons:
        directory = plan.conf_dir_of(daemon)
        yield f"{directory}/core-site.xml", site_xml(core)
        yield f"{directory}/hdfs-site.xml", site_xml(common | own_site(plan, daemon))


def site_xml(values: Mapping[str, str]) -> str:
    """The text of a Hadoop configuration file."""
    rows = "".join(
        f"  <property><name>{escape(key)}</name><value>{escape(value)}</value></property>\n"
        for key, value in values.items()
    )
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<configuration>\n{rows}</configuration>\n'
