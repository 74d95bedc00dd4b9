"""The election's lock in a real ZooKeeper: sessions end, links are cut, holders die."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from kazoo.client import KazooClient

from hdfsd.base.errors import ConnectFailed, OutcomeUnknown, StorageError
from hdfsd.failover.acl import AclEntry, Credential, parse_acl, parse_auth
from hdfsd.io.zookeeper import ZooKeeperCoordination
from hdfsd.ports.coordination import SessionState

pytestmark = [pytest.mark.system, pytest.mark.zookeeper]

SESSION_MS = 2000
OPEN = parse_acl("world:anyone:rwcda")
HOLDER = """
import asyncio, sys
from hdfsd.failover.acl import parse_acl
from hdfsd.io.zookeeper import ZooKeeperCoordination
async def main():
    lock = ZooKeeperCoordination(
        sys.argv[1], sys.argv[2], session_timeout_ms=2000, acl=parse_acl("world:anyone:rwcda"))
    await lock.open(lambda state: None)
    assert await lock.try_lock(b"the other process")
    print("locked", flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""
Lock = ZooKeeperCoordination


class News:
    """What a session told, as it comes."""

    def __init__(self) -> None:
        self.states: asyncio.Queue[SessionState] = asyncio.Queue()

    def __call__(self, state: SessionState) -> None:
        self.states.put_nowait(state)

    async def next(self) -> SessionState:
        return await self.states.get()


def lock_of(
    zookeeper: Any,
    name: str,
    acl: Sequence[AclEntry] = OPEN,
    auth: Sequence[Credential] = (),
) -> Lock:
    return Lock(
        zookeeper.quorum,
        name if name.startswith("/") else f"/hadoop-ha/{name}",
        session_timeout_ms=SESSION_MS,
        acl=acl,
        auth=auth,
    )


def play(zookeeper: Any, name: str, story: Callable[[Lock, Lock, News], Awaitable[None]]) -> None:
    """Two controllers with open sessions; the news are of the first one's."""

    async def tell() -> None:
        one, two = lock_of(zookeeper, name), lock_of(zookeeper, name)
        news = News()
        try:
            async with asyncio.timeout(60):
                await one.open(news)
                assert await news.next() is SessionState.CONNECTED
                await one.format()
                await two.open(lambda _: None)
                await story(one, two, news)
        finally:
            await one.close()
            await two.close()

    asyncio.run(tell())


def test_one_holds_it_and_all_see_who(zookeeper: Any) -> None:
    async def story(one: Lock, two: Lock, news: News) -> None:
        assert await one.read_lock() is None
        assert await one.try_lock(b"one")
        assert await one.try_lock(b"one"), "it is ours already"
        assert not await two.try_lock(b"two")
        mine, others = await one.read_lock(), await two.read_lock()
        assert mine is not None
        assert others is not None
        assert (mine.data, mine.mine) == (b"one", True)
        assert (others.data, others.mine) == (b"one", False)
        await two.unlock()
        changed = asyncio.Event()
        assert await two.read_lock(changed.set) is not None
        await one.unlock()
        await changed.wait()
        assert await two.try_lock(b"two")

    play(zookeeper, "holders", story)


def test_a_closed_session_takes_its_lock_along_at_once(zookeeper: Any) -> None:
    async def story(one: Lock, two: Lock, news: News) -> None:
        assert await one.try_lock(b"one")
        changed = asyncio.Event()
        await two.read_lock(changed.set)
        await one.close()
        await changed.wait()
        assert await two.try_lock(b"two")
        with pytest.raises(ConnectFailed):
            await one.read_lock()
        assert news.states.empty(), "a session that was closed tells nothing"

    play(zookeeper, "closing", story)


def test_a_killed_holder_loses_it_when_its_session_ends(zookeeper: Any) -> None:
    async def story(one: Lock, two: Lock, news: News) -> None:
        command = [sys.executable, "-c", HOLDER, zookeeper.quorum, "/hadoop-ha/killed"]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"locked\n"
            changed = asyncio.Event()
            view = await one.read_lock(changed.set)
            assert view is not None
            assert (view.data, view.mine) == (b"the other process", False)
            holder.send_signal(signal.SIGKILL)
            await changed.wait()
        assert await one.try_lock(b"one")

    play(zookeeper, "killed", story)


def test_a_session_that_expires_is_told(zookeeper: Any) -> None:
    async def story(one: Lock, two: Lock, news: News) -> None:
        assert await one.try_lock(b"one")
        changed = asyncio.Event()
        await two.read_lock(changed.set)
        client = one._client
        assert client is not None
        await asyncio.to_thread(end_session, zookeeper, client.client_id)
        await changed.wait()
        assert await two.try_lock(b"two")
        while await news.next() is not SessionState.EXPIRED:
            pass
        await one.open(news)
        view = await one.read_lock()
        assert view is not None
        assert not view.mine

    play(zookeeper, "expiring", story)


def end_session(zookeeper: Any, identity: tuple[int, bytes]) -> None:
    """Takes a session over and closes it, so that its owner finds it expired."""
    thief = KazooClient(zookeeper.quorum, client_id=identity)
    thief.start()
    thief.stop()
    thief.close()


def test_a_link_that_comes_back_in_time_loses_nothing(zookeeper: Any) -> None:
    async def story(one: Lock, two: Lock, news: News) -> None:
        assert await one.try_lock(b"one")
        zookeeper.signal(signal.SIGSTOP)
        try:
            assert await news.next() is SessionState.SUSPENDED
        finally:
            zookeeper.signal(signal.SIGCONT)
        # The server was asleep: whether the session lived on is its to say.
        state = await news.next()
        view = await two.read_lock()
        if state is SessionState.CONNECTED:
            assert view is not None
            assert view.data == b"one"
        else:
            assert state is SessionState.EXPIRED
            assert view is None

    play(zookeeper, "cut", story)


def test_breadcrumb(zookeeper: Any) -> None:
    async def story(one: Lock, two: Lock, news: News) -> None:
        assert await one.read_breadcrumb() is None
        await one.write_breadcrumb(b"one", None)
        with pytest.raises(OutcomeUnknown, match="NodeExists"):
            await two.write_breadcrumb(b"two", None)
        found = await two.read_breadcrumb()
        assert found is not None
        assert (found.data, found.version) == (b"one", 0)
        await two.write_breadcrumb(b"two", found.version)
        with pytest.raises(OutcomeUnknown, match="BadVersion"):
            await one.write_breadcrumb(b"one", found.version)
        with pytest.raises(OutcomeUnknown, match="BadVersion"):
            await one.delete_breadcrumb(found.version)
        # Whose lock was deleted by hand can't tell whose breadcrumb it is now.
        with pytest.raises(OutcomeUnknown, match="NoNode"):
            await two.delete_breadcrumb(found.version + 1)
        assert await two.try_lock(b"two")
        with pytest.raises(OutcomeUnknown, match="BadVersion"):
            await two.delete_breadcrumb(found.version)
        assert await one.read_lock() is not None, "both or none"
        changed = asyncio.Event()
        await one.read_lock(changed.set)
        await two.delete_breadcrumb(found.version + 1)
        await changed.wait()
        assert await one.try_lock(b"one"), "the lock went along, though the session lives on"
        assert await one.read_breadcrumb() is None
        with pytest.raises(OutcomeUnknown, match="NoNode"):
            await one.delete_breadcrumb(0)
        with pytest.raises(OutcomeUnknown, match="NoNode"):
            await one.write_breadcrumb(b"one", 3)

    play(zookeeper, "breadcrumbs", story)


def test_formatting_removes_what_a_former_election_left(zookeeper: Any) -> None:
    async def story(one: Lock, two: Lock, news: News) -> None:
        assert await one.try_lock(b"one")
        await one.write_breadcrumb(b"one", None)
        await two.format()
        assert await two.read_lock() is None
        assert await two.read_breadcrumb() is None
        assert await one.parent_exists()

    play(zookeeper, "formatted", story)


def test_without_its_parent(zookeeper: Any) -> None:
    async def story() -> None:
        lock = lock_of(zookeeper, "never-formatted")
        await lock.open(lambda _: None)
        try:
            assert not await lock.parent_exists()
            assert await lock.read_lock() is None
            with pytest.raises(StorageError, match="-formatZK"):
                await lock.try_lock(b"x")
        finally:
            await lock.close()

    asyncio.run(story())


def test_only_who_knows_the_secret_takes_part(zookeeper: Any) -> None:
    async def story() -> None:
        # The digest of hdfs:secret, as ZooKeeper's DigestAuthenticationProvider makes it.
        acl = parse_acl("digest:hdfs:Rqc/eU/YLg4bkzNvY5214ox3UMs=:rwcda")
        friend = lock_of(zookeeper, "/secret/ns1", acl, parse_auth("digest:hdfs:secret"))
        stranger = lock_of(zookeeper, "/secret/ns1", acl, parse_auth("digest:hdfs:guess"))
        outsider = lock_of(zookeeper, "/secret/ns1")
        try:
            await outsider.open(lambda _: None)
            await friend.open(lambda _: None)
            await stranger.open(lambda _: None)
            await friend.format()
            assert await friend.try_lock(b"friend")
            await friend.write_breadcrumb(b"friend", None)
            for attempt in (
                stranger.try_lock(b"stranger"),
                stranger.read_lock(),
                stranger.read_breadcrumb(),
                stranger.write_breadcrumb(b"stranger", 0),
                outsider.format(),
            ):
                with pytest.raises(StorageError, match=r"compare ha\.zookeeper\.acl"):
                    await attempt
        finally:
            for lock in (friend, stranger, outsider):
                await lock.close()

    asyncio.run(story())


def test_nobody_answers() -> None:
    async def story() -> None:
        lock = Lock("127.0.0.1:1", "/hadoop-ha/x", session_timeout_ms=300, acl=OPEN)
        with pytest.raises(ConnectFailed, match=r"no ZooKeeper of 127\.0\.0\.1:1 answered in 300"):
            await lock.open(lambda _: None)

    asyncio.run(story())
