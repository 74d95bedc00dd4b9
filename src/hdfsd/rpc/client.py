"""Driver. Calls to one RPC server over one connection: pipelined, with deadlines.

A call ends in an answer, in ConnectFailed (nothing of it was sent: safe to try elsewhere) or in
OutcomeUnknown (it may have happened). Nothing is ever sent twice by this driver: whether to
repeat a call is decided by rpc.retry's callers.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Protocol, cast

from hdfsd.base.errors import (
    ConnectFailed,
    DeadlineExceeded,
    LinkError,
    OutcomeUnknown,
    PeerError,
    RemoteFault,
)
from hdfsd.base.ids import Address
from hdfsd.ports.dice import Dice
from hdfsd.ports.network import Network
from hdfsd.rpc.connection import (
    CALL_ID_MAX,
    ClientConnection,
    Hangup,
    Refused,
    Response,
    missing_fields,
)
from hdfsd.wire.framing import FRAME_BYTES_MAX
from hdfsd.wire.messages import DecodeError, Message
from hdfsd.wire.services import PROTOCOLS, Method
from hdfsd.wire.strings import bad_string

CLIENT_ID_BYTES = 16
PAUSE_S = 1.5
"""A deadline that is noticed so much too late was passed while this process was stopped."""


@dataclass(frozen=True, slots=True)
class ClientLimits:
    frame_bytes_max: int = FRAME_BYTES_MAX
    """ipc.maximum.response.length"""
    connect_ms: int = 20_000
    """ipc.client.connect.timeout: of connections that `send` and `call` open."""
    ping_ms: int = 60_000
    """ipc.ping.interval: a ping goes out after this while answers are awaited."""


class Waiter(Protocol):
    """Whom the end of a call is told: a future, or something that acts in the same turn."""

    def done(self) -> bool:
        """Whether nobody waits any more."""
        ...

    def set_result(self, result: Any) -> None: ...

    def set_exception(self, exception: BaseException) -> None: ...


class _Pending:
    """A call without its answer yet."""

    __slots__ = ("due_s", "heard", "method", "timer", "waiter")

    def __init__(self, method: Method, waiter: Waiter, heard: int) -> None:
        self.method = method
        self.waiter = waiter
        self.heard = heard
        """How often anything had been received when it was sent."""
        self.due_s = 0.0
        self.timer: asyncio.TimerHandle | None = None


class RpcClient:
    """One server, one protocol, one user; connects at the first call, and again after a loss.

    Frames leave in the order of `send`; answers come in any order. The client id is the same
    across reconnects, so that a retried call is known by its call id.
    """

    def __init__(
        self,
        network: Network,
        address: Address,
        protocol: str,
        *,
        user: str,
        dice: Dice,
        real_user: str | None = None,
        client_id: bytes | None = None,
        aligned: bool = True,
        limits: ClientLimits | None = None,
    ) -> None:
        """`client_id`: sixteen bytes, when several clients share one (failover); else drawn.
        `aligned` false: no state id is sent, and no observer answers."""
        self.address = address
        self.client_id = dice.token(CLIENT_ID_BYTES) if client_id is None else client_id
        self.state_id: int | None = None
        """The highest state id seen in an answer; sent with every call once known, if `aligned`."""
        self.aligned = aligned
        self.limits = limits or ClientLimits()
        self.protocol, self.user, self.real_user = protocol, user, real_user
        self._methods = PROTOCOLS[protocol].methods
        self._network = network
        self._last_call_id = -1
        self._link: _Link | None = None
        """The current connection, being made or made."""
        self._closed = False

    @property
    def connected(self) -> bool:
        return self._link is not None and self._link.is_open

    def next_call_id(self) -> int:
        """A fresh call id, for whoever means to repeat a call with the same one."""
        self._last_call_id = (self._last_call_id + 1) & CALL_ID_MAX
        return self._last_call_id

    async def connect(self, *, deadline_ms: int) -> None:
        """Connects unless connected. Raises ConnectFailed."""
        if self._closed:
            raise ConnectFailed(f"{self.address}: the client is closed")
        link = self._current_link(deadline_ms)
        try:
            async with asyncio.timeout(deadline_ms / 1000):
                await asyncio.shield(link.opened)
        except TimeoutError:
            raise ConnectFailed(f"{self.address}: no connection in {deadline_ms} ms") from None

    async def call(
        self,
        method: str,
        request: Message,
        *,
        deadline_ms: int,
        call_id: int | None = None,
        retry_count: int = 0,
    ) -> Any:
        """The response message of the method. `deadline_ms` counts from now.

        Raises RemoteFault (the server answered with an error), ConnectFailed (nothing was sent),
        OutcomeUnknown (sent, the link was lost), DeadlineExceeded (sent, no answer in time).
        """
        return await self.send(
            method, request, deadline_ms=deadline_ms, call_id=call_id, retry_count=retry_count
        )

    def send(
        self,
        method: str,
        request: Message,
        *,
        deadline_ms: int,
        call_id: int | None = None,
        retry_count: int = 0,
    ) -> asyncio.Future[Any]:
        """The same without waiting; the frame's place in the order is taken now."""
        if self._closed:
            raise ConnectFailed(f"{self.address}: the client is closed")
        if call_id is None:
            call_id = self.next_call_id()
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        link = self._current_link(min(self.limits.connect_ms, deadline_ms))
        link.send(self._methods[method], request, deadline_ms, call_id, retry_count, future)
        return future

    def send_now(self, method: str, request: Message, *, deadline_ms: int, waiter: Waiter) -> None:
        """The same for one call that nothing follows soon: it is not held back to be gathered with
        others, and its end is told without a turn of the loop between. Raises ConnectFailed."""
        if self._closed:
            raise ConnectFailed(f"{self.address}: the client is closed")
        link = self._current_link(min(self.limits.connect_ms, deadline_ms))
        link.send(
            self._methods[method], request, deadline_ms, self.next_call_id(), 0, waiter, now=True
        )

    async def lost(self) -> None:
        """Returns when the current connection ends; at once when there is none (D8)."""
        if self._link is not None:
            await asyncio.shield(self._link.ended)

    async def close(self) -> None:
        """Ends the connection; calls without an answer fail."""
        self._closed = True
        if self._link is not None:
            await self._link.abandon("the client was closed")

    def _current_link(self, connect_ms: int) -> _Link:
        if self._link is None or self._link.ended.done():
            self._link = _Link(self)
            self._link.open(self._network, connect_ms)
        return self._link


class _Link(asyncio.Protocol):
    """One connection and the calls that were given to it."""

    __slots__ = (
        "_client",
        "_core",
        "_flush_scheduled",
        "_heard",
        "_opening",
        "_out",
        "_out_ids",
        "_pending",
        "_ping_timer",
        "_transport",
        "ended",
        "opened",
    )

    def __init__(self, client: RpcClient) -> None:
        loop = asyncio.get_running_loop()
        self._client = client
        self._core = ClientConnection(client.client_id, client.limits.frame_bytes_max)
        self._transport: asyncio.Transport | None = None
        self._opening: asyncio.Task[None] | None = None
        self._pending: dict[int, _Pending] = {}
        self._heard = 0
        """How often anything was received."""
        self._out: list[bytes] = []
        """Frames not written yet; gathered, so that a burst of calls is one write."""
        self._out_ids: list[int] = []
        """Their call ids: what ConnectFailed may be said of."""
        self._flush_scheduled = False
        self._ping_timer: asyncio.TimerHandle | None = None
        self.opened: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[None] = loop.create_future()
        self.opened.add_done_callback(_retrieve)

    @property
    def is_open(self) -> bool:
        return self._transport is not None

    # -- opening

    def open(self, network: Network, deadline_ms: int) -> None:
        self._opening = asyncio.ensure_future(self._open(network, deadline_ms))

    async def _open(self, network: Network, deadline_ms: int) -> None:
        try:
            await network.connect(self._client.address, lambda: self, deadline_ms=deadline_ms)
        except ConnectFailed as error:
            self._end(error)
        finally:
            self._opening = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A cast, since uvloop's transports derive from no class of asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        if self.ended.done():
            self._transport.abort()
            return
        client = self._client
        self._transport.write(self._core.opening(client.protocol, client.user, client.real_user))
        self.opened.set_result(None)
        self._flush()
        self._schedule_ping()

    # -- calls

    def send(
        self,
        method: Method,
        request: Message,
        deadline_ms: int,
        call_id: int,
        retry_count: int,
        waiter: Waiter,
        *,
        now: bool = False,
    ) -> None:
        payload = request.SerializeToString()
        pending = _Pending(method, waiter, self._heard)
        if call_id in self._pending:
            raise ValueError(f"call id {call_id} is in use on this connection")
        self._pending[call_id] = pending
        self._set_deadline(pending, call_id, deadline_ms)
        frame = self._core.request(
            method,
            payload,
            call_id=call_id,
            retry_count=retry_count,
            state_id=self._client.state_id if self._client.aligned else None,
        )
        self._out.append(frame)
        self._out_ids.append(call_id)
        if now:
            self._flush()
        elif self._transport is not None and not self._flush_scheduled:
            self._flush_scheduled = True
            asyncio.get_running_loop().call_soon(self._flush_scheduled_frames)

    def _flush_scheduled_frames(self) -> None:
        self._flush_scheduled = False
        self._flush()

    def _flush(self) -> None:
        if self._out and self._transport is not None:
            self._transport.write(b"".join(self._out))
            self._out.clear()
            self._out_ids.clear()

    def _set_deadline(self, pending: _Pending, call_id: int, deadline_ms: int) -> None:
        loop = asyncio.get_running_loop()
        pending.due_s = loop.time() + deadline_ms / 1000
        pending.timer = loop.call_at(pending.due_s, self._expire, call_id, deadline_ms)

    def _expire(self, call_id: int, deadline_ms: int) -> None:
        pending = self._pending.pop(call_id, None)
        if pending is None or pending.waiter.done():
            return
        if asyncio.get_running_loop().time() - pending.due_s > PAUSE_S:
            # The answer may have come meanwhile: what is in the socket is read after this.
            self._pending[call_id] = pending
            self._set_deadline(pending, call_id, deadline_ms)
            return
        what = f"{pending.method.name} to {self._client.address}"
        if call_id in self._out_ids:
            position = self._out_ids.index(call_id)
            del self._out_ids[position], self._out[position]
            error: LinkError = ConnectFailed(f"{what}: no connection in {deadline_ms} ms")
        else:
            error = DeadlineExceeded(f"{what}: no answer in {deadline_ms} ms")
        pending.waiter.set_exception(error)
        if self._transport is not None and not self._pending and pending.heard == self._heard:
            # Not a byte since it was sent: the connection may lead nowhere (a machine that lost its
            # power, a firewall that forgot it), and TCP takes minutes to say so. The next call
            # finds out by a new one.
            self._end(_lost(self._client.address, Hangup("it is silent")))

    # -- answers

    def data_received(self, data: bytes) -> None:
        self._heard += 1
        for event in self._core.receive(data):
            if isinstance(event, Response):
                self._settle(event)
            elif isinstance(event, Refused):
                self._end(event.fault)
            else:
                self._end(_lost(self._client.address, event))

    def _settle(self, response: Response) -> None:
        client = self._client
        if response.state_id is not None:
            client.state_id = max(response.state_id, client.state_id or 0)
        pending = self._pending.pop(response.call_id, None)
        if pending is None:
            return  # its deadline has passed
        if pending.timer is not None:
            pending.timer.cancel()
        if pending.waiter.done():
            return  # its caller was cancelled
        if response.fault is not None:
            pending.waiter.set_exception(response.fault)
            return
        try:
            message = _parse(pending.method, response.payload)
        except PeerError as error:
            pending.waiter.set_exception(error)
        else:
            pending.waiter.set_result(message)

    # -- pings

    def _schedule_ping(self) -> None:
        loop = asyncio.get_running_loop()
        self._ping_timer = loop.call_later(self._client.limits.ping_ms / 1000, self._ping)

    def _ping(self) -> None:
        if self._transport is None:
            return
        if self._pending:
            self._transport.write(self._core.ping())
        self._schedule_ping()

    # -- the end

    def connection_lost(self, exc: Exception | None) -> None:
        cause = str(exc) if exc is not None else "the server closed the connection"
        self._end(_lost(self._client.address, Hangup(cause)))

    async def abandon(self, reason: str) -> None:
        self._end(_lost(self._client.address, Hangup(reason)))
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait((self._opening,))

    def _end(self, error: LinkError | RemoteFault) -> None:
        """Fails every call: what was never written with ConnectFailed, the others with `error`."""
        if self.ended.done():
            return
        self.ended.set_result(None)
        if not self.opened.done():
            self.opened.set_exception(
                error if isinstance(error, ConnectFailed) else ConnectFailed(str(error))
            )
        if self._ping_timer is not None:
            self._ping_timer.cancel()
        if self._transport is not None:
            self._transport.abort()
            self._transport = None
        unsent = frozenset(self._out_ids)
        pending, self._pending = self._pending, {}
        for call_id, call in pending.items():
            if call.timer is not None:
                call.timer.cancel()
            if not call.waiter.done():
                call.waiter.set_exception(
                    ConnectFailed(f"{self._client.address}: {error}")
                    if call_id in unsent and not isinstance(error, ConnectFailed)
                    else _again(error)
                )
        self._out.clear()
        self._out_ids.clear()


def _parse(method: Method, payload: bytes) -> Message:
    try:
        message = method.response.FromString(payload)
    except DecodeError as error:
        raise PeerError(f"the answer to {method.name} can't be read: {error}") from error
    if not message.IsInitialized():
        raise PeerError(f"the answer to {method.name}: {missing_fields(message)}")
    if field := bad_string(message, payload):
        raise PeerError(f"the answer to {method.name}: {field} is not UTF-8")
    return message


def _lost(address: Address, event: Hangup) -> OutcomeUnknown:
    return OutcomeUnknown(f"{address}: {event.reason}")


def _again(error: LinkError | RemoteFault) -> Exception:
    """The same error for one more call: an exception object carries the traceback of one."""
    if isinstance(error, RemoteFault):
        return RemoteFault.of(error.wire_class, error.message)
    return type(error)(str(error))


def _retrieve(future: asyncio.Future[None]) -> None:
    # Who waits for `opened` hears the error there; the calls hear it anyway.
    if not future.cancelled():
        future.exception()
