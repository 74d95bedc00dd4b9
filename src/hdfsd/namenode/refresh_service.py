"""Driver. GenericRefreshProtocol of a NameNode: the words that our own daemons say to it."""

from __future__ import annotations

import logging

from hdfsd.namenode.desk import Desk
from hdfsd.namenode.lifecycle import Lifecycle
from hdfsd.rpc.coverage import partial
from hdfsd.rpc.server import Call
from hdfsd.wire.messages import generic_refresh
from hdfsd.wire.words import CATCH_UP, COVERAGE, NO_SUCH_WORD

log = logging.getLogger(__name__)


class RefreshService:
    """org.apache.hadoop.ipc.GenericRefreshProtocol; superusers only."""

    def __init__(self, desk: Desk, lifecycle: Lifecycle) -> None:
        self._desk = desk
        self._lifecycle = lifecycle

    @partial(COVERAGE)
    async def refresh(
        self, request: generic_refresh.GenericRefreshRequestProto, call: Call
    ) -> generic_refresh.GenericRefreshResponseCollectionProto:
        self._desk.require_superuser(call.caller, "refresh")
        if request.identifier == CATCH_UP:
            code, text = 0, str(await self._lifecycle.catch_up())
        else:
            code, text = NO_SUCH_WORD, f"the one word known here is {CATCH_UP}"
        answer = generic_refresh.GenericRefreshResponseProto(
            exitStatus=code, userMessage=text, senderName="hdfsd"
        )
        return generic_refresh.GenericRefreshResponseCollectionProto(responses=[answer])
