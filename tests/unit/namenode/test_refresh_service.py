"""The words that a NameNode knows, for superusers."""

from __future__ import annotations

import asyncio

import pytest
from small_namenode import Desktop, call

from hdfsd.base.errors import AccessControl
from hdfsd.base.ids import TxId
from hdfsd.namenode.refresh_service import RefreshService
from hdfsd.wire.messages import generic_refresh
from hdfsd.wire.services import GENERIC_REFRESH_PROTOCOL
from hdfsd.wire.words import CATCH_UP, NO_SUCH_WORD


class Life:
    def __init__(self) -> None:
        self.caught_up = 0

    async def catch_up(self) -> TxId:
        self.caught_up += 1
        return TxId(4711)


def ask(life: Life, word: str, user: str = "hdfs") -> tuple[int, str]:
    service = RefreshService(Desktop(active=False).desk, life)  # type: ignore[arg-type]
    request = generic_refresh.GenericRefreshRequestProto(identifier=word)
    about = call("refresh", user, protocol=GENERIC_REFRESH_PROTOCOL)
    (answer,) = asyncio.run(service.refresh(request, about)).responses
    return answer.exitStatus, answer.userMessage


def test_words() -> None:
    life = Life()
    assert ask(life, CATCH_UP) == (0, "4711")
    assert life.caught_up == 1
    status, text = ask(life, "RefreshEverything")
    assert status == NO_SUCH_WORD
    assert CATCH_UP in text
    with pytest.raises(AccessControl, match="Superuser privilege is required"):
        ask(life, CATCH_UP, "eve")
    assert life.caught_up == 1
