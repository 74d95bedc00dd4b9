"""Adapter. Failover of NameNodes that have much to carry: `python bench/full_namespace.py`.

The write outage of `kill -9` and of `haadmin -failover`, first with an empty namespace, then with a
million files and 100,000 that are being written, each under a lease of its own. Three stand-ins for
DataNodes report every block to both NameNodes. In the end all of it is deleted by one call. What is
printed goes into docs/FAILOVER.md.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import md5
from pathlib import Path
from statistics import median
from time import monotonic, sleep
from urllib.request import urlopen

from clusters import HdfsdCluster
from hdfsd.base.ids import Address, TxId
from hdfsd.editlog import files
from hdfsd.image.load import load
from hdfsd.image.save import save
from hdfsd.image.sections import ImageHeader
from hdfsd.minicluster.faults import ProcessFaults
from hdfsd.minicluster.record import Record
from hdfsd.namespace.apply import apply
from hdfsd.namespace.inode import Limits, Permission
from hdfsd.namespace.tree import Namespace
from hdfsd.wire.messages import Message, client_namenode
from million import NOW_MS, make_ops
from namenode_client import CLIENT_METHODS, USER, Connection, Refused
from outage import outage_s

READY_S = 900.0
POLL_S = 0.5
FEW = 20_000
"""Inodes that the writer itself may have made meanwhile."""
STAND_IN = Path(__file__).with_name("stand_in_datanode.py")
STAND_INS = 3
OPTIONS = (
    *("--datanodes", "1"),
    # While the stand-ins make up their reports they are silent: that must not count as death.
    *("-D", "dfs.namenode.heartbeat.recheck-interval=300000"),
)


class Laden:
    """One cluster, empty at first."""

    def __init__(self, *, early: bool) -> None:
        """`early`: nobody waits for the reports behind safe mode."""
        self._early = early
        self.cluster = HdfsdCluster(*OPTIONS)
        self.cluster.launch()
        self.cluster.active()
        self._directory = str(self.cluster.directory / "cluster")
        self._faults = ProcessFaults(self._directory)
        self.log = self.cluster.directory / "stand-ins.log"
        self._reports = 0
        """That the stand-ins must have been thanked for."""

    def fill(self, count: int, open_count: int) -> None:
        """An image with so many files takes the place of the NameNodes' own."""
        asyncio.run(ask(self.cluster.active(), "rollEdits"))
        names = ("zkfc1", "zkfc2", "nn1", "nn2")
        for name in names:
            self._faults.hold(name)
            self._faults.kill(name)
        record = Record.load(self._directory)
        assert record is not None
        journal, *_ = record.plan.of_role("journalnode")
        # The segment that was just begun holds its first transaction and no other.
        (begun,) = Path(journal.dirs[0]).glob("*/current/edits_inprogress_*")
        txid = TxId(int(begun.name.rpartition("_")[2]))
        directories = [Path(node.dirs[0], "current") for node in record.plan.of_role("namenode")]
        write_image(directories, txid, count, open_count)
        for name in reversed(names):
            self._faults.release(name)
        self._reports = 2 * STAND_INS

    def wait_ready(self) -> None:
        """Until one is active, one standby, both have left safe mode and all reports."""
        end = monotonic() + READY_S
        while True:
            try:
                self.cluster.active()
                modes = [asyncio.run(in_safe_mode(node)) for node in self.cluster.namenodes]
                if not any(modes) and (self._early or self._reported() >= self._reports):
                    return
            except (OSError, TimeoutError, Refused):
                modes = []
            if monotonic() > end:
                raise TimeoutError(f"not ready after {READY_S:.0f} s: safe mode {modes}")
            sleep(POLL_S)

    def _reported(self) -> int:
        return self.log.read_text().count("full report to") if self.log.exists() else 0

    def kill(self) -> float:
        """Seconds without an acknowledged write. Only then the killed one is started again: it
        loads its image, and would not do that on a core of the one that takes over."""
        active = self.cluster.active()
        name = self.cluster.name_of(active)
        self._faults.hold(name)
        try:
            return self._outage(active, lambda: self.cluster.kill(active))
        finally:
            self._faults.release(name)
            self._reports += STAND_INS if self._reports else 0

    def fail_over(self) -> float:
        """The same, when an operator asks."""
        active = self.cluster.active()
        other = self.cluster.other(active)
        return self._outage(active, lambda: self.cluster.fail_over(active, other))

    def delete_all(self) -> tuple[float, float, float]:
        """The longest time between two acknowledged writes while all files are deleted by one call;
        when it was answered, and when all was freed. Seconds."""
        active = self.cluster.active()
        moments: list[float] = []

        def delete() -> None:
            began = monotonic()
            request = client_namenode.DeleteRequestProto(src="/bench", recursive=True)
            asyncio.run(ask(active, "delete", request))
            moments.append(monotonic() - began)
            while self._inodes(active) > FEW:
                sleep(POLL_S)
            moments.append(monotonic() - began)

        addresses = self.cluster.namenodes
        longest = asyncio.run(outage_s(addresses, active, delete, disturbs=False))
        return longest, moments[0], moments[1]

    def _inodes(self, namenode: Address) -> int:
        record = Record.load(self._directory)
        assert record is not None
        daemon = record.plan.find(self.cluster.name_of(namenode))
        url = f"http://{daemon.address('http')}/jmx?qry=Hadoop:service=NameNode,name=FSNamesystem"
        with urlopen(url, timeout=30) as answer:
            return int(json.load(answer)["beans"][0]["FilesTotal"])

    def _outage(self, active: Address, disturb: Callable[[], object]) -> float:
        return asyncio.run(outage_s(self.cluster.namenodes, active, disturb))

    def last_transitions(self, count: int) -> list[str]:
        """What the NameNodes' logs say of how they became active, the newest last."""
        told = []
        for path in Path(self._directory, "logs").glob("nn?.log"):
            lines = path.read_text("utf-8", "replace").splitlines()
            told += [line for line in lines if "→ active in" in line]
        return [line.partition("lifecycle: ")[2] for line in sorted(told)[-count:]]


def write_image(directories: list[Path], txid: TxId, count: int, open_count: int) -> None:
    """fsimage_`txid` of a million's ops on top of the first image, which a format wrote."""
    first = directories[0] / files.image_name(TxId(0))
    namespace = Namespace(Limits(), Permission(USER, "supergroup", 0o755), NOW_MS)
    header = load(first.read_bytes(), namespace, str(first))
    for op in make_ops(count, open_count):
        apply(namespace, op, NOW_MS)
    name = files.image_name(txid)
    data = b"".join(save(namespace, ImageHeader(header.namespace_id, txid)))
    digest = md5(data, usedforsecurity=False).hexdigest()
    for directory in directories:
        (directory / files.md5_name(name)).write_text(files.md5_line(digest, name))
        (directory / name).write_bytes(data)


async def ask(address: Address, method: str, request: Message | None = None) -> object:
    """The reply of one NameNode. Raises OSError, TimeoutError, Refused."""
    connection = await Connection.open(address)
    try:
        called = CLIENT_METHODS[method]
        return await connection.call(called, called.request() if request is None else request)
    finally:
        connection.close()


async def in_safe_mode(address: Address) -> bool:
    """Raises OSError, TimeoutError, Refused."""
    request = client_namenode.SetSafeModeRequestProto(action="SAFEMODE_GET", checked=False)
    answer = await ask(address, "setSafeMode", request)
    assert isinstance(answer, client_namenode.SetSafeModeResponseProto)
    return answer.result


@contextmanager
def stand_ins(laden: Laden, count: int) -> Iterator[None]:
    """They heartbeat and report while this lasts."""
    addresses = map(str, laden.cluster.namenodes)
    with laden.log.open("wb") as target:
        process = subprocess.Popen(
            [sys.executable, str(STAND_IN), str(count), str(STAND_INS), *addresses],
            stdout=target,
            stderr=target,
        )
    try:
        yield
    finally:
        process.kill()
        process.wait(30)


def measure(laden: Laden, what: str, rounds: int) -> None:
    """Prints medians and the worst of both causes."""
    for cause, happen in (("haadmin -failover", laden.fail_over), ("kill -9", laden.kill)):
        found = []
        for _ in range(rounds):
            laden.wait_ready()
            found.append(happen())
        laden.wait_ready()
        print(
            f"{what:<34} {cause:<18} median {median(found):6.3f} s  worst {max(found):6.3f} s"
            f"  of {rounds}",
            flush=True,
        )
        for line in laden.last_transitions(1):
            print(f"  {line}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--files", type=int, default=1_000_000)
    parser.add_argument("--open", type=int, default=100_000)
    parser.add_argument("--early", action="store_true", help="in the middle of full reports")
    asked = parser.parse_args()
    laden = Laden(early=asked.early)
    try:
        measure(laden, "empty namespace", asked.rounds)
        began = monotonic()
        laden.fill(asked.files, asked.open)
        print(f"filled in {monotonic() - began:.0f} s", flush=True)
        with stand_ins(laden, asked.files):
            laden.wait_ready()
            print(f"loaded and reported after {monotonic() - began:.0f} s", flush=True)
            measure(laden, f"{asked.files:,} files, {asked.open:,} open", asked.rounds)
            longest, answered, freed = laden.delete_all()
            print(
                f"all deleted: answered after {answered:.3f} s, freed after {freed:.1f} s,"
                f" longest time between two writes {longest:.3f} s",
                flush=True,
            )
    finally:
        laden.cluster.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
