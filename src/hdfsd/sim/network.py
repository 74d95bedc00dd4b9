"""Driver. A simulated network (ports.network): latency, cuts, resets, machines that fall silent.

What the system must survive here, and what this network does for it: slow and uneven delivery; a
read that ends anywhere in a message; connections reset with bytes still under way; cuts in one
direction or both, short (bytes wait, as TCP sends them again) or long (both ends lose the
connection after `give_up_ms`); a killed process (its connections close); a machine without power
(its connections fall silent); a paused process (its machine still accepts, nobody answers).
Bytes of one connection arrive in order or not at all; nothing is promised between two.
"""

from __future__ import annotations

import asyncio
import errno
import zlib
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from hdfsd.base.errors import ConfigError, ConnectFailed
from hdfsd.base.ids import Address
from hdfsd.sim.dice import SimDice
from hdfsd.sim.loop import Lane, SimLoop

P = TypeVar("P", bound=asyncio.BaseProtocol)

ANY_HOSTS = ("", "0.0.0.0", "::")
FIRST_EPHEMERAL_PORT = 32768
HIGH_WATER_BYTES = 1 << 16
"""Unread bytes beyond this pause the writer, unless it sets other limits."""


@dataclass(frozen=True, slots=True)
class NetworkFaults:
    """How the network misbehaves by itself; cuts are asked for one by one."""

    latency_ms: tuple[float, float] = (0.05, 0.4)
    slow_chance: float = 0.01
    """Of a chunk that takes `slow_ms` more."""
    slow_ms: tuple[float, float] = (1.0, 40.0)
    split_chance: float = 0.1
    """Of a chunk that arrives in two pieces."""
    reset_mean_ms: float | None = None
    """Mean life of a connection before it is reset; None: never by itself."""
    give_up_ms: int = 30_000
    """A connection whose path is cut for so long is lost at both ends."""


@dataclass(frozen=True, slots=True)
class _Closed:
    """The last thing in a pipe: an orderly end, or an error."""

    error: int | None


class Host:
    """A machine on the network."""

    def __init__(self, name: str, ip: str) -> None:
        self.name = name
        self.ip = ip
        self.down_since_s: float | None = None
        """Since when it is without power."""
        self.listeners: dict[int, SimListener] = {}
        self.next_port = FIRST_EPHEMERAL_PORT
        self.transports: dict[SimTransport, None] = {}

    def take_port(self) -> int:
        self.next_port += 1
        return self.next_port - 1


class Fabric:
    """All machines, and which of them reach each other."""

    def __init__(self, loop: SimLoop, dice: SimDice, faults: NetworkFaults) -> None:
        self.loop = loop
        self.dice = dice
        self.faults = faults
        self._hosts: dict[str, Host] = {}
        """By name and by IP address."""
        self._cuts: dict[tuple[str, str], float] = {}
        """(from, to) by IP address, and since when."""
        self._pipes: dict[_Pipe, None] = {}
        self._changed = asyncio.Event()
        self.on_arrival: Callable[[str, str], bool] | None = None
        """Asked before bytes arrive, with the names of sender and receiver: False resets."""

    def add_host(self, name: str) -> Host:
        host = Host(name, f"10.0.0.{len(self._hosts) // 2 + 1}")
        self._hosts[name] = self._hosts[host.ip] = host
        return host

    def resolve(self, name: str) -> Host | None:
        return self._hosts.get(name)

    def latency_s(self) -> float:
        faults = self.faults
        latency_ms = self.dice.between(*faults.latency_ms)
        if self.dice.chance(faults.slow_chance):
            latency_ms += self.dice.between(*faults.slow_ms)
        return latency_ms / 1000

    # -- cuts

    def cut(self, source: Host, target: Host) -> None:
        """Nothing gets from source to target any more; the other direction is left as it is."""
        if (source.ip, target.ip) not in self._cuts:
            self.loop.note(f"cut {source.name} -> {target.name}")
            self._cuts[source.ip, target.ip] = self.loop.time()
            self.watch(source, target)

    def mend(self, source: Host, target: Host) -> None:
        if self._cuts.pop((source.ip, target.ip), None) is not None:
            self.loop.note(f"mend {source.name} -> {target.name}")
            self.changed()

    def partition(self, near: Sequence[Host], far: Sequence[Host]) -> None:
        """Cuts both directions between two groups."""
        for one in near:
            for other in far:
                self.cut(one, other)
                self.cut(other, one)

    def heal(self) -> None:
        """Mends every cut; machines without power stay without."""
        self.loop.note("heal")
        self._cuts.clear()
        self.changed()

    def blocked_since(self, source: Host, target: Host) -> float | None:
        """Since when nothing gets from source to target; None while the path is open."""
        times = (self._cuts.get((source.ip, target.ip)), source.down_since_s, target.down_since_s)
        return min((time_s for time_s in times if time_s is not None), default=None)

    def blocked(self, source: Host, target: Host) -> bool:
        return self.blocked_since(source, target) is not None

    def changed(self) -> None:
        """Paths may be open again: what waited for them goes on."""
        self._changed.set()
        self._changed = asyncio.Event()
        for pipe in list(self._pipes):
            pipe.pump()

    def watch(self, source: Host, target: Host) -> None:
        """Loses the connections between two machines unless their path opens again in time."""
        for pipe in list(self._pipes):
            if (pipe.sender.host, pipe.receiver.host) == (source, target):
                pipe.watch()

    # -- machines

    def power_off(self, host: Host) -> None:
        """The machine falls silent: its ends of connections are gone, the others do not know."""
        host.down_since_s = self.loop.time()
        host.listeners.clear()
        for transport in list(host.transports):
            transport.vanish()
        for pipe in list(self._pipes):
            if pipe.sender.host is host:
                pipe.stop()
            elif pipe.receiver.host is host:
                pipe.watch()

    def power_on(self, host: Host) -> None:
        host.down_since_s = None
        self.changed()
        for pipe in list(self._pipes):
            if pipe.receiver.host is host:
                self.later(self.faults.give_up_ms / 1000, pipe.probe)

    # -- connecting

    async def path(self, source: Host, target: Host) -> None:
        """Waits until both directions are open."""
        while self.blocked(source, target) or self.blocked(target, source):
            await self._changed.wait()

    def join(self, pipe: _Pipe) -> None:
        self._pipes[pipe] = None

    def leave(self, pipe: _Pipe) -> None:
        self._pipes.pop(pipe, None)

    def later(self, delay_s: float, callback: Callable[..., object], *args: Any) -> None:
        """A timer of the network's own: it runs whatever becomes of processes."""
        self.loop.call_at(
            self.loop.time() + delay_s, callback, *args, context=self.loop.world.context
        )


class SimListener:
    """A listening port of one process."""

    def __init__(
        self, host: Host, address: Address, lane: Lane, factory: Callable[[], asyncio.Protocol]
    ) -> None:
        self.host = host
        self.lane = lane
        self.factory = factory
        self.accepted: dict[SimTransport, None] = {}
        self._address = address

    @property
    def address(self) -> Address:
        return self._address

    async def close(self) -> None:
        self.stop()
        for transport in list(self.accepted):
            transport.abort()

    def accept(self, transport: SimTransport) -> None:
        """A connection that came before the port was closed may be accepted after it."""
        if self.host.listeners.get(self._address.port) is self:
            transport.start(self.factory())
        else:
            transport.abort()

    def stop(self) -> None:
        if self.host.listeners.get(self._address.port) is self:
            del self.host.listeners[self._address.port]


class SimNetwork:
    """The network as one process on one machine sees it."""

    def __init__(self, fabric: Fabric, host: Host, lane: Lane) -> None:
        self._fabric = fabric
        self._host = host
        self._lane = lane

    async def listen(
        self, address: Address, factory: Callable[[], asyncio.Protocol]
    ) -> SimListener:
        host = self._host
        if address.host not in (*ANY_HOSTS, host.name, host.ip):
            raise ConfigError(f"can't listen on {address}: not an address of {host.name}")
        port = address.port or host.take_port()
        if port in host.listeners:
            raise ConfigError(f"can't listen on {address}: Address already in use")
        listener = SimListener(host, Address(address.host, port), self._lane, factory)
        host.listeners[port] = listener
        return listener

    async def connect(self, address: Address, factory: Callable[[], P], *, deadline_ms: int) -> P:
        target = self._fabric.resolve(address.host)
        if target is None:
            raise ConnectFailed(f"{address}: Name or service not known")
        made: list[SimTransport] = []
        try:
            async with asyncio.timeout(deadline_ms / 1000):
                return await self._connect(target, address, factory, made)
        except TimeoutError:
            raise ConnectFailed(f"{address}: no connection in {deadline_ms} ms") from None
        finally:
            for transport in made:
                if transport.protocol is None:
                    transport.abort()

    async def _connect(
        self, target: Host, address: Address, factory: Callable[[], P], made: list[SimTransport]
    ) -> P:
        fabric = self._fabric
        await asyncio.sleep(fabric.latency_s())
        await fabric.path(self._host, target)
        listener = target.listeners.get(address.port)
        if listener is None or not listener.lane.alive:
            await asyncio.sleep(fabric.latency_s())
            raise ConnectFailed(f"{address}: Connection refused")
        near = _join(fabric, self._host, self._lane, listener, address.port)
        made.append(near)
        await asyncio.sleep(fabric.latency_s())
        if near.is_closing():
            raise ConnectFailed(f"{address}: Connection reset by peer")
        protocol = factory()
        near.start(protocol)
        return protocol

    def die(self) -> None:
        """The process has ended: the machine closes what it had open."""
        for listener in list(self._host.listeners.values()):
            if listener.lane is self._lane:
                listener.stop()
        for transport in list(self._host.transports):
            if transport.lane is self._lane:
                transport.die()


def _join(
    fabric: Fabric, source: Host, lane: Lane, listener: SimListener, port: int
) -> SimTransport:
    """The near end of a new connection; the far end is accepted in the listener's lane."""
    near_name, far_name = (source.ip, source.take_port()), (listener.host.ip, port)
    near = SimTransport(fabric, source, lane, near_name, far_name)
    far = SimTransport(fabric, listener.host, listener.lane, far_name, near_name)
    near.pipe, far.pipe = _Pipe(fabric, near, far), _Pipe(fabric, far, near)
    fabric.loop.note(f"connect {source.name}:{near_name[1]} -> {listener.host.name}:{port}")
    listener.accepted[far] = None
    far.on_gone = lambda: listener.accepted.pop(far, None)
    fabric.loop.call_soon(listener.accept, far, context=listener.lane.context)
    mean_ms = fabric.faults.reset_mean_ms
    if mean_ms is not None:
        fabric.later(fabric.dice.between(0, 2 * mean_ms) / 1000, _reset, near, far)
    return near


def _reset(near: SimTransport, far: SimTransport) -> None:
    """Both ends lose the connection, and what is under way is lost."""
    if not near.is_closing() and not far.is_closing():
        _cut_short(near, far)


def _cut_short(near: SimTransport, far: SimTransport) -> None:
    """The same, also when one end has closed and what it sent is still under way."""
    near.fabric.loop.note(f"reset {near.host.name} -> {far.host.name}")
    for end in (near, far):
        end.drop(errno.ECONNRESET)


class _Pipe:
    """One direction of a connection: what is under way, each thing with the time it is due."""

    def __init__(self, fabric: Fabric, sender: SimTransport, receiver: SimTransport) -> None:
        self.fabric = fabric
        self.sender = sender
        self.receiver = receiver
        self._under_way: deque[tuple[float, bytes | _Closed]] = deque()
        fabric.join(self)

    @property
    def resets(self) -> bool:
        """Whether a reset is under way."""
        last = self._under_way[-1][1] if self._under_way else None
        return isinstance(last, _Closed) and last.error is not None

    def send(self, item: bytes | _Closed) -> None:
        due_s = self.fabric.loop.time() + self.fabric.latency_s()
        if self._under_way:
            due_s = max(due_s, self._under_way[-1][0])
        if isinstance(item, bytes) and self.fabric.dice.chance(self.fabric.faults.split_chance):
            middle = self.fabric.dice.below(len(item) + 1)
            self._under_way.append((due_s, item[:middle]))
            due_s += self.fabric.latency_s()
            item = item[middle:]
        self._under_way.append((due_s, item))
        self.fabric.join(self)
        self.fabric.later(due_s - self.fabric.loop.time(), self.pump)

    def pump(self) -> None:
        """Delivers what is due, unless the path is cut."""
        loop = self.fabric.loop
        while self._under_way and not self.fabric.blocked(self.sender.host, self.receiver.host):
            due_s, item = self._under_way[0]
            if due_s > loop.time():
                self.fabric.later(due_s - loop.time(), self.pump)
                return
            self._under_way.popleft()
            if isinstance(item, _Closed):
                self.stop()
                self.receiver.end(item.error)
            elif self._may_arrive():
                self.receiver.arrive(item)
            else:
                _cut_short(self.sender, self.receiver)

    def _may_arrive(self) -> bool:
        asked = self.fabric.on_arrival
        return asked is None or asked(self.sender.host.name, self.receiver.host.name)

    def probe(self) -> None:
        """A keep-alive: a machine that has forgotten the connection says so."""
        if not self.fabric.blocked(self.sender.host, self.receiver.host):
            self.receiver.arrive(b"")

    def stop(self) -> None:
        """Forgets what is under way."""
        self._under_way.clear()
        self.fabric.leave(self)

    def watch(self) -> None:
        """The path is cut: gives the connection up when it stays so for long."""
        fabric = self.fabric
        since_s = fabric.blocked_since(self.sender.host, self.receiver.host)
        if since_s is None:
            return
        rest_s = since_s + fabric.faults.give_up_ms / 1000 - fabric.loop.time()
        if rest_s > 0.001:
            fabric.later(rest_s, self.watch)
            return
        for end in (self.sender, self.receiver):
            end.drop(errno.ETIMEDOUT)


class SimTransport(asyncio.Transport):
    """One end of a connection."""

    def __init__(
        self,
        fabric: Fabric,
        host: Host,
        lane: Lane,
        own_name: tuple[str, int],
        peer_name: tuple[str, int],
    ) -> None:
        super().__init__({"sockname": own_name, "peername": peer_name})
        self.fabric = fabric
        self.host = host
        self.lane = lane
        self.protocol: asyncio.BaseProtocol | None = None
        self.pipe: _Pipe
        self.on_gone: Callable[[], object] = _nothing
        self._arrived: deque[bytes | _Closed] = deque()
        self._reading = True
        self._delivering = False
        self._closing = False
        self._eof_sent = False
        self._unread_bytes = 0
        """Written here and not yet read by the peer's protocol."""
        self._high_bytes, self._low_bytes = HIGH_WATER_BYTES, HIGH_WATER_BYTES // 4
        self._writing_paused = False
        host.transports[self] = None

    def start(self, protocol: asyncio.BaseProtocol) -> None:
        """Hands the connection to its protocol; what has arrived meanwhile follows."""
        self.protocol = protocol
        if self._closing:
            return
        self._call(protocol.connection_made, self)
        self._deliver_soon()

    # -- asyncio.Transport: state

    def is_closing(self) -> bool:
        return self._closing

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        assert self.protocol is not None
        return self.protocol

    def is_reading(self) -> bool:
        return self._reading and not self._closing

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        self._reading = True
        self._deliver_soon()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high_bytes = HIGH_WATER_BYTES if high is None else high
        self._low_bytes = self._high_bytes // 4 if low is None else low

    def get_write_buffer_size(self) -> int:
        return self._unread_bytes

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._low_bytes, self._high_bytes

    # -- asyncio.Transport: writing and ending

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        assert not self._eof_sent or self._closing, "a write after write_eof"
        if self._closing or not data or not self.lane.alive:
            return
        self._unread_bytes += len(data)
        self.pipe.send(bytes(data))
        if self._unread_bytes > self._high_bytes and not self._writing_paused:
            self._writing_paused = True
            self.get_protocol().pause_writing()

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        if not self._eof_sent and not self._closing and self.lane.alive:
            self._eof_sent = True
            self.pipe.send(_Closed(None))

    def close(self) -> None:
        """Sends what was written, then ends."""
        if not self._closing and self.lane.alive:
            self._say_closed(None)
            self._closing = True
            self._lose_soon(None)

    def abort(self) -> None:
        """Ends at once; what is under way may be lost."""
        if not self._closing and self.lane.alive:
            lossy = self.fabric.dice.chance(0.5)
            if lossy:
                self.pipe.stop()
            self._say_closed(errno.ECONNRESET if lossy else None)
            self._closing = True
            self._lose_soon(None)

    def _say_closed(self, error: int | None) -> None:
        if error is not None or not self._eof_sent:
            self.pipe.send(_Closed(error))
        self._eof_sent = True

    # -- what the network does to this end

    def arrive(self, data: bytes) -> None:
        if not self._closing:
            if data:
                self._arrived.append(data)
                self._deliver_soon()
        elif not self.pipe.resets:
            # Nobody is here any more: the machine answers with a reset, each time anew, since a
            # reset may be lost with the power of the machine.
            self.pipe.send(_Closed(errno.ECONNRESET))

    def end(self, error: int | None) -> None:
        """The peer has closed; after a reset what was not read is lost."""
        if self._closing:
            return
        if error is not None:
            self._arrived.clear()
        self._arrived.append(_Closed(error))
        self._deliver_soon()

    def drop(self, error: int) -> None:
        """The connection is lost here and now."""
        self.pipe.stop()
        self._arrived.clear()
        if not self._closing:
            self._closing = True
            self._lose_soon(OSError(error, _TEXTS[error]))

    def die(self) -> None:
        """The process has ended; its machine closes the socket, with a reset if any is unread."""
        if not self._closing:
            reset = bool(self._arrived) or self.fabric.dice.chance(0.5)
            self._say_closed(errno.ECONNRESET if reset else None)
        self._leave()

    def vanish(self) -> None:
        """The machine has lost its power: nothing is sent, and later nothing is known."""
        self.pipe.stop()
        self._leave()

    def _leave(self) -> None:
        self._closing = True
        self._arrived.clear()
        self.host.transports.pop(self, None)
        self.on_gone()

    def _lose_soon(self, error: Exception | None) -> None:
        self.fabric.loop.call_soon(self._lose, error, context=self.lane.context)

    def _lose(self, error: Exception | None) -> None:
        self._leave()
        if self.protocol is not None:
            self.fabric.loop.note(f"{self.host.name} loses a connection: {error or 'closed'}")
            self._call(self.protocol.connection_lost, error)

    # -- delivery

    def _deliver_soon(self) -> None:
        if self._arrived and self._reading and self.protocol is not None and not self._delivering:
            self._delivering = True
            self.fabric.loop.call_soon(self._deliver, context=self.lane.context)

    def _deliver(self) -> None:
        self._delivering = False
        data = bytearray()
        while self._arrived and isinstance(self._arrived[0], bytes):
            item = self._arrived.popleft()
            assert isinstance(item, bytes)
            data += item
        if self._closing:
            return
        if data and not self._reading:
            self._arrived.appendleft(bytes(data))
            return
        if data:
            self.fabric.loop.note(f"{self.host.name} reads {len(data)}:{zlib.crc32(data):08x}")
            self._give(bytes(data))
            self.pipe.receiver._read_by_peer(len(data))
        if self._arrived and self._reading and not self._closing:
            closed = self._arrived.popleft()
            assert isinstance(closed, _Closed)
            self._ended(closed)

    def _give(self, data: bytes) -> None:
        protocol = self.protocol
        if isinstance(protocol, asyncio.BufferedProtocol):
            rest = memoryview(data)
            while rest and not self._closing:
                buffer = memoryview(protocol.get_buffer(len(rest)))
                count = min(len(buffer), len(rest))
                buffer[:count] = rest[:count]
                self._call(protocol.buffer_updated, count)
                rest = rest[count:]
        else:
            assert isinstance(protocol, asyncio.Protocol)
            self._call(protocol.data_received, data)

    def _ended(self, closed: _Closed) -> None:
        error = None if closed.error is None else OSError(closed.error, _TEXTS[closed.error])
        stays_open = False
        if error is None and isinstance(self.protocol, asyncio.Protocol):
            stays_open = bool(self._call(self.protocol.eof_received))
        if not stays_open and not self._closing:
            if error is None:
                self._say_closed(None)
            self._closing = True
            self._lose(error)

    def _read_by_peer(self, count: int) -> None:
        self._unread_bytes -= count
        if self._writing_paused and self._unread_bytes <= self._low_bytes:
            self.fabric.loop.call_soon(self._resume_writing, context=self.lane.context)

    def _resume_writing(self) -> None:
        if self._writing_paused and not self._closing:
            self._writing_paused = False
            self._call(self.get_protocol().resume_writing)

    def _call(self, callback: Callable[..., Any], *args: Any) -> Any:
        """A callback of the protocol; one that raises ends the connection, as in asyncio."""
        try:
            return callback(*args)
        except Exception as error:  # noqa: BLE001 - reported to the world, as asyncio reports it
            self.fabric.loop.call_exception_handler(
                {"message": f"{callback} failed", "exception": error}
            )
            self.drop(errno.ECONNABORTED)
            return None


_TEXTS = {
    errno.ECONNRESET: "Connection reset by peer",
    errno.ETIMEDOUT: "Connection timed out",
    errno.ECONNABORTED: "Software caused connection abort",
}


def _nothing() -> None: ...
