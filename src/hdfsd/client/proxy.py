"""Driver. Calls to the NameNodes of a nameservice, seen as one server.

Whom to ask is decided by client.route (for the active) and client.observing (for reads), what to do
with a call that failed by rpc.retry: it is repeated here, elsewhere, or not at all. It keeps its
client id and call id, wherever and however often it is sent, so that a NameNode which has done it
already answers from its retry cache (rpc-framing.md section 6).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from hdfsd.base.errors import HdfsdError, ObserverRetryOnActive
from hdfsd.base.ids import Address
from hdfsd.base.proxy_providers import ProxyProvider, Search
from hdfsd.client.observing import Observers, Reading, Step
from hdfsd.client.route import Hedged, InTurn, Route
from hdfsd.ports.dice import Dice
from hdfsd.ports.network import Network
from hdfsd.rpc.client import RpcClient
from hdfsd.rpc.retry import Action, Backoff, decide, delay_ms, is_answer, weightiest
from hdfsd.wire.messages import Message, client_namenode, ha_service
from hdfsd.wire.services import CLIENT_PROTOCOL, PROTOCOLS

log = logging.getLogger(__name__)

CALL_ID_MAX = 0x7FFFFFFF
CONFIGURED = ProxyProvider()
"""What a client does that was told nothing else (ConfiguredFailoverProxyProvider)."""


class NameNodeProxy:
    """One protocol of the NameNodes of one nameservice."""

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
        provider: ProxyProvider = CONFIGURED,
    ) -> None:
        """`timeout_ms` bounds each attempt of a call (ipc.client.rpc-timeout.ms)."""
        assert addresses, "a nameservice without NameNodes"
        client_id = dice.token(16)
        observing = provider.search is Search.READING_OBSERVERS
        self._clients = [
            RpcClient(
                network,
                address,
                protocol,
                user=user,
                dice=dice,
                client_id=client_id,
                # Whoever wants the active's answer must not be answered by an observer.
                aligned=observing,
            )
            for address in addresses
        ]
        self._methods = PROTOCOLS[protocol].methods
        self._dice = dice
        self._backoff = backoff
        self._timeout_ms = timeout_ms
        self._provider = provider
        self._route: Route = (
            Hedged(len(addresses)) if provider.search is Search.HEDGED else InTurn(len(addresses))
        )
        self._observers = _observers(len(addresses), provider, dice) if observing else None
        self._msync = asyncio.Lock()
        self._next_call_id = 0

    @property
    def address(self) -> Address:
        """Of the NameNode that is asked first: the last that answered as the active."""
        return self._clients[self._route.first].address

    @property
    def state_id(self) -> int | None:
        """The last transaction that a NameNode told of, for reads from an observer."""
        seen = [client.state_id for client in self._clients if client.state_id is not None]
        return max(seen, default=None)

    async def call(self, method: str, request: Message) -> Any:
        """The response of the active NameNode, or of an observer to a read that may go there.

        Raises RemoteFault when it answers with an error, LinkError when no NameNode took the call
        in dfs.client.failover.max.attempts attempts, or when it may have happened and must not be
        repeated.
        """
        called = self._methods[method]
        call_id = self._take_call_id()
        if self._observers is None:
            return await self._ask_active(method, request, call_id)
        if called.read_only and not called.active_only:
            return await self._read(self._observers, method, request, call_id)
        return await self._ask_met_active(self._observers, method, request, call_id)

    def _take_call_id(self) -> int:
        # One counter for all clients: they share the client id, and a pair of ids is one call.
        call_id = self._next_call_id
        self._next_call_id = (call_id + 1) & CALL_ID_MAX
        return call_id

    # --- the active ---

    async def _ask_active(self, method: str, request: Message, call_id: int) -> Any:
        retry = self._methods[method].retry
        failovers = retries = 0
        while True:
            asked = self._route.targets()
            try:
                return await self._attempt(asked, method, request, call_id, failovers + retries)
            except HdfsdError as error:
                decision = decide(error, retry)
                if decision.action is Action.FAIL:
                    raise
                if failovers + retries >= self._backoff.attempts_max:
                    raise
                log.info(
                    "%s of %s: %s: %s, because %s",
                    method,
                    ", ".join(str(self._clients[index].address) for index in asked),
                    error,
                    decision.action.value,
                    decision.reason,
                )
            if decision.action is Action.FAIL_OVER:
                self._route.failed(asked)
                wait_ms = delay_ms(self._backoff, failovers, self._dice)
                failovers += 1
            else:
                retries += 1
                wait_ms = delay_ms(self._backoff, retries, self._dice)
            await asyncio.sleep(wait_ms / 1000)

    async def _attempt(
        self, asked: Sequence[int], method: str, request: Message, call_id: int, retry_count: int
    ) -> Any:
        """The first answer of those that are asked; else the error that says most."""
        retry = self._methods[method].retry
        calls = {index: self._send(index, method, request, call_id, retry_count) for index in asked}
        errors: list[HdfsdError] = []
        try:
            while calls:
                for index in await _next_done(calls):
                    try:
                        answer = await calls.pop(index)
                    except HdfsdError as error:
                        if is_answer(error, retry):
                            self._route.answered(index)
                            raise
                        errors.append(error)
                    else:
                        self._route.answered(index)
                        return answer
        finally:
            for call in calls.values():
                call.cancel()
        raise weightiest(errors, retry)

    def _send(
        self,
        index: int,
        method: str,
        request: Message,
        call_id: int,
        retry_count: int = 0,
        timeout_ms: int = 0,
    ) -> asyncio.Future[Any]:
        client = self._clients[index]
        # What one NameNode has told of, any other must have reached before it answers.
        client.state_id = self.state_id
        return client.send(
            method,
            request,
            deadline_ms=timeout_ms or self._timeout_ms,
            call_id=call_id,
            retry_count=retry_count,
        )

    # --- observers ---

    async def _read(self, observers: Observers, method: str, request: Message, call_id: int) -> Any:
        reading = Reading(observers, _now_ms())
        while True:
            move = reading.next(_now_ms())
            if move.step is Step.MSYNC:
                await self._sync(observers)
            elif move.step is Step.PROBE:
                observers.probed(move.index, is_observer=await self._is_observer(move.index))
            elif move.step is Step.ASK_ACTIVE:
                log.debug("%s goes to the active: %s", method, move.reason)
                return await self._ask_met_active(observers, method, request, call_id)
            else:
                try:
                    return await self._send(move.index, method, request, call_id)
                except HdfsdError as error:
                    if is_answer(error, self._methods[method].retry):
                        raise
                    log.info(
                        "%s of observer %s: %s", method, self._clients[move.index].address, error
                    )
                    reading.failed(move.index, on_active=isinstance(error, ObserverRetryOnActive))

    async def _ask_met_active(
        self, observers: Observers, method: str, request: Message, call_id: int
    ) -> Any:
        answer = await self._ask_active(method, request, call_id)
        observers.met_active(_now_ms())
        return answer

    async def _sync(self, observers: Observers) -> None:
        request = client_namenode.MsyncRequestProto()
        if self._provider.auto_msync_ms == 0:
            await self._ask_met_active(observers, "msync", request, self._take_call_id())
            return
        # One for all reads that wait for it.
        async with self._msync:
            if observers.must_msync(_now_ms()):
                await self._ask_met_active(observers, "msync", request, self._take_call_id())

    async def _is_observer(self, index: int) -> bool:
        """False also when it does not say so in time."""
        try:
            answer = await self._send(
                index,
                "getHAServiceState",
                client_namenode.HAServiceStateRequestProto(),
                self._take_call_id(),
                timeout_ms=self._provider.state_probe_timeout_ms,
            )
        except HdfsdError as error:
            log.info("%s does not say what it is: %s", self._clients[index].address, error)
            return False
        return bool(answer.state == ha_service.OBSERVER)

    async def close(self) -> None:
        for client in self._clients:
            await client.close()


async def _next_done(calls: Mapping[int, asyncio.Future[Any]]) -> list[int]:
    """Whose calls are done, once some are; one that is alone need not be waited for twice."""
    if len(calls) > 1:
        await asyncio.wait(calls.values(), return_when=asyncio.FIRST_COMPLETED)
    return [index for index, call in calls.items() if call.done() or len(calls) == 1]


def _observers(count: int, provider: ProxyProvider, dice: Dice) -> Observers:
    order = list(range(count))
    if provider.random_order:
        dice.shuffle(order)
    return Observers(
        order, auto_msync_ms=provider.auto_msync_ms, probe_ms=provider.observer_probe_ms
    )


def _now_ms() -> float:
    return asyncio.get_running_loop().time() * 1000
