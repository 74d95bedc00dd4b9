"""Data. Identifiers as distinct types, so that a swapped txid and epoch does not type-check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NewType

BlockId = NewType("BlockId", int)
GenStamp = NewType("GenStamp", int)
TxId = NewType("TxId", int)
Epoch = NewType("Epoch", int)
InodeId = NewType("InodeId", int)
NodeId = NewType("NodeId", str)
"""A NameNode id ("nn1"), a JournalNode ("127.0.0.1:8485") or a DataNode uuid."""

INVALID_TXID = TxId(-12345)
"""Hadoop's HdfsServerConstants.INVALID_TXID: no transaction."""
ROOT_INODE_ID = InodeId(16385)
FIRST_BLOCK_ID = BlockId(1073741825)
NAMENODE_LAYOUT_VERSION = -67
DATANODE_LAYOUT_VERSION = -57


@dataclass(frozen=True, slots=True, order=True)
class Address:
    """A host name or IP literal and a TCP port."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str, default_port: int | None = None) -> Address:
        """`host:port`, `[v6]:port`, or `host` when there is a default port. Raises ValueError."""
        host, colon, port = text.strip().rpartition(":")
        if not colon or (":" in host and not host.endswith("]")):
            host, port = text.strip(), ""
        if not port and default_port is None:
            raise ValueError(f"{text!r} is not HOST:PORT")
        try:
            number = int(port) if port else int(default_port or 0)
        except ValueError:
            raise ValueError(f"{text!r} is not HOST:PORT: {port!r} is no port number") from None
        if not host or not 0 <= number <= 65535:
            raise ValueError(f"{text!r} is not HOST:PORT")
        return cls(host.strip("[]"), number)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Block:
    """One block as the namespace knows it: `num_bytes` 0 while unknown."""

    block_id: BlockId
    num_bytes: int
    gen_stamp: GenStamp

    @property
    def name(self) -> str:
        return f"blk_{self.block_id}"

    def __str__(self) -> str:
        return f"blk_{self.block_id}_{self.gen_stamp}"


@dataclass(frozen=True, slots=True)
class StorageInfo:
    """Who a storage directory belongs to; its text form travels over HTTP."""

    layout_version: int
    namespace_id: int
    ctime_ms: int
    cluster_id: str

    def colon_form(self) -> str:
        """`layoutVersion:namespaceID:cTime:clusterID`, as in Hadoop's URLs."""
        return f"{self.layout_version}:{self.namespace_id}:{self.ctime_ms}:{self.cluster_id}"

    @classmethod
    def parse_colon_form(cls, text: str) -> StorageInfo:
        """Raises ValueError when the text is not of four fields with three numbers in front."""
        layout, namespace, ctime, cluster = text.split(":", 3)
        return cls(int(layout), int(namespace), int(ctime), cluster)


@dataclass(frozen=True, slots=True)
class NamespaceInfo:
    """A namespace: its storage info and its block pool."""

    storage: StorageInfo
    block_pool_id: str
