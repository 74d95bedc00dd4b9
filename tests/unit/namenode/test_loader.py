"""What is brought into memory at start: the newest good image, then our own edits."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import pytest
from small_namenode import INFO, LivingNameNode, call, on_virtual_time

from hdfsd.base.errors import CorruptData, StorageError
from hdfsd.base.ids import InodeId, NamespaceInfo, StorageInfo, TxId
from hdfsd.blocks.manager import BlockManager
from hdfsd.namenode.loader import load_image, replay_local
from hdfsd.namenode.local_edits import LocalEdits
from hdfsd.namenode.state import NameNodeState
from hdfsd.namenode.views import block_settings, new_namespace
from hdfsd.wire.messages import acl, client_namenode

T = TypeVar("T")
CURRENT = "/name/current"
IMAGE = "fsimage_%019d"
ROOT_ID = InodeId(16385)
MODE = acl.FsPermissionProto(perm=0o755)


def mkdirs(made: LivingNameNode, path: str) -> None:
    request = client_namenode.MkdirsRequestProto(src=path, masked=MODE, createParent=True)
    made.client.mkdirs(request, call("mkdirs"))


def load(made: LivingNameNode, info: NamespaceInfo = INFO) -> NameNodeState:
    chosen = made.settings
    return load_image(
        made.storage,
        info=info,
        make_namespace=lambda: new_namespace(chosen, "hdfs", 0),
        blocks=BlockManager(block_settings(chosen), made.ports.dice, info),
        retry_life_ms=1,
    )


async def replayed(made: LivingNameNode) -> NameNodeState:
    state = load(made)
    local = LocalEdits(disk=made.ports.disk, storage=made.storage, directories_min=1)
    await replay_local(state, local, seen_txid=made.storage.read_seen_txid(), now_ms=0)
    return state


async def corrupt(made: LivingNameNode, name: str) -> None:
    disk = made.ports.disk
    data = disk.read(f"{CURRENT}/{name}", limit=1 << 20)
    middle = len(data) // 2
    changed = data[:middle] + bytes([data[middle] ^ 0xFF]) + data[middle + 1 :]
    await disk.write_atomic(f"{CURRENT}/{name}", changed)


def after_some_life(story: Callable[[LivingNameNode], Coroutine[Any, Any, T]], **keys: str) -> T:
    """A NameNode without HA that made /a, saved at 4, made /b, rolled, made /c, and crashed."""

    async def play(made: LivingNameNode) -> T:
        await made.lifecycle.start()
        mkdirs(made, "/a")
        assert await made.lifecycle.save_namespace() == 4
        mkdirs(made, "/b")
        await made.lifecycle.roll_edits()
        mkdirs(made, "/c")
        assert made.lifecycle.committer is not None
        await made.lifecycle.committer.durable()
        await made.lifecycle.stop()
        return await story(made)

    return on_virtual_time(play, ha=False, **keys)


def paths(state: NameNodeState) -> list[str]:
    return [state.namespace.path_of(child) for child in state.namespace.child_ids(ROOT_ID)]


def test_the_newest_image_and_every_edit_after_it() -> None:
    async def story(made: LivingNameNode) -> None:
        image = load(made)
        assert (image.applied_txid, paths(image)) == (4, ["/a"])
        state = await replayed(made)
        assert (state.applied_txid, paths(state)) == (8, ["/a", "/b", "/c"])
        names = made.ports.disk.list(CURRENT)
        assert "edits_0000000000000000007-0000000000000000008" in names, "closed by the recovery"

    after_some_life(story)


def test_a_bad_newest_image_is_passed_over_and_kept() -> None:
    async def story(made: LivingNameNode) -> None:
        await corrupt(made, IMAGE % 4)
        state = await replayed(made)
        assert (state.applied_txid, paths(state)) == (8, ["/a", "/b", "/c"])
        assert made.ports.disk.exists(f"{CURRENT}/{IMAGE % 4}")

    after_some_life(story)


def test_an_image_without_its_digest_is_passed_over() -> None:
    async def story(made: LivingNameNode) -> None:
        await made.ports.disk.remove(f"{CURRENT}/{IMAGE % 4}.md5")
        assert load(made).applied_txid == 0

    after_some_life(story)


def test_every_bad_image_is_named_when_none_can_be_loaded() -> None:
    async def story(made: LivingNameNode) -> None:
        for txid in (0, 4):
            await corrupt(made, IMAGE % txid)
        with pytest.raises(StorageError) as caught:
            load(made)
        text = str(caught.value)
        assert text.startswith("no image in /name can be loaded: ")
        assert text.count("MD5") >= 2
        assert IMAGE % 4 in text
        assert IMAGE % 0 in text

    after_some_life(story)


def test_a_directory_without_an_image_says_so() -> None:
    async def story(made: LivingNameNode) -> None:
        for name in made.ports.disk.list(CURRENT):
            if name.startswith("fsimage"):
                await made.ports.disk.remove(f"{CURRENT}/{name}")
        with pytest.raises(StorageError, match="there is none"):
            load(made)

    after_some_life(story)


def test_an_image_of_another_namespace_is_refused() -> None:
    async def story(made: LivingNameNode) -> None:
        other = NamespaceInfo(StorageInfo(-67, 78, 1, "CID-y"), "BP-2")
        with pytest.raises(StorageError, match="it is of namespace 77, not 78"):
            load(made, other)

    after_some_life(story)


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("edits_0000000000000000004-0000000000000000006", "transaction 5 is missing before 7"),
        ("edits_inprogress_0000000000000000007", "they end at transaction 6, but 7 was begun"),
    ],
)
def test_missing_edits_are_named(name: str, cause: str) -> None:
    async def story(made: LivingNameNode) -> None:
        await made.ports.disk.remove(f"{CURRENT}/{name}")
        if "inprogress" in name:
            # Only the beginning of a further segment tells that something was there.
            await made.storage.write_seen_txid(TxId(8))
        with pytest.raises(CorruptData, match=cause.replace("7 was", "8 was")):
            await replayed(made)

    after_some_life(story)


def test_edits_that_are_damaged_are_named_and_not_touched() -> None:
    async def story(made: LivingNameNode) -> None:
        name = "edits_0000000000000000004-0000000000000000006"
        await corrupt(made, name)
        with pytest.raises(CorruptData, match=name):
            await replayed(made)
        assert made.ports.disk.exists(f"{CURRENT}/{name}")

    after_some_life(story)


def test_without_edits_the_image_is_all() -> None:
    async def story(made: LivingNameNode) -> None:
        state = await replayed(made)
        assert (state.applied_txid, paths(state)) == (0, [])

    on_virtual_time(story, ha=False)


def test_a_whole_second_life() -> None:
    async def story(made: LivingNameNode) -> None:
        again = LivingNameNode(made.ports, None)
        again.load()
        seen = again.storage.read_seen_txid()
        await replay_local(again.state, again.local, seen_txid=seen, now_ms=0)
        await again.lifecycle.start()
        mkdirs(again, "/d")
        assert again.state.applied_txid == 10
        assert paths(again.state) == ["/a", "/b", "/c", "/d"]

    after_some_life(story)
