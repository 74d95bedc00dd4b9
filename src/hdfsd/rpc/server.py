"""Driver. Serves RPC protocols: one asyncio.Protocol per connection, straight dispatch (D4).

All complete frames of one read are dispatched synchronously and answered by one write. A handler
returns its answer, or DEFERRED and answers later through its Call (group commit, D3), or an
awaitable, for which the server makes a task. Each connection holds back its reader while its
peer does not read, or while too many of its calls are unanswered.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, cast

from hdfsd.base.errors import (
    HdfsdError,
    InvalidProtocolBuffer,
    InvariantBroken,
    IOFault,
    NoSuchMethod,
    NoSuchProtocol,
    NotBuilt,
    RemoteFault,
    RpcVersionMismatch,
    Unsupported,
)
from hdfsd.base.ids import Address
from hdfsd.ports.clock import Clock
from hdfsd.ports.network import Listener, Network
from hdfsd.rpc.connection import (
    Caller,
    Output,
    Request,
    ServerConnection,
    ServerEvent,
    failure_frame,
    missing_fields,
    success_frame,
)
from hdfsd.rpc.meta import ProtocolMetaInfo
from hdfsd.wire.framing import FRAME_BYTES_MAX
from hdfsd.wire.messages import DecodeError, EncodeError, Message, rpc_engine, rpc_header
from hdfsd.wire.services import PROTOCOL_META_INFO, PROTOCOLS, Method
from hdfsd.wire.strings import bad_string

log = logging.getLogger(__name__)


class Deferred(Enum):
    """What a handler returns when it answers later."""

    DEFERRED = "deferred"


DEFERRED: Final = Deferred.DEFERRED

Handler = Callable[[Any, "Call"], "Message | Deferred | Awaitable[Message]"]

ROUTES_MAX = 4096
"""Distinct request headers remembered; a client that invents more of them gains nothing."""


@dataclass(frozen=True, slots=True)
class ServerLimits:
    frame_bytes_max: int = FRAME_BYTES_MAX
    """ipc.maximum.data.length"""
    unanswered_max: int = 1024
    """Calls of one connection that wait for their answer before its reader is held back."""
    output_bytes_max: int = 1 << 20
    """Answers gathered before they are written out in the middle of a batch."""
    idle_ms: int = 20_000
    """Twice ipc.client.connection.maxidletime: a connection without calls may be closed then."""
    idle_connections_min: int = 4000
    """ipc.client.idlethreshold: with fewer connections none is closed for idleness."""


class Call:
    """One call while it is served. A handler that returned DEFERRED answers exactly once."""

    __slots__ = (
        "_connection",
        "call_id",
        "caller",
        "client_id",
        "method",
        "retry_count",
        "state_id",
    )

    def __init__(
        self, connection: _ServerProtocol, caller: Caller, method: Method, request: Request
    ) -> None:
        self._connection = connection
        self.caller = caller
        self.method = method
        self.call_id = request.call_id
        self.client_id = request.client_id
        self.retry_count = request.retry_count
        self.state_id = request.state_id

    def reply(self, message: Message) -> None:
        """Answers a deferred call; nothing happens when its connection is gone."""
        self._connection.settle(self, message)

    def fail(self, error: Exception) -> None:
        """Answers a deferred call with an error, by the same rules as a raised one."""
        self._connection.settle_failure(self, error)

    def after_batch(self, work: Callable[[], None]) -> None:
        """Does it once, when all calls that came with this one are with their handlers."""
        self._connection.after_batch(work)

    def __repr__(self) -> str:
        return f"Call({self.method.name}#{self.call_id} of {self.caller.user})"


@dataclass(frozen=True, slots=True)
class _Route:
    """Where calls with one request header go."""

    method: Method
    parse: Callable[[bytes], Message]
    handler: Handler


def handlers_of(protocol: str, service: object) -> Mapping[str, Handler]:
    """The handlers that an object has for a protocol, by wire name of the method."""
    found = {}
    for name, method in PROTOCOLS[protocol].methods.items():
        handler = getattr(service, method.handler, None)
        if handler is not None:
            found[name] = handler
    return found


class RpcServer:
    """Serves the protocols of `services`, and ProtocolMetaInfoPB, at one address."""

    def __init__(
        self,
        services: Mapping[str, object],
        *,
        clock: Clock,
        state_id: Callable[[], int] | None = None,
        on_broken: Callable[[InvariantBroken], None] | None = None,
        limits: ServerLimits | None = None,
    ) -> None:
        """`state_id` gives the state id of every answer (namespaces with observers only).

        `on_broken` is called when a handler finds an invariant broken: all connections are
        aborted by then, and `run` raises the same error.
        """
        self.gate: Callable[[Method], None] | None = None
        """Called before each handler; what it raises is the answer (HA state check)."""
        self.hold: Callable[[Call, Message | Exception], bool] | None = None
        """Asked before each answer leaves; true: it took the answer over and gives it through the
        call later (P6: what is not durable yet is not shown)."""
        self.introduce: Callable[[Caller], Awaitable[None] | None] | None = None
        """Asked before handlers see calls that came together: what these have to wait for until it
        is known who their caller is, or None. Other connections go on."""
        self.admit: Callable[[Call], Awaitable[None] | None] | None = None
        """Asked before each coordinated call: what it has to wait for, or None (observers)."""
        self.limits = limits or ServerLimits()
        self.clock = clock
        self.state_id = state_id
        self._on_broken = on_broken
        self._services = {**services, PROTOCOL_META_INFO: ProtocolMetaInfo(tuple(services))}
        self._handlers = {p: handlers_of(p, s) for p, s in self._services.items()}
        self._routes: dict[bytes, _Route] = {}
        self._listener: Listener | None = None
        self._connections: dict[_ServerProtocol, None] = {}
        self._tasks: dict[asyncio.Task[None], None] = {}
        self._broken: InvariantBroken | None = None
        self._broken_event = asyncio.Event()
        self._idle_timer: asyncio.TimerHandle | None = None

    @property
    def address(self) -> Address:
        """Where it listens; the server must have been started."""
        assert self._listener is not None
        return self._listener.address

    @property
    def connection_count(self) -> int:
        return len(self._connections)

    async def start(self, network: Network, address: Address) -> None:
        """Listens; raises ConfigError when it can't."""
        self._listener = await network.listen(address, lambda: _ServerProtocol(self))
        self._schedule_idle_scan()

    async def run(self) -> None:
        """Waits until cancelled; raises InvariantBroken when a handler found one broken."""
        await self._broken_event.wait()
        assert self._broken is not None
        raise self._broken

    async def stop(self) -> None:
        """Stops listening, aborts all connections, cancels the handlers still at work."""
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None
        if self._listener is not None:
            await self._listener.close()
        self._abort_connections()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- used by the connections

    def joined(self, connection: _ServerProtocol) -> None:
        self._connections[connection] = None

    def left(self, connection: _ServerProtocol) -> None:
        self._connections.pop(connection, None)

    def route(self, header: bytes) -> _Route:
        """Where a request header leads; raises RemoteFault for one that leads nowhere."""
        route = self._routes.get(header)
        if route is None:
            route = self._find_route(header)
            if len(self._routes) < ROUTES_MAX:
                self._routes[header] = route
        return route

    def held(self, call: Call, outcome: Message | Exception) -> bool:
        """Whether `hold` took the answer over; a broken invariant is never held back."""
        if self.hold is None or isinstance(outcome, InvariantBroken):
            return False
        return self.hold(call, outcome)

    def spawn(self, work: Awaitable[Message], call: Call) -> None:
        task = asyncio.ensure_future(self._answer_when_done(work, call))
        self._tasks[task] = None
        task.add_done_callback(lambda done: self._tasks.pop(done, None))

    async def _answer_when_done(self, work: Awaitable[Message], call: Call) -> None:
        try:
            message = await work
        except Exception as error:  # noqa: BLE001 - outermost: every error of a handler is answered
            if not self.held(call, error):
                call.fail(error)
        else:
            if not self.held(call, message):
                call.reply(message)

    def broken(self, error: InvariantBroken) -> None:
        """An invariant does not hold: nobody is answered any more."""
        if self._broken is not None:
            return
        log.critical("invariant broken: %s", error, exc_info=error)
        self._broken = error
        self._broken_event.set()
        self._abort_connections()
        if self._on_broken is not None:
            self._on_broken(error)

    @property
    def is_broken(self) -> bool:
        return self._broken is not None

    # -- routes

    def _find_route(self, data: bytes) -> _Route:
        header = _parse_request_header(data)
        protocol = header.declaringClassProtocolName
        table, handlers = PROTOCOLS.get(protocol), self._handlers.get(protocol)
        if table is None or handlers is None:
            raise NoSuchProtocol(f"Unknown protocol: {protocol}")
        if header.clientProtocolVersion != table.version:
            raise RpcVersionMismatch(
                f"Protocol {protocol} version mismatch. "
                f"(client = {header.clientProtocolVersion}, server = {table.version})"
            )
        method = table.methods.get(header.methodName)
        if method is None:
            raise NoSuchMethod(f"Unknown method {header.methodName} called on {protocol} protocol.")
        return _Route(method, method.request.FromString, handlers.get(method.name) or _not_built)

    # -- idle connections

    def _schedule_idle_scan(self) -> None:
        loop = asyncio.get_running_loop()
        self._idle_timer = loop.call_later(self.limits.idle_ms / 2000, self._close_idle)

    def _close_idle(self) -> None:
        oldest_ms = self.clock.now_ms() - self.limits.idle_ms
        for connection in list(self._connections):
            if len(self._connections) < self.limits.idle_connections_min:
                break
            if connection.idle_since(oldest_ms):
                connection.close("idle")
        self._schedule_idle_scan()

    def _abort_connections(self) -> None:
        for connection in list(self._connections):
            connection.abort()


def _not_built(request: Message, call: Call) -> Message:
    raise Unsupported(f"{call.method.name} is not built in hdfsd; see docs/COVERAGE.md")


def _parse_request_header(data: bytes) -> rpc_engine.RequestHeaderProto:
    try:
        header = rpc_engine.RequestHeaderProto.FromString(data)
    except DecodeError as error:
        raise InvalidProtocolBuffer(str(error)) from error
    if not header.IsInitialized():
        raise InvalidProtocolBuffer(missing_fields(header))
    return header


class _ServerProtocol(asyncio.Protocol):
    """One connection. Bytes to its core, requests to handlers, answers gathered per batch."""

    __slots__ = (
        "_backlog",
        "_caller",
        "_core",
        "_dispatching",
        "_flush_scheduled",
        "_last_contact_ms",
        "_loop",
        "_out",
        "_out_bytes",
        "_peer_slow",
        "_reading",
        "_server",
        "_stranger",
        "_transport",
        "_unanswered",
        "_works",
    )

    def __init__(self, server: RpcServer) -> None:
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._core: ServerConnection = ServerConnection("", server.limits.frame_bytes_max)
        self._out: list[bytes] = []
        self._out_bytes = 0
        self._flush_scheduled = False
        self._dispatching = False
        self._works: dict[Callable[[], None], None] = {}
        """What is to be done when all calls of a read are with their handlers."""
        self._backlog: list[ServerEvent] = []
        """What was received but not begun, while the peer does not read its answers, or while it
        is not known yet who it is."""
        self._stranger: asyncio.Future[None] | None = None
        """What is waited for until that is known."""
        self._unanswered = 0
        self._peer_slow = False
        self._reading = True
        self._last_contact_ms = 0

    # -- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        self._core.address = str(peer[0]) if peer else ""
        self._last_contact_ms = self._server.clock.now_ms()
        self._server.joined(self)
        if self._server.is_broken:
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._stranger is not None:
            self._stranger.cancel()
        self._backlog.clear()
        self._out.clear()
        self._server.left(self)

    def data_received(self, data: bytes) -> None:
        self._last_contact_ms = self._server.clock.now_ms()
        events = self._core.receive(data)
        if self._backlog:
            self._backlog += events
        else:
            self._process(events)

    def pause_writing(self) -> None:
        self._peer_slow = True
        self._update_reading()

    def resume_writing(self) -> None:
        self._peer_slow = False
        self._go_on(known=False)

    # -- requests

    def _go_on(self, *, known: bool) -> None:
        """With what waits, unless there is something else to wait for."""
        if self._peer_slow or self._stranger is not None:
            return
        events, self._backlog = self._backlog, []
        self._process(events, known=known)
        self._update_reading()

    def _is_stranger(self, events: list[ServerEvent], index: int) -> bool:
        """Whether requests have to wait until it is known who sent them; then they do."""
        server, caller = self._server, self._core.caller
        assert caller is not None
        waiting = None if server.introduce is None else server.introduce(caller)
        if waiting is None:
            return False
        self._backlog = events[index:]
        self._stranger = asyncio.ensure_future(waiting)
        self._stranger.add_done_callback(self._is_known)
        self._update_reading()
        return True

    def _is_known(self, waited: asyncio.Future[None]) -> None:
        self._stranger = None
        if not waited.cancelled():
            waited.result()
            self._go_on(known=True)

    def _process(self, events: list[ServerEvent], *, known: bool = False) -> None:
        self._dispatching = True
        for index, event in enumerate(events):
            if isinstance(event, Request):
                if not known and self._is_stranger(events, index):
                    break
                known = True
                self._dispatch(event)
            elif isinstance(event, Output):
                self._send(event.data)
            else:
                self._hang_up(event.reason)
            if self._out_bytes >= self._server.limits.output_bytes_max:
                self._flush()
                if self._peer_slow:
                    self._backlog = events[index + 1 :]
                    break
        if self._works:
            works, self._works = self._works, {}
            for work in works:
                work()
        self._dispatching = False
        self._flush()
        if self._unanswered >= self._server.limits.unanswered_max:
            self._update_reading()

    def _dispatch(self, request: Request) -> None:
        server = self._server
        caller = self._core.caller
        assert caller is not None
        try:
            route = server.route(request.header)
        except RemoteFault as fault:
            self._send_failure(request, fault)
            return
        method = route.method
        call = Call(self, caller, method, request)
        try:
            message = _parse(route, request.parameter)
            if server.gate is not None:
                server.gate(method)
            if server.admit is None or not method.coordinated:
                result = route.handler(message, call)
            else:
                result = self._handle_admitted(server.admit(call), route, message, call)
        except Exception as error:  # noqa: BLE001 - outermost: every error of a handler is answered
            if server.held(call, error):
                self._unanswered += 1
            else:
                self._send_failure(call, error)
            return
        if type(result) is method.response:
            if server.hold is None or not server.hold(call, result):
                self._send_success(call, result)
            else:
                self._unanswered += 1
            return
        self._unanswered += 1
        if result is not DEFERRED:
            server.spawn(result, call)  # type: ignore[arg-type]

    def _handle_admitted(
        self, waiting: Awaitable[None] | None, route: _Route, message: Message, call: Call
    ) -> Message | Deferred | Awaitable[Message]:
        """`waiting`: for what the call has to wait before its handler is asked."""
        if waiting is None:
            return route.handler(message, call)
        return self._handle_after(waiting, route, message, call)

    async def _handle_after(
        self, waiting: Awaitable[None], route: _Route, message: Message, call: Call
    ) -> Message:
        await waiting
        if self._server.gate is not None:
            self._server.gate(route.method)
        result = route.handler(message, call)
        assert result is not DEFERRED, f"{call}: a read that answers later by itself"
        return result if isinstance(result, Message) else await result

    # -- answers

    def after_batch(self, work: Callable[[], None]) -> None:
        if self._dispatching:
            self._works[work] = None
        else:
            work()

    def settle(self, call: Call, message: Message) -> None:
        """The answer of a deferred call."""
        self._settled()
        self._send_success(call, message)
        self._flush_soon()

    def settle_failure(self, call: Call, error: Exception) -> None:
        self._settled()
        self._send_failure(call, error)
        self._flush_soon()

    def _settled(self) -> None:
        self._unanswered -= 1
        assert self._unanswered >= 0, "a call was answered twice"
        if not self._reading:
            self._update_reading()

    def _send_success(self, call: Call, message: Message) -> None:
        if self._transport is None:
            return
        try:
            payload = message.SerializeToString()
        except EncodeError as error:
            log.exception("%s: its answer can't be serialised", call)
            fault = RemoteFault(str(error), "java.lang.RuntimeException")
            self._send_fault(
                call, fault, detail=rpc_header.RpcResponseHeaderProto.ERROR_SERIALIZING_RESPONSE
            )
            return
        state_id = self._server.state_id
        self._send(
            success_frame(
                call.call_id,
                self._core.reply_tail(call.client_id, call.retry_count),
                payload,
                None if state_id is None else state_id(),
            )
        )

    def _send_failure(self, call: Call | Request, error: Exception) -> None:
        """Answers an error by its kind; a broken invariant is not answered, it stops the server."""
        if isinstance(error, InvariantBroken):
            self._server.broken(error)
            return
        self._send_fault(call, fault_of(error, call))

    def _send_fault(
        self,
        call: Call | Request,
        fault: RemoteFault,
        *,
        detail: rpc_header.RpcResponseHeaderProto.RpcErrorCodeProto | None = None,
    ) -> None:
        state_id = self._server.state_id
        self._send(
            failure_frame(
                call.call_id,
                call.client_id,
                call.retry_count,
                fault,
                detail=detail,
                state_id=None if state_id is None else state_id(),
            )
        )

    # -- bytes

    def _send(self, data: bytes) -> None:
        self._out.append(data)
        self._out_bytes += len(data)

    def _flush(self) -> None:
        if self._out and self._transport is not None and not self._transport.is_closing():
            self._transport.write(b"".join(self._out))
        self._out.clear()
        self._out_bytes = 0

    def _flush_soon(self) -> None:
        # Many deferred calls are released together: one write takes all their answers.
        if not self._flush_scheduled and not self._dispatching:
            self._flush_scheduled = True
            self._loop.call_soon(self._flush_scheduled_output)

    def _flush_scheduled_output(self) -> None:
        self._flush_scheduled = False
        self._flush()

    def _update_reading(self) -> None:
        """Reads on only while the peer takes its answers and not too many are owed."""
        wanted = (
            not self._peer_slow
            and self._stranger is None
            and self._unanswered < self._server.limits.unanswered_max
        )
        if self._transport is None or wanted == self._reading or self._transport.is_closing():
            return
        self._reading = wanted
        if wanted:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    # -- the end

    def idle_since(self, oldest_ms: int) -> bool:
        waits = self._unanswered > 0 or self._stranger is not None
        return not waits and self._last_contact_ms < oldest_ms

    def _hang_up(self, reason: str) -> None:
        self._flush()
        self.close(reason)

    def close(self, reason: str) -> None:
        log.info("closing the connection of %s: %s", self._core.address, reason)
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()


def _parse(route: _Route, parameter: bytes | None) -> Message:
    if parameter is None:
        raise InvalidProtocolBuffer("the frame ends before the parameter of the call")
    try:
        message = route.parse(parameter)
    except DecodeError as error:
        raise InvalidProtocolBuffer(str(error)) from error
    if not message.IsInitialized():
        raise InvalidProtocolBuffer(missing_fields(message))
    if field := bad_string(message, parameter):
        raise InvalidProtocolBuffer(f"String field {field} is not UTF-8")
    return message


def fault_of(error: Exception, call: Call | Request) -> RemoteFault:
    """What the caller is told of an error of its handler; bugs are logged with their place."""
    if isinstance(error, RemoteFault):
        return error
    if isinstance(error, NotBuilt):
        return Unsupported(f"{error} (see docs/COVERAGE.md)")
    if isinstance(error, HdfsdError | OSError):
        log.warning("%s: %s", call, error)
        return IOFault(str(error))
    log.error("%s: an error nobody expected", call, exc_info=error)
    return RemoteFault(f"{type(error).__name__}: {error}", "java.lang.RuntimeException")
