"""A namespace to make requests of, with a block map that knows only what a test tells it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from hdfsd.base.errors import RemoteFault
from hdfsd.base.ids import Block, BlockId, InodeId
from hdfsd.editlog.ops import EditOp
from hdfsd.namespace import mutate, quota
from hdfsd.namespace.apply import apply
from hdfsd.namespace.effects import Effect
from hdfsd.namespace.inode import Limits, Permission
from hdfsd.namespace.permission import Principal
from hdfsd.namespace.requests import CREATE, OVERWRITE, Request
from hdfsd.namespace.tree import ROOT, Namespace

ROOT_OWNER = Permission("hdfs", "supergroup", 0o755)
MIB = 1 << 20


class FakeBlocks:
    """`requests.BlockStates`; every block is complete unless a test says otherwise."""

    def __init__(self) -> None:
        self.incomplete: set[int] = set()
        self.committed: set[int] = set()
        self.under_recovery: set[int] = set()
        self.truncating: dict[int, int] = {}
        self.replicated = True
        self.sufficient = True
        self.locations = 1

    def is_complete(self, block_id: BlockId) -> bool:
        return block_id not in self.incomplete and block_id not in self.committed

    def is_committed(self, block_id: BlockId) -> bool:
        return block_id in self.committed

    def is_under_recovery(self, block_id: BlockId) -> bool:
        return block_id in self.under_recovery

    def truncating_to(self, block_id: BlockId) -> int | None:
        return self.truncating.get(block_id)

    def has_minimum_replicas(self, block_id: BlockId) -> bool:
        return self.replicated

    def is_sufficiently_replicated(self, block_id: BlockId) -> bool:
        return self.sufficient

    def location_count(self, block_id: BlockId) -> int:
        return self.locations


class World:
    """A namespace, who asks (`hdfs` the superuser, `alice`, `bob`), and all ops applied so far."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits(block_size_min=1)
        self.ns = Namespace(self.limits, ROOT_OWNER, 1)
        self.blocks = FakeBlocks()
        self.now_ms = 1000
        self.applied: list[EditOp] = []
        self.effects: list[Effect] = []
        self.hdfs = Principal("hdfs", frozenset({"supergroup"}), True)
        self.alice = Principal("alice", frozenset({"staff"}))
        self.bob = Principal("bob", frozenset({"guests"}))

    def request(self, who: Principal | None = None) -> Request:
        return Request(who or self.hdfs, self.now_ms, lease_ms=self.now_ms)

    def apply(self, ops: Sequence[EditOp] | None) -> list[Effect]:
        effects: list[Effect] = []
        for op in ops or ():
            effects.extend(apply(self.ns, op, self.now_ms))
            self.applied.append(op)
        self.effects.extend(effects)
        return effects

    def do(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> list[Effect]:
        """Calls a function of `mutate` as the superuser, or as `who`, and applies its ops."""
        who = kwargs.pop("who", None)
        answer = function(self.ns, self.request(who), *args, **kwargs)
        ops = answer.ops if hasattr(answer, "ops") else answer
        effects = self.apply(ops)
        if isinstance(answer, mutate.Plan) and answer.failure is not None:
            raise answer.failure
        return effects

    def refusal(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> tuple[str, str]:
        """(short Java class, message) of the RemoteFault that a request ends with."""
        with pytest.raises(RemoteFault) as caught:
            self.do(function, *args, **kwargs)
        fault = caught.value
        return fault.wire_class.rpartition(".")[2], fault.message

    # what most tests begin with

    def mkdir(self, path: str, mode: int = 0o755, who: Principal | None = None) -> None:
        self.do(mutate.mkdirs, path, mode, True, who=who)

    def open(
        self, path: str, client: str = "c1", who: Principal | None = None, **changes: Any
    ) -> InodeId:
        """Creates a file and leaves it open."""
        new = mutate.NewFile(path, 0o644, client, "host1", CREATE | OVERWRITE, True, 3, 128)
        self.do(mutate.create, new._replace(**changes), self.blocks, who=who)
        return InodeId(self.ns.last_inode_id)

    def add_block(self, path: str, previous: Block | None = None, client: str = "c1") -> Block:
        new = mutate.add_block(self.ns, self.request(), path, client, previous, None, self.blocks)
        self.apply(new.ops)
        return new.block

    def close(self, path: str, last: Block | None = None, client: str = "c1") -> None:
        file = mutate.check_lease(self.ns, path, client)
        self.do(mutate.close, file, last)

    def write(
        self, path: str, *sizes: int, who: Principal | None = None, **changes: Any
    ) -> InodeId:
        """A closed file with blocks of these sizes."""
        inode_id = self.open(path, who=who, **changes)
        last: Block | None = None
        for size in sizes:
            new = self.add_block(path, last)
            last = Block(new.block_id, size, new.gen_stamp)
        self.close(path, last)
        return inode_id

    # what must hold whatever was done

    def check_counts(self) -> None:
        """The counts kept by differences are those of a walk."""
        kept = {row: (q.inodes, q.space, list(q.type_space)) for row, q in self.ns.quotas.items()}
        quota.recount(self.ns)
        counted = {
            row: (q.inodes, q.space, list(q.type_space)) for row, q in self.ns.quotas.items()
        }
        assert kept == counted
        assert self.ns.quotas[ROOT].inodes == self.ns.inode_count

    def dump(self) -> list[object]:
        """All that an image would hold, for comparing two namespaces."""
        ns = self.ns
        rows: list[object] = []
        for row in ns.inodes():
            values = row._asdict()
            values["permission"] = ns.permissions[row.permission]
            if "layout" in values:
                values["layout"] = ns.layouts[values["layout"]]
            rows.append(tuple(sorted(values.items())))
        rows.extend((i, ns.child_ids(i)) for i in ns.directories_with_children())
        rows.append((ns.last_inode_id, ns.gen_stamp, ns.last_block_id, len(ns.leases)))
        return rows


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture(scope="session")
def new_world() -> Callable[..., World]:
    """For tests that need other limits, or many worlds."""
    return World
