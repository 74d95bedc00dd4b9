"""Driver. GenericRefreshProtocol of a NameNode: the words that our own daemons say to it."""

from __future__ import annotations

from hdfsd.namenode.desk import Desk
from hdfsd.namenode.lifecycle import Lifecycle
from hdfsd.rpc.coverage import partial
from hdfsd.rpc.server import Call
from hdfsd.rpc.words import answer_word
from hdfsd.wire.messages import generic_refresh
from hdfsd.wire.words import CATCH_UP, COVERAGE


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
        return await answer_word(request, CATCH_UP, self._catch_up)

    async def _catch_up(self) -> str:
        return str(await self._lifecycle.catch_up())
