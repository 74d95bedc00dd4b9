"""Driver. Calls to whichever NameNode of a nameservice is active (ConfiguredFailoverProxyProvider).

A call that fails is repeated as rpc.retry says: here, on the next NameNode, or not at all. It
keeps its client id and call id, so that a NameNode which has done it already answers from its
retry cache (rpc-framing.md section 6).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from hdfsd.base.errors import HdfsdError
from hdfsd.base.ids import Address
from hdfsd.ports.dice import Dice
from hdfsd.ports.network import Network
from hdfsd.rpc.client import RpcClient
from hdfsd.rpc.retry import Action, Backoff, decide, delay_ms
from hdfsd.wire.messages import Message
from hdfsd.wire.services import CLIENT_PROTOCOL, PROTOCOLS

log = logging.getLogger(__name__)

CALL_ID_MAX = 0x7FFFFFFF


class NameNodeProxy:
    """One protocol of the NameNodes of one nameservice, seen as one server."""

    def __init__(
        self,
        addresses: Sequence[Address],
        *,
        network: Network,
        dice: Dice,
        user: str,
        backoff: Backoff,
        timeout_ms: int,
        protocol: str = CLIENT_PROTOCOL,
    ) -> None:
        """`timeout_ms` bounds each attempt of a call (ipc.client.rpc-timeout.ms)."""
        assert addresses, "a nameservice without NameNodes"
        client_id = dice.token(16)
        self._clients = [
            RpcClient(network, address, protocol, user=user, dice=dice, client_id=client_id)
            for address in addresses
        ]
        self._methods = PROTOCOLS[protocol].methods
        self._dice = dice
        self._backoff = backoff
        self._timeout_ms = timeout_ms
        self._current = 0
        self._next_call_id = 0

    @property
    def address(self) -> Address:
        """Of the NameNode that is asked first: the last that answered as the active."""
        return self._clients[self._current].address

    async def call(self, method: str, request: Message) -> Any:
        """The response of the active NameNode.

        Raises RemoteFault when it answers with an error, LinkError when no NameNode took the call
        in dfs.client.failover.max.attempts attempts, or when it may have happened and must not be
        repeated.
        """
        # One counter for all clients: they share the client id, and a pair of ids is one call.
        call_id = self._next_call_id
        self._next_call_id = (call_id + 1) & CALL_ID_MAX
        retry = self._methods[method].retry
        failovers = retries = 0
        while True:
            index = self._current
            try:
                return await self._clients[index].call(
                    method,
                    request,
                    deadline_ms=self._timeout_ms,
                    call_id=call_id,
                    retry_count=failovers + retries,
                )
            except HdfsdError as error:
                decision = decide(error, retry)
                if decision.action is Action.FAIL:
                    raise
                if failovers + retries >= self._backoff.attempts_max:
                    raise
                log.info(
                    "%s of %s: %s: %s, because %s",
                    method,
                    self._clients[index].address,
                    error,
                    decision.action.value,
                    decision.reason,
                )
            if decision.action is Action.FAIL_OVER:
                self._leave(index)
                wait_ms = delay_ms(self._backoff, failovers, self._dice)
                failovers += 1
            else:
                retries += 1
                wait_ms = delay_ms(self._backoff, retries, self._dice)
            await asyncio.sleep(wait_ms / 1000)

    def _leave(self, index: int) -> None:
        """The next NameNode from now on; unless another call has moved on already."""
        if self._current != index:
            return
        self._current = (index + 1) % len(self._clients)
        self._clients[self._current].state_id = self._clients[index].state_id

    async def close(self) -> None:
        for client in self._clients:
            await client.close()
