"""A whole life on virtual time: standby, active, standby again; images; failures on the way."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from memory_journal import JournalContent
from small_namenode import LivingNameNode, Ports, call, on_virtual_time

from hdfsd.base.errors import (
    HdfsdError,
    IOFault,
    LeaseExpired,
    QuorumLost,
    RemoteFault,
    ServiceFailed,
    StandbyError,
)
from hdfsd.blocks.safemode import SafeModeStatus
from hdfsd.editlog.ops import (
    DeleteOp,
    EndLogSegmentOp,
    MkdirOp,
    PermissionStatus,
    StartLogSegmentOp,
)
from hdfsd.namenode.gate import HAState
from hdfsd.namenode.lifecycle import TIMELINE_ENTRIES
from hdfsd.namenode.transition import TO_ACTIVE, Step
from hdfsd.sim.world import World
from hdfsd.wire.messages import acl, client_namenode
from hdfsd.wire.services import CLIENT_PROTOCOL, PROTOCOLS

c = client_namenode
METHODS = PROTOCOLS[CLIENT_PROTOCOL].methods
OBJECTS_PER_SEGMENT = 4


def mkdirs(made: LivingNameNode, path: str) -> None:
    request = c.MkdirsRequestProto(
        src=path, masked=acl.FsPermissionProto(perm=0o755), createParent=True
    )
    made.client.mkdirs(request, call("mkdirs"))


def delete(made: LivingNameNode, path: str, call_id: int) -> bool:
    request = c.DeleteRequestProto(src=path, recursive=True)
    return bool(made.client.delete(request, call("delete", call_id=call_id)).result)


def exists(made: LivingNameNode, path: str) -> bool:
    return made.client.get_file_info(c.GetFileInfoRequestProto(src=path), call()).HasField("fs")


async def until(holds: Callable[[], bool]) -> None:
    """Virtual time makes this as quick as it is patient."""
    for _ in range(10_000):
        if holds():
            return
        await asyncio.sleep(0.1)
    raise AssertionError("it never came true")


async def durable(made: LivingNameNode) -> None:
    assert made.lifecycle.committer is not None
    await made.lifecycle.committer.durable()


def names(made: LivingNameNode) -> list[str]:
    return made.ports.disk.list("/name/current")


def server(made: LivingNameNode) -> Any:
    """What a lifecycle needs of an RPC server."""
    # Without dfs.namenode.state.context.enabled: an observer asks for state ids all the same.
    guarded = SimpleNamespace(gate=None, hold=None, admit=None, state_id=None)
    made.lifecycle.guard(guarded)  # type: ignore[arg-type]
    return guarded


def pair(story: Callable[[LivingNameNode, LivingNameNode], Any], **keys: str) -> None:
    """Two NameNodes of one nameservice, from the same format, on one journal."""
    world = World("namenode")
    content = JournalContent()

    async def play() -> None:
        both = [LivingNameNode(Ports(world, name), content, **keys) for name in ("nn1", "nn2")]
        for made in both:
            await made.format()
            made.load()
            await made.lifecycle.start()
        await story(*both)

    world.run(play())


# --- there and back ---


def test_standby_active_standby_active() -> None:
    async def story(made: LivingNameNode) -> None:
        life, content = made.lifecycle, made.content
        assert content is not None
        assert made.state.ha_state is HAState.INITIALIZING
        await life.start()
        assert made.state.ha_state is HAState.STANDBY
        await life.become_active()
        assert made.state.ha_state is HAState.ACTIVE
        mkdirs(made, "/a")
        await durable(made)
        await life.become_standby()
        assert (made.state.ha_state, made.state.log) == (HAState.STANDBY, None)
        assert [type(op) for op, _ in content.ops()] == [
            StartLogSegmentOp,
            MkdirOp,
            EndLogSegmentOp,
        ]
        assert made.state.applied_txid == 3
        await life.become_active()
        mkdirs(made, "/b")
        await durable(made)
        assert content.log == ["recover 1", "start 1", "finalize 1-3", "recover 2", "start 4"]
        assert [txid for _, txid in content.ops()] == [1, 2, 3, 4, 5]
        assert exists(made, "/a")
        assert exists(made, "/b")
        assert "edits_0000000000000000001-0000000000000000003" in names(made)
        assert "edits_inprogress_0000000000000000004" in names(made)
        assert [(r.source, r.target) for r in life.timeline] == [
            (HAState.INITIALIZING, HAState.STANDBY),
            (HAState.STANDBY, HAState.ACTIVE),
            (HAState.ACTIVE, HAState.STANDBY),
            (HAState.STANDBY, HAState.ACTIVE),
        ]

    on_virtual_time(story)


def test_the_other_has_everything_and_answers_the_retries() -> None:
    async def story(first: LivingNameNode, second: LivingNameNode) -> None:
        await first.lifecycle.become_active()
        mkdirs(first, "/a")
        mkdirs(first, "/b")
        assert delete(first, "/a", 77)
        await durable(first)
        await until(lambda: second.state.applied_txid == first.state.applied_txid)
        assert exists(second, "/b")
        await second.lifecycle.become_active()
        logged = second.state.applied_txid
        assert delete(second, "/a", 77), "the retry is answered, not executed"
        assert second.state.applied_txid == logged
        assert not delete(second, "/a", 78)

    pair(story)


def test_a_takeover_applies_what_the_standby_had_not_read_yet() -> None:
    async def story(first: LivingNameNode, second: LivingNameNode) -> None:
        await first.lifecycle.become_active()
        mkdirs(first, "/a")
        await durable(first)
        # No time passes: the tailer has not looked again.
        assert second.state.applied_txid < first.state.applied_txid
        await second.lifecycle.become_active()
        assert exists(second, "/a")

    pair(story, dfs__ha__tail_edits__period="1h")


def test_who_was_superseded_stops_with_its_cause() -> None:
    async def story(first: LivingNameNode, second: LivingNameNode) -> None:
        await first.lifecycle.become_active()
        await second.lifecycle.become_active()
        mkdirs(first, "/lost")
        with pytest.raises(QuorumLost, match="epoch 2, not 1"):
            await first.lifecycle.run()
        await second.lifecycle.save_namespace()
        assert not exists(second, "/lost")

    pair(story)


def test_an_idle_active_that_was_superseded_finds_out_too() -> None:
    async def story(first: LivingNameNode, second: LivingNameNode) -> None:
        await first.lifecycle.become_active()
        await second.lifecycle.become_active()
        with pytest.raises(QuorumLost):
            await first.lifecycle.run()

    pair(story)


def test_the_former_active_follows_the_next() -> None:
    async def story(first: LivingNameNode, second: LivingNameNode) -> None:
        await first.lifecycle.become_active()
        await first.lifecycle.become_standby()
        await second.lifecycle.become_active()
        mkdirs(second, "/b")
        await durable(second)
        await until(lambda: exists(first, "/b"))
        await second.lifecycle.become_standby()
        await first.lifecycle.become_active()
        assert first.state.applied_txid == second.state.applied_txid + 1

    pair(story)


def test_becoming_what_one_is_does_nothing() -> None:
    async def story(made: LivingNameNode) -> None:
        life = made.lifecycle
        await life.start()
        await life.become_standby()
        await asyncio.gather(life.become_active(), life.become_active())
        assert len(life.timeline) == 2

    on_virtual_time(story)


def test_a_request_that_waits_is_void_when_the_opposite_is_asked_for() -> None:
    """Simulator seed 4815: who asked had given up, another controller had fenced the NameNode."""

    async def story(made: LivingNameNode) -> None:
        life = made.lifecycle
        await life.start()
        async with life._changing:
            asked = (life.become_active(), life.become_standby())
            waiting = [asyncio.create_task(order) for order in asked]
            await asyncio.sleep(1)
        up, down = await asyncio.gather(*waiting, return_exceptions=True)
        assert isinstance(up, ServiceFailed)
        assert "another one came, not to be active" in str(up)
        assert down is None
        assert made.state.ha_state is HAState.STANDBY
        await life.become_active()
        assert made.state.ha_state is HAState.ACTIVE

    on_virtual_time(story)


def test_leases_are_as_if_renewed_at_the_takeover() -> None:
    async def story(first: LivingNameNode, second: LivingNameNode) -> None:
        await first.lifecycle.become_active()
        first.client.create(
            c.CreateRequestProto(
                src="/f",
                masked=acl.FsPermissionProto(perm=0o644),
                clientName="c1",
                createFlag=1,
                createParent=True,
                replication=1,
                blockSize=10,
            ),
            call("create", call_id=3),
        )
        await durable(first)
        await asyncio.sleep(5_000)
        await second.lifecycle.become_active()
        leases = second.state.namespace.leases
        assert not leases.soft_expired("c1", second.ports.clock.now_ms())
        assert leases.hard_expired(second.ports.clock.now_ms()) == []

    pair(story, dfs__namenode__lease_hard_limit_sec="9000")


# --- gates ---


def let_in(guarded: Any, name: str) -> bool:
    if guarded.gate is None:
        return True
    try:
        guarded.gate(METHODS[name])
    except StandbyError:
        return False
    return True


def test_the_gate_is_open_only_while_active() -> None:
    async def story(made: LivingNameNode) -> None:
        life, content = made.lifecycle, made.content
        assert content is not None
        guarded = server(made)
        seen = [let_in(guarded, "mkdirs"), let_in(guarded, "getHAServiceState")]
        await life.start()
        seen += [let_in(guarded, "mkdirs"), let_in(guarded, "getFileInfo")]
        assert seen == [False, True, False, False]
        assert guarded.hold is None
        await life.become_active()
        assert let_in(guarded, "mkdirs")
        assert guarded.hold is not None
        content.held = []
        mkdirs(made, "/a")
        stepping_back = asyncio.ensure_future(life.become_standby())
        await asyncio.sleep(0)
        await until(lambda: bool(content.held))
        assert not stepping_back.done()
        assert not let_in(guarded, "mkdirs"), "refused while what was taken is still flushed"
        assert guarded.hold is not None, "and what was answered waits for its journal"
        with pytest.raises(StandbyError):
            mkdirs(made, "/b")
        while not stepping_back.done():
            content.release()
            await asyncio.sleep(0.01)
        assert not let_in(guarded, "mkdirs")
        assert guarded.hold is None
        assert content.newest == 3

    on_virtual_time(story)


def test_a_standby_shows_stale_reads_if_so_configured() -> None:
    async def story(made: LivingNameNode) -> None:
        guarded = server(made)
        await made.lifecycle.start()
        assert let_in(guarded, "getFileInfo")
        assert not let_in(guarded, "mkdirs")

    on_virtual_time(story, dfs__ha__allow__stale__reads="true")


# --- failures ---


def break_journal(made: LivingNameNode) -> None:
    assert made.content is not None
    made.content.unreachable = True


def lose_a_transaction(made: LivingNameNode) -> None:
    assert made.content is not None
    made.content.add(StartLogSegmentOp(), DeleteOp("/x", 1, b"", -2))
    del made.content.frames[1]


def fill_the_disk(made: LivingNameNode) -> None:
    made.ports.machine.platter.capacity_bytes = 1


@pytest.mark.parametrize(
    ("break_it", "cause"),
    [
        (break_journal, "no quorum"),
        (lose_a_transaction, "transaction 1 is missing"),
        (fill_the_disk, "edits directories are left"),
    ],
)
def test_a_transition_that_fails_stops_the_process_with_its_cause(
    break_it: Callable[[LivingNameNode], None], cause: str
) -> None:
    async def story(made: LivingNameNode) -> None:
        life = made.lifecycle
        guarded = server(made)
        await life.start()
        running = asyncio.ensure_future(life.run())
        break_it(made)
        with pytest.raises(ServiceFailed, match=f"standby → active failed: .*{cause}"):
            await life.become_active()
        assert made.state.ha_state is HAState.STANDBY
        assert not let_in(guarded, "mkdirs")
        with pytest.raises(HdfsdError, match=cause) as caught:
            await running
        assert caught.value.__cause__ is not None

    on_virtual_time(story)


def test_a_journal_lost_while_stepping_back_stops_the_process() -> None:
    async def story(made: LivingNameNode) -> None:
        life = made.lifecycle
        guarded = server(made)
        await life.start()
        await life.become_active()
        break_journal(made)
        with pytest.raises(ServiceFailed, match="active → standby failed"):
            await life.become_standby()
        assert not let_in(guarded, "mkdirs")
        with pytest.raises(HdfsdError, match="no quorum"):
            await life.run()

    on_virtual_time(story)


def test_another_writer_between_recovery_and_catch_up_is_not_followed() -> None:
    """Who recovered later owns the journal: we must not write after its transactions."""

    async def story(made: LivingNameNode) -> None:
        life, content = made.lifecycle, made.content
        assert content is not None
        await life.start()
        claim = life._carry_out[Step.CLAIM_EPOCH]

        async def claim_and_lose() -> None:
            await claim()
            content.epoch += 1
            content.add(StartLogSegmentOp())

        life._carry_out[Step.CLAIM_EPOCH] = claim_and_lose
        with pytest.raises(ServiceFailed, match="another writer"):
            await life.become_active()
        assert content.newest == 1

    on_virtual_time(story)


def test_an_observer_follows_and_answers_coordinated_reads() -> None:
    async def story(active: LivingNameNode, observer: LivingNameNode) -> None:
        guarded = server(observer)
        await active.lifecycle.become_active()
        assert guarded.admit is None
        await observer.lifecycle.become_observer()
        assert observer.state.ha_state is HAState.OBSERVER
        guarded.gate(METHODS["getFileInfo"])
        with pytest.raises(StandbyError, match="request without stateId"):
            guarded.admit(SimpleNamespace(state_id=None))
        for name in ("mkdirs", "msync"):
            with pytest.raises(StandbyError, match="WRITE is not supported in state observer"):
                guarded.gate(METHODS[name])
        mkdirs(active, "/a")
        await durable(active)
        seen = SimpleNamespace(state_id=active.state.applied_txid)
        waiting = guarded.admit(seen)
        assert waiting is not None
        await waiting
        assert exists(observer, "/a")
        assert guarded.admit(seen) is None
        ahead = guarded.admit(SimpleNamespace(state_id=seen.state_id + 1))
        await observer.lifecycle.become_standby()
        with pytest.raises(StandbyError, match="READ is not supported in state standby"):
            await ahead
        assert guarded.admit is None
        await active.lifecycle.become_standby()
        await observer.lifecycle.become_active()
        assert exists(observer, "/a")

    pair(story)


def test_there_and_back_a_thousand_times_leaves_nothing_behind() -> None:
    async def story(made: LivingNameNode) -> None:
        life = made.lifecycle
        await life.start()

        async def turn(count: int) -> None:
            for _ in range(count):
                await life.become_active()
                await life.become_standby()

        def kept() -> tuple[int, int]:
            gc.collect()
            return len(asyncio.all_tasks()), len(gc.get_objects())

        await turn(150)  # Until what is bounded is full: the timeline, for one.
        tasks, objects = kept()
        await turn(850)
        assert len(life.timeline) == TIMELINE_ENTRIES
        tasks_after, objects_after = kept()
        assert tasks_after == tasks
        # A segment of edits, and its record in the journal of the test, stays of each turn.
        assert objects_after - objects < 850 * OBJECTS_PER_SEGMENT

    on_virtual_time(story)


@pytest.mark.parametrize("first", [HAState.ACTIVE, HAState.OBSERVER])
def test_there_is_no_way_between_active_and_observer(first: HAState) -> None:
    async def story(made: LivingNameNode) -> None:
        life = made.lifecycle
        await life.start()
        second = HAState.OBSERVER if first is HAState.ACTIVE else HAState.ACTIVE
        await life._change(first)
        refused = f"Cannot transition from '{first.value}' to '{second.value}'"
        with pytest.raises(ServiceFailed, match=refused):
            await life._change(second)
        assert made.state.ha_state is first

    on_virtual_time(story)


@pytest.mark.parametrize("step", TO_ACTIVE)
def test_whichever_step_fails_the_gate_stays_shut(step: Step) -> None:
    async def story(made: LivingNameNode) -> None:
        life = made.lifecycle
        guarded = server(made)
        await life.start()

        async def fail() -> None:
            assert made.state.in_transition
            raise IOFault("no luck")

        life._carry_out[step] = fail
        with pytest.raises(ServiceFailed, match="no luck"):
            await life.become_active()
        assert not made.state.in_transition
        assert made.state.ha_state is HAState.STANDBY
        assert not let_in(guarded, "mkdirs")
        with pytest.raises(HdfsdError, match="no luck"):
            await life.run()

    on_virtual_time(story)


# --- segments and images ---


def test_a_roll_is_told_with_the_first_txid_of_the_next_segment() -> None:
    async def story(made: LivingNameNode) -> None:
        life, content = made.lifecycle, made.content
        assert content is not None
        await life.start()
        with pytest.raises(StandbyError, match="category JOURNAL"):
            await life.roll_edits()
        await life.become_active()
        mkdirs(made, "/a")
        assert await life.roll_edits() == 4
        assert made.state.applied_txid == 4
        assert content.log[-2:] == ["finalize 1-3", "start 4"]
        assert made.storage.read_seen_txid() == 4

    on_virtual_time(story)


def test_save_namespace_on_the_active() -> None:
    async def story(made: LivingNameNode) -> None:
        life = made.lifecycle
        await life.start()
        await life.become_active()
        mkdirs(made, "/a")
        txid = await life.save_namespace()
        assert txid == 4
        assert [image.txid for image in made.storage.images()] == [4, 0]
        again = LivingNameNode(made.ports, made.content)
        again.load()
        assert again.state.applied_txid == 4
        assert again.state.namespace.inode_count == made.state.namespace.inode_count
        assert again.state.namespace.inode_count == 2

    on_virtual_time(story)


@pytest.mark.parametrize(
    ("within_s", "within_txns", "recent"),
    [(100, 2, True), (100, 1, False), (9, 2, False), (11, 2, True)],
)
def test_an_image_is_recent_by_age_and_by_transactions(
    within_s: int, within_txns: int, recent: bool
) -> None:
    async def story(made: LivingNameNode) -> None:
        life = made.lifecycle
        await life.start()
        await life.become_active()
        await life.save_namespace()
        for path in ("/a", "/b"):
            mkdirs(made, path)
        await asyncio.sleep(10)
        assert life.has_recent_image(within_s=within_s, within_txns=within_txns) is recent

    on_virtual_time(story)


def test_an_image_with_what_is_not_durable_is_not_published() -> None:
    """Another NameNode may go on without these transactions."""

    async def story(made: LivingNameNode) -> None:
        life, content = made.lifecycle, made.content
        assert content is not None
        await life.start()
        await life.become_active()
        content.held = []
        mkdirs(made, "/pending")
        saving = asyncio.ensure_future(life._save())
        await asyncio.sleep(60)
        assert not saving.done()
        assert [image.txid for image in made.storage.images()] == [0]
        content.release()
        assert (await saving).txid == 2
        assert [image.txid for image in made.storage.images()] == [2, 0]

    on_virtual_time(story)


def test_a_standby_saves_what_it_has_applied() -> None:
    async def story(first: LivingNameNode, second: LivingNameNode) -> None:
        await first.lifecycle.become_active()
        mkdirs(first, "/a")
        await durable(first)
        await until(lambda: second.state.applied_txid == 2)
        assert await second.lifecycle.save_namespace() == 2
        assert second.storage.newest_image_txid() == 2
        assert first.storage.newest_image_txid() == 0

    pair(story)


def test_a_failed_save_keeps_the_old_image_and_the_namenode() -> None:
    async def story(made: LivingNameNode) -> None:
        life = made.lifecycle
        await life.start()
        await life.become_active()
        made.writer.fail = HdfsdError("the writing process died")
        with pytest.raises(HdfsdError, match="died"):
            await life.save_namespace()
        assert made.storage.newest_image_txid() == 0
        made.writer.fail = None
        mkdirs(made, "/a")
        assert await life.save_namespace() > 0

    on_virtual_time(story)


def test_old_images_and_edits_are_purged_here_and_on_the_journal() -> None:
    async def story(made: LivingNameNode) -> None:
        life, content = made.lifecycle, made.content
        assert content is not None
        await life.start()
        await life.become_active()
        txids = []
        for number in range(3):
            mkdirs(made, f"/{number}")
            txids.append(await life.save_namespace())
        assert [image.txid for image in made.storage.images()] == [txids[2], txids[1]]
        assert content.purged_below == txids[1] + 1
        segments = [n for n in names(made) if n.startswith("edits_0")]
        assert all(int(name.rsplit("-")[-1]) > txids[1] for name in segments)

    on_virtual_time(
        story,
        dfs__namenode__num__checkpoints__retained="2",
        dfs__namenode__num__extra__edits__retained="0",
    )


def test_the_standby_checkpoints_by_itself() -> None:
    async def story(first: LivingNameNode, second: LivingNameNode) -> None:
        await first.lifecycle.become_active()
        for number in range(10):
            mkdirs(first, f"/{number}")
        await durable(first)
        await until(lambda: (second.storage.newest_image_txid() or 0) >= 10)
        assert first.storage.newest_image_txid() == 0, "the active does not"

    pair(
        story,
        dfs__namenode__checkpoint__txns="10",
        dfs__namenode__checkpoint__check__period="5",
    )


# --- safe mode, and without HA ---


def test_blocks_are_counted_only_when_the_journal_was_read() -> None:
    async def story(made: LivingNameNode) -> None:
        break_journal(made)
        await made.lifecycle.start()
        await asyncio.sleep(10)
        assert made.state.blocks.safe_mode.status is SafeModeStatus.LOADING
        assert made.content is not None
        made.content.unreachable = False
        await until(lambda: made.state.blocks.safe_mode.status is SafeModeStatus.OFF)

    on_virtual_time(story)


def test_without_ha_it_is_active_at_once_and_edits_are_its_own() -> None:
    async def story(made: LivingNameNode) -> None:
        life = made.lifecycle
        await life.start()
        assert made.state.ha_state is HAState.ACTIVE
        mkdirs(made, "/a")
        await durable(made)
        assert life.writer is None
        await life.stop()
        assert "edits_inprogress_0000000000000000001" in names(made)

    on_virtual_time(story, ha=False)


def test_stop_ends_every_task_and_closes_the_journals() -> None:
    async def story(made: LivingNameNode) -> None:
        life = made.lifecycle
        await life.start()
        await life.become_active()
        before = life.writer
        await life.stop()
        left = [t.get_name() for t in asyncio.all_tasks() if t is not asyncio.current_task()]
        assert left == []
        assert before is not None
        assert before.closed  # type: ignore[attr-defined]

    on_virtual_time(story)


def test_a_monitor_that_fails_ends_the_process() -> None:
    async def story(made: LivingNameNode) -> None:
        def broken(now_ms: int) -> Any:
            raise LeaseExpired("not a thing that monitors raise")

        made.state.blocks.tick = broken  # type: ignore[method-assign]
        await made.lifecycle.start()
        with pytest.raises(RemoteFault, match="not a thing"):
            await made.lifecycle.run()

    on_virtual_time(story)


def test_active_blocks_command_and_standby_blocks_do_not() -> None:
    async def story(made: LivingNameNode) -> None:
        blocks = made.state.blocks
        await made.lifecycle.start()
        assert not blocks.active
        await made.lifecycle.become_active()
        assert blocks.active
        await made.lifecycle.become_standby()
        assert not blocks.active

    on_virtual_time(story)


# --- readiness ---


def mkdir_op(inode_id: int, path: str) -> MkdirOp:
    return MkdirOp(inode_id, path, 1, 1, PermissionStatus("hdfs", "supergroup", 0o755))


def test_it_is_ready_when_the_journal_was_read_to_its_end_once() -> None:
    async def story(made: LivingNameNode) -> None:
        life, content = made.lifecycle, made.content
        assert content is not None
        content.add(*(mkdir_op(20_000 + n, f"/d{n}") for n in range(3)))
        content.unreachable = True
        await life.start()
        await asyncio.sleep(5)
        assert life.not_ready is not None
        assert "has applied transaction 0" in life.not_ready
        with pytest.raises(QuorumLost):
            await life.catch_up()
        content.unreachable = False
        await until(lambda: life.not_ready is None)
        assert made.state.applied_txid == 3
        content.unreachable = True
        await asyncio.sleep(60)
        assert life.not_ready is None, "once is enough"

    on_virtual_time(story)


def test_catching_up_does_not_wait_for_the_next_period() -> None:
    async def story(made: LivingNameNode) -> None:
        life, content = made.lifecycle, made.content
        assert content is not None
        await life.start()
        await until(lambda: life.not_ready is None)
        content.add(mkdir_op(20_000, "/a"))
        assert await life.catch_up() == 1
        content.add(mkdir_op(20_001, "/b"))
        await until(lambda: made.state.applied_txid == 2)  # It goes on by itself.
        await life.become_active()
        assert await life.catch_up() == made.state.applied_txid

    on_virtual_time(story, **{"dfs.ha.tail-edits.period": "50s"})


def test_what_a_former_life_left_open_is_closed_before_it_is_needed() -> None:
    async def story(made: LivingNameNode) -> None:
        await made.lifecycle.start()
        await made.lifecycle.become_active()
        mkdirs(made, "/a")
        await durable(made)
        await made.lifecycle.stop()
        assert "edits_inprogress_0000000000000000001" in names(made)
        made.load()
        await made.lifecycle.start()
        assert "edits_0000000000000000001-0000000000000000002" in names(made)

    on_virtual_time(story)


def test_the_timeline_says_how_much_was_replayed() -> None:
    async def story(first: LivingNameNode, second: LivingNameNode) -> None:
        await until(lambda: second.lifecycle.not_ready is None)
        await first.lifecycle.become_active()
        for number in range(5):
            mkdirs(first, f"/{number}")
        await durable(first)
        await first.lifecycle.become_standby()
        await second.lifecycle.become_active()
        record = second.lifecycle.timeline[-1]
        # Its start of a segment, five of them, its end.
        assert (record.replayed_txns, record.last_txid) == (7, 8)
        assert second.lifecycle.timeline[0].replayed_txns is None

    pair(story, **{"dfs.ha.tail-edits.period": "500s"})


@pytest.mark.parametrize(("ha", "state"), [(True, HAState.OBSERVER), (False, HAState.ACTIVE)])
def test_it_starts_as_an_observer_where_it_is_set(ha: bool, state: HAState) -> None:
    async def story(made: LivingNameNode) -> None:
        await made.lifecycle.start()
        assert made.state.ha_state is state

    on_virtual_time(story, ha=ha, **{"dfs.namenode.observer.enabled": "true"})
