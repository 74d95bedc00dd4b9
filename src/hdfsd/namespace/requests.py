"""Data. What `mutate` is asked and what it answers, apart from ops and errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from hdfsd.base.errors import RemoteFault
from hdfsd.base.ids import Block, BlockId, GenStamp, InodeId
from hdfsd.editlog.ops import EditOp
from hdfsd.namespace.permission import Principal

CREATE, OVERWRITE, APPEND, LAZY_PERSIST, NEW_BLOCK, SHOULD_REPLICATE = 1, 2, 4, 0x10, 0x20, 0x80
"""Bits of CreateFlagProto."""
XATTR_CREATE, XATTR_REPLACE = 1, 2
"""Bits of XAttrSetFlagProto."""


class Request(NamedTuple):
    """Who asks, when, and by which RPC (the retry cache's key goes into the op)."""

    who: Principal
    now_ms: int
    """Wall time, for the times of inodes."""
    client_id: bytes = b""
    call_id: int = -2
    lease_ms: int = 0
    """Time for leases, which does not jump: a clock set forward must not expire them."""


class BlockStates(Protocol):
    """What some decisions need to know of the block map (the service adapts it)."""

    def is_complete(self, block_id: BlockId) -> bool: ...
    def is_committed(self, block_id: BlockId) -> bool: ...
    def is_under_recovery(self, block_id: BlockId) -> bool: ...
    def truncating_to(self, block_id: BlockId) -> int | None:
        """The length that a truncation cuts it to: just now, or once somebody recovers it."""
        ...

    def has_minimum_replicas(self, block_id: BlockId) -> bool: ...
    def is_sufficiently_replicated(self, block_id: BlockId) -> bool: ...
    def location_count(self, block_id: BlockId) -> int:
        """Expected locations of a block under construction."""
        ...


class OpenFile(NamedTuple):
    """A file under construction by the caller, its lease checked."""

    inode_id: InodeId
    path: str
    blocks: tuple[Block, ...]
    replication: int
    block_size: int
    storage_policy_id: int
    client_name: str
    client_machine: str


class Recovery(NamedTuple):
    """Start the recovery of a block with this recovery id (a new generation stamp), after `ops`."""

    inode_id: InodeId
    block: Block
    recovery_id: GenStamp
    new_length: int | None = None
    """For truncate: the length to cut to. None: agree on the common length."""


class Plan(NamedTuple):
    """Ops to apply and log, then `recovery` to start, then `failure` to raise (all optional).

    `again`: after applying, call the same function again (an expired lease was just released).
    """

    ops: Sequence[EditOp] = ()
    recovery: Recovery | None = None
    failure: RemoteFault | None = None
    again: bool = False
    result: bool = True


class NewFile(NamedTuple):
    """Arguments of ClientProtocol.create. `mode` is the masked mode of the request; `flags` the
    bits of CreateFlagProto: 1 CREATE, 2 OVERWRITE, 4 APPEND, 0x10 LAZY_PERSIST, 0x20 NEW_BLOCK,
    0x80 SHOULD_REPLICATE."""

    path: str
    mode: int
    client_name: str
    client_machine: str
    flags: int
    create_parent: bool
    replication: int
    block_size: int
    unmasked_mode: int | None = None
    ec_policy: str = ""
    storage_policy: str = ""


class NewBlock(NamedTuple):
    file: OpenFile
    ops: Sequence[EditOp]
    block: Block
    """The block to be written (already there when `retry`)."""
    offset: int
    """Of the block in the file."""
    retry: bool
    """The client asked before: answer with the block's known locations, if there are any."""
