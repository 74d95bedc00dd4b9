"""ObserverReadProxyProvider in virtual time: where reads go, and that they show what is written."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from scripted_namenodes import (
    ACTIVE,
    DELETE,
    LOOK,
    OBSERVER,
    STANDBY,
    TIMEOUT_MS,
    Stage,
    Story,
    later,
    play,
    until,
)

from hdfsd.base.errors import FileNotFound, ObserverRetryOnActive, RetriableError
from hdfsd.base.proxy_providers import ProxyProvider, Search

READING = ProxyProvider(Search.READING_OBSERVERS)
ROLES = (ACTIVE, STANDBY, OBSERVER)
PROBE = "getHAServiceState"


def tell(story: Story, roles: tuple[int, ...] = ROLES, provider: ProxyProvider = READING) -> None:
    play(provider, roles, story)


async def look(stage: Stage) -> None:
    await stage.proxy.call("getFileInfo", LOOK)


def test_reads_go_to_the_observer_and_writes_to_the_active() -> None:
    async def story(stage: Stage) -> None:
        await look(stage)
        assert stage.asked() == [["msync", PROBE], [PROBE], [PROBE, "getFileInfo"]]
        await stage.proxy.call("delete", DELETE)
        await look(stage)
        assert stage.asked() == [["delete"], [], ["getFileInfo"]]

    tell(story)


def test_what_was_written_is_read() -> None:
    async def story(stage: Stage) -> None:
        observer = stage.nodes[2]
        await look(stage)
        observer.lag = 1
        await stage.proxy.call("delete", DELETE)
        assert stage.proxy.state_id == 1
        reading = later(look(stage))
        await until(lambda: observer.asked[-1:] == ["getFileInfo"])
        await asyncio.sleep(1)
        assert not reading.done(), "an observer that is behind would not show it"
        observer.catch_up()
        await reading

    tell(story)


def test_a_first_read_sees_what_others_have_written_before() -> None:
    async def story(stage: Stage) -> None:
        stage.journal.calls += [(b"another", 1), (b"another", 2)]
        observer = stage.nodes[2]
        observer.lag = 2
        reading = later(look(stage))
        await until(lambda: observer.asked[-1:] == ["getFileInfo"])
        assert not reading.done()
        observer.catch_up()
        await reading
        assert stage.proxy.state_id == 2

    tell(story)


def test_many_first_reads_ask_the_active_once() -> None:
    async def story(stage: Stage) -> None:
        await asyncio.gather(*(look(stage) for _ in range(20)))
        active, _, observer = stage.asked()
        assert active.count("msync") == 1
        assert observer.count("getFileInfo") == 20

    tell(story)


@pytest.mark.parametrize(("period_ms", "msyncs"), [(0, 3), (100, 2), (-1, 1)])
def test_how_often_the_active_is_asked_how_far_it_is(period_ms: int, msyncs: int) -> None:
    async def story(stage: Stage) -> None:
        await look(stage)
        await look(stage)
        await asyncio.sleep(0.2)
        await look(stage)
        assert stage.asked()[0].count("msync") == msyncs

    tell(story, provider=replace(READING, auto_msync_ms=period_ms))


def test_an_observer_that_dies_is_left_for_another_one() -> None:
    async def story(stage: Stage) -> None:
        await look(stage)
        stage.nodes[1].kill()
        stage.asked()
        await look(stage)
        active, _, other = stage.asked()
        assert (active, other) == ([], [PROBE, "getFileInfo"])

    tell(story, (ACTIVE, OBSERVER, OBSERVER))


def test_without_an_observer_the_active_answers_until_it_is_time_to_look_again() -> None:
    async def story(stage: Stage) -> None:
        await look(stage)
        assert stage.asked() == [["msync", PROBE, "getFileInfo"], [PROBE], [PROBE]]
        await look(stage)
        assert stage.asked() == [["getFileInfo"], [], []]
        stage.nodes[2].role = OBSERVER
        await asyncio.sleep(READING.observer_probe_ms / 1000)
        await look(stage)
        assert stage.asked()[2] == [PROBE, "getFileInfo"]

    tell(story, (ACTIVE, STANDBY, STANDBY))


def test_an_observer_that_was_lost_is_used_again_when_it_is_back() -> None:
    async def story(stage: Stage) -> None:
        observer = stage.nodes[2]
        await look(stage)
        observer.kill()
        await look(stage)
        assert stage.asked()[0][-1] == "getFileInfo", "the active has answered"
        observer.start()
        await look(stage)
        assert stage.asked()[2][-2:] == [PROBE, "getFileInfo"]

    tell(story)


def test_an_observer_that_becomes_a_standby_is_none_any_more() -> None:
    async def story(stage: Stage) -> None:
        await look(stage)
        stage.nodes[2].role = STANDBY
        stage.asked()
        await look(stage)
        active, _, former = stage.asked()
        assert active[-1] == "getFileInfo"
        assert former[0] == "getFileInfo"

    tell(story)


def test_what_it_can_not_answer_the_active_does() -> None:
    async def story(stage: Stage) -> None:
        await look(stage)
        stage.nodes[2].fault = ObserverRetryOnActive("no replicas known")
        stage.asked()
        await look(stage)
        assert stage.asked() == [["getFileInfo"], [], ["getFileInfo"]]

    tell(story)


def test_one_that_is_too_far_behind_is_passed_over() -> None:
    async def story(stage: Stage) -> None:
        await look(stage)
        stage.nodes[2].fault = RetriableError("Observer Node is too far behind")
        await look(stage)
        assert stage.asked()[0][-1] == "getFileInfo"

    tell(story)


def test_its_answer_is_the_answer_also_when_it_is_an_error() -> None:
    async def story(stage: Stage) -> None:
        stage.nodes[2].fault = FileNotFound("/f")
        with pytest.raises(FileNotFound):
            await look(stage)
        assert "getFileInfo" not in stage.asked()[0]

    tell(story)


def test_a_failover_beside_the_observer() -> None:
    async def story(stage: Stage) -> None:
        first, second, observer = stage.nodes
        await look(stage)
        first.loses_answers = True
        deleting = later(stage.proxy.call("delete", DELETE))
        await until(lambda: len(stage.journal.calls) == 1)
        first.kill()
        await look(stage)
        assert observer.asked[-1] == "getFileInfo", "reads do not wait for the next active"
        second.role = ACTIVE
        assert (await deleting).result
        assert len(stage.journal.calls) == 1, "executed once"
        observer.lag = 1
        reading = later(look(stage))
        await asyncio.sleep(0.5)
        assert not reading.done(), "what the next active has told of must be shown as well"
        observer.catch_up()
        await reading

    tell(story)


@pytest.mark.parametrize(("timeout_ms", "waited_ms"), [(100, 100), (0, TIMEOUT_MS)])
def test_one_that_does_not_say_what_it_is_is_no_observer(timeout_ms: int, waited_ms: int) -> None:
    async def story(stage: Stage) -> None:
        loop = asyncio.get_running_loop()
        stage.nodes[1].silent = True
        began_s = loop.time()
        await look(stage)
        assert waited_ms / 1000 <= loop.time() - began_s < waited_ms / 1000 + 1
        assert stage.asked()[2] == [PROBE, "getFileInfo"]

    tell(story, provider=replace(READING, state_probe_timeout_ms=timeout_ms))


@pytest.mark.parametrize(("random_order", "first"), [(False, True), (True, False)])
def test_each_client_begins_with_an_observer_of_its_own(random_order: bool, first: bool) -> None:
    """By its dice: with these, not with the first one."""

    async def story(stage: Stage) -> None:
        await look(stage)
        assert ("getFileInfo" in stage.nodes[1].asked) is first

    tell(story, (ACTIVE, *[OBSERVER] * 5), replace(READING, random_order=random_order))
