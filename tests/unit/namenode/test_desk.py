"""Who asks, may it now, has it been answered before."""

from __future__ import annotations

from typing import Any

import pytest
from small_namenode import CLIENT, POOL, Desktop, call

from hdfsd.base.errors import AccessControl, IOFault, RetriableError, SafeModeFault, StandbyError
from hdfsd.base.ids import Block, BlockId, GenStamp, InodeId
from hdfsd.editlog.ops import SetGenstampV2Op
from hdfsd.namenode.desk import block_of
from hdfsd.rpc.connection import Caller
from hdfsd.wire.messages import client_namenode, hdfs

ANSWER = client_namenode.DeleteResponseProto(result=True)
OTHER = client_namenode.DeleteResponseProto(result=False)


@pytest.mark.parametrize(
    ("user", "mighty"), [("hdfs", True), ("root", True), ("alice", False), ("supergroup", False)]
)
def test_superusers_are_the_owner_and_the_members_of_the_group(user: str, mighty: bool) -> None:
    desk = Desktop().desk
    caller = Caller(user, None, "10.0.0.1")
    assert desk.who(caller).is_superuser is mighty
    if mighty:
        desk.require_superuser(caller, "saveNamespace")
        return
    text = f"Access denied for user {user}. Superuser privilege is required"
    with pytest.raises(AccessControl, match=text):
        desk.require_superuser(caller, "saveNamespace")


def test_everybody_may_everything_when_permissions_are_off() -> None:
    desk = Desktop(dfs__permissions__enabled="false").desk
    assert desk.who(Caller("alice", None, "10.0.0.1")).is_superuser


def test_a_request_carries_the_key_of_the_retry_cache() -> None:
    desktop = Desktop()
    request = desktop.desk.request(call(call_id=9))
    assert (request.client_id, request.call_id) == (CLIENT, 9)
    assert request.now_ms == desktop.clock.wall_ms()


def test_out_of_safe_mode_nothing_is_refused() -> None:
    Desktop().desk.refuse_in_safe_mode("Cannot delete /a")


def test_safe_mode_by_hand_is_a_safe_mode_exception_with_its_tip() -> None:
    desktop = Desktop()
    desktop.state.blocks.enter_safe_mode()
    with pytest.raises(SafeModeFault) as caught:
        desktop.desk.refuse_in_safe_mode("Cannot delete /a")
    assert caught.value.message == (
        "Cannot delete /a. Name node is in safe mode.\n"
        'It was turned on manually. Use "hdfs dfsadmin -safemode leave" to turn safe mode off.'
        " NamenodeHostName:127.0.0.1"
    )


def test_clients_of_an_active_wait_for_the_end_of_its_startup() -> None:
    desktop = Desktop(active=False)
    blocks = desktop.state.blocks
    for number in (1, 2):
        blocks.add_block(InodeId(1), Block(BlockId(number), 1, GenStamp(1001)), 1, False)
    blocks.loaded(desktop.clock.now_ms())
    with pytest.raises(SafeModeFault):
        desktop.desk.refuse_in_safe_mode("Cannot delete /a")
    desktop.activate()
    with pytest.raises(RetriableError) as caught:
        desktop.desk.refuse_in_safe_mode("Cannot delete /a")
    assert caught.value.message.startswith(
        "org.apache.hadoop.hdfs.server.namenode.SafeModeException: Cannot delete /a. Name node is "
        "in safe mode.\nThe reported blocks 0 needs additional"
    )


def test_a_closed_log_takes_nothing() -> None:
    desktop = Desktop()
    desktop.state.log = None
    before = desktop.dump()
    with pytest.raises(StandbyError):
        desktop.desk.commit([SetGenstampV2Op(1001)])
    assert desktop.dump() == before


def deletion(call_id: int, client_id: bytes = CLIENT) -> Any:
    return call("delete", call_id=call_id, client_id=client_id)


def test_an_answer_is_remembered_under_client_and_call() -> None:
    desk = Desktop().desk
    assert desk.earlier(deletion(1), lambda: OTHER) is None
    assert desk.remember(deletion(1), ANSWER) is ANSWER
    assert desk.earlier(deletion(1), lambda: OTHER) is ANSWER
    assert desk.earlier(deletion(2), lambda: OTHER) is None
    assert desk.earlier(deletion(1, b"another client!!"), lambda: OTHER) is None


def test_an_answer_of_the_former_active_is_made_again() -> None:
    desktop = Desktop()
    desktop.state.retry.add(CLIENT, 1, desktop.state.applied_txid, None, desktop.clock.now_ms())
    assert desktop.desk.earlier(deletion(1), lambda: OTHER) is OTHER


def test_answers_are_forgotten_after_their_life() -> None:
    desktop = Desktop()
    desktop.desk.remember(deletion(1), ANSWER)
    desktop.clock.ms += 600_000
    assert desktop.desk.earlier(deletion(1), lambda: OTHER) is None


@pytest.mark.parametrize("known", [ANSWER, None])
def test_an_answer_of_another_kind_is_never_given(known: Any) -> None:
    """A client that gives two calls one id, by mistake or to see what happens."""
    desktop = Desktop()
    desktop.state.retry.add(CLIENT, 1, desktop.state.applied_txid, known, desktop.clock.now_ms())
    with pytest.raises(IOFault, match="create has the call id 1 of an earlier call of another"):
        desktop.desk.earlier(call("create", call_id=1))


@pytest.mark.parametrize("block_id", [1073741825, -9223372036854775792])
def test_blocks_on_the_wire_and_back(block_id: int) -> None:
    block = Block(BlockId(block_id), 100, GenStamp(1001))
    extended = Desktop().desk.extended(block)
    assert extended.poolId == POOL
    assert block_of(hdfs.ExtendedBlockProto.FromString(extended.SerializeToString())) == block
