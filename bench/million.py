"""Adapter. One NameNode with a million files: replay of edits, image, memory, stalls.

Both sides start from a directory that they formatted themselves, with the same segment of edits
put into it: for each file an OP_ADD and an OP_CLOSE with one block. No DataNode reports the blocks,
so the NameNode stays in safe mode: it answers reads, and saves its namespace when asked. Times are
those of a process, from its start to its first answer, without those of a start from an empty
directory.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

import hadoop

from hdfsd.base.ids import Address, Block, BlockId, GenStamp, TxId
from hdfsd.editlog import codec, files, ops, segment
from hdfsd.editlog.ops import EditOp, PermissionStatus
from hdfsd.wire.messages import client_namenode
from namenode_client import CLIENT_METHODS, USER, Connection, Refused

PER_DIRECTORY = 1000
FIRST_INODE, FIRST_BLOCK, FIRST_STAMP = 16386, 1073741825, 1001
BLOCK_BYTES = 128 << 20
BLOCK_FILE_BYTES = 4096
START_S = 300.0
PATIENCE_S = 300.0
POLL_S = 0.01
NOW_MS = 1_790_000_000_000


def some_file(number: int) -> str:
    """Path of a file by its number."""
    return f"/bench/d{number // PER_DIRECTORY}/file-{number}"


def make_ops(count: int, open_count: int = 0) -> Iterator[EditOp]:
    """A log that ends with `count` closed files of one block each, and behind them so many more
    that are being written, each by another client."""
    total = count + open_count
    status = PermissionStatus(USER, "supergroup", 0o755)
    inode_id = FIRST_INODE
    yield ops.StartLogSegmentOp()
    for directory in range(-1, -(-total // PER_DIRECTORY)):
        path = "/bench" if directory < 0 else f"/bench/d{directory}"
        yield ops.MkdirOp(inode_id, path, NOW_MS, NOW_MS, status)
        inode_id += 1
    status = PermissionStatus(USER, "supergroup", 0o644)
    for number in range(total):
        path, times = some_file(number), (NOW_MS, NOW_MS)
        closed = number < count
        block = Block(
            BlockId(FIRST_BLOCK + number),
            BLOCK_FILE_BYTES if closed else 0,
            GenStamp(FIRST_STAMP + number),
        )
        writer = ("bench" if closed else f"bench-{number}", "127.0.0.1")
        blocks = () if closed else (block,)
        yield ops.AddOp(
            inode_id, path, 3, *times, BLOCK_BYTES, blocks, status, (), (), *writer, False, 0, 0
        )
        if closed:
            yield ops.CloseOp(0, path, 3, *times, BLOCK_BYTES, (block,), status)
        inode_id += 1
    yield ops.SetGenstampV2Op(FIRST_STAMP + total)
    yield ops.AllocateBlockIdOp(FIRST_BLOCK + total)
    yield ops.EndLogSegmentOp()


def write_segment(directory: Path, count: int) -> Path:
    """A finalized segment with all of it, from txid 1 on."""
    unnamed = directory / "edits"
    last = 0
    with open(unnamed, "wb") as target:
        target.write(segment.header())
        for last, op in enumerate(make_ops(count), start=1):
            target.write(codec.encode(op, last))
    return unnamed.rename(directory / files.finalized_name(TxId(1), TxId(last)))


class Side(ABC):
    """One NameNode without HA, of either kind, with its directory."""

    name: str

    def __init__(self, directory: Path) -> None:
        rpc, http = hadoop.free_ports(2)
        self.address = Address(hadoop.HOST, rpc)
        self.directory = directory
        self.current = directory / "name/current"
        self.conf = hadoop.write_conf(
            directory / "conf",
            {"fs.defaultFS": f"hdfs://{self.address}"},
            {
                "dfs.namenode.name.dir": f"file://{directory}/name",
                "dfs.namenode.rpc-address": str(self.address),
                "dfs.namenode.http-address": f"{hadoop.HOST}:{http}",
                # No checkpoint of its own accord: it is measured when it is asked for.
                "dfs.namenode.checkpoint.txns": "1000000000",
            },
        )

    @abstractmethod
    def command(self, *arguments: str) -> list[str]:
        """The NameNode's command line."""

    def format(self) -> None:
        """Raises RuntimeError with the last words of the NameNode."""
        command = self.command("-format", "-force", "-nonInteractive")
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{self.name} -format: {done.stderr.strip()[-1000:]}")

    @contextmanager
    def running(self) -> Iterator[int]:
        """Its process id, while it runs."""
        with open(self.directory / "log", "ab") as log:
            process = subprocess.Popen(self.command(), stdout=log, stderr=log)
        try:
            yield process.pid
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait(30)


class HdfsdSide(Side):
    """`hdfsd namenode`."""

    name = "hdfsd"

    def command(self, *arguments: str) -> list[str]:
        words = ("namenode", "--config", str(self.conf), *arguments)
        return [sys.executable, "-m", "hdfsd.cli.main", *words]


class HadoopSide(Side):
    """Hadoop's NameNode in a JVM with its own choice of heap."""

    name = "Hadoop"

    def command(self, *arguments: str) -> list[str]:
        opens = [f"--add-opens=java.base/{name}=ALL-UNNAMED" for name in hadoop.OPENED_PACKAGES]
        class_path = f"{self.conf}:{hadoop.jars()}/*"
        return ["java", *opens, "-cp", class_path, hadoop.NAMENODE, *arguments]


def measure(kind: type[Side], edits: Path, count: int) -> dict[str, float]:
    """The figures of one side by the keys of rows.ROWS; seconds and MiB. Raises RuntimeError."""
    directory = Path(tempfile.mkdtemp(prefix="hdfsd-bench-million-"))
    try:
        side = kind(directory)
        side.format()
        with side.running() as pid:
            empty_s = asyncio.run(_first_answer(side.address, "/", pid))
            empty_mib = _rss_mib(pid)
        os.link(edits, side.current / edits.name)
        with side.running() as pid:
            edits_s = asyncio.run(_first_answer(side.address, some_file(count - 1), pid))
            save_s, stall_s = asyncio.run(_save(side.address, some_file(0)))
        with side.running() as pid:
            image_s = asyncio.run(_first_answer(side.address, some_file(count - 1), pid))
            full_mib = _rss_mib(pid)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    return {
        "replay": edits_s - empty_s,
        "save": save_s,
        "stall": stall_s * 1000,
        "load": image_s - empty_s,
        "million_memory": (full_mib - empty_mib) * 1_000_000 / count,
    }


async def _first_answer(address: Address, path: str, pid: int) -> float:
    """Seconds from now to the first answer that knows the path. Raises RuntimeError."""
    began = monotonic()
    request = client_namenode.GetFileInfoRequestProto(src=path)
    while True:
        try:
            connection = await Connection.open(address)
            try:
                method = CLIENT_METHODS["getFileInfo"]
                if (await connection.call(method, request, PATIENCE_S)).HasField("fs"):
                    return monotonic() - began
            finally:
                connection.close()
        except (OSError, TimeoutError, Refused) as error:
            waited = f"no answer of process {pid} about {path}: {error}"
            if monotonic() - began > START_S:
                raise RuntimeError(waited) from error
        sleep(POLL_S)


async def _save(address: Address, path: str) -> tuple[float, float]:
    """Seconds that saveNamespace takes, and the longest that another call waited meanwhile."""
    connection, other = await Connection.open(address), await Connection.open(address)
    try:
        saving = asyncio.ensure_future(_timed_save(connection))
        request = client_namenode.GetFileInfoRequestProto(src=path)
        longest = 0.0
        while not saving.done():
            began = monotonic()
            await other.call(CLIENT_METHODS["getFileInfo"], request, PATIENCE_S)
            longest = max(longest, monotonic() - began)
            await asyncio.sleep(0.001)
        return await saving, longest
    finally:
        connection.close()
        other.close()


async def _timed_save(connection: Connection) -> float:
    began = monotonic()
    request = client_namenode.SaveNamespaceRequestProto()
    await connection.call(CLIENT_METHODS["saveNamespace"], request, PATIENCE_S)
    return monotonic() - began


def _rss_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024
