"""Adapter. A network that loses one answer: a relay in front of each NameNode, and what it does
when a call of a chosen method has been executed. The client behind it knows nothing of the answer;
the NameNode that gave it is killed before the client hears that the connection is gone.
"""

from __future__ import annotations

import shutil
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from google.protobuf.internal.decoder import _DecodeVarint32
from witnesses import Watch, faults_of

from hdfsd.minicluster.faults import ProcessFaults
from hdfsd.wire.messages import rpc_engine, rpc_header

HOST = "127.0.0.1"
OPENING_BYTES = 7
"""`hrpc`, version, service class, authentication."""
DEADLINE_S = 60
PROVIDER = "ConfiguredFailoverProxyProvider"


class Relay:
    """Passes connections on to a NameNode, until it is told to lose an answer."""

    def __init__(self, port: int) -> None:
        self._target = (HOST, port)
        self._listener = socket.create_server((HOST, 0))
        self.address = f"{HOST}:{self._listener.getsockname()[1]}"
        self._method = ""
        self._when_lost: Callable[[], None] = lambda: None
        self._sockets: list[socket.socket] = []
        self.lost = threading.Event()
        """An answer came, and went no further."""
        self.answered: Counter[str] = Counter()
        """How many calls of each method got an answer that is no error."""
        self._start(self._accept)

    def lose(self, method: str, when_lost: Callable[[], None]) -> None:
        """The answer to the next call of this method is lost, with the connection; `when_lost` is
        called in between."""
        self.lost.clear()
        self._method, self._when_lost = method, when_lost

    def close(self) -> None:
        self._listener.close()
        for used in self._sockets:
            used.close()

    @staticmethod
    def _start(work: Callable[..., None], *arguments: Any) -> None:
        threading.Thread(target=work, args=arguments, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near = self._listener.accept()[0]
                try:
                    far = socket.create_connection(self._target, timeout=DEADLINE_S)
                except OSError:
                    near.close()
                    continue
                far.settimeout(None)
                self._sockets += [near, far]
                watched = _Watched()
                self._start(self._requests, near, far, watched)
                self._start(self._answers, far, near, watched)

    def _requests(self, near: socket.socket, far: socket.socket, watched: _Watched) -> None:
        with _closing(near, far):
            far.sendall(_exactly(near, OPENING_BYTES))
            for frame in _frames(near):
                call_id, method = _request(frame[4:])
                if method and method == self._method:
                    self._method, watched.call_id = "", call_id
                watched.methods[call_id] = method
                far.sendall(frame)

    def _answers(self, far: socket.socket, near: socket.socket, watched: _Watched) -> None:
        with _closing(near, far):
            for frame in _frames(far):
                answer = rpc_header.RpcResponseHeaderProto.FromString(_part(frame[4:], 0)[0])
                if answer.status == rpc_header.RpcResponseHeaderProto.SUCCESS:
                    self.answered[watched.methods.pop(answer.callId, "")] += 1
                if answer.callId == watched.call_id:
                    self._when_lost()
                    self.lost.set()
                    return
                near.sendall(frame)


@dataclass
class _Watched:
    """The calls of one connection."""

    call_id: int | None = None
    """Of the one whose answer is to be lost."""
    methods: dict[int, str] = field(default_factory=dict)
    """What is not answered yet, by call id."""


@contextmanager
def _closing(*sockets: socket.socket) -> Iterator[None]:
    """However one direction ends, the other ends as well."""
    try:
        with suppress(OSError, EOFError):
            yield
    finally:
        for used in sockets:
            with suppress(OSError):
                used.shutdown(socket.SHUT_RDWR)


def _exactly(source: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = source.recv(count - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def _frames(source: socket.socket) -> Iterator[bytes]:
    while True:
        length = _exactly(source, 4)
        yield length + _exactly(source, int.from_bytes(length, "big"))


def _part(body: bytes, start: int) -> tuple[bytes, int]:
    size, start = _DecodeVarint32(body, start)
    return body[start : start + size], start + size


def _request(body: bytes) -> tuple[int, str]:
    """(call id, method); no method for pings and the like."""
    data, end = _part(body, 0)
    call_id = rpc_header.RpcRequestHeaderProto.FromString(data).callId
    if call_id < 0:
        return call_id, ""
    header = rpc_engine.RequestHeaderProto.FromString(_part(body, end)[0])
    return call_id, header.methodName


@dataclass
class LossyCluster:
    """A cluster, and a configuration directory whose clients come through relays."""

    cluster: Any
    conf: Path
    relays: dict[str, Relay] = field(default_factory=dict)

    @classmethod
    def over(cls, cluster: Any, conf: Path, provider: str = PROVIDER) -> LossyCluster:
        """`provider`: the class that its clients use, without its package."""
        made = cls(cluster, conf)
        shutil.copytree(cluster.conf_dir, conf)
        site = conf / "hdfs-site.xml"
        text = site.read_text()
        assert PROVIDER in text
        text = text.replace(PROVIDER, provider)
        for row in cluster.status():
            if row["role"] == "namenode":
                relay = Relay(int(row["rpc"].rpartition(":")[2]))
                made.relays[row["id"]] = relay
                assert row["rpc"] in text
                text = text.replace(row["rpc"], relay.address)
        site.write_text(text)
        return made

    def close(self) -> None:
        for relay in self.relays.values():
            relay.close()

    @contextmanager
    def loses_answer(self, method: str) -> Iterator[None]:
        """Within, the active executes a call of this method, is killed, and stays down; the call
        must end by the word of another NameNode."""
        faults = faults_of(self.cluster)
        with Watch(self.cluster) as watch:
            watch.wait_for_states("ACTIVE", "STANDBY")
            active = watch.wait_for_active()
            relay = self.relays[active]
            faults.hold(active)
            try:
                relay.lose(method, lambda: _end(faults, active))
                yield
                assert relay.lost.is_set(), f"nobody called {method} of {active}"
                watch.wait_for_active(other_than=active)
            finally:
                faults.release(active)
            watch.wait_for_states("ACTIVE", "STANDBY")


def _end(faults: ProcessFaults, daemon_id: str) -> None:
    faults.kill(daemon_id)
