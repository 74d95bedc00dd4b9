"""RequestHedgingProxyProvider in virtual time: all are asked, one is kept, nothing done twice."""

from __future__ import annotations

import asyncio

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

from hdfsd.base.errors import FileNotFound, RetriableError, StandbyError
from hdfsd.base.proxy_providers import ProxyProvider, Search

HEDGED = ProxyProvider(Search.HEDGED)


def tell(story: Story, roles: tuple[int, ...] = (STANDBY, ACTIVE)) -> None:
    play(HEDGED, roles, story)


def test_all_are_asked_once_then_the_one_that_answered() -> None:
    async def story(stage: Stage) -> None:
        for _ in range(3):
            await stage.proxy.call("getFileInfo", LOOK)
        one, two = stage.asked()
        assert (len(one), len(two)) == (1, 3)
        assert stage.proxy.address.host == "nn2"

    tell(story)


def test_one_that_never_answers_delays_nobody() -> None:
    async def story(stage: Stage) -> None:
        stage.nodes[0].silent = True
        began_s = asyncio.get_running_loop().time()
        await stage.proxy.call("getFileInfo", LOOK)
        assert asyncio.get_running_loop().time() - began_s < TIMEOUT_MS / 1000

    tell(story)


def test_an_error_of_the_active_is_the_answer_while_others_are_still_asked() -> None:
    async def story(stage: Stage) -> None:
        stage.nodes[0].silent = True
        stage.nodes[1].fault = FileNotFound("/f")
        with pytest.raises(FileNotFound):
            await stage.proxy.call("getFileInfo", LOOK)
        stage.nodes[1].fault = None
        stage.asked()
        await stage.proxy.call("getFileInfo", LOOK)
        assert stage.asked() == [[], ["getFileInfo"]], "it has shown who answers"

    tell(story)


def test_after_a_kill_the_others_are_asked_and_one_of_them_is_kept() -> None:
    async def story(stage: Stage) -> None:
        await stage.proxy.call("getFileInfo", LOOK)
        stage.nodes[1].kill()
        stage.nodes[2].role = ACTIVE
        stage.asked()
        await stage.proxy.call("delete", DELETE)
        await stage.proxy.call("getFileInfo", LOOK)
        assert stage.asked() == [["delete"], [], ["delete", "getFileInfo"]]

    tell(story, (STANDBY, ACTIVE, STANDBY))


def test_a_call_whose_answer_was_lost_is_executed_once() -> None:
    async def story(stage: Stage) -> None:
        one, two = stage.nodes
        two.loses_answers = True
        deleting = later(stage.proxy.call("delete", DELETE))
        await until(lambda: len(stage.journal.calls) == 1)
        two.kill()
        await asyncio.sleep(0.3)
        one.role = ACTIVE
        assert (await deleting).result
        assert len(stage.journal.calls) == 1
        assert one.retries == sorted(one.retries), "each try says that it is a later one"
        assert one.retries[-1] > 0

    tell(story)


def test_while_nobody_is_active_all_are_asked_again_and_again() -> None:
    async def story(stage: Stage) -> None:
        looking = later(stage.proxy.call("getFileInfo", LOOK))
        await until(lambda: all(len(node.asked) > 2 for node in stage.nodes))
        stage.nodes[0].role = ACTIVE
        await looking
        assert stage.proxy.address.host == "nn1"

    tell(story, (STANDBY, STANDBY))


def test_there_is_an_end_to_it() -> None:
    async def story(stage: Stage) -> None:
        with pytest.raises(StandbyError):
            await stage.proxy.call("getFileInfo", LOOK)

    tell(story, (STANDBY, STANDBY))


def test_who_asks_for_time_is_asked_again() -> None:
    """An active in safe mode beside a standby: its word counts for more."""

    async def story(stage: Stage) -> None:
        stage.nodes[1].fault = RetriableError("in safe mode")
        looking = later(stage.proxy.call("getFileInfo", LOOK))
        await until(lambda: len(stage.nodes[1].asked) > 2)
        stage.nodes[1].fault = None
        await looking

    tell(story)


def test_no_observer_answers_for_the_active() -> None:
    """It would answer first: it is nearer, or has less to do. What it shows may be old."""

    async def story(stage: Stage) -> None:
        await stage.proxy.call("delete", DELETE)
        stage.nodes[1].kill()
        looking = later(stage.proxy.call("getFileInfo", LOOK))
        await until(lambda: len(stage.nodes[0].asked) > 2)
        assert not looking.done()
        stage.nodes[2].role = ACTIVE
        await looking

    tell(story, (OBSERVER, ACTIVE, STANDBY))


def test_many_calls_at_once_each_get_their_answer() -> None:
    async def story(stage: Stage) -> None:
        calls = [stage.proxy.call("delete", DELETE) for _ in range(20)]
        answers = await asyncio.gather(*calls)
        assert all(answer.result for answer in answers)
        assert len(set(stage.journal.calls)) == 20
        stage.nodes[1].kill()
        stage.nodes[0].role = ACTIVE
        await asyncio.gather(*(stage.proxy.call("getFileInfo", LOOK) for _ in range(20)))
        assert stage.proxy.address.host == "nn1"

    tell(story)
