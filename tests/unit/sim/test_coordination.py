"""The simulated lock service: locks go with sessions, sessions with silence, news come late."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from hdfsd.base.errors import ConnectFailed, LinkError, OutcomeUnknown
from hdfsd.ports.coordination import Breadcrumb, LockView, SessionState
from hdfsd.sim.coordination import Claim, LockService, SimCoordination
from hdfsd.sim.world import Process, World

SESSION_MS = 1_000


class Rig:
    """Two owners on machines of their own; what they hear of their sessions."""

    def __init__(self) -> None:
        self.world = World("1")
        self.service = LockService(self.world, "zk", session_ms=SESSION_MS)
        self.machines = [self.world.add_machine(name) for name in ("a", "b")]
        self.processes: list[Process] = []
        self.owners: list[SimCoordination] = []
        self.heard: list[list[SessionState]] = []

    def play(self, story: Callable[[Rig], Awaitable[None]]) -> None:
        async def run() -> None:
            watching = asyncio.ensure_future(self.service.watch())
            for machine in self.machines:
                await self._open(machine.start("p", _wait))
            await story(self)
            watching.cancel()

        self.world.run(run())

    async def _open(self, process: Process) -> None:
        heard: list[SessionState] = []
        owner = SimCoordination(self.service, process)
        await owner.open(heard.append)
        self.processes.append(process)
        self.owners.append(owner)
        self.heard.append(heard)

    def cut(self, index: int) -> None:
        host = self.machines[index].host
        self.world.fabric.partition([host], [self.service.host])


async def _wait(process: Process) -> None:
    await asyncio.get_running_loop().create_future()


def test_one_has_the_lock_and_the_other_hears_when_it_goes() -> None:
    async def story(rig: Rig) -> None:
        first, second = rig.owners
        gone = asyncio.Event()
        assert await first.try_lock(b"first")
        assert await first.try_lock(b"first")
        assert not await second.try_lock(b"second")
        assert await first.read_lock() == LockView(b"first", mine=True)
        assert await second.read_lock(gone.set) == LockView(b"first", mine=False)
        await second.unlock()
        assert not gone.is_set()
        await first.unlock()
        await asyncio.wait_for(gone.wait(), 1)
        assert await second.read_lock() is None
        assert await second.try_lock(b"second")

    Rig().play(story)


def test_the_lock_of_a_dead_owner_stays_until_its_session_has_timed_out() -> None:
    async def story(rig: Rig) -> None:
        first, second = rig.owners
        assert await first.try_lock(b"first")
        rig.processes[0].kill()
        await asyncio.sleep(SESSION_MS / 2000)
        assert not await second.try_lock(b"second")
        await asyncio.sleep(SESSION_MS / 1000)
        assert await second.try_lock(b"second")

    Rig().play(story)


@pytest.mark.parametrize("closes", [False, True])
def test_an_owner_that_is_cut_off_loses_its_lock(closes: bool) -> None:
    async def story(rig: Rig) -> None:
        first, second = rig.owners
        assert await first.try_lock(b"first")
        rig.cut(0)
        if closes:
            await first.close()
        else:
            with pytest.raises(ConnectFailed, match="can't be reached"):
                await first.read_lock()
        await asyncio.sleep(2 * SESSION_MS / 1000)
        assert await second.try_lock(b"second")
        rig.world.fabric.heal()
        await asyncio.sleep(SESSION_MS / 1000)
        if closes:
            assert rig.heard[0] == []
        else:
            assert rig.heard[0] == [SessionState.SUSPENDED, SessionState.EXPIRED]
        with pytest.raises(LinkError):
            await first.try_lock(b"first")

    Rig().play(story)


def test_a_short_cut_is_survived() -> None:
    async def story(rig: Rig) -> None:
        first, _ = rig.owners
        assert await first.try_lock(b"first")
        rig.cut(0)
        await asyncio.sleep(0.85 * SESSION_MS / 1000)
        rig.world.fabric.heal()
        await asyncio.sleep(SESSION_MS / 1000)
        assert rig.heard[0] == [SessionState.SUSPENDED, SessionState.CONNECTED]
        assert await first.read_lock() == LockView(b"first", mine=True)

    Rig().play(story)


def test_a_session_that_expires_is_told_and_refused() -> None:
    async def story(rig: Rig) -> None:
        first, second = rig.owners
        assert await first.try_lock(b"first")
        rig.service.expire(0)
        assert await second.try_lock(b"second")
        with pytest.raises(ConnectFailed, match="has expired"):
            await first.read_lock()
        await asyncio.sleep(SESSION_MS / 1000)
        assert rig.heard[0] == [SessionState.EXPIRED]

    Rig().play(story)


def test_breadcrumbs_have_versions() -> None:
    async def story(rig: Rig) -> None:
        first, second = rig.owners
        assert await first.read_breadcrumb() is None
        await first.write_breadcrumb(b"first", None)
        assert await second.read_breadcrumb() == Breadcrumb(b"first", 0)
        with pytest.raises(OutcomeUnknown, match="another version"):
            await second.write_breadcrumb(b"second", None)
        await second.write_breadcrumb(b"second", 0)
        await first.delete_breadcrumb(0)
        assert await first.read_breadcrumb() == Breadcrumb(b"second", 1)
        await first.delete_breadcrumb(1)
        assert await first.read_breadcrumb() is None
        assert not await first.parent_exists()
        await first.format()
        assert await second.parent_exists()

    Rig().play(story)


def test_an_answer_that_is_cut_off_may_have_happened() -> None:
    async def story(rig: Rig) -> None:
        first, _ = rig.owners
        honest = rig.service.take

        def take(*args: object) -> bool:
            taken = honest(*args)  # type: ignore[arg-type]
            rig.cut(0)
            return taken

        rig.service.take = take  # type: ignore[method-assign,assignment]
        with pytest.raises(OutcomeUnknown):
            await first.try_lock(b"first")
        assert rig.service.data == b"first"

    Rig().play(story)


def test_a_service_that_is_gone_keeps_its_sessions() -> None:
    async def story(rig: Rig) -> None:
        first, second = rig.owners
        assert await first.try_lock(b"first")
        rig.service.go()
        await asyncio.sleep(5 * SESSION_MS / 1000)
        with pytest.raises(ConnectFailed, match="can't be reached"):
            await second.read_lock()
        rig.service.come_back()
        await asyncio.sleep(SESSION_MS / 1000)
        assert rig.heard == [[SessionState.SUSPENDED, SessionState.CONNECTED]] * 2
        assert await second.read_lock() == LockView(b"first", mine=False)

    Rig().play(story)


def test_an_owner_that_died_while_the_service_was_gone_times_out_after_its_return() -> None:
    async def story(rig: Rig) -> None:
        first, second = rig.owners
        assert await first.try_lock(b"first")
        rig.service.go()
        rig.processes[0].kill()
        await asyncio.sleep(5 * SESSION_MS / 1000)
        rig.service.come_back()
        await asyncio.sleep(SESSION_MS / 2000)
        assert not await second.try_lock(b"second")
        await asyncio.sleep(SESSION_MS / 1000)
        assert await second.try_lock(b"second")

    Rig().play(story)


def test_a_lock_that_is_deleted_by_hand() -> None:
    async def story(rig: Rig) -> None:
        first, second = rig.owners
        rig.service.take_away()
        assert await first.try_lock(b"first")
        changed = asyncio.Event()
        await first.read_lock(changed.set)
        rig.service.take_away()
        await asyncio.wait_for(changed.wait(), 1)
        assert await second.try_lock(b"second")
        assert rig.heard == [[], []]

    Rig().play(story)


def test_who_claims_to_be_active_is_told_with_its_right_to() -> None:
    async def story(rig: Rig) -> None:
        first, second = rig.owners
        claims: list[Claim] = []
        rig.service.on_claim = claims.append
        assert await first.try_lock(b"first")
        assert rig.service.holding_machine == "a"
        await first.write_breadcrumb(b"first", None)
        await second.write_breadcrumb(b"second", 0)
        rig.service.take_away()
        await first.write_breadcrumb(b"first", 1)
        assert claims == [Claim("a", True), Claim("b", False), Claim("a", True)]

    Rig().play(story)
