"""Data. Who holds the lock: a NameNode as the znodes name it (wire fact: ha-zk.md section 1)."""

from __future__ import annotations

from collections.abc import Iterable

from hdfsd.base.errors import ConfigError, CorruptData
from hdfsd.base.nameservices import NameNodeAddresses
from hdfsd.wire.messages import DecodeError, ha_zk_info

ActiveNodeInfo = ha_zk_info.ActiveNodeInfo


def encode(namenode: NameNodeAddresses, hostname: str) -> bytes:
    """Content of the lock and breadcrumb of a NameNode.

    `hostname` is what Java's InetSocketAddress.getHostName gives for the address of its servers:
    Hadoop compares the bytes, so another spelling of the same host would be another node.
    """
    info = ActiveNodeInfo(
        nameserviceId=namenode.nameservice,
        namenodeId=namenode.node_id,
        hostname=hostname,
        port=namenode.for_servers.port,
        zkfcPort=namenode.zkfc.port,
    )
    return info.SerializeToString()


def decode(data: bytes, where: str) -> ActiveNodeInfo:
    """Raises CorruptData when the bytes are not an ActiveNodeInfo with all its fields."""
    try:
        info = ActiveNodeInfo.FromString(data)
        cause = "" if info.IsInitialized() else "a field is missing"
    except DecodeError as error:
        cause = str(error)
    if cause:
        raise CorruptData(where, None, f"no ActiveNodeInfo: {cause} ({data[:64].hex()})")
    return info


def resolve(data: bytes, known: Iterable[NameNodeAddresses], where: str) -> NameNodeAddresses:
    """The configured NameNode that the bytes name (DFSZKFailoverController.dataToTarget).

    Raises CorruptData for bytes that are no ActiveNodeInfo, and ConfigError when our configuration
    does not know the node or knows it on another port: then nobody can say whom to fence.
    """
    info = decode(data, where)
    for namenode in known:
        if (namenode.nameservice, namenode.node_id) == (info.nameserviceId, info.namenodeId):
            if namenode.for_servers.port != info.port:
                raise ConfigError(
                    f"{where} names {describe_info(info)}, but our configuration has"
                    f" {namenode.node_id} at {namenode.for_servers}: make the configuration of"
                    " all nodes the same"
                )
            return namenode
    raise ConfigError(
        f"{where} names {describe_info(info)}, which our configuration does not have:"
        f" add it to dfs.ha.namenodes.{info.nameserviceId}"
    )


def describe_info(info: ActiveNodeInfo) -> str:
    """One line for logs."""
    return f"{info.namenodeId} of {info.nameserviceId} at {info.hostname}:{info.port}"


def describe(namenode: NameNodeAddresses) -> str:
    """A NameNode in logs and error texts (NNHAServiceTarget.toString)."""
    return f"NameNode at {namenode.lifeline_rpc or namenode.for_servers}"
