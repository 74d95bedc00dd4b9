"""Adapter. As many calls as a NameNode answers: the program behind the rates of the table.

    python bench/load.py HOST:PORT stat|locations|mkdirs|create|delete|prepare [--depth N] …

Keeps `depth` calls in flight on each connection, counts after a warm-up, prints one line of JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import sys
from collections.abc import Callable, Iterator
from time import perf_counter
from typing import cast

import uvloop

from hdfsd.wire.framing import FrameReader, delimited
from hdfsd.wire.messages import acl, client_namenode
from hdfsd.wire.services import CLIENT_PROTOCOL, Method
from namenode_client import CLIENT_METHODS, Answer, Requests

BASE = "/bench"
PREPARED = 1000
"""Files that `stat` asks for."""
PER_DIRECTORY = 1000
BLOCK_BYTES = 128 << 20
CREATE_FLAG = 1
DRAIN_S = 30.0
CLIENT = "bench"

Request = tuple[Method, bytes]


def existing(index: int) -> str:
    """A file that `prepare` made."""
    return f"{BASE}/prepared/f{index % PREPARED}"


def fresh(word: str, label: str, index: int) -> str:
    """A path that nobody had before, in directories of bearable size."""
    return f"{BASE}/{word}-{label}/{index // PER_DIRECTORY}/x{index}"


def about(path: str, rest: bytes) -> bytes:
    """A request whose first field is a path, from its other fields: as light as a client can be."""
    return b"\x0a" + delimited(path.encode()) + rest


MODE = acl.FsPermissionProto(perm=0o755)
CREATE = client_namenode.CreateRequestProto(
    masked=MODE,
    clientName=CLIENT,
    createFlag=CREATE_FLAG,
    createParent=True,
    replication=3,
    blockSize=BLOCK_BYTES,
).SerializePartialToString()
MKDIRS = client_namenode.MkdirsRequestProto(
    masked=MODE, createParent=True
).SerializePartialToString()
DELETE = client_namenode.DeleteRequestProto(recursive=False).SerializePartialToString()


def requests(options: argparse.Namespace) -> Iterator[Request]:
    """The calls of an operation, in order; endless but for `delete` and `prepare`."""
    label, method = options.label, CLIENT_METHODS
    if options.operation == "stat":
        made = [
            client_namenode.GetFileInfoRequestProto(src=existing(i)).SerializeToString()
            for i in range(PREPARED)
        ]
        return zip(itertools.repeat(method["getFileInfo"]), itertools.cycle(made))
    if options.operation == "locations":
        made = [
            client_namenode.GetBlockLocationsRequestProto(
                src=f"{options.files}{i}", offset=0, length=BLOCK_BYTES
            ).SerializeToString()
            for i in range(options.count)
        ]
        return zip(itertools.repeat(method["getBlockLocations"]), itertools.cycle(made))
    makers: dict[str, Callable[[int], Request]] = {
        "mkdirs": lambda i: (method["mkdirs"], about(fresh("mkdirs", label, i), MKDIRS)),
        "create": lambda i: (method["create"], about(fresh("create", label, i), CREATE)),
        "delete": lambda i: (method["delete"], about(fresh("create", label, i), DELETE)),
        "prepare": lambda i: (method["create"], about(existing(i), CREATE)),
    }
    maker = makers[options.operation]
    ends = {"delete": options.count, "prepare": PREPARED}.get(options.operation)
    return map(maker, itertools.count() if ends is None else range(ends))


class Tally:
    """What was sent and answered, over all connections; the measured part apart."""

    def __init__(self, work: Iterator[Request]) -> None:
        self._work: Iterator[Request] | None = work
        self.sent = self.answered = self.errors = 0
        self.empty = 0
        self.first_error = ""
        self.latencies: list[float] = []
        self.measuring = False
        self.done = asyncio.Event()

    def take(self) -> Request | None:
        """The next call; None when no more are to be made."""
        request = next(self._work, None) if self._work is not None else None
        if request is None:
            self._work = None
            self._settle()
        else:
            self.sent += 1
        return request

    def stop(self) -> None:
        """No more calls; `done` is set when those in flight are answered."""
        self._work = None
        self._settle()

    def answer(self, answer: Answer, seconds: float) -> None:
        """One call is answered."""
        self.answered += 1
        if answer.error is not None:
            self.errors += 1
            self.first_error = self.first_error or str(answer.error)[:300]
        elif len(answer.body) < 2:
            self.empty += 1
        if self.measuring:
            self.latencies.append(seconds)
        if self._work is None:
            self._settle()

    def _settle(self) -> None:
        if self.answered == self.sent:
            self.done.set()


class LoadConnection(asyncio.Protocol):
    """Keeps `depth` calls in flight: every answer is followed by the next call, in one write."""

    def __init__(self, tally: Tally, depth: int, state_id: int | None) -> None:
        self._tally = tally
        self._depth = depth
        self._requests = Requests(CLIENT_PROTOCOL, state_id)
        self._reader = FrameReader()
        self._began: dict[int, float] = {}
        self._next_id = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        first = [self._next(perf_counter()) for _ in range(self._depth)]
        self._transport.write(self._requests.opening() + b"".join(first))

    def data_received(self, data: bytes) -> None:
        now = perf_counter()
        out = []
        for body in self._reader.feed(data):
            answer = Answer.parse(body)
            self._tally.answer(answer, now - self._began.pop(answer.call_id))
            out.append(self._next(now))
        self._transport.write(b"".join(out))

    def connection_lost(self, error: Exception | None) -> None:
        if self._began:
            self._tally.errors += len(self._began)
            self._tally.first_error = self._tally.first_error or f"connection lost: {error}"
            self._tally.done.set()

    def _next(self, now: float) -> bytes:
        request = self._tally.take()
        if request is None:
            return b""
        call_id, self._next_id = self._next_id, self._next_id + 1
        self._began[call_id] = now
        return self._requests.call(call_id, *request)


async def run(options: argparse.Namespace) -> dict[str, object]:
    """The figures of one run."""
    host, _, port = options.address.rpartition(":")
    tally = Tally(requests(options))
    loop = asyncio.get_running_loop()
    for _ in range(options.connections):
        await loop.create_connection(
            lambda: LoadConnection(tally, options.depth, options.state_id), host, int(port)
        )
    await _wait(tally, options.warmup)
    tally.measuring, before, began = True, tally.answered, perf_counter()
    await _wait(tally, options.seconds)
    seconds, answered = perf_counter() - began, tally.answered - before
    tally.measuring = False
    tally.stop()
    await asyncio.wait_for(tally.done.wait(), DRAIN_S)
    tally.latencies.sort()
    return {
        "per_second": answered / seconds,
        "p50_ms": _percentile(tally.latencies, 0.50),
        "p99_ms": _percentile(tally.latencies, 0.99),
        "answered": tally.answered,
        "sent": tally.sent,
        "errors": tally.errors,
        "empty": tally.empty,
        "first_error": tally.first_error,
    }


async def _wait(tally: Tally, seconds: float) -> None:
    """That long, or until there is nothing left to do."""
    try:
        await asyncio.wait_for(tally.done.wait(), seconds)
    except TimeoutError:
        pass


def _percentile(ordered: list[float], part: float) -> float:
    return ordered[int((len(ordered) - 1) * part)] * 1000 if ordered else 0.0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    made.add_argument("address")
    operations = ("stat", "locations", "mkdirs", "create", "delete", "prepare")
    made.add_argument("operation", choices=operations)
    made.add_argument("--connections", type=int, default=2)
    made.add_argument("--depth", type=int, default=32, help="calls in flight per connection")
    made.add_argument("--warmup", type=float, default=1.0)
    made.add_argument("--seconds", type=float, default=3.0)
    made.add_argument("--label", default="0", help="keeps runs apart; delete takes create's")
    made.add_argument("--count", type=int, default=0, help="of files, for delete and locations")
    made.add_argument("--state-id", type=int, help="the transaction an observer must have seen")
    made.add_argument("--files", default="", help="path without its number, for locations")
    return made


if __name__ == "__main__":
    print(json.dumps(uvloop.run(run(parser().parse_args(sys.argv[1:])))))
