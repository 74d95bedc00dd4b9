"""Handlers: which methods are there, and what the answers say that the acceptor does not decide."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from hdfsd.base.errors import IllegalArgument, JournalNotFormatted, RemoteFault
from hdfsd.base.ids import Address, StorageInfo, TxId
from hdfsd.io.clock import RealClock
from hdfsd.io.disk import RealDisk
from hdfsd.journal.acceptor import Format, Segment
from hdfsd.journal.node import JournalNode
from hdfsd.journal.service import JournalService
from hdfsd.rpc.server import DEFERRED, handlers_of
from hdfsd.wire.messages import Message, qjournal
from hdfsd.wire.services import INTER_QJOURNAL_PROTOCOL, PROTOCOLS, QJOURNAL_PROTOCOL

JID = qjournal.JournalIdProto(identifier="ns")


class Waiting:
    """A call that is answered later."""

    def __init__(self) -> None:
        self.done: asyncio.Future[Message] = asyncio.get_running_loop().create_future()

    def reply(self, message: Message) -> None:
        self.done.set_result(message)

    def fail(self, error: Exception) -> None:
        self.done.set_exception(error)

    def after_batch(self, work: Callable[[], None]) -> None:
        work()


class Rig:
    def __init__(self, root: Path) -> None:
        http: Any = None
        self.node = JournalNode(
            lambda journal_id: str(root), disk=RealDisk(), http=http, clock=RealClock()
        )
        self.node.http_address = Address("127.0.0.1", 8480)
        self.service = JournalService(self.node)

    async def ask(self, method: str, **fields: Any) -> Any:
        handler = getattr(self.service, method)
        wire = {m.handler: m for m in PROTOCOLS[QJOURNAL_PROTOCOL].methods.values()}
        waiting = Waiting()
        result = handler(wire[method].request(**fields), waiting)
        if result is DEFERRED:
            return await waiting.done
        return await result if isinstance(result, Awaitable) else result

    async def format(self) -> None:
        journal = self.node.keep(self.node.journal("ns"))
        await journal.store.execute(Format(StorageInfo(-67, 7, 1234, "CID-a")))
        await journal.open()


def test_every_method_has_a_handler(tmp_path: Path) -> None:
    service = Rig(tmp_path).service
    built = set(handlers_of(QJOURNAL_PROTOCOL, service))
    assert built == set(PROTOCOLS[QJOURNAL_PROTOCOL].methods)
    built = set(handlers_of(INTER_QJOURNAL_PROTOCOL, service))
    assert built == set(PROTOCOLS[INTER_QJOURNAL_PROTOCOL].methods)


def test_questions_about_a_journal_that_is_not_there(tmp_path: Path) -> None:
    async def story() -> None:
        rig = Rig(tmp_path)
        assert not (await rig.ask("is_formatted", jid=JID)).isFormatted
        for method, fields in (
            ("get_journal_state", {}),
            ("get_journal_c_time", {}),
            ("get_edit_log_manifest", {"sinceTxId": 1}),
            ("get_journaled_edits", {"sinceTxId": 1, "maxTxns": 1}),
        ):
            with pytest.raises(JournalNotFormatted):
                await rig.ask(method, jid=JID, **fields)
        bad = qjournal.JournalIdProto(identifier="../ns")
        for method in ("is_formatted", "format", "new_epoch"):
            with pytest.raises(IllegalArgument, match="bad journal id"):
                await rig.ask(method, jid=bad)
        assert list(tmp_path.iterdir()) == []

    asyncio.run(story())


def test_state_tells_where_and_that_order_is_kept(tmp_path: Path) -> None:
    async def story() -> None:
        rig = Rig(tmp_path)
        await rig.format()
        state = await rig.ask("get_journal_state", jid=JID)
        assert (state.lastPromisedEpoch, state.httpPort) == (0, 8480)
        assert state.fromURL == "http://127.0.0.1:8480"
        assert state.SerializeToString().endswith(b"\xc0\x3e\x01")
        assert (await rig.ask("get_journal_c_time", jid=JID)).resultCTime == 1234
        assert (await rig.ask("is_formatted", jid=JID)).isFormatted
        await rig.node.close()

    asyncio.run(story())


def test_a_journal_is_opened_by_its_first_question(tmp_path: Path) -> None:
    async def story() -> None:
        rig = Rig(tmp_path)
        await rig.format()
        await rig.node.close()
        rig = Rig(tmp_path)
        assert (await rig.ask("is_formatted", jid=JID)).isFormatted
        assert (await rig.ask("get_journal_state", jid=JID)).httpPort == 8480
        await rig.node.close()

    asyncio.run(story())


def test_manifest(tmp_path: Path) -> None:
    async def story() -> None:
        rig = Rig(tmp_path)
        await rig.format()
        acceptor = rig.node.journal("ns").acceptor
        acceptor.state.segments = {
            TxId(1): Segment(TxId(1), TxId(5), True),
            TxId(6): Segment(TxId(6), TxId(9), False),
        }
        acceptor.synced(TxId(8))
        for method in ("get_edit_log_manifest", "get_edit_log_manifest_from_journal"):
            handler = getattr(rig.service, method)
            request = qjournal.GetEditLogManifestRequestProto(
                jid=JID, sinceTxId=1, inProgressOk=True
            )
            reply = handler(request, None)
            rows = [(e.startTxId, e.endTxId, e.isInProgress) for e in reply.manifest.logs]
            assert rows == [(1, 5, False), (6, 8, True)]
            assert reply.manifest.committedTxnId == 2**64 - 12345
            assert (reply.httpPort, reply.fromURL) == (8480, "http://127.0.0.1:8480")
        await rig.node.close()

    asyncio.run(story())


def test_an_upgrade_and_the_way_back(tmp_path: Path) -> None:
    async def story() -> None:
        rig = Rig(tmp_path)
        await rig.format()
        nothing = {"layoutVersion": 0, "namespceID": 0, "clusterID": "", "cTime": 0}
        question = {"storage": nothing, "prevStorage": nothing, "targetLayoutVersion": -67}
        assert not (await rig.ask("can_roll_back", jid=JID, **question)).canRollBack
        await rig.ask("do_pre_upgrade", jid=JID)
        after = {**nothing, "layoutVersion": 2**32 - 68, "cTime": 5678}
        await rig.ask("do_upgrade", jid=JID, sInfo=after)
        assert (await rig.ask("get_journal_c_time", jid=JID)).resultCTime == 5678
        assert (await rig.ask("can_roll_back", jid=JID, **question)).canRollBack
        await rig.ask("do_rollback", jid=JID)
        assert (await rig.ask("get_journal_c_time", jid=JID)).resultCTime == 1234
        assert not (await rig.ask("can_roll_back", jid=JID, **question)).canRollBack
        await rig.ask("do_pre_upgrade", jid=JID)
        await rig.ask("do_upgrade", jid=JID, sInfo=after)
        await rig.ask("do_finalize", jid=JID)
        assert not (await rig.ask("can_roll_back", jid=JID, **question)).canRollBack
        await rig.ask("do_rollback", jid=JID)
        assert (await rig.ask("get_journal_c_time", jid=JID)).resultCTime == 5678
        await rig.node.close()

    asyncio.run(story())


def test_two_journals_are_never_mixed(tmp_path: Path) -> None:
    async def story() -> None:
        rig = Rig(tmp_path)
        storage = {"layoutVersion": 4294967229, "clusterID": "CID-a", "cTime": 1}
        names = {"buildVersion": "", "unused": 0, "blockPoolID": "BP", "softwareVersion": "3"}
        for number, name in enumerate(("a", "b")):
            info = {**names, "storageInfo": {**storage, "namespceID": number + 1}}
            await rig.ask("format", jid={"identifier": name}, nsInfo=info)
        info = {**names, "storageInfo": {**storage, "namespceID": 1}}
        await rig.ask("new_epoch", jid={"identifier": "a"}, nsInfo=info, epoch=7)
        with pytest.raises(RemoteFault, match="Incompatible namespaceID"):
            await rig.ask("new_epoch", jid={"identifier": "b"}, nsInfo=info, epoch=7)
        for name, epoch in (("a", 7), ("b", 0)):
            state = await rig.ask("get_journal_state", jid={"identifier": name})
            assert state.lastPromisedEpoch == epoch
        await rig.node.close()

    asyncio.run(story())
