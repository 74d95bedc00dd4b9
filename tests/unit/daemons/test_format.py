"""-format, -bootstrapStandby, -initializeSharedEdits: options, questions, codes, what is left."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from memory_journal import JournalContent
from small_namenode import HA_KEYS, INFO, settings

from hdfsd.base.errors import ConfigError, ConnectFailed, CorruptData, HdfsdError
from hdfsd.base.ids import NamespaceInfo, StorageInfo, TxId
from hdfsd.base.settings import NameNodeSettings
from hdfsd.base.version_file import parse
from hdfsd.blocks.manager import BlockManager
from hdfsd.daemons import format as formatting
from hdfsd.daemons.format import FormatOptions, parse_options
from hdfsd.daemons.world import World
from hdfsd.editlog import codec
from hdfsd.editlog.ops import DeleteOp, EndLogSegmentOp, StartLogSegmentOp
from hdfsd.image.save import save
from hdfsd.image.sections import ImageHeader
from hdfsd.io.dice import RealDice
from hdfsd.io.disk import RealDisk
from hdfsd.namenode.gate import HAState
from hdfsd.namenode.loader import load_image
from hdfsd.namenode.local_edits import LocalEdits
from hdfsd.namenode.peer_service import namespace_info
from hdfsd.namenode.storage import NameStorage
from hdfsd.namenode.views import block_settings, new_namespace
from hdfsd.wire.messages import hdfs_server, namenode

FORCE = FormatOptions(force=True)
SILENT = FormatOptions(interactive=False)


class Nest:
    """Two name directories, a journal in memory, a peer that may be there."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.dirs = [root / "name1", root / "name2"]
        self.journal = JournalContent()
        self.peer: Peer | None = None
        self.monkeypatch = monkeypatch
        monkeypatch.setattr(formatting, "open_journal", lambda *about: self.journal.open())

    def settings(self, *, ha: bool = True, **keys: str) -> NameNodeSettings:
        names = ",".join(map(str, self.dirs))
        return settings(ha=ha, **{"dfs.namenode.name.dir": names, **keys})

    def storage(self) -> NameStorage:
        names = list(map(str, self.dirs))
        return NameStorage(disk=RealDisk(), image_dirs=names, edits_dirs=names)

    def run(self, work: Any, options: FormatOptions, **keys: Any) -> int:
        world = World() if self.peer is None else World(http_client=self.peer)
        code = asyncio.run(work(self.settings(**keys), options, world, "hadoop"))
        assert isinstance(code, int)
        return code

    def format(self, options: FormatOptions = SILENT, **keys: Any) -> int:
        return self.run(formatting.format_namenode, options, **keys)

    def bootstrap(self, options: FormatOptions = SILENT, **keys: Any) -> int:
        return self.run(formatting.bootstrap_standby, options, **keys)

    def share(self, options: FormatOptions = SILENT, **keys: Any) -> int:
        return self.run(formatting.initialize_shared_edits, options, **keys)

    def answer(self, *lines: str) -> None:
        typed = iter(lines)
        self.monkeypatch.setattr(formatting, "confirm", lambda question: next(typed) == "y")


@pytest.fixture
def nest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Nest:
    return Nest(tmp_path, monkeypatch)


# --- options ---


@pytest.mark.parametrize(
    ("words", "options"),
    [
        ([], FormatOptions()),
        (["-force"], FormatOptions(force=True)),
        (["-nonInteractive"], FormatOptions(interactive=False)),
        (["-NONINTERACTIVE", "-Force"], FormatOptions(force=True, interactive=False)),
        (["-clusterid", "CID-1"], FormatOptions(cluster_id="CID-1")),
        (["-clusterId", "CID-1", "-force"], FormatOptions(force=True, cluster_id="CID-1")),
        (["-skipSharedEditsCheck"], FormatOptions(skip_shared_edits_check=True)),
    ],
)
def test_options(words: list[str], options: FormatOptions) -> None:
    assert parse_options(words) == options


@pytest.mark.parametrize("words", [["-clusterid"], ["-clusterid", ""], ["-frce"], ["force"]])
def test_words_that_are_no_options(words: list[str]) -> None:
    with pytest.raises(ConfigError, match="is no option here, or lacks its value"):
        parse_options(words)


# --- -format ---


def test_a_format_makes_directories_that_can_be_loaded(nest: Nest) -> None:
    assert nest.format(FormatOptions(cluster_id="CID-mine")) == 0
    info = nest.storage().read_info()
    assert info.storage.cluster_id == "CID-mine"
    assert info.storage.layout_version == -67
    assert nest.journal.formatted == info
    versions = [parse((d / "current/VERSION").read_text(), "VERSION") for d in nest.dirs]
    assert versions[0] == versions[1]
    assert versions[0]["storageType"] == "NAME_NODE"
    chosen = nest.settings()
    state = load_image(
        nest.storage(),
        info=info,
        make_namespace=lambda: new_namespace(chosen, "somebody", 0),
        blocks=BlockManager(block_settings(chosen), RealDice(), info),
        retry_life_ms=1,
    )
    assert (state.applied_txid, state.namespace.inode_count) == (0, 1)
    (root,) = state.namespace.inodes()
    assert state.namespace.permissions[root.permission].user == "hadoop"
    assert not (nest.dirs[0] / "in_use.lock").exists()


def test_ids_are_drawn_anew_each_time(nest: Nest) -> None:
    nest.format()
    first = nest.storage().read_info()
    nest.format(FORCE)
    second = nest.storage().read_info()
    assert first.storage.cluster_id.startswith("CID-")
    assert first.block_pool_id.startswith("BP-")
    for one, other in (
        (first.storage.cluster_id, second.storage.cluster_id),
        (first.block_pool_id, second.block_pool_id),
        (first.storage.namespace_id, second.storage.namespace_id),
    ):
        assert one != other


def test_without_ha_there_is_no_journal_to_format(nest: Nest) -> None:
    assert nest.format(ha=False) == 0
    assert nest.journal.formatted is None


@pytest.mark.parametrize(
    ("options", "answers", "code"),
    [
        (FORCE, [], 0),
        (SILENT, [], 1),
        (FormatOptions(force=True, interactive=False), [], 0),
        (FormatOptions(), ["y", "y", "y"], 0),
        (FormatOptions(), ["n"], 1),
        (FormatOptions(), ["y", "y", "n"], 1),
    ],
)
def test_what_is_there_is_destroyed_only_when_everything_may_be(
    nest: Nest, options: FormatOptions, answers: list[str], code: int
) -> None:
    nest.format()
    before = nest.storage().read_info()
    nest.answer(*answers)
    assert nest.format(options) == code
    after = nest.storage().read_info()
    assert (after == before) is (code != 0)
    assert nest.journal.formatted == after


def test_a_formatted_journal_alone_is_asked_about_too(
    nest: Nest, capsys: pytest.CaptureFixture[str]
) -> None:
    nest.journal.formatted = INFO
    assert nest.format() == 1
    assert not any(d.exists() for d in nest.dirs)
    assert "data appears to exist in QJM to [j1:8485, j2:8485, j3:8485]. Not formatting." in (
        capsys.readouterr().err
    )


def test_formatting_can_be_forbidden(nest: Nest) -> None:
    with pytest.raises(ConfigError, match=r"dfs\.namenode\.support\.allow\.format"):
        nest.format(FORCE, **{"dfs.namenode.support.allow.format": "false"})
    assert not any(d.exists() for d in nest.dirs)


def test_a_journal_that_cannot_be_asked_leaves_everything(nest: Nest) -> None:
    nest.format()
    before = nest.storage().read_info()
    nest.journal.unreachable = True
    with pytest.raises(HdfsdError, match="no quorum"):
        nest.format(FORCE)
    assert nest.storage().read_info() == before


# --- -bootstrapStandby ---


class Peer:
    """The other NameNode: its RPC answers, and its image over HTTP."""

    def __init__(self, info: NamespaceInfo = INFO, *, image: int = 5, newest: int = 5) -> None:
        self.info, self.image, self.newest = info, image, newest
        self.error: Exception | None = None
        self.status = 200
        namespace = new_namespace(settings(), "hdfs", 0)
        header = ImageHeader(info.storage.namespace_id, TxId(image))
        self.data = b"".join(save(namespace, header))
        self.headers = {
            "content-length": str(len(self.data)),
            "x-md5-digest": hashlib.md5(self.data).hexdigest(),
        }
        self.urls: list[str] = []
        self.reason = "because"

    def rpc(self, *about: Any, **more: Any) -> Peer:
        return self

    async def call(self, name: str, request: Any, *, deadline_ms: int) -> Any:
        if self.error is not None:
            raise self.error
        match name:
            case "versionRequest":
                told = namespace_info(self.info, HAState.ACTIVE)
                return hdfs_server.VersionResponseProto(info=told)
            case "getMostRecentCheckpointTxId":
                return namenode.GetMostRecentCheckpointTxIdResponseProto(txId=self.image)
            case "getTransactionId":
                return namenode.GetTransactionIdResponseProto(txId=self.newest)
        raise AssertionError(name)

    async def request(self, method: str, url: str, **more: Any) -> Peer:
        assert method == "GET"
        self.urls.append(url)
        return self

    async def chunks(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self.data), 100):
            yield self.data[start : start + 100]

    async def close(self) -> None: ...


def with_peer(nest: Nest, **about: Any) -> Peer:
    peer = Peer(**about)
    nest.peer = peer
    nest.monkeypatch.setattr(formatting, "RpcClient", peer.rpc)
    return peer


def test_a_bootstrap_copies_namespace_and_image(nest: Nest) -> None:
    peer = with_peer(nest)
    assert nest.bootstrap() == 0
    storage = nest.storage()
    assert storage.read_info() == INFO
    (image,) = storage.images()
    assert (image.txid, storage.read_image(image)) == (5, peer.data)
    assert storage.read_seen_txid() == 5
    assert peer.urls == [
        "http://127.0.0.1:9871/imagetransfer?getimage=1&txid=5"
        "&storageInfo=-67:77:1234:CID-x&bootstrapstandby=true"
    ]


def test_a_bootstrap_needs_another_namenode(nest: Nest) -> None:
    with pytest.raises(ConfigError, match="needs an HA nameservice"):
        nest.bootstrap(ha=False)


def test_nobody_answers(nest: Nest, capsys: pytest.CaptureFixture[str]) -> None:
    with_peer(nest).error = ConnectFailed("refused")
    assert nest.bootstrap() == 2
    assert "nn2 at 127.0.0.1:8021: refused" in capsys.readouterr().err
    assert not any(d.exists() for d in nest.dirs)


def test_another_layout_is_refused(nest: Nest, capsys: pytest.CaptureFixture[str]) -> None:
    with_peer(nest, info=NamespaceInfo(StorageInfo(-60, 77, 1234, "CID-x"), "BP-1"))
    assert nest.bootstrap() == 3
    assert "nn2 has layout version -60, this NameNode -67" in capsys.readouterr().err
    assert not any(d.exists() for d in nest.dirs)


@pytest.mark.parametrize(("options", "code"), [(SILENT, 5), (FORCE, 0)])
def test_what_is_there_is_not_overwritten_silently(
    nest: Nest, options: FormatOptions, code: int
) -> None:
    nest.format()
    before = nest.storage().read_info()
    with_peer(nest)
    assert nest.bootstrap(options) == code
    assert nest.storage().read_info() == (INFO if code == 0 else before)


def test_transactions_after_the_image_must_be_on_the_journal(
    nest: Nest, capsys: pytest.CaptureFixture[str]
) -> None:
    with_peer(nest, image=5, newest=9)
    assert nest.bootstrap() == 6
    assert "Unable to read transaction ids 6-9 from the configured" in capsys.readouterr().err
    nest.journal.unreachable = True
    assert nest.bootstrap() == 6
    assert nest.storage().has_data() == []
    assert nest.bootstrap(FormatOptions(skip_shared_edits_check=True)) == 0


def test_transactions_on_the_journal_are_enough(nest: Nest) -> None:
    with_peer(nest, image=5, newest=9)
    for txid in range(1, 10):
        nest.journal.frames[txid] = codec.encode(DeleteOp("/x", 1, b"", -2), txid)
    assert nest.bootstrap() == 0


def test_an_image_that_is_not_what_was_said_leaves_no_image(nest: Nest) -> None:
    peer = with_peer(nest)
    peer.headers["x-md5-digest"] = "0" * 32
    with pytest.raises(CorruptData, match="MD5"):
        nest.bootstrap()
    assert nest.storage().images() == []
    peer.status = 410
    with pytest.raises(HdfsdError, match="answered 410 because"):
        nest.bootstrap(FORCE)
    peer.status = 200
    del peer.headers["content-length"]
    with pytest.raises(CorruptData, match="no Content-Length"):
        nest.bootstrap(FORCE)


# --- -initializeSharedEdits ---


def write_locally(nest: Nest) -> None:
    """A finished segment 1-3 and an open one of 4 and 5, as a NameNode without HA left them."""
    assert nest.format(ha=False) == 0

    async def write() -> None:
        edits = LocalEdits(disk=RealDisk(), storage=nest.storage(), directories_min=1)
        ops = [
            StartLogSegmentOp(),
            DeleteOp("/a", 1, b"", -2),
            EndLogSegmentOp(),
            StartLogSegmentOp(),
            DeleteOp("/b", 1, b"", -2),
        ]
        frames = [codec.encode(op, txid) for txid, op in enumerate(ops, 1)]
        await edits.start_segment(TxId(1))
        await edits.write(b"".join(frames[:3]))
        await edits.finalize_segment(TxId(1), TxId(3))
        await edits.start_segment(TxId(4))
        await edits.write(b"".join(frames[3:]))
        edits.close()

    asyncio.run(write())


def test_local_edits_go_to_the_journal(nest: Nest) -> None:
    write_locally(nest)
    assert nest.share() == 0
    assert nest.journal.formatted == nest.storage().read_info()
    assert [txid for _, txid in nest.journal.ops()] == [1, 2, 3, 4, 5]
    closed = nest.dirs[0] / "current/edits_0000000000000000004-0000000000000000005"
    assert closed.exists(), "what was open here is closed as well"
    assert nest.journal.log == [
        "recover 1",
        "start 1",
        "finalize 1-3",
        "start 4",
        "finalize 4-5",
    ]


def test_a_journal_with_edits_is_not_overwritten_silently(nest: Nest) -> None:
    write_locally(nest)
    nest.journal.formatted = INFO
    assert nest.share() == 1
    assert nest.journal.formatted == INFO
    assert nest.share(FORCE) == 0
    assert nest.journal.newest == 5


def test_edits_with_a_gap_are_not_copied_and_nothing_is_lost(nest: Nest) -> None:
    """As a NameNode has them that was a standby for a while."""
    write_locally(nest)
    for directory in nest.dirs:
        (directory / "current/edits_0000000000000000001-0000000000000000003").unlink()
    nest.journal.formatted = INFO
    with pytest.raises(CorruptData, match="begins with txid 4, and txid 1 is in no segment"):
        nest.share(FORCE)
    assert nest.journal.formatted == INFO
    assert nest.journal.log == []


def test_it_is_told_what_of_the_shared_edits_will_be_lost(
    nest: Nest, capsys: pytest.CaptureFixture[str]
) -> None:
    write_locally(nest)
    assert nest.share() == 0
    for directory in nest.dirs:
        (directory / "current/edits_0000000000000000004-0000000000000000005").unlink()
    capsys.readouterr()
    assert nest.share() == 1
    assert nest.journal.newest == 5
    told = "The shared edits hold transactions up to 5, this NameNode up to 3"
    assert told in capsys.readouterr().err
    assert nest.share(FORCE) == 0
    assert told in capsys.readouterr().err
    assert nest.journal.newest == 3


def test_long_segments_go_in_pieces(nest: Nest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formatting, "COPIED_BYTES", 40)
    write_locally(nest)
    assert nest.share() == 0
    assert [txid for _, txid in nest.journal.ops()] == [1, 2, 3, 4, 5]


def test_without_a_shared_journal_there_is_nothing_to_initialise(nest: Nest) -> None:
    with pytest.raises(ConfigError, match=r"dfs\.namenode\.shared\.edits\.dir"):
        nest.share(ha=False)


def test_every_command_has_a_word() -> None:
    assert set(formatting.COMMANDS) == {"-format", "-bootstrapStandby", "-initializeSharedEdits"}
    assert "dfs.namenode.shared.edits.dir" in HA_KEYS
