"""Who calls: from memory, looked up beside the loop, never twice at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from small_namenode import HandClock

from hdfsd.base.errors import RetriableError
from hdfsd.namenode import principals as module
from hdfsd.namenode.principals import KEPT_LIVES, Lives, Principals, Rights
from hdfsd.rpc.connection import Caller

LIVES = Lives(known_ms=300_000, unknown_ms=30_000)
STRANGER = "stranger"


def caller(user: str) -> Caller:
    return Caller(user, None, "10.0.0.1")


class Database:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answers = asyncio.Event()
        self.answers.set()
        self.error: OSError | None = None

    async def of(self, user: str) -> tuple[str, ...]:
        self.asked.append(user)
        number = len(self.asked)
        await self.answers.wait()
        if self.error is not None:
            raise self.error
        return () if user == STRANGER else (f"{user}-{number}",)


class World:
    def __init__(self) -> None:
        self.database = Database()
        self.clock = HandClock()
        rights = Rights("hdfs", "supergroup", permissions_enabled=True)
        self.principals = Principals(self.database, self.clock, rights, LIVES)

    async def meet(self, user: str) -> bool:
        """As a connection does; whether it had to wait."""
        waiting = self.principals.introduce(caller(user))
        if waiting is not None:
            await waiting
        return waiting is not None

    def groups(self, user: str) -> frozenset[str]:
        return self.principals.of(user).groups

    def pass_ms(self, ms: int) -> None:
        self.clock.ms += ms


def run(story: Callable[[World], Awaitable[None]]) -> None:
    async def whole() -> None:
        world = World()
        try:
            await story(world)
        finally:
            await world.principals.close()

    asyncio.run(whole())


def test_who_is_not_known_waits_once() -> None:
    async def story(world: World) -> None:
        assert await world.meet("alice")
        assert not await world.meet("alice")
        assert world.groups("alice") == {"alice-1"}
        assert not world.principals.of("alice").is_superuser
        assert world.database.asked == ["alice"]

    run(story)


def test_a_hundred_connections_of_one_user_ask_once_and_one_that_ends_takes_nothing_along() -> None:
    async def story(world: World) -> None:
        world.database.answers.clear()
        waits = [asyncio.ensure_future(world.meet("alice")) for _ in range(100)]
        await asyncio.sleep(0)
        waits.pop().cancel()
        await asyncio.sleep(0)
        world.database.answers.set()
        assert all(await asyncio.gather(*waits))
        assert world.database.asked == ["alice"]
        assert world.groups("alice") == {"alice-1"}

    run(story)


@pytest.mark.parametrize(("user", "life_ms"), [("alice", 300_000), (STRANGER, 30_000)])
def test_what_is_old_is_served_while_it_is_asked_for_again(user: str, life_ms: int) -> None:
    async def story(world: World) -> None:
        await world.meet(user)
        before = world.groups(user)
        world.pass_ms(life_ms - 1)
        assert not await world.meet(user)
        assert world.database.asked == [user]
        world.pass_ms(1)
        world.database.answers.clear()
        for _ in range(3):
            assert not await world.meet(user)
            await asyncio.sleep(0)
            assert world.groups(user) == before
        assert world.database.asked == [user, user], "one lookup is on its way"
        world.database.answers.set()
        await asyncio.sleep(0.01)
        assert world.groups(user) == (set() if user == STRANGER else {"alice-2"})
        assert not await world.meet(user)
        assert world.database.asked == [user, user]

    run(story)


def test_what_is_much_too_old_is_waited_for() -> None:
    async def story(world: World) -> None:
        await world.meet("alice")
        world.pass_ms(KEPT_LIVES * LIVES.known_ms)
        assert await world.meet("alice")
        assert world.groups("alice") == {"alice-2"}

    run(story)


def test_a_lookup_that_fails_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def story(world: World) -> None:
        await world.meet("alice")
        world.database.error = OSError(5, "the directory is gone")
        world.pass_ms(LIVES.known_ms)
        assert not await world.meet("alice")
        await asyncio.sleep(0.01)
        assert world.groups("alice") == {"alice-1"}
        assert "the groups of alice can't be looked up: [Errno 5] the directory" in caplog.text
        assert await world.meet("bob")
        with pytest.raises(RetriableError, match="The groups of bob are not known"):
            world.groups("bob")

    run(story)


def test_a_database_that_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_S", 0.01)

    async def story(world: World) -> None:
        world.database.answers.clear()
        assert await world.meet("alice")
        with pytest.raises(RetriableError, match="The groups of alice are not known"):
            world.groups("alice")
        # The owner is one whatever its groups: health checks ask no database.
        assert not await world.meet("hdfs")
        assert world.principals.of("hdfs").is_superuser
        assert world.database.asked == ["alice"]
        world.database.answers.set()
        await asyncio.sleep(0.01)
        assert world.groups("alice") == {"alice-1"}

    run(story)


def test_made_up_names_fill_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "USERS_MAX", 3)

    async def story(world: World) -> None:
        for name in "abcd":
            await world.meet(name)
        assert await world.meet("a"), "the one with the oldest answer went"
        assert not await world.meet("d")

    run(story)


@pytest.mark.parametrize(
    ("user", "groups", "enabled", "mighty"),
    [
        ("hdfs", (), True, True),
        ("root", ("supergroup", "root"), True, True),
        ("alice", ("staff",), True, False),
        ("supergroup", (), True, False),
        ("alice", ("staff",), False, True),
    ],
)
def test_who_may_do_everything(
    user: str, groups: tuple[str, ...], enabled: bool, mighty: bool
) -> None:
    found = Rights("hdfs", "supergroup", enabled).principal(user, groups)
    assert (found.user, found.groups, found.is_superuser) == (user, frozenset(groups), mighty)
