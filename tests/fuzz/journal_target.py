"""Adapter. A JournalNode in memory is sent any bytes, or any requests in any order.

The first byte of an input says how the rest is read: raw bytes on a connection, or a program whose
steps are requests with small odd numbers in them, raw messages, and restarts. Whatever comes:

- every answer is a success or one of our errors; nothing that nobody expected, no invariant broken;
- a well-formed request is answered;
- the journal can be opened again, and has promised no less than before.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from memory_disk import MemoryDisk

from hdfsd.base.errors import ConnectFailed, HdfsdError, InvariantBroken
from hdfsd.base.ids import Address
from hdfsd.editlog.codec import encode
from hdfsd.editlog.ops import StartLogSegmentOp
from hdfsd.journal.node import JournalNode
from hdfsd.journal.service import JournalService
from hdfsd.rpc.connection import ClientConnection
from hdfsd.rpc.server import RpcServer
from hdfsd.wire.messages import Message, qjournal
from hdfsd.wire.services import INTER_QJOURNAL_PROTOCOL, PROTOCOLS, QJOURNAL_PROTOCOL

METHODS = PROTOCOLS[QJOURNAL_PROTOCOL].methods
STEPS_MAX = 40
SPINS_MAX = 2000
"""Turns of the loop until a request that waits for nothing outside must be answered."""


class Finding(Exception):
    """What must not be."""


class Input:
    """Numbers out of bytes; zeros when they are used up."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def is_empty(self) -> bool:
        return self._at >= len(self._data)

    def byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1] if self._at <= len(self._data) else 0

    def take(self, count: int) -> bytes:
        taken = self._data[self._at : self._at + count]
        self._at += count
        return taken

    def rest(self) -> bytes:
        return self.take(len(self._data))


class Watch(logging.Handler):
    """Errors in the log that are none of ours."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.findings: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        errors = [a for a in record.args or () if isinstance(a, Exception)]
        if record.exc_info and isinstance(record.exc_info, tuple) and record.exc_info[1]:
            errors.append(record.exc_info[1])  # type: ignore[arg-type]
        if any(
            not isinstance(e, HdfsdError | OSError) or isinstance(e, InvariantBroken)
            for e in errors
        ):
            self.findings.append(record.getMessage())


class Clock:
    def now_ms(self) -> int:
        return 1000

    def wall_ms(self) -> int:
        return 1_700_000_000_000


class NoHttp:
    """No peer can be reached."""

    async def request(self, *_: Any, **__: Any) -> Any:
        raise ConnectFailed("nobody is there")

    async def close(self) -> None:
        pass


class Listener:
    address = Address("127.0.0.1", 8485)

    async def close(self) -> None:
        pass


class Network:
    """Gives the connections to the test."""

    def __init__(self) -> None:
        self.factory: Callable[[], Any] | None = None

    async def listen(self, address: Address, factory: Callable[[], Any]) -> Any:
        self.factory = factory
        return Listener()

    async def connect(self, *_: Any, **__: Any) -> Any:
        raise ConnectFailed("nobody is there")


class Transport(asyncio.Transport):
    """What a connection writes."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.closed = False

    def write(self, data: Any) -> None:
        self.written += data

    def writelines(self, pieces: Any) -> None:
        self.written += b"".join(pieces)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 1) if name == "peername" else default

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0


class Rig:
    """One JournalNode; `restart` makes it anew on the same disk."""

    def __init__(self) -> None:
        self.disk = MemoryDisk()
        self.disk.make_dirs("/edits")
        self.epoch, self.serial, self.call_id = 1, 0, 0
        self.promised = 0

    async def start(self) -> None:
        self.node = JournalNode(lambda _: "/edits", disk=self.disk, http=NoHttp(), clock=Clock())
        self.node.http_address = Address("127.0.0.1", 8480)
        service, network = JournalService(self.node), Network()
        self.rpc = RpcServer(
            {QJOURNAL_PROTOCOL: service, INTER_QJOURNAL_PROTOCOL: service}, clock=Clock()
        )
        await self.node.open_all(("/edits",))
        await self.rpc.start(network, Listener.address)
        assert network.factory is not None
        self._factory = network.factory
        self.connect()

    def connect(self) -> None:
        self.connection, self.transport = self._factory(), Transport()
        self.connection.connection_made(self.transport)
        self.client = ClientConnection(bytes(16))
        self.send(self.client.opening(QJOURNAL_PROTOCOL, "root", None))

    async def stop(self) -> None:
        await self.rpc.stop()
        await self.node.close()

    def send(self, data: bytes) -> None:
        if not self.transport.closed:
            self.connection.data_received(data)

    async def ask(self, method: str, request: Message | bytes) -> None:
        """Sends a request and waits for its answer."""
        if self.transport.closed:
            self.connect()
        self.call_id += 1
        payload = request if isinstance(request, bytes) else request.SerializePartialToString()
        before = len(self.transport.written)
        self.send(self.client.request(METHODS[method], payload, call_id=self.call_id))
        for _ in range(SPINS_MAX):
            if self.transport.closed or len(self.transport.written) > before:
                return
            await asyncio.sleep(0)
        raise Finding(f"no answer to {method}")

    async def check(self) -> None:
        """Opened anew, it keeps its promise."""
        await self.stop()
        await self.start()
        journal = self.node.journal("ns")
        if not self.disk.is_dir("/edits/ns"):
            return
        await journal.open()
        promised = journal.acceptor.state.promised
        if promised < self.promised:
            raise Finding(f"promised {self.promised}, after a restart {promised}")
        self.promised = promised


def run(data: bytes) -> None:
    """One input."""
    watch, root = Watch(), logging.getLogger("hdfsd")
    before = root.handlers, root.propagate
    root.handlers, root.propagate = [watch], False
    try:
        asyncio.run(_run(Input(data), watch))
    finally:
        root.handlers, root.propagate = before


async def _run(source: Input, watch: Watch) -> None:
    rig = Rig()
    await rig.start()
    try:
        mode = source.byte() % 4
        if mode == 0:
            await _raw(rig, source)
        else:
            for _ in range(STEPS_MAX):
                if source.is_empty:
                    break
                await _step(rig, source)
        await rig.check()
    finally:
        await rig.stop()
    if watch.findings:
        raise Finding("; ".join(watch.findings))


async def _raw(rig: Rig, source: Input) -> None:
    """Bytes as they are, in two pieces, behind a good opening or as a connection of their own."""
    if source.byte() % 2:
        rig.connection, rig.transport = rig._factory(), Transport()
        rig.connection.connection_made(rig.transport)
    spot, rest = source.byte(), source.rest()
    for piece in (rest[:spot], rest[spot:]):
        rig.send(piece)
        for _ in range(50):
            await asyncio.sleep(0)


async def _step(rig: Rig, source: Input) -> None:
    kind = source.byte() % (len(REQUESTS) + 3)
    if kind < len(REQUESTS):
        method, build = REQUESTS[kind]
        if method in ("format", "discardSegments"):
            rig.promised = 0
        await rig.ask(method, build(rig, source))
    elif kind == len(REQUESTS):
        await rig.check()
    elif kind == len(REQUESTS) + 1:
        method = sorted(METHODS)[source.byte() % len(METHODS)]
        rig.promised = 0
        await rig.ask(method, source.take(source.byte()))
    else:
        method = sorted(METHODS)[source.byte() % len(METHODS)]
        rig.promised = 0
        await rig.ask(method, _filled(METHODS[method].request(), source))


def _filled(message: Any, source: Input) -> Message:
    """A message with every field set: numbers small, ids ours."""
    for field in message.DESCRIPTOR.fields:
        if field.is_repeated:
            continue
        if field.message_type is not None:
            _filled(getattr(message, field.name), source)
        elif field.cpp_type == field.CPPTYPE_STRING:
            value: Any = source.take(source.byte() % 8)
            if field.type == field.TYPE_STRING:
                value = "ns" if field.name == "identifier" else value.decode("latin-1")
            setattr(message, field.name, value)
        elif field.cpp_type == field.CPPTYPE_BOOL:
            setattr(message, field.name, bool(source.byte() & 1))
        elif field.cpp_type != field.CPPTYPE_ENUM:
            setattr(message, field.name, source.byte())
    return message  # type: ignore[no-any-return]


def _info(rig: Rig, source: Input) -> qjournal.RequestInfoProto:
    odd = source.byte()
    rig.serial += 0 if odd == 255 else 1
    info = qjournal.RequestInfoProto(
        epoch=rig.epoch if odd < 224 else odd % 8, ipcSerialNumber=rig.serial
    )
    info.journalId.identifier = "ns"
    if odd % 16 == 7:
        info.committedTxId = source.byte() % 64
    return info


def _namespace(request: Any, source: Input) -> Any:
    request.jid.identifier = "ns"
    request.nsInfo.buildVersion = request.nsInfo.softwareVersion = "x"
    request.nsInfo.unused = 0
    request.nsInfo.blockPoolID = "BP-1"
    storage = request.nsInfo.storageInfo
    storage.layoutVersion, storage.clusterID, storage.cTime = (1 << 32) - 67, "CID", 0
    storage.namespceID = 0 if source.byte() == 255 else 7
    return request


def _format(rig: Rig, source: Input) -> Message:
    rig.serial = 0
    force = bool(source.byte() & 1)
    return _namespace(qjournal.FormatRequestProto(force=force), source)  # type: ignore[no-any-return]


def _new_epoch(rig: Rig, source: Input) -> Message:
    rig.epoch = rig.epoch + 1 if source.byte() < 192 else source.byte() % 8
    rig.serial = 0
    return _namespace(qjournal.NewEpochRequestProto(epoch=rig.epoch), source)  # type: ignore[no-any-return]


def _start(rig: Rig, source: Input) -> Message:
    return qjournal.StartLogSegmentRequestProto(
        reqInfo=_info(rig, source), txid=source.byte() % 64, layoutVersion=-67
    )


def _journal(rig: Rig, source: Input) -> Message:
    segment, first, count = (source.byte() % 64 for _ in range(3))
    count %= 6
    if source.byte() < 200:
        records = b"".join(encode(StartLogSegmentOp(), t) for t in range(first, first + count))
    else:
        records = source.take(source.byte())
    return qjournal.JournalRequestProto(
        reqInfo=_info(rig, source),
        firstTxnId=first,
        numTxns=count,
        records=records,
        segmentTxnId=segment,
    )


def _finalize(rig: Rig, source: Input) -> Message:
    return qjournal.FinalizeLogSegmentRequestProto(
        reqInfo=_info(rig, source), startTxId=source.byte() % 64, endTxId=source.byte() % 64
    )


def _prepare(rig: Rig, source: Input) -> Message:
    return qjournal.PrepareRecoveryRequestProto(
        reqInfo=_info(rig, source), segmentTxId=source.byte() % 64
    )


def _accept(rig: Rig, source: Input) -> Message:
    state = qjournal.SegmentStateProto(
        startTxId=source.byte() % 64,
        endTxId=source.byte() % 64,
        isInProgress=bool(source.byte() & 1),
    )
    own = "http://127.0.0.1:8480/getJournal?x=1"
    url = own if source.byte() < 200 else source.take(source.byte() % 40).decode("latin-1")
    return qjournal.AcceptRecoveryRequestProto(
        reqInfo=_info(rig, source), stateToAccept=state, fromURL=url
    )


def _purge(rig: Rig, source: Input) -> Message:
    return qjournal.PurgeLogsRequestProto(
        reqInfo=_info(rig, source), minTxIdToKeep=source.byte() % 64
    )


def _discard(rig: Rig, source: Input) -> Message:
    request = qjournal.DiscardSegmentsRequestProto(startTxId=source.byte() % 64)
    request.jid.identifier = "ns"
    return request


def _manifest(rig: Rig, source: Input) -> Message:
    request = qjournal.GetEditLogManifestRequestProto(
        sinceTxId=source.byte() % 64, inProgressOk=bool(source.byte() & 1)
    )
    request.jid.identifier = "ns"
    return request


def _edits(rig: Rig, source: Input) -> Message:
    request = qjournal.GetJournaledEditsRequestProto(
        sinceTxId=source.byte() % 64, maxTxns=source.byte() % 8
    )
    request.jid.identifier = "ns"
    return request


REQUESTS: list[tuple[str, Callable[[Rig, Input], Message]]] = [
    ("format", _format),
    ("newEpoch", _new_epoch),
    ("startLogSegment", _start),
    ("journal", _journal),
    ("finalizeLogSegment", _finalize),
    ("prepareRecovery", _prepare),
    ("acceptRecovery", _accept),
    ("purgeLogs", _purge),
    ("discardSegments", _discard),
    ("getEditLogManifest", _manifest),
    ("getJournaledEdits", _edits),
]
