"""Failover after failover on real processes whose journals are killed and frozen (P1, P2, P3).

Writers of our quorum journal are killed, frozen or simply overtaken while JournalNodes are killed
with -9, started again, stopped and continued at random. Every transaction that any writer was told
to be acknowledged is in the journal at the end, as that writer wrote it.

    FAILOVERS=200 SEED=7 pytest tests/system/test_many_failovers.py
"""

from __future__ import annotations

import itertools
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import hadoop
import pytest
from hadoop import Hadoop
from journals import (
    HDFSD,
    JournalJvm,
    JournalNodes,
    OurWriter,
    journal_nodes,
)

from hdfsd.editlog.codec import iter_ops
from hdfsd.editlog.files import parse_segment
from hdfsd.editlog.ops import MkdirOp
from hdfsd.editlog.segment import read_header

FAILOVERS = int(os.environ.get("FAILOVERS", "40"))
SEED = int(os.environ.get("SEED", "1"))
pytestmark = [pytest.mark.system, pytest.mark.timeout(120 + 10 * FAILOVERS)]

WRITER = Path(__file__).with_name("failover_writer.py")
JOURNAL_ID = "ns"
NAMES = ("jn1", "jn2", "jn3")
TAKEOVER_SECONDS = 60


class WriterProcess:
    """One writer; what it said is collected until its end."""

    def __init__(self, number: int, nodes: JournalNodes, names: Sequence[str] = NAMES) -> None:
        self.tag = f"w{number}"
        self.recovered = threading.Event()
        self.acknowledged: list[int] = []
        self.lost = ""
        addresses = map(str, nodes.addresses(names))
        paths = [str(Path(hadoop.__file__).parent), os.environ.get("PYTHONPATH", "")]
        with (nodes.root / "writers.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(WRITER), JOURNAL_ID, self.tag, *addresses],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
            )
        self._listener = threading.Thread(target=self._listen)
        self._listener.start()

    def go(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b"go\n")
        self.process.stdin.flush()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            word, _, rest = line.decode().strip().partition(" ")
            if word == "acknowledged":
                self.acknowledged.append(int(rest))
            elif word == "recovered":
                self.recovered.set()
            elif word == "lost":
                self.lost = rest

    @property
    def is_over(self) -> bool:
        return self.process.poll() is not None

    def signal(self, number: signal.Signals) -> None:
        if not self.is_over:
            self.process.send_signal(number)

    def end(self) -> None:
        """kill -9, and everything that it had said is heard."""
        self.signal(signal.SIGKILL)
        self.process.wait(30)
        self._listener.join(30)
        assert not self._listener.is_alive()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()
        assert self.process.returncode in (1, -signal.SIGKILL), self.process.returncode


class Nemesis(threading.Thread):
    """Kills and freezes journals until it is told to stop, and leaves all of them running."""

    def __init__(self, nodes: JournalNodes, dice: random.Random) -> None:
        super().__init__()
        self.deeds = {"killed": 0, "frozen": 0, "two at once": 0}
        self.failure: BaseException | None = None
        self._nodes = nodes
        self._dice = dice
        self._over = threading.Event()

    def run(self) -> None:
        try:
            while not self._over.wait(self._dice.uniform(0.05, 0.6)):
                victims = self._dice.sample(NAMES, 2 if self._dice.random() < 0.15 else 1)
                self.deeds["two at once"] += len(victims) - 1
                (self._kill if self._dice.random() < 0.5 else self._freeze)(victims)
        except BaseException as error:
            self.failure = error
            raise

    def _kill(self, victims: list[str]) -> None:
        self._nodes.kill(*victims)
        self._over.wait(self._dice.choice((0.0, 0.3, 1.0)))
        self._nodes.start(*victims)
        self.deeds["killed"] += len(victims)

    def _freeze(self, victims: list[str]) -> None:
        for name in victims:
            self._nodes.signal(name, signal.SIGSTOP)
        self._over.wait(self._dice.choice((0.1, 0.5, 1.5)))
        for name in victims:
            self._nodes.signal(name, signal.SIGCONT)
        self.deeds["frozen"] += len(victims)

    def stop(self) -> None:
        self._over.set()
        self.join(60)
        assert not self.is_alive()
        assert self.failure is None


class Succession:
    """Writers one after the other; the next one waits with everything loaded."""

    def __init__(self, nodes: JournalNodes, dice: random.Random) -> None:
        self.writers: list[WriterProcess] = []
        self.failovers = 0
        self._nodes = nodes
        self._dice = dice
        self._numbers = itertools.count(1)
        self._next = self._new()
        self._frozen: WriterProcess | None = None

    def _new(self) -> WriterProcess:
        made = WriterProcess(next(self._numbers), self._nodes)
        self.writers.append(made)
        return made

    def fail_over(self) -> None:
        """Something happens to the writer, and another one takes over and writes."""
        old = self.writers[-2] if len(self.writers) > 1 else None
        if old is not None:
            self._strike(old)
        self._take_over()
        self.failovers += 1
        if self._frozen is not None and self._frozen is not old:
            self._frozen = None
        elif self._frozen is not None and self._dice.random() < 0.7:
            # It wakes up and knows nothing of its successor.
            self._frozen.signal(signal.SIGCONT)
        time.sleep(self._dice.uniform(0.05, 0.5))
        self._bury()

    def _strike(self, old: WriterProcess) -> None:
        fate = self._dice.choice(("killed", "frozen", "overtaken"))
        if fate == "killed":
            old.signal(signal.SIGKILL)
        elif fate == "frozen":
            old.signal(signal.SIGSTOP)
            self._frozen = old

    def _take_over(self) -> None:
        """With its journals down, a writer may find no quorum: then another one tries."""
        end = time.monotonic() + TAKEOVER_SECONDS
        while True:
            writer, self._next = self._next, self._new()
            writer.go()
            while not writer.recovered.wait(0.02):
                assert time.monotonic() < end, f"no takeover: {writer.lost}"
                if writer.is_over:
                    break
            else:
                return

    def _bury(self) -> None:
        """All but the newest two that took over, and the one that waits."""
        for writer in self.writers[:-3]:
            if not writer.process.stdin.closed:  # type: ignore[union-attr]
                writer.end()

    def close(self) -> None:
        for writer in self.writers:
            if not writer.process.stdin.closed:  # type: ignore[union-attr]
                writer.end()


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[JournalNodes]:
    with journal_nodes(tmp_path, None, dict.fromkeys(NAMES, HDFSD)) as running:
        yield running


def test_every_acknowledged_transaction_is_there(nodes: JournalNodes) -> None:
    dice = random.Random(SEED)
    first = OurWriter(nodes.addresses(NAMES), JOURNAL_ID)
    first.format()
    first.close()
    succession, nemesis = Succession(nodes, dice), Nemesis(nodes, random.Random(SEED + 1))
    began = time.monotonic()
    nemesis.start()
    try:
        while succession.failovers < FAILOVERS:
            succession.fail_over()
    finally:
        nemesis.stop()
        succession.close()
    acknowledged = paths_acknowledged(succession.writers)
    sys.stdout.write(
        f"\n{succession.failovers} failovers in {time.monotonic() - began:.0f} s,"
        f" {len(succession.writers)} writers, {len(acknowledged)} acknowledged transactions,"
        f" journals {nemesis.deeds}\n"
    )
    assert len(acknowledged) > 5 * FAILOVERS
    final = OurWriter(nodes.addresses(NAMES), JOURNAL_ID)
    final.recover()
    found = dict(final.read())
    final.close()
    assert sorted(found) == list(range(1, len(found) + 1))
    missing = {t: path for t, path in acknowledged.items() if found.get(t) != path}
    assert missing == {}
    assert_segments_agree(nodes, found)
    assert_hadoop_reads(nodes, found)


def paths_acknowledged(writers: list[WriterProcess]) -> dict[int, str]:
    """Also: no transaction was acknowledged to two writers."""
    found: dict[int, str] = {}
    for writer in writers:
        for txid in writer.acknowledged:
            assert txid not in found, f"{txid} of {writer.tag} was {found[txid]}"
            found[txid] = f"/{writer.tag}/{txid}"
    return found


def assert_segments_agree(nodes: JournalNodes, found: dict[int, str]) -> None:
    """Every finalized segment of every journal is a part of the one history."""
    holders = dict.fromkeys(found, 0)
    for name in NAMES:
        for path in nodes.current(name, JOURNAL_ID).iterdir():
            parsed = parse_segment(path.name)
            if parsed is None or parsed.last_txid is None:
                continue
            data = path.read_bytes()
            layout_version, offset = read_header(data, str(path))
            read = {t: op for op, t in iter_ops(data, layout_version, offset, str(path))}
            assert sorted(read) == list(range(parsed.first_txid, parsed.last_txid + 1))
            for txid, op in read.items():
                assert isinstance(op, MkdirOp)
                assert op.path == found[txid], path
                holders[txid] += 1
    # What is older than the newest segment was finalized on a majority before it was left.
    assert min(holders.values()) >= 1


def assert_hadoop_reads(nodes: JournalNodes, found: dict[int, str]) -> None:
    """Where Hadoop is at hand, its QuorumJournalManager reads the same."""
    lib = hadoop.jars()
    if lib is None:
        return
    jvm = JournalJvm(Hadoop(lib, nodes.root))
    try:
        reader = jvm.writer(nodes.addresses(NAMES), JOURNAL_ID)
        assert reader.read(durable=False) == found
        reader.close()
    finally:
        jvm.kill()
