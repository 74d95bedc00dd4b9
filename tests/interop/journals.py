"""Adapter. JournalNodes of both kinds as processes, their writers of both kinds, and single calls.

A writer or reader is used the same whether it is Hadoop's QuorumJournalManager in a JVM
(java/JournalDriver.java) or our quorum.manager. Transaction 7 of a writer called "a" makes the
directory /a/7: so it shows whose it is.
"""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from hadoop import HOST, JOURNALNODE, Hadoop, free_ports, wait_for_port, write_conf

from hdfsd.base.config import Configuration
from hdfsd.base.ids import Address, NamespaceInfo, StorageInfo, TxId
from hdfsd.base.settings import QuorumSettings
from hdfsd.editlog.codec import encode, iter_ops
from hdfsd.editlog.ops import MkdirOp, PermissionStatus
from hdfsd.io.clock import RealClock
from hdfsd.io.dice import RealDice
from hdfsd.io.http import RealHttpClient
from hdfsd.io.network import TcpNetwork
from hdfsd.quorum.manager import QuorumJournal
from hdfsd.rpc.client import RpcClient
from hdfsd.wire.messages import Message, hdfs_server, qjournal
from hdfsd.wire.services import QJOURNAL_PROTOCOL

HADOOP, HDFSD = "hadoop", "hdfsd"
DRIVER = Path(__file__).parent / "java/JournalDriver.java"
NAMESPACE = NamespaceInfo(StorageInfo(-67, 4711, 1700000000000, "CID-interop"), "BP-1-127.0.0.1-1")
ANSWER_SECONDS = 60
CALL_MS = 30_000
PERMISSIONS = PermissionStatus("hdfs", "supergroup", 0o755)
TAILING = {
    "dfs.ha.tail-edits.in-progress": "true",
    "dfs.qjournal.write-txns.timeout.ms": "5000",
    # Hadoop's client knocks ten seconds long at a port where nobody listens.
    "ipc.client.connect.max.retries": "1",
    # It keeps connections to processes that are gone, and fails the first call to their successor.
    "ipc.client.connection.maxidletime": "100",
}

T = TypeVar("T")
Paths = Mapping[int, str]


def mkdir_of(tag: str, txid: int) -> bytes:
    """The frame of a transaction."""
    return encode(MkdirOp(20_000 + txid, f"/{tag}/{txid}", 1, 1, PERMISSIONS), txid)


def paths_of(tag: str, first: int, last: int) -> dict[int, str]:
    return {txid: f"/{tag}/{txid}" for txid in range(first, last + 1)}


def frames_of(tag: str, first: int, last: int) -> bytes:
    return b"".join(mkdir_of(tag, txid) for txid in range(first, last + 1))


# --- processes ---


class JournalNodes:
    """JournalNodes by name; `kind_of` says whose each is. All are killed at the end."""

    def __init__(self, root: Path, lib: Path | None, kinds: Mapping[str, str]) -> None:
        """`lib`: Hadoop's jars; None when no JournalNode is Hadoop's."""
        self.root = root
        self.kind_of = dict(kinds)
        self.hadoop = Hadoop(lib or Path("/nonexistent"), root)
        ports = free_ports(2 * len(kinds))
        self.ports = {name: (ports[2 * i], ports[2 * i + 1]) for i, name in enumerate(kinds)}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.more: dict[str, str] = {}
        """Settings of all of them, beside those that are always there."""

    def address(self, name: str) -> Address:
        return Address(HOST, self.ports[name][0])

    def addresses(self, names: Sequence[str]) -> list[Address]:
        return [self.address(name) for name in names]

    def http(self, name: str) -> str:
        return f"http://{HOST}:{self.ports[name][1]}"

    def current(self, name: str, journal_id: str) -> Path:
        """The `current` directory of a journal."""
        return self.edits_dir(name) / journal_id / "current"

    def edits_dir(self, name: str) -> Path:
        return self.root / "data" / name

    def start(self, *names: str) -> None:
        """Returns when they listen."""
        for name in names:
            self._spawn(name)
        for name in names:
            wait_for_port(self.ports[name][0])

    def _spawn(self, name: str) -> None:
        rpc, http = self.ports[name]
        own = {
            "dfs.journalnode.rpc-address": f"{HOST}:{rpc}",
            "dfs.journalnode.http-address": f"{HOST}:{http}",
            "dfs.journalnode.edits.dir": str(self.edits_dir(name)),
        }
        core = {"hadoop.tmp.dir": str(self.root / "tmp" / name)}
        conf = write_conf(self.root / "conf" / name, core, TAILING | self.more | own)
        if self.kind_of[name] == HADOOP:
            command = self.hadoop.command(conf, JOURNALNODE)
        else:
            command = [sys.executable, "-m", "hdfsd.cli.main", "--config", str(conf), "journalnode"]
        with (self.root / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.root
            )

    def kill(self, *names: str) -> None:
        """kill -9."""
        for name in names:
            process = self.processes.pop(name)
            process.send_signal(signal.SIGKILL)
            process.wait(30)

    def signal(self, name: str, number: signal.Signals) -> None:
        self.processes[name].send_signal(number)

    def close(self) -> None:
        self.kill(*list(self.processes))


@contextmanager
def journal_nodes(root: Path, lib: Path | None, kinds: Mapping[str, str]) -> Iterator[JournalNodes]:
    """Running ones."""
    nodes = JournalNodes(root, lib, kinds)
    try:
        nodes.start(*kinds)
        yield nodes
    finally:
        nodes.close()


# --- single calls ---


def call(address: Address, method: str, request: Message) -> Any:
    """One call of QJournalProtocol on a connection of its own. Raises RemoteFault, LinkError."""

    async def ask() -> Any:
        client = RpcClient(TcpNetwork(), address, QJOURNAL_PROTOCOL, user="root", dice=RealDice())
        try:
            return await client.call(method, request, deadline_ms=CALL_MS)
        finally:
            await client.close()

    return asyncio.run(ask())


def fetch(url: str, headers: Mapping[str, str] | None = None) -> tuple[int, str, bytes]:
    """(status, reason, body) of a GET."""
    request = urllib.request.Request(url, headers=dict(headers or {}))
    try:
        with urllib.request.urlopen(request, timeout=30) as reply:
            return reply.status, reply.reason, reply.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.reason, error.read()


def namespace_message(namespace: NamespaceInfo = NAMESPACE) -> hdfs_server.NamespaceInfoProto:
    storage = namespace.storage
    return hdfs_server.NamespaceInfoProto(
        buildVersion="3.4.1",
        unused=0,
        blockPoolID=namespace.block_pool_id,
        softwareVersion="3.4.1",
        storageInfo=hdfs_server.StorageInfoProto(
            layoutVersion=storage.layout_version % (1 << 32),
            namespceID=storage.namespace_id,
            clusterID=storage.cluster_id,
            cTime=storage.ctime_ms,
        ),
    )


class RawWriter:
    """Requests of a writer to one JournalNode, one by one, as a test wants them."""

    def __init__(self, address: Address, journal_id: str, epoch: int = 1) -> None:
        self.address = address
        self.journal_id = journal_id
        self.epoch = epoch
        self.serial = 0
        self.committed: int | None = None
        self.jid = qjournal.JournalIdProto(identifier=journal_id)

    def info(self) -> qjournal.RequestInfoProto:
        self.serial += 1
        info = qjournal.RequestInfoProto(
            journalId=self.jid, epoch=self.epoch, ipcSerialNumber=self.serial
        )
        if self.committed is not None:
            info.committedTxId = self.committed
        return info

    def format(self, *, force: bool = False, namespace: NamespaceInfo = NAMESPACE) -> None:
        message = namespace_message(namespace)
        self.call("format", qjournal.FormatRequestProto(jid=self.jid, nsInfo=message, force=force))

    def new_epoch(self, epoch: int, namespace: NamespaceInfo = NAMESPACE) -> Any:
        message = namespace_message(namespace)
        request = qjournal.NewEpochRequestProto(jid=self.jid, nsInfo=message, epoch=epoch)
        answer = self.call("newEpoch", request)
        self.epoch, self.serial = epoch, 0
        return answer

    def start(self, first: int, layout_version: int = -67) -> None:
        self.call(
            "startLogSegment",
            qjournal.StartLogSegmentRequestProto(
                reqInfo=self.info(), txid=first, layoutVersion=layout_version
            ),
        )

    def journal(self, segment: int, first: int, count: int, data: bytes) -> None:
        self.call(
            "journal",
            qjournal.JournalRequestProto(
                reqInfo=self.info(),
                firstTxnId=first,
                numTxns=count,
                records=data,
                segmentTxnId=segment,
            ),
        )

    def write(self, segment: int, tag: str, first: int, last: int) -> None:
        """Good transactions."""
        self.journal(segment, first, last - first + 1, frames_of(tag, first, last))

    def finalize(self, first: int, last: int) -> None:
        self.call(
            "finalizeLogSegment",
            qjournal.FinalizeLogSegmentRequestProto(
                reqInfo=self.info(), startTxId=first, endTxId=last
            ),
        )

    def prepare(self, first: int) -> Any:
        return self.call(
            "prepareRecovery",
            qjournal.PrepareRecoveryRequestProto(reqInfo=self.info(), segmentTxId=first),
        )

    def accept(self, first: int, last: int, url: str, *, in_progress: bool = True) -> None:
        state = qjournal.SegmentStateProto(startTxId=first, endTxId=last, isInProgress=in_progress)
        self.call(
            "acceptRecovery",
            qjournal.AcceptRecoveryRequestProto(
                reqInfo=self.info(), stateToAccept=state, fromURL=url
            ),
        )

    def purge(self, min_txid: int) -> None:
        self.call(
            "purgeLogs",
            qjournal.PurgeLogsRequestProto(reqInfo=self.info(), minTxIdToKeep=min_txid),
        )

    def state(self) -> Any:
        return self.call("getJournalState", qjournal.GetJournalStateRequestProto(jid=self.jid))

    def manifest(self, since: int = 1, *, in_progress_ok: bool = True) -> list[tuple[int, int]]:
        """(first, last) of every segment."""
        answer = self.call(
            "getEditLogManifest",
            qjournal.GetEditLogManifestRequestProto(
                jid=self.jid, sinceTxId=since, inProgressOk=in_progress_ok
            ),
        )
        return [(log.startTxId, log.endTxId) for log in answer.manifest.logs]

    def call(self, method: str, request: Message) -> Any:
        return call(self.address, method, request)


def segment_url(
    http: str,
    journal_id: str,
    first: int,
    storage: StorageInfo = NAMESPACE.storage,
) -> str:
    """Where a JournalNode serves a segment."""
    return (
        f"{http}/getJournal?jid={journal_id}&segmentTxId={first}"
        f"&storageInfo={storage.colon_form()}&inProgressOk=true"
    )


# --- writers and readers ---


class Writer(Protocol):
    """A quorum journal in somebody's hands."""

    def format(self) -> None: ...

    def has_data(self) -> bool: ...

    def recover(self) -> None: ...

    def start(self, first: int) -> None: ...

    def write(self, tag: str, first: int, count: int) -> None: ...

    def finalize(self, first: int, last: int) -> None: ...

    def purge(self, min_txid: int) -> None: ...

    def read(self, first: int = 1, *, durable: bool = True) -> Paths:
        """Path by txid of what a standby would apply."""
        ...

    def close(self) -> None:
        """Ends as a process that crashed: nothing is finalized."""
        ...


class Refused(Exception):
    """Hadoop's manager threw."""

    def __init__(self, java_class: str, message: str) -> None:
        super().__init__(f"{java_class}: {message}")
        self.java_class = java_class
        self.message = message


class JournalJvm:
    """A JVM with any number of QuorumJournalManagers."""

    def __init__(self, hadoop: Hadoop, name: str = "driver") -> None:
        conf = write_conf(hadoop.root / "conf" / name, {}, TAILING)
        with (hadoop.root / f"{name}.log").open("ab") as log:
            self.process = subprocess.Popen(
                hadoop.command(conf, str(DRIVER)),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=hadoop.root,
                bufsize=0,
                env=os.environ | {"HADOOP_USER_NAME": "root"},
            )
        storage = NAMESPACE.storage
        words = (storage.namespace_id, storage.cluster_id, NAMESPACE.block_pool_id)
        self._unread = b""
        self._count = 0
        self.say(*map(str, (*words, storage.ctime_ms)))

    def say(self, *words: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(("\t".join(words) + "\n").encode())

    def hear(self, seconds: float = ANSWER_SECONDS) -> list[str]:
        """The fields of the next line. Raises TimeoutError; AssertionError when the JVM ended."""
        assert self.process.stdout is not None
        while b"\n" not in self._unread:
            ready, _, _ = select.select([self.process.stdout], [], [], seconds)
            if not ready:
                raise TimeoutError(f"the JVM said nothing for {seconds} s")
            data = os.read(self.process.stdout.fileno(), 1 << 16)
            assert data, "the JVM ended"
            self._unread += data
        line, _, self._unread = self._unread.partition(b"\n")
        return line.decode().split("\t")

    def command(self, *words: str) -> list[str]:
        """What it answers behind "ok". Raises Refused."""
        self.say(*words)
        verdict, *rest = self.hear()
        if verdict == "error":
            raise Refused(*rest)
        return rest

    def writer(self, addresses: Sequence[Address], journal_id: str) -> JavaWriter:
        self._count += 1
        journals = ";".join(map(str, addresses))
        name = f"j{self._count}"
        self.command("open", name, f"qjournal://{journals}/{journal_id}")
        return JavaWriter(self, name)

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait(30)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()


@dataclass(slots=True)
class JavaWriter:
    """One QuorumJournalManager."""

    jvm: JournalJvm
    name: str

    def _do(self, verb: str, *words: object) -> list[str]:
        return self.jvm.command(verb, self.name, *map(str, words))

    def format(self) -> None:
        self._do("format")

    def has_data(self) -> bool:
        return self._do("has-data") == ["true"]

    def recover(self) -> None:
        self._do("recover")

    def start(self, first: int) -> None:
        self._do("start", first)

    def write(self, tag: str, first: int, count: int) -> None:
        self._do("write", tag, first, count)

    def finalize(self, first: int, last: int) -> None:
        self._do("finalize", first, last)

    def purge(self, min_txid: int) -> None:
        self._do("purge", min_txid)

    def ctime(self) -> int:
        return int(self._do("ctime")[0])

    def read(self, first: int = 1, *, durable: bool = True) -> Paths:
        told = self._do("read", first, str(durable).lower())
        rows = (field.partition("=") for field in told if field)
        return {int(txid): path for txid, _, path in rows}

    def close(self) -> None:
        self._do("close")


class OurWriter:
    """A quorum.manager that runs only while it is asked something."""

    def __init__(self, addresses: Sequence[Address], journal_id: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._http = RealHttpClient()
        self.journal = new_journal(addresses, journal_id, self._http)

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return self._loop.run_until_complete(work)

    def format(self) -> None:
        self._do(self.journal.format(NAMESPACE))

    def has_data(self) -> bool:
        return self._do(self.journal.has_data())

    def recover(self) -> None:
        self._do(self.journal.recover())

    def start(self, first: int) -> None:
        self._do(self.journal.start_segment(TxId(first)))

    def write(self, tag: str, first: int, count: int) -> None:
        """Done when all journals that are in sync have it, as nothing runs behind a test's back."""

        async def work() -> None:
            data = frames_of(tag, first, first + count - 1)
            await self.journal.write(TxId(first), count, data)
            end = time.monotonic() + ANSWER_SECONDS
            while any(row.in_sync and row.lag_txns for row in self.journal.health()):
                assert time.monotonic() < end, self.journal.health()
                await asyncio.sleep(0.005)

        self._do(work())

    def finalize(self, first: int, last: int) -> None:
        self._do(self.journal.finalize_segment(TxId(first), TxId(last)))

    def purge(self, min_txid: int) -> None:
        async def work() -> None:
            await self.journal.purge(TxId(min_txid))
            # Purging is asked for, not waited for; confirm stands behind it in every queue.
            await self.journal.confirm()

        self._do(work())

    def read(self, first: int = 1, *, durable: bool = True) -> Paths:
        """Ours reads what is durable, whatever is asked."""

        async def work() -> Paths:
            found: dict[int, str] = {}
            next_txid = first
            while (chunk := await self.journal.edits(TxId(next_txid), 7)).count:
                for op, txid in iter_ops(chunk.data, chunk.layout_version):
                    assert txid == next_txid
                    assert isinstance(op, MkdirOp)
                    found[txid] = op.path
                    next_txid += 1
            return found

        return self._do(work())

    def close(self) -> None:
        async def work() -> None:
            await self.journal.close()
            await self._http.close()
            # Questions that nobody needs an answer to any more.
            rest = asyncio.all_tasks() - {asyncio.current_task()}
            await asyncio.gather(*rest, return_exceptions=True)

        self._do(work())
        self._loop.close()


def new_journal(
    addresses: Sequence[Address],
    journal_id: str,
    http: RealHttpClient,
    settings: Mapping[str, str] = TAILING,
) -> QuorumJournal:
    """Our quorum journal as a NameNode has it."""
    return QuorumJournal(
        addresses,
        journal_id,
        NAMESPACE,
        network=TcpNetwork(),
        http=http,
        clock=RealClock(),
        dice=RealDice(),
        user="root",
        settings=QuorumSettings.from_configuration(Configuration.parse([], settings)),
    )
