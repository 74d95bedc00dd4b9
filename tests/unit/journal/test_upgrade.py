"""Upgrade, finalization, rollback: every state a crash can leave, a crash before every write."""

from __future__ import annotations

import asyncio
import itertools
import struct
import zlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from hdfsd.base.errors import IllegalState, InconsistentStorage, IOFault, RemoteFault
from hdfsd.base.ids import Epoch, StorageInfo, TxId
from hdfsd.io.clock import RealClock
from hdfsd.io.disk import RealDisk
from hdfsd.journal import upgrade
from hdfsd.journal.acceptor import (
    Accepted,
    Acceptor,
    Append,
    CloseSegment,
    FinalizeSegment,
    Format,
    JournalState,
    NoteCommitted,
    OpenSegment,
    PersistAccepted,
    PersistPromise,
    PersistWriterEpoch,
    Refuse,
    Segment,
)
from hdfsd.journal.store import JournalStore
from hdfsd.journal.upgrade import Directories, Repair, repair_of
from hdfsd.wire.messages import Message, hdfs_server, qjournal

STORAGE = StorageInfo(-66, 4711, 1000, "CID-a")
UPGRADED = StorageInfo(-67, 4711, 2000, "CID-a")
ALL = (upgrade.PREVIOUS, *upgrade.TEMPORARY)
JID = qjournal.JournalIdProto(identifier="ns")

WAYS: list[tuple[set[str], bool, Repair | str]] = [
    (set(), True, Repair.NONE),
    (set(), False, Repair.NONE),
    ({"previous"}, True, Repair.NONE),
    ({"previous"}, False, "version file in current directory is missing."),
    ({"previous.tmp"}, True, Repair.COMPLETE_UPGRADE),
    ({"previous.tmp"}, False, Repair.RECOVER_UPGRADE),
    ({"previous.tmp", "previous"}, True, "previous and previous.tmp cannot exist together."),
    ({"removed.tmp"}, True, Repair.COMPLETE_ROLLBACK),
    ({"removed.tmp", "previous"}, False, Repair.RECOVER_ROLLBACK),
    ({"removed.tmp", "previous"}, True, "one and only one directory current or previous"),
    ({"removed.tmp"}, False, "one and only one directory current or previous"),
    ({"finalized.tmp"}, True, Repair.COMPLETE_FINALIZE),
    ({"finalized.tmp"}, False, Repair.COMPLETE_FINALIZE),
    ({"finalized.tmp", "previous"}, True, "previous and finalized.tmp cannot exist together."),
    ({"removed.tmp", "finalized.tmp"}, True, "too many temporary directories."),
]


@pytest.mark.parametrize(("present", "valid_current", "expected"), WAYS)
def test_what_a_crash_leaves(
    present: set[str], valid_current: bool, expected: Repair | str
) -> None:
    found = Directories(valid_current, frozenset(present))
    if isinstance(expected, Repair):
        assert repair_of("/jn/ns", found) is expected
    else:
        with pytest.raises(InconsistentStorage, match=expected):
            repair_of("/jn/ns", found)


def test_every_combination_of_directories_has_an_answer() -> None:
    answers = []
    for count in range(len(ALL) + 1):
        for present in itertools.combinations(ALL, count):
            for valid_current in (True, False):
                try:
                    repair_of("/jn/ns", Directories(valid_current, frozenset(present)))
                    answers.append("ok")
                except InconsistentStorage:
                    answers.append("no")
    assert (answers.count("ok"), answers.count("no")) == (9, 23)


# What the acceptor takes


def acceptor(*siblings: str, previous: StorageInfo | None = None) -> Acceptor:
    state = JournalState(
        storage=STORAGE,
        has_data=True,
        has_current=True,
        promised=Epoch(3),
        siblings=frozenset(siblings),
        previous=previous,
    )
    return Acceptor("ns", "/jn/ns", state)


def upgrade_request() -> qjournal.DoUpgradeRequestProto:
    # Of a NameNode that was upgraded: other ids in it must not get through.
    info = hdfs_server.StorageInfoProto(
        layoutVersion=2**32 - 67, cTime=2000, namespceID=99, clusterID="CID-other"
    )
    return qjournal.DoUpgradeRequestProto(jid=JID, sInfo=info)


REFUSED: list[tuple[Acceptor, str, Message, str]] = [
    (
        Acceptor("ns", "/jn/ns", JournalState()),
        "do_pre_upgrade",
        qjournal.DoPreUpgradeRequestProto(jid=JID),
        "Current directory must exist for preupgrade.",
    ),
    (
        acceptor("previous"),
        "do_pre_upgrade",
        qjournal.DoPreUpgradeRequestProto(jid=JID),
        "Previous directory must not exist for preupgrade.",
    ),
    (
        acceptor("previous.tmp"),
        "do_pre_upgrade",
        qjournal.DoPreUpgradeRequestProto(jid=JID),
        "Previous.tmp directory must not exist for preupgrade.",
    ),
    (acceptor(), "do_upgrade", upgrade_request(), "previous.tmp directory must exist for upgrade."),
    (
        acceptor("previous"),
        "do_upgrade",
        upgrade_request(),
        "previous directory must not exist for upgrade.",
    ),
    (
        acceptor("previous", "removed.tmp"),
        "do_rollback",
        qjournal.DoRollbackRequestProto(jid=JID),
        "removed.tmp directory must not exist for rollback.",
    ),
]


@pytest.mark.parametrize(("journal", "method", "request_", "text"), REFUSED)
def test_steps_out_of_order(journal: Acceptor, method: str, request_: Message, text: str) -> None:
    effects = journal.step(method, request_)
    assert len(effects) == 1
    assert isinstance(effects[0], Refuse)
    assert isinstance(effects[0].fault, IllegalState)
    assert text in effects[0].fault.message


def test_without_an_upgrade_there_is_nothing_to_finalize_or_to_roll_back() -> None:
    for method in ("do_finalize", "do_rollback"):
        assert len(acceptor().step(method, qjournal.DoFinalizeRequestProto(jid=JID))) == 1


def test_nobody_writes_between_the_two_steps_of_an_upgrade() -> None:
    journal = acceptor()
    journal.step("do_pre_upgrade", qjournal.DoPreUpgradeRequestProto(jid=JID))
    info = qjournal.RequestInfoProto(journalId=JID, epoch=9, ipcSerialNumber=1)
    request = qjournal.StartLogSegmentRequestProto(reqInfo=info, txid=1)
    effects = journal.step("start_log_segment", request)
    assert isinstance(effects[0], Refuse)
    assert "takes no writer" in effects[0].fault.message
    assert journal.state.promised == 3
    journal.step("do_upgrade", upgrade_request())
    assert not isinstance(journal.step("start_log_segment", request)[0], Refuse)


@pytest.mark.parametrize("kept", ["previous", "previous.tmp"])
def test_a_format_leaves_what_an_upgrade_keeps(kept: str) -> None:
    """Memory must say what the directory says: a second upgrade may not put another beside it."""
    journal = acceptor(kept, previous=STORAGE)
    info = hdfs_server.NamespaceInfoProto(
        buildVersion="x",
        blockPoolID="BP-1",
        storageInfo=hdfs_server.StorageInfoProto(
            layoutVersion=2**32 - 67, cTime=1, namespceID=5, clusterID="CID-b"
        ),
    )
    request = qjournal.FormatRequestProto(jid=JID, nsInfo=info, force=True)
    assert not isinstance(journal.step("format", request)[0], Refuse)
    refused = journal.step("do_pre_upgrade", qjournal.DoPreUpgradeRequestProto(jid=JID))[0]
    assert isinstance(refused, Refuse)
    assert f"{kept.capitalize()} directory must not exist" in refused.fault.message


def test_who_can_roll_back() -> None:
    def ask(journal: Acceptor, **fields: Any) -> bool:
        info = {"layoutVersion": 0, "namespceID": 0, "clusterID": "", "cTime": 0}
        request = qjournal.CanRollBackRequestProto(
            jid=JID,
            storage={**info, **fields.get("storage", {})},
            prevStorage={**info, **fields.get("previous", {})},
            targetLayoutVersion=fields.get("target", -66),
        )
        return journal.can_roll_back(request)

    assert not ask(acceptor())
    with pytest.raises(InconsistentStorage, match="namespaceID is incompatible with others"):
        ask(acceptor(), storage={"namespceID": 5})
    with pytest.raises(InconsistentStorage, match="cluster Id is incompatible with others"):
        ask(acceptor(), storage={"clusterID": "CID-b"})
    upgraded = acceptor("previous", previous=STORAGE)
    assert ask(upgraded)
    assert ask(upgraded, previous={"namespceID": 4711, "clusterID": "CID-a"})
    with pytest.raises(IOFault, match="Cannot rollback to storage version -66 using this version"):
        ask(upgraded, target=-67)
    with pytest.raises(InconsistentStorage):
        ask(upgraded, previous={"namespceID": 5})


# On disk, with a crash before every change


class PowerCut(BaseException):
    """Nobody catches it: the process is gone."""


class DyingDisk(RealDisk):
    """Stops before the change with this number."""

    def __init__(self, changes_left: int) -> None:
        super().__init__()
        self.changes_left = changes_left

    def _count(self) -> None:
        if self.changes_left == 0:
            raise PowerCut
        self.changes_left -= 1

    def make_dirs(self, path: str, mode: int = 0o755) -> None:
        self._count()
        super().make_dirs(path, mode)

    def create(self, path: str) -> Any:
        self._count()
        return super().create(path)

    def link(self, source: str, target: str) -> None:
        self._count()
        super().link(source, target)

    async def write_atomic(self, path: str, data: bytes) -> None:
        self._count()
        await super().write_atomic(path, data)

    async def rename(self, source: str, target: str) -> None:
        self._count()
        await super().rename(source, target)

    async def remove_tree(self, path: str) -> None:
        self._count()
        await super().remove_tree(path)


def frames(first: int, last: int) -> bytes:
    heads = [struct.pack(">BIq", 24, 12, txid) for txid in range(first, last + 1)]
    return b"".join(head + struct.pack(">I", zlib.crc32(head)) for head in heads)


def new_store(root: Path, disk: RealDisk | None = None) -> JournalStore:
    http: Any = None
    return JournalStore(str(root / "ns"), disk=disk or RealDisk(), http=http, clock=RealClock())


async def furnish(root: Path) -> None:
    """Segment 1..3 finalized, 4..5 in progress with an accepted recovery, epochs 6 and 5."""
    store = new_store(root)
    effects = (
        Format(STORAGE),
        OpenSegment(TxId(1), -66),
        Append(TxId(1), TxId(3), frames(1, 3)),
        CloseSegment(TxId(1), trim=True),
        FinalizeSegment(TxId(1), TxId(3)),
        OpenSegment(TxId(4), -66),
        Append(TxId(4), TxId(5), frames(4, 5)),
        CloseSegment(TxId(4), trim=False),
        PersistPromise(Epoch(6)),
        PersistWriterEpoch(Epoch(5)),
        NoteCommitted(TxId(3)),
        PersistAccepted(Accepted(TxId(4), TxId(5), True, Epoch(5))),
    )
    for effect in effects:
        await store.execute(effect)
    store.close()


async def step(store: JournalStore, journal: Acceptor, method: str) -> None:
    request: Message = qjournal.DoPreUpgradeRequestProto(jid=JID)
    if method == "do_upgrade":
        request = upgrade_request()
    for effect in journal.step(method, request)[:-1]:
        await store.execute(effect)


async def opened(root: Path, disk: RealDisk | None = None) -> tuple[JournalStore, Acceptor]:
    store = new_store(root, disk)
    return store, Acceptor("ns", store.root, await store.load())


def tree(root: Path) -> list[str]:
    return sorted(path.name for path in (root / "ns").iterdir() if path.name != "in_use.lock")


def check_content(state: JournalState) -> None:
    """What must be there in every state: nothing is lost, no promise forgotten (J1, J3)."""
    assert state.promised == 6
    assert state.writer_epoch == 5
    assert state.committed == 3
    assert state.segments == {
        TxId(1): Segment(TxId(1), TxId(3), True),
        TxId(4): Segment(TxId(4), TxId(5), False),
    }
    assert state.accepted == {TxId(4): Accepted(TxId(4), TxId(5), True, Epoch(5))}


async def cut_everywhere(
    tmp_path: Path,
    prepare: Callable[[Path], Awaitable[None]],
    methods: tuple[str, ...],
) -> list[tuple[StorageInfo | None, tuple[str, ...]]]:
    """Storage and directories after a restart, by the number of changes made before the cut."""
    seen = []
    for cut in range(60):
        root = tmp_path / f"{methods[0]}-{cut}"
        await prepare(root)
        disk = DyingDisk(cut)
        store, journal = await opened(root, disk)
        finished = True
        try:
            for method in methods:
                await step(store, journal, method)
        except PowerCut:
            finished = False
        store.close()
        store, journal = await opened(root)
        check_content(journal.state)
        store.close()
        # A second restart has nothing left to do.
        again, journal = await opened(root)
        check_content(journal.state)
        again.close()
        seen.append((journal.state.storage, tuple(tree(root))))
        if finished:
            return seen
    raise AssertionError("it never came to an end")


def test_an_upgrade_that_is_cut_anywhere_is_undone_or_done(tmp_path: Path) -> None:
    seen = asyncio.run(cut_everywhere(tmp_path, furnish, ("do_pre_upgrade", "do_upgrade")))
    before, after = (STORAGE, ("current",)), (UPGRADED, ("current", "previous"))
    decided = seen.index(after)
    assert decided >= 8
    assert seen[:decided] == [before] * decided
    assert seen[decided:] == [after] * (len(seen) - decided)


async def upgraded(root: Path) -> None:
    await furnish(root)
    store, journal = await opened(root)
    await step(store, journal, "do_pre_upgrade")
    await step(store, journal, "do_upgrade")
    store.close()


def test_a_rollback_that_is_cut_anywhere_is_undone_or_done(tmp_path: Path) -> None:
    seen = asyncio.run(cut_everywhere(tmp_path, upgraded, ("do_rollback",)))
    undone, done = (UPGRADED, ("current", "previous")), (STORAGE, ("current",))
    assert seen == [undone] * 3 + [done] * 2


def test_a_finalization_that_is_cut_anywhere_is_done_later(tmp_path: Path) -> None:
    seen = asyncio.run(cut_everywhere(tmp_path, upgraded, ("do_finalize",)))
    assert seen == [(UPGRADED, ("current", "previous"))] + [(UPGRADED, ("current",))] * 2


def test_what_is_written_after_an_upgrade_is_not_in_the_state_before_it(tmp_path: Path) -> None:
    async def story() -> None:
        await upgraded(tmp_path)
        store, journal = await opened(tmp_path)
        for effect in (
            OpenSegment(TxId(4), -67),
            Append(TxId(4), TxId(9), frames(4, 9)),
            CloseSegment(TxId(4), trim=True),
            FinalizeSegment(TxId(4), TxId(9)),
            PersistPromise(Epoch(8)),
        ):
            await store.execute(effect)
        store.close()
        store, journal = await opened(tmp_path)
        assert journal.state.highest_txid == 9
        await step(store, journal, "do_rollback")
        store.close()
        store, journal = await opened(tmp_path)
        assert journal.state.storage == STORAGE
        assert journal.state.highest_txid == 5
        # The newest promise stays: its writer may still be alive.
        assert journal.state.promised == 8
        store.close()

    asyncio.run(story())


def test_an_upgrade_by_hadoop_that_was_cut_before_the_epochs_keeps_them(tmp_path: Path) -> None:
    async def story() -> None:
        await upgraded(tmp_path)
        root = tmp_path / "ns"
        (root / "previous").rename(root / "previous.tmp")
        for name in ("last-promised-epoch", "last-writer-epoch", "committed-txid", "paxos/4"):
            (root / "current" / name).unlink()
        store, journal = await opened(tmp_path)
        check_content(journal.state)
        assert tree(tmp_path) == ["current", "previous"]
        store.close()

    asyncio.run(story())


def test_what_no_crash_leaves_is_not_touched(tmp_path: Path) -> None:
    async def story() -> None:
        await furnish(tmp_path)
        (tmp_path / "ns/previous").mkdir()
        (tmp_path / "ns/previous.tmp").mkdir()
        store = new_store(tmp_path)
        with pytest.raises(RemoteFault, match="cannot exist together"):
            await store.load()
        assert tree(tmp_path) == ["current", "previous", "previous.tmp"]
        store.close()

    asyncio.run(story())
