"""Adapter. Who watches and who writes while a cluster is being broken, and what they must agree on.

`Watch` asks every NameNode for its HA state all the time; `Writer` writes files through hdfs-native
and remembers what was acknowledged; `assert_all_there` reads it all back.
"""

from __future__ import annotations

import asyncio
import ctypes
import hashlib
import json
import os
import random
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from hdfs_native import Client, WriteOptions

from hdfsd.base.errors import ConnectFailed, HdfsdError, StandbyError
from hdfsd.base.ids import Address
from hdfsd.io.dice import RealDice
from hdfsd.io.network import TcpNetwork
from hdfsd.io.site import current_user
from hdfsd.minicluster.faults import ProcessFaults
from hdfsd.minicluster.record import Record
from hdfsd.rpc.client import RpcClient
from hdfsd.wire.messages import client_namenode, ha_service
from hdfsd.wire.services import CLIENT_PROTOCOL, HA_SERVICE_PROTOCOL

HOST = "127.0.0.1"
ASK_MS = 1000
PAUSE_S = 0.01
BLOCK_BYTES = 64 << 10
READERS = 4
LOST_CONNECTION = frozenset({"OSError: RPC listener disconnected"})


def wait_for(holds: Callable[[], object], what: str, seconds: float = 60) -> Any:
    """The first true answer."""
    end = time.monotonic() + seconds
    while not (answer := holds()):
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.02)
    return answer


def record_of(cluster: Any) -> Record:
    """What cluster.json says now: cheaper than a process that prints it."""
    record = Record.load(str(cluster.directory))
    assert record is not None
    return record


def faults_of(cluster: Any) -> ProcessFaults:
    """kill, freeze, thaw, hold and release of its daemons."""
    return ProcessFaults(str(cluster.directory))


def client_of(cluster: Any) -> Client:
    """A client with connections of its own."""
    return Client("hdfs://hdfsd", config_dir=str(cluster.conf_dir))


def never_drop(target: object) -> None:
    """Keeps a file writer for good.

    hdfs-native closes a writer that is dropped, and asks up to 15 s for the completion of a file
    that will never be complete; the thread that dropped it stands still meanwhile.
    """
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(target))


def digest(data: bytes) -> str:
    """What two equal contents share."""
    return hashlib.sha256(data).hexdigest()


@dataclass(frozen=True, slots=True)
class Sample:
    """One answer of a NameNode; `state` held at some moment between the two times."""

    begun_s: float
    ended_s: float
    state: str


def rpc_client(address: Address, protocol: str) -> RpcClient:
    """As the superuser."""
    return RpcClient(TcpNetwork(), address, protocol, user=current_user(), dice=RealDice())


async def state_of(ha: RpcClient, namenode: RpcClient) -> str:
    """ACTIVE, or STANDBY, or STANDBY IN SAFE MODE: not the time yet to kill the other one."""
    request = ha_service.GetServiceStatusRequestProto()
    reply = await ha.call("getServiceStatus", request, deadline_ms=ASK_MS)
    state = str(ha_service.HAServiceStateProto.Name(reply.state))
    if state == "STANDBY":
        ask = client_namenode.SetSafeModeRequestProto(action="SAFEMODE_GET", checked=False)
        if (await namenode.call("setSafeMode", ask, deadline_ms=ASK_MS)).result:
            return f"{state} IN SAFE MODE"
    return state


async def _ask_active(addresses: Sequence[Address], method: str, request: Any) -> Any:
    refusals = []
    for address in addresses:
        client = rpc_client(address, CLIENT_PROTOCOL)
        try:
            return await client.call(method, request, deadline_ms=10 * ASK_MS)
        except (StandbyError, ConnectFailed) as error:
            refusals.append(error)
        finally:
            await client.close()
    raise AssertionError(refusals)


def ask_active(cluster: Any, method: str, request: Any) -> Any:
    """The answer of whichever NameNode is active to a call of ClientProtocol."""
    daemons = record_of(cluster).plan.of_role("namenode")
    addresses = [address for daemon in daemons if (address := daemon.address("rpc"))]
    return asyncio.run(_ask_active(addresses, method, request))


def located(cluster: Any, path: str) -> list[Any]:
    """The LocatedBlockProto of a file."""
    request = client_namenode.GetBlockLocationsRequestProto(src=path, offset=0, length=1 << 62)
    return list(ask_active(cluster, "getBlockLocations", request).locations.blocks)


def wait_for_replicas(cluster: Any, path: str, count: int, seconds: float = 60) -> list[Any]:
    """Until the NameNode has heard of so many replicas of every block."""

    def complete() -> tuple[list[Any]] | None:
        blocks = located(cluster, path)
        whole = all(len(block.locs) == count and not block.corrupt for block in blocks)
        return (blocks,) if whole else None

    found: list[Any] = wait_for(complete, f"{count} replicas of {path}", seconds)[0]
    return found


class Watch:
    """Asks all NameNodes for their state, each in a loop of its own, in one thread."""

    def __init__(self, cluster: Any) -> None:
        self._record = record_of(cluster)
        self.samples: dict[str, list[Sample]] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for daemon in self._record.plan.of_role("namenode"):
                address = daemon.address("rpc")
                assert address is not None
                group.create_task(self._ask(daemon.id, address))

    async def _ask(self, namenode: str, address: Address) -> None:
        clients = [rpc_client(address, name) for name in (HA_SERVICE_PROTOCOL, CLIENT_PROTOCOL)]
        found = self.samples.setdefault(namenode, [])
        while not self._stop.is_set():
            begun = time.monotonic()
            try:
                state = await state_of(*clients)
            except HdfsdError as error:
                state = type(error).__name__
            found.append(Sample(begun, time.monotonic(), state))
            await asyncio.sleep(PAUSE_S)
        for client in clients:
            await client.close()

    def states(self) -> dict[str, str]:
        """The last answers."""
        return {name: found[-1].state for name, found in list(self.samples.items()) if found}

    def the_active(self) -> str | None:
        """The NameNode that says it is active, if it is one alone."""
        found = [name for name, state in self.states().items() if state == "ACTIVE"]
        return found[0] if len(found) == 1 else None

    def wait_for_active(self, other_than: str | None = None) -> str:
        """Its name."""
        found = wait_for(
            lambda: (name := self.the_active()) != other_than and name,
            f"an active NameNode other than {other_than}: {self.states()}",
        )
        return str(found)

    def wait_for_states(self, *states: str) -> None:
        """Until the NameNodes answer with exactly these, in whatever order."""
        wait_for(
            lambda: sorted(self.states().values()) == sorted(states),
            f"{states}, they are {self.states()}",
        )

    def spans(self, namenode: str) -> list[tuple[float, float]]:
        """When it was active beyond doubt: from the first such answer to the last question."""
        spans: list[tuple[float, float]] = []
        first: Sample | None = None
        for before, sample in zip([None, *self.samples[namenode]], self.samples[namenode]):
            if sample.state != "ACTIVE":
                first = None
                continue
            if first is None or before is None:
                first = sample
                spans.append((sample.ended_s, sample.begun_s))
            spans[-1] = (spans[-1][0], sample.begun_s)
        return [span for span in spans if span[0] <= span[1]]

    def assert_never_two_active(self) -> None:
        """P2, as far as it can be seen from outside."""
        spans = sorted((*span, name) for name in self.samples for span in self.spans(name))
        assert spans
        for (begun, ended, one), (next_begun, _, two) in pairwise(spans):
            assert ended < next_begun or one == two, f"{one} {begun}..{ended}, {two} {next_begun}"


@dataclass(frozen=True, slots=True)
class Failure:
    """A call that did not end well: it may have been done or not."""

    begun_s: float
    ended_s: float
    path: str
    text: str


@dataclass(slots=True)
class Fault:
    """Something that was broken, and when writes could go on."""

    begun_s: float
    healed_s: float = 0.0


@dataclass(slots=True)
class Writer:
    """Writes one file after another, renames every third one, and keeps the books."""

    name: str
    client: Client
    dice: random.Random
    acknowledged: dict[str, str] = field(default_factory=dict)
    """Path and digest: these must be there."""
    one_of: list[tuple[str, str, str]] = field(default_factory=list)
    """Two paths and a digest: a rename whose outcome nobody told."""
    failures: list[Failure] = field(default_factory=list)
    _number: int = 0

    def step(self) -> None:
        """One file, and perhaps its new name."""
        self._number += 1
        path = f"/written/{self.name}/{self._number}"
        data = self.dice.randbytes(self.dice.choice((0, 1, 700, 9_000, BLOCK_BYTES, 150_000)))
        if not self._attempt(path, lambda: self._write(path, data)):
            return
        if self._number % 3:
            self.acknowledged[path] = digest(data)
        elif self._attempt(path, lambda: self.client.rename(path, f"{path}.new")):
            self.acknowledged[f"{path}.new"] = digest(data)
        else:
            self.one_of.append((path, f"{path}.new", digest(data)))

    def _write(self, path: str, data: bytes) -> None:
        target = self.client.create(path, WriteOptions(block_size=BLOCK_BYTES))
        try:
            if data:
                target.write(data)
            target.close()
        except BaseException:
            never_drop(target)
            raise

    def _attempt(self, path: str, act: Callable[[], object]) -> bool:
        begun = time.monotonic()
        try:
            act()
        except (RuntimeError, OSError) as error:
            text = f"{type(error).__name__}: {error}"
            self.failures.append(Failure(begun, time.monotonic(), path, text))
            return False
        return True


@dataclass(slots=True)
class Workload:
    """Writers at work, each in a thread."""

    writers: list[Writer]
    faults: list[Fault] = field(default_factory=list)

    @property
    def acknowledged_count(self) -> int:
        """How many files must be there by now."""
        return sum(len(writer.acknowledged) for writer in self.writers)

    def wait_for_more(self, count: int = 5, seconds: float = 60) -> None:
        """Until every writer got that many more files acknowledged."""
        wanted = [(writer, len(writer.acknowledged) + count) for writer in self.writers]
        for writer, goal in wanted:
            wait_for(
                lambda writer=writer, goal=goal: len(writer.acknowledged) >= goal,
                f"{count} more files of {writer.name}; failures: {writer.failures[-3:]}",
                seconds,
            )

    @contextmanager
    def fault(self) -> Iterator[None]:
        """Around whatever breaks the cluster, until it is seen to serve again."""
        found = Fault(time.monotonic())
        self.faults.append(found)
        yield
        found.healed_s = time.monotonic()

    def assert_only_calls_in_flight_failed(self) -> None:
        """hdfs-native does not repeat a call that was sent on a connection that broke."""
        for writer in self.writers:
            for failure in writer.failures:
                assert any(
                    failure.begun_s <= fault.healed_s and failure.ended_s >= fault.begun_s
                    for fault in self.faults
                ), f"nothing was broken, and yet: {failure}"
                assert failure.text in LOST_CONNECTION, failure


@contextmanager
def writing(cluster: Any, count: int = 4, seed: int = 1) -> Iterator[Workload]:
    """Writers from before the first fault until after the last."""
    work = Workload(
        [
            Writer(f"{seed}.{index}", client_of(cluster), random.Random(f"{seed} {index}"))
            for index in range(count)
        ]
    )
    stop = threading.Event()

    def write(writer: Writer) -> None:
        while not stop.is_set():
            writer.step()

    with ThreadPoolExecutor(count) as pool:
        running = [pool.submit(write, writer) for writer in work.writers]
        try:
            yield work
        finally:
            stop.set()
        for each in running:
            each.result()


def read_whole(client: Client, path: str) -> bytes:
    """All bytes of a file."""
    reader = client.read(path)
    return bytes(reader.read())


def assert_all_there(cluster: Any, writers: Sequence[Writer]) -> None:
    """P1: every acknowledged file, under its one name, with its content."""
    client = client_of(cluster)
    wanted = [item for writer in writers for item in writer.acknowledged.items()]
    with ThreadPoolExecutor(READERS) as pool:
        found = pool.map(lambda item: digest(read_whole(client, item[0])), wanted)
        wrong = [path for (path, known), seen in zip(wanted, found) if known != seen]
    assert not wrong
    listed = {row.path.removeprefix("hdfs://hdfsd") for row in client.list_status("/written", True)}
    for writer in writers:
        for old, new, known in writer.one_of:
            there = [path for path in (old, new) if path in listed]
            assert len(there) == 1, (old, new, there)
            assert digest(read_whole(client, there[0])) == known
    assert wanted


def assert_journals_agree(cluster: Any) -> None:
    """Two finalized segments of the same name are the same bytes, on whatever JournalNode (Q2)."""
    contents: dict[str, dict[str, list[str]]] = {}
    for daemon in record_of(cluster).plan.of_role("journalnode"):
        for path in Path(daemon.dirs[0]).glob("*/current/edits_0*-0*"):
            by_content = contents.setdefault(path.name, {})
            by_content.setdefault(digest(path.read_bytes()), []).append(daemon.id)
    assert contents
    assert {name: found for name, found in contents.items() if len(found) > 1} == {}


def journals_in_step(cluster: Any) -> bool:
    """Whether every JournalNode writes the newest segment."""
    newest = {
        max(
            (path.name for path in Path(daemon.dirs[0]).glob("*/current/edits_inprogress_*")),
            default="",
        )
        for daemon in record_of(cluster).plan.of_role("journalnode")
    }
    return len(newest) == 1 and "" not in newest


def bean(cluster: Any, namenode: str, name: str) -> dict[str, Any]:
    """What a NameNode publishes under this name."""
    address = record_of(cluster).plan.find(namenode).address("http")
    with urllib.request.urlopen(f"http://{address}/jmx?qry={name}", timeout=30) as answer:
        return dict(json.load(answer)["beans"][0])


def replica_files(cluster: Any, block_id: int) -> dict[str, Path]:
    """Where each DataNode keeps a block."""
    return {
        daemon.id: path
        for daemon in record_of(cluster).plan.of_role("datanode")
        for path in Path(daemon.dirs[0]).rglob(f"blk_{block_id}")
    }


def processes_in(directory: Path) -> dict[int, str]:
    """Living processes that were started for a directory, or have a file of it open."""
    found = {}
    wanted = os.fsencode(f"{directory}/")
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            text = (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes()
            opened = b"".join(os.fsencode(os.readlink(fd)) for fd in (entry / "fd").iterdir())
        except OSError:
            continue
        if wanted in text or wanted in opened:
            found[int(entry.name)] = (entry / "comm").read_text().strip()
    return found
