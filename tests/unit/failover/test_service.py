from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from hdfsd.base.errors import AccessControl
from hdfsd.failover.service import (
    ExplanationService,
    ZkfcProtocolService,
    parse_administrators,
)
from hdfsd.wire.messages import generic_refresh, zkfc
from hdfsd.wire.words import EXPLAIN, NO_SUCH_WORD


class Controller:
    def __init__(self) -> None:
        self.asked: list[Any] = []

    async def cede_active(self, millis: int, asked_by: str) -> None:
        self.asked.append((millis, asked_by))

    async def graceful_failover(self, asked_by: str) -> None:
        self.asked.append(f"graceful for {asked_by}")

    async def explain(self) -> dict[str, Any]:
        return {"health": "fine"}


def call_of(user: str) -> Any:
    return SimpleNamespace(caller=SimpleNamespace(user=user, address="10.0.0.7"))


def service(administrators: str) -> tuple[ZkfcProtocolService, Controller]:
    controller = Controller()
    allowed = parse_administrators(administrators) | {"hdfs"}
    made: Any = ZkfcProtocolService(controller, allowed)  # type: ignore[arg-type]
    return made, controller


@pytest.mark.parametrize(
    ("administrators", "user"), [("", "hdfs"), ("*", "anybody"), ("eve,adam staff", "adam")]
)
def test_allowed(administrators: str, user: str) -> None:
    handlers, controller = service(administrators)

    async def story() -> None:
        for millis in (5000, 0, 4_294_967_295, 0x7FFFFFFF):
            request = zkfc.CedeActiveRequestProto(millisToCede=millis)
            await handlers.cede_active(request, call_of(user))
        await handlers.graceful_failover(zkfc.GracefulFailoverRequestProto(), call_of(user))

    asyncio.run(story())
    millis = [asked[0] for asked in controller.asked[:-1]]
    assert millis == [5000, 0, -1, 0x7FFFFFFF]
    assert controller.asked[-1] == f"graceful for {user}"


@pytest.mark.parametrize(("administrators", "user"), [("", "eve"), (" staff", "staff")])
def test_refused(administrators: str, user: str) -> None:
    handlers, controller = service(administrators)
    expected = (
        rf"Disallowed RPC access from {user} \(auth:SIMPLE\) at 10.0.0.7."
        " Not listed in dfs.cluster.administrators"
    )

    async def story() -> None:
        with pytest.raises(AccessControl, match=expected):
            await handlers.cede_active(zkfc.CedeActiveRequestProto(millisToCede=1), call_of(user))
        with pytest.raises(AccessControl, match=expected):
            await handlers.graceful_failover(zkfc.GracefulFailoverRequestProto(), call_of(user))

    asyncio.run(story())
    assert controller.asked == []


def test_an_explanation_comes_through_hadoops_own_door() -> None:
    made = ExplanationService(Controller(), frozenset({"hdfs"}))  # type: ignore[arg-type]

    async def ask(word: str, user: str = "hdfs") -> tuple[int, str]:
        request = generic_refresh.GenericRefreshRequestProto(identifier=word)
        (answer,) = (await made.refresh(request, call_of(user))).responses
        return answer.exitStatus, answer.userMessage

    async def story() -> None:
        assert await ask(EXPLAIN) == (0, '{"health": "fine"}')
        code, text = await ask("something else")
        assert code == NO_SUCH_WORD
        assert EXPLAIN in text
        with pytest.raises(AccessControl, match="Disallowed RPC access from eve"):
            await ask(EXPLAIN, "eve")

    asyncio.run(story())
