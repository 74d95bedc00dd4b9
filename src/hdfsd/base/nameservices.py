"""Data. Who is in the cluster: nameservices, their NameNodes, the journal (wire fact: ha-zk.md 5).

A cluster without `dfs.nameservices` is one nameservice and one NameNode whose ids are both "".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from hdfsd.base.config import Configuration
from hdfsd.base.errors import ConfigError, NotBuilt
from hdfsd.base.ids import Address

NAMENODE_RPC_PORT = 8020
"""HdfsClientConfigKeys.DFS_NAMENODE_RPC_PORT_DEFAULT: when fs.defaultFS gives none."""
JOURNALNODE_RPC_PORT = 8485
WILDCARDS = ("0.0.0.0", "::", "0:0:0:0:0:0:0:0")

LocalHost = Callable[[str], bool]
"""Whether a host name or address is this machine's; adapters know."""


@dataclass(frozen=True, slots=True)
class NameNodeAddresses:
    """One NameNode as every configuration file of the cluster describes it."""

    nameservice: str
    node_id: str
    rpc: Address
    service_rpc: Address | None
    """For DataNodes and controllers, when it is apart from the clients' port."""
    lifeline_rpc: Address | None
    http: Address
    zkfc: Address

    @property
    def for_servers(self) -> Address:
        """Where DataNodes, standbys and failover controllers call."""
        return self.service_rpc or self.rpc


@dataclass(frozen=True, slots=True)
class JournalAddress:
    """`qjournal://h1:8485;h2:8485;h3:8485/<journal id>`."""

    journal_id: str
    nodes: tuple[Address, ...]

    def describe(self) -> str:
        return f"QJM to [{', '.join(map(str, self.nodes))}]"


@dataclass(frozen=True, slots=True)
class SharedDirectory:
    """`file:///path`: a directory that all NameNodes of the nameservice reach, on a NAS say."""

    path: str

    def describe(self) -> str:
        return f"shared edits directory {self.path}"


def nameservice_ids(conf: Configuration) -> tuple[str, ...]:
    """All nameservices; `("",)` when none is configured."""
    return conf.get_list("dfs.nameservices") or ("",)


def namenode_ids(conf: Configuration, nameservice: str) -> tuple[str, ...]:
    """The NameNodes of a nameservice; `("",)` when it has one without an id."""
    key = f"dfs.ha.namenodes.{nameservice}" if nameservice else "dfs.ha.namenodes"
    return conf.get_list(key) or ("",)


def namenodes(conf: Configuration, nameservice: str) -> tuple[NameNodeAddresses, ...]:
    """All NameNodes of a nameservice in configured order. Raises ConfigError."""
    return tuple(
        namenode(conf, nameservice, node_id) for node_id in namenode_ids(conf, nameservice)
    )


def namenode(conf: Configuration, nameservice: str, node_id: str) -> NameNodeAddresses:
    """The addresses of one NameNode; a wildcard HTTP host means the host of its RPC address."""
    scoped = conf.scoped(nameservice, node_id)
    rpc = scoped.get_address("dfs.namenode.rpc-address", NAMENODE_RPC_PORT)
    if rpc is None:
        rpc = _rpc_of_default_fs(conf, nameservice, node_id)
    http = scoped.get_address("dfs.namenode.http-address", 9870) or Address("0.0.0.0", 9870)
    if http.host in WILDCARDS:
        http = Address(rpc.host, http.port)
    return NameNodeAddresses(
        nameservice=nameservice,
        node_id=node_id,
        rpc=rpc,
        service_rpc=scoped.get_address("dfs.namenode.servicerpc-address"),
        lifeline_rpc=scoped.get_address("dfs.namenode.lifeline.rpc-address"),
        http=http,
        zkfc=Address(rpc.host, scoped.get_int("dfs.ha.zkfc.port")),
    )


def _rpc_of_default_fs(conf: Configuration, nameservice: str, node_id: str) -> Address:
    key = ".".join(filter(None, ("dfs.namenode.rpc-address", nameservice, node_id)))
    default_fs = urlsplit(conf.get("fs.defaultFS") or "")
    if node_id or default_fs.scheme != "hdfs" or default_fs.hostname in (None, nameservice):
        raise ConfigError(f"{key} is not set: write the NameNode's HOST:PORT")
    return Address(default_fs.hostname or "", default_fs.port or NAMENODE_RPC_PORT)


def local_namenode(conf: Configuration, is_local: LocalHost) -> tuple[str, str]:
    """(nameservice, NameNode id) of this machine: as configured, or found by its addresses.

    Raises ConfigError when no address or more than one is of this machine.
    """
    nameservice = conf.get("dfs.nameservice.id")
    node_id = conf.get("dfs.ha.namenode.id")
    candidates = [
        (ns, nn)
        for ns in nameservice_ids(conf)
        if nameservice in (None, ns)
        for nn in namenode_ids(conf, ns)
        if node_id in (None, nn)
    ]
    if len(candidates) > 1:
        candidates = [
            (ns, nn) for ns, nn in candidates if is_local(namenode(conf, ns, nn).rpc.host)
        ]
    if len(candidates) != 1:
        found = "several NameNodes match" if candidates else "no NameNode matches"
        raise ConfigError(
            f"{found} this machine (dfs.nameservice.id={nameservice},"
            f" dfs.ha.namenode.id={node_id}): set dfs.ha.namenode.id, and dfs.nameservice.id"
            " when there are several nameservices"
        )
    return candidates[0]


def journal_of(
    conf: Configuration, nameservice: str, node_id: str
) -> JournalAddress | SharedDirectory | None:
    """The shared journal of a nameservice, or None."""
    key = "dfs.namenode.shared.edits.dir"
    uri = conf.scoped(nameservice, node_id).get(key)
    return None if uri is None else parse_shared_edits(key, uri)


def parse_shared_edits(key: str, uri: str) -> JournalAddress | SharedDirectory:
    """Raises ConfigError naming `key`, NotBuilt for other schemes than qjournal and file."""
    if uri.startswith("qjournal:"):
        return parse_journal_uri(key, uri)
    if not uri.startswith(("file:", "/")):
        raise NotBuilt(
            f"{key}={uri!r}: such shared edits are not built: use"
            " qjournal://host:8485;host:8485;host:8485/journal-id or file:///shared/directory"
        )
    path = unquote(urlsplit(uri).path) if uri.startswith("file:") else uri
    if not path.startswith("/") or path.strip("/") == "" or "," in path:
        raise ConfigError(f"{key}={uri!r}: write one absolute directory, file:///shared/directory")
    return SharedDirectory(path.rstrip("/"))


def parse_journal_uri(key: str, uri: str) -> JournalAddress:
    """Raises ConfigError naming `key`."""
    scheme, _, rest = uri.partition("://")
    if scheme != "qjournal":
        raise ConfigError(
            f"{key}={uri!r}: write qjournal://host:8485;host:8485;host:8485/journal-id"
        )
    hosts, _, path = rest.partition("/")
    journal_id = unquote(path).strip("/")
    try:
        nodes = tuple(Address.parse(h, JOURNALNODE_RPC_PORT) for h in hosts.split(";") if h.strip())
    except ValueError as error:
        raise ConfigError(f"{key}={uri!r}: {error}") from error
    if not nodes or not journal_id or "/" in journal_id:
        raise ConfigError(
            f"{key}={uri!r}: write qjournal://host:8485;host:8485;host:8485/journal-id"
        )
    if len(set(nodes)) != len(nodes):
        raise ConfigError(f"{key}={uri!r}: a JournalNode is named twice: it would vote twice")
    return JournalAddress(journal_id, nodes)
