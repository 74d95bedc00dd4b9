"""A call is executed once, whoever is asked again. The first NameNode's answer is lost; the second
knows the call from the journal only, and must say the same, whatever others have done since.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from small_namenode import CLIENT, Desktop, block_of, extended

from hdfsd.base.errors import AlreadyBeingCreated, FileNotFound, Unsupported
from hdfsd.base.ids import Block, GenStamp, TxId
from hdfsd.blocks.blockmap import BlockState
from hdfsd.editlog import ops
from hdfsd.editlog.ops import PermissionStatus
from hdfsd.namenode.answers import known_from
from hdfsd.namespace import query
from hdfsd.wire.messages import acl, client_namenode, datanode, xattr
from hdfsd.wire.services import CLIENT_PROTOCOL, PROTOCOLS, RetryClass

c = client_namenode
OTHER_CLIENT = b"another client!!"
CALL_ID = 50
MODE = acl.FsPermissionProto(perm=0o640)


def creation(path: str, flags: int = 1, client: str = "c1") -> c.CreateRequestProto:
    return c.CreateRequestProto(
        src=path,
        masked=MODE,
        clientName=client,
        createFlag=flags,
        createParent=True,
        replication=1,
        blockSize=128,
    )


class Pair:
    """An active and a standby; the DataNode `d1` reports to both."""

    def __init__(self) -> None:
        self.active, self.standby = Desktop(), Desktop(active=False)
        for namenode in (self.active, self.standby):
            namenode.add_nodes("d1")
        self._tailed = 0
        self._calls = 0

    def does(self, handler: str, request: Any) -> Any:
        """Another call than the one that is watched, at the active."""
        self._calls += 1
        return self.active.ask(handler, request, call_id=self._calls, client_id=OTHER_CLIENT)

    def tail(self) -> None:
        """The standby makes up with the journal."""
        made = self.active.log.ops()
        for op in made[self._tailed :]:
            txid = TxId(self.standby.state.applied_txid + 1)
            self.standby.state.replay(op, txid, self.standby.clock.now_ms())
        self._tailed = len(made)

    def add_block(self, path: str, length: int, previous: Block | None = None) -> Block:
        request = c.AddBlockRequestProto(src=path, clientName="c1")
        if previous is not None:
            request.previous.CopyFrom(extended(previous))
        return block_of(self.does("add_block", request).block, length)

    def write(self, path: str, *lengths: int) -> Block | None:
        """A closed file of blocks of these lengths."""
        self.does("create", creation(path))
        last: Block | None = None
        for length in lengths:
            last = self.add_block(path, length, last)
            self.active.received(last, "d1")
        request = c.CompleteRequestProto(src=path, clientName="c1")
        if last is not None:
            request.last.CopyFrom(extended(last))
        assert self.does("complete", request).result
        self.tail()
        for block in self.blocks_of(path):
            self.standby.received(block, "d1")
        return last

    def blocks_of(self, path: str) -> tuple[Block, ...]:
        return query.located_file(self.active.state.namespace, None, path, 0).blocks

    def take_over(self) -> None:
        """The active is gone; what it has logged is all that is left of it."""
        self.tail()
        self.standby.activate()


@dataclass(frozen=True)
class Case:
    """One call; `prepare` makes what it needs and returns its request."""

    handler: str
    prepare: Callable[[Pair], Any]
    meanwhile: tuple[tuple[str, Any], ...] = ()
    """What others do at the second NameNode before the client asks there."""


def _rename(pair: Pair) -> Any:
    pair.write("/f", 10)
    return c.RenameRequestProto(src="/f", dst="/g")


def _rename2(pair: Pair) -> Any:
    pair.write("/f", 10)
    return c.Rename2RequestProto(src="/f", dst="/g", overwriteDest=False)


def _rename_over(pair: Pair) -> Any:
    pair.write("/f", 10)
    pair.write("/g", 10)
    return c.Rename2RequestProto(src="/f", dst="/g", overwriteDest=True)


def _delete(pair: Pair) -> Any:
    pair.write("/f", 10)
    return c.DeleteRequestProto(src="/f", recursive=True)


def _create(pair: Pair) -> Any:
    return creation("/f")


def _create_over(pair: Pair) -> Any:
    pair.write("/f", 10)
    return creation("/f", flags=3)


def _create_under_acl(pair: Pair) -> Any:
    pair.does("mkdirs", c.MkdirsRequestProto(src="/d", masked=MODE, createParent=True))
    entry = acl.AclEntryProto(
        type=acl.AclEntryProto.USER, scope=acl.AclEntryProto.DEFAULT, permissions=7, name="eve"
    )
    pair.does("modify_acl_entries", acl.ModifyAclEntriesRequestProto(src="/d", aclSpec=[entry]))
    return creation("/d/f")


def _create_under_policy(pair: Pair) -> Any:
    pair.does("mkdirs", c.MkdirsRequestProto(src="/d", masked=MODE, createParent=True))
    pair.does("set_storage_policy", c.SetStoragePolicyRequestProto(src="/d", policyName="COLD"))
    return creation("/d/f")


def _append(pair: Pair) -> Any:
    pair.write("/f", 128, 60)
    return c.AppendRequestProto(src="/f", clientName="c1")


def _append_new_block(pair: Pair) -> Any:
    pair.write("/f", 128, 60)
    return c.AppendRequestProto(src="/f", clientName="c1", flag=c.NEW_BLOCK)


def _append_to_full_block(pair: Pair) -> Any:
    pair.write("/f", 128)
    return c.AppendRequestProto(src="/f", clientName="c1")


def _append_to_nothing(pair: Pair) -> Any:
    pair.write("/f")
    return c.AppendRequestProto(src="/f", clientName="c1")


def _concat(pair: Pair) -> Any:
    for path in ("/f", "/g", "/h"):
        pair.write(path, 128)
    return c.ConcatRequestProto(trg="/f", srcs=["/g", "/h"])


def _update_pipeline(pair: Pair) -> Any:
    pair.does("create", creation("/f"))
    block = pair.add_block("/f", 0)
    request = c.UpdateBlockForPipelineRequestProto(block=extended(block), clientName="c1")
    renewed = pair.does("update_block_for_pipeline", request).block
    newer = Block(block.block_id, 40, GenStamp(renewed.b.generationStamp))
    return c.UpdatePipelineRequestProto(
        clientName="c1",
        oldBlock=extended(block),
        newBlock=extended(newer),
        newNodes=[renewed.locs[0].id],
        storageIDs=["d1-s0"],
    )


def _color(pair: Pair) -> xattr.XAttrProto:
    pair.write("/f", 10)
    return xattr.XAttrProto(namespace=xattr.XAttrProto.USER, name="color", value=b"red")


def _set_x_attr(pair: Pair) -> Any:
    return xattr.SetXAttrRequestProto(src="/f", xAttr=_color(pair), flag=xattr.XATTR_CREATE)


def _remove_x_attr(pair: Pair) -> Any:
    color = _color(pair)
    pair.does("set_x_attr", xattr.SetXAttrRequestProto(src="/f", xAttr=color, flag=1))
    return xattr.RemoveXAttrRequestProto(src="/f", xAttr=color)


def _snapshottable(pair: Pair, *names: str) -> None:
    pair.does("mkdirs", c.MkdirsRequestProto(src="/d", masked=MODE, createParent=True))
    pair.does("allow_snapshot", c.AllowSnapshotRequestProto(snapshotRoot="/d"))
    for name in names:
        request = c.CreateSnapshotRequestProto(snapshotRoot="/d", snapshotName=name)
        pair.does("create_snapshot", request)


def _create_snapshot(pair: Pair) -> Any:
    _snapshottable(pair)
    return c.CreateSnapshotRequestProto(snapshotRoot="/d", snapshotName="s")


def _create_snapshot_named_by_its_time(pair: Pair) -> Any:
    _snapshottable(pair)
    return c.CreateSnapshotRequestProto(snapshotRoot="/d")


def _rename_snapshot(pair: Pair) -> Any:
    _snapshottable(pair, "s")
    return c.RenameSnapshotRequestProto(snapshotRoot="/d", snapshotOldName="s", snapshotNewName="t")


def _delete_snapshot(pair: Pair) -> Any:
    _snapshottable(pair, "s")
    return c.DeleteSnapshotRequestProto(snapshotRoot="/d", snapshotName="s")


def snapshot_gone(name: str) -> tuple[str, Any]:
    return "delete_snapshot", c.DeleteSnapshotRequestProto(snapshotRoot="/d", snapshotName=name)


def snapshot_made(name: str) -> tuple[str, Any]:
    return "create_snapshot", c.CreateSnapshotRequestProto(snapshotRoot="/d", snapshotName=name)


def gone(path: str) -> tuple[str, Any]:
    return "delete", c.DeleteRequestProto(src=path, recursive=True)


def moved(source: str, target: str) -> tuple[str, Any]:
    return "rename2", c.Rename2RequestProto(src=source, dst=target, overwriteDest=True)


def replaced(path: str) -> tuple[str, Any]:
    return "create", creation(path, flags=3, client="c2")


CASES = {
    "rename": Case("rename", _rename),
    "rename, the target gone since": Case("rename", _rename, (gone("/g"),)),
    "rename, moved back since": Case("rename", _rename, (moved("/g", "/f"),)),
    "rename2": Case("rename2", _rename2),
    "rename2, moved back since": Case("rename2", _rename2, (moved("/g", "/f"),)),
    "rename2 over another file": Case("rename2", _rename_over),
    "delete": Case("delete", _delete),
    "delete, another file there since": Case("delete", _delete, (replaced("/f"),)),
    "create": Case("create", _create),
    "create over another file": Case("create", _create_over),
    "create under a default ACL": Case("create", _create_under_acl),
    "create under a storage policy": Case("create", _create_under_policy),
    "create, gone since": Case("create", _create, (gone("/f"),)),
    "create, moved since": Case("create", _create, (moved("/f", "/g"),)),
    "create, another file there since": Case("create", _create, (replaced("/f"),)),
    "append": Case("append", _append),
    "append, moved since": Case("append", _append, (moved("/f", "/g"),)),
    "append with a new block": Case("append", _append_new_block),
    "append behind a full block": Case("append", _append_to_full_block),
    "append to an empty file": Case("append", _append_to_nothing),
    "append to an empty file, gone since": Case("append", _append_to_nothing, (gone("/f"),)),
    "concat": Case("concat", _concat),
    "concat, gone since": Case("concat", _concat, (gone("/f"),)),
    "updatePipeline": Case("update_pipeline", _update_pipeline),
    "setXAttr": Case("set_x_attr", _set_x_attr),
    "removeXAttr": Case("remove_x_attr", _remove_x_attr),
    "createSnapshot": Case("create_snapshot", _create_snapshot),
    "createSnapshot, gone since": Case("create_snapshot", _create_snapshot, (snapshot_gone("s"),)),
    "createSnapshot, by its time": Case("create_snapshot", _create_snapshot_named_by_its_time),
    "renameSnapshot": Case("rename_snapshot", _rename_snapshot),
    "renameSnapshot, gone since": Case("rename_snapshot", _rename_snapshot, (snapshot_gone("t"),)),
    "deleteSnapshot": Case("delete_snapshot", _delete_snapshot),
    "deleteSnapshot, another there since": Case(
        "delete_snapshot", _delete_snapshot, (snapshot_made("s"),)
    ),
}


def said(answer: Any) -> Any:
    """An answer without how many blocks a DataNode has: each NameNode counts for itself."""
    told = type(answer)()
    told.CopyFrom(answer)
    if answer.DESCRIPTOR.name == "AppendResponseProto":
        for node in told.block.locs:
            node.ClearField("numBlocks")
    return told


NOT_BUILT = frozenset(
    {
        *("addCacheDirective", "modifyCacheDirective", "removeCacheDirective"),
        *("addCachePool", "modifyCachePool", "removeCachePool"),
        *("createEncryptionZone", "reencryptEncryptionZone"),
        *("setErasureCodingPolicy", "unsetErasureCodingPolicy", "addErasureCodingPolicies"),
        *("removeErasureCodingPolicy", "enableErasureCodingPolicy", "disableErasureCodingPolicy"),
        "satisfyStoragePolicy",
    }
)
"""Nobody serves them: the RPC server answers UnsupportedOperationException, to a retry as well."""

NO_EDITS = frozenset({"saveNamespace", "createSymlink"})
"""Saving twice saves twice, and symlinks are always refused."""


def test_every_at_most_once_method_is_proven_or_named() -> None:
    methods = PROTOCOLS[CLIENT_PROTOCOL].methods.values()
    once = {m for m in methods if m.retry is RetryClass.AT_MOST_ONCE}
    proven = {case.handler for case in CASES.values()}
    assert {m.name for m in once if m.handler not in proven} == NOT_BUILT | NO_EDITS
    served = Desktop().client
    assert {m.name for m in once if not hasattr(served, m.handler)} == NOT_BUILT


@pytest.mark.parametrize("name", CASES)
def test_the_next_active_answers_what_the_first_did(name: str) -> None:
    case, pair = CASES[name], Pair()
    request = case.prepare(pair)
    logged = len(pair.active.log.frames)
    answer = pair.active.ask(case.handler, request, call_id=CALL_ID)
    assert len(pair.active.log.frames) > logged
    pair.take_over()
    for number, (handler, other) in enumerate(case.meanwhile):
        pair.standby.ask(handler, other, call_id=90 + number, client_id=OTHER_CLIENT)
    before = pair.standby.dump()
    for _ in range(2):
        again = pair.standby.ask(case.handler, request, call_id=CALL_ID)
        assert said(again) == said(answer)
    assert pair.standby.dump() == before, "it is not executed once more"


@pytest.mark.parametrize("name", CASES)
def test_so_does_the_first_itself_and_one_that_has_loaded_the_journal(name: str) -> None:
    case, pair = CASES[name], Pair()
    request = case.prepare(pair)
    answer = pair.active.ask(case.handler, request, call_id=CALL_ID)
    before = pair.active.dump()
    again = pair.active.ask(case.handler, request, call_id=CALL_ID)
    assert said(again) == said(answer)
    assert pair.active.dump() == before
    # Started anew: no DataNode has told it anything when it reads the journal.
    loaded = Desktop(active=False)
    pair.active.replay_into(loaded)
    loaded.add_nodes("d1")
    for block_id in [b.block_id for path in ("/f", "/g") for b in _blocks(loaded, path)]:
        stored = loaded.state.blocks.stored(block_id)
        assert stored is not None
        loaded.received(stored, "d1")
    loaded.activate()
    before = loaded.dump()
    again = loaded.ask(case.handler, request, call_id=CALL_ID)
    assert said(again) == said(answer)
    assert loaded.dump() == before


def _blocks(desktop: Desktop, path: str) -> tuple[Block, ...]:
    try:
        return query.located_file(desktop.state.namespace, None, path, 0).blocks
    except FileNotFound:
        return ()


def test_the_answer_to_append_says_where_the_block_is_now() -> None:
    pair = Pair()
    request = _append(pair)
    pair.standby.add_nodes("d2")
    first = pair.active.ask("append", request, call_id=CALL_ID)
    pair.take_over()
    last = block_of(first.block)
    pair.standby.state.blocks.set_expected(
        last.block_id, pair.standby.state.blocks.storages(["uuid-d2"], ["d2-s0"])
    )
    again = pair.standby.ask("append", request, call_id=CALL_ID)
    assert [node.id.hostName for node in again.block.locs] == ["d2"]
    assert (block_of(again.block), again.stat) == (last, first.stat)


def test_of_old_logs_no_append_is_taken_for_a_creation() -> None:
    """Before OP_APPEND a second OP_ADD opened a file for append; some logs know no inode ids."""
    desktop, permissions = Desktop(), PermissionStatus("u", "g", 0o640)
    op = ops.AddOp(0, "/f", 2, 5, 6, 128, (), permissions, (), (), "c", "h", False, 7, 0, CLIENT, 3)
    assert known_from(op, desktop.state.namespace, desktop.state.blocks) is None


def test_symlinks_are_refused_each_time() -> None:
    pair = Pair()
    request = c.CreateSymlinkRequestProto(target="/f", link="/l", dirPerm=MODE, createParent=True)
    for _ in range(2):
        with pytest.raises(Unsupported, match="Symlinks not supported"):
            pair.active.ask("create_symlink", request, call_id=CALL_ID)
    assert pair.active.log.frames == []


# --- truncate: in no retry cache (Hadoop calls it idempotent, and logs it without its call) ---


def truncation(length: int) -> c.TruncateRequestProto:
    return c.TruncateRequestProto(src="/f", clientName="c1", newLength=length)


def cuts(desktop: Desktop) -> list[tuple[int, int]]:
    """(length, recovery id) of what `d1` is told to cut."""
    kind = datanode.DatanodeCommandProto.BlockRecoveryCommand
    commands = [command for command in desktop.heartbeat("d1") if command.cmdType == kind]
    blocks = [block for command in commands for block in command.recoveryCmd.blocks]
    return [(block.truncateBlock.numBytes, block.newGenStamp) for block in blocks]


def test_a_truncation_at_a_boundary_is_done_once() -> None:
    pair = Pair()
    pair.write("/f", 128, 60)
    assert pair.active.ask("truncate", truncation(128), call_id=CALL_ID).result
    pair.take_over()
    before = pair.standby.dump()
    assert pair.standby.ask("truncate", truncation(128), call_id=CALL_ID).result
    assert pair.standby.dump() == before


def test_a_truncation_inside_a_block_goes_on_at_the_next_active() -> None:
    pair = Pair()
    last = pair.write("/f", 128, 60)
    assert last is not None
    assert not pair.active.ask("truncate", truncation(140), call_id=CALL_ID).result
    ((length, first_id),) = cuts(pair.active)
    pair.take_over()
    blocks = pair.standby.state.blocks
    assert blocks.state(last.block_id) == BlockState.UNDER_CONSTRUCTION
    assert not pair.standby.ask("truncate", truncation(140), call_id=CALL_ID).result
    ((again, second_id),) = cuts(pair.standby)
    assert (length, again) == (12, 12)
    assert second_id > first_id, "whatever the first recovery still does is outdated"
    assert not pair.standby.ask("truncate", truncation(140), call_id=CALL_ID).result
    assert cuts(pair.standby) == [], "one recovery is enough"
    with pytest.raises(AlreadyBeingCreated, match="is being truncated"):
        pair.standby.ask("truncate", truncation(139), call_id=CALL_ID + 1)


def test_a_truncation_that_nobody_asks_about_ends_with_its_lease() -> None:
    """Its writer heard `false` and is gone: whoever recovers the file cuts it, and does not find
    the bytes again that were truncated."""
    pair = Pair()
    pair.write("/f", 128, 60)
    assert not pair.active.ask("truncate", truncation(140), call_id=CALL_ID).result
    pair.take_over()
    request = c.RecoverLeaseRequestProto(src="/f", clientName="c9")
    assert not pair.standby.ask("recover_lease", request, call_id=CALL_ID).result
    assert [length for length, _ in cuts(pair.standby)] == [12]


def test_what_hadoop_does_not_remember_is_not_remembered() -> None:
    """OP_ADD_BLOCK and the like stand without their call: such calls are repeated as new ones."""
    pair = Pair()
    pair.does("create", creation("/f"))
    remembered = len(pair.active.state.retry)
    pair.add_block("/f", 0)
    pair.tail()
    assert len(pair.standby.state.retry) == len(pair.active.state.retry) == remembered
