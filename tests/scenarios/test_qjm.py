"""Scenarios of the quorum journal: cores driven by text, transcripts compared (qjm/*.txt).

A scenario is blocks of commands, `----`, and what they printed. `HDFSD_UPDATE_SCENARIOS=1 pytest
tests/scenarios` writes the transcripts anew; the diff is what is reviewed. Commands:

    journals N                        N formatted journals jn1..jnN
    recover nn1 [lose=jn3] [stop-after=newEpoch|prepare|accept]
    start nn1 TXID [lose=jn3]         startLogSegment
    write nn1 1..5 [lose=jn3]         one batch; `lose`: these journals do not get it
    finalize nn1 1..5 [lose=jn3]
    crash jn1 [before=EFFECT]         loses what is in memory; `before` arms it: the next effect of
                                      that name and all behind it do not happen any more
    restart jn1                       what is on its disk is loaded anew
    show

No clock, no socket, no disk: a journal is its acceptor, and a dictionary that stands for its disk.
"""

from __future__ import annotations

import copy
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from hdfsd.base.errors import RemoteFault
from hdfsd.base.ids import INVALID_TXID, Epoch, NodeId, StorageInfo, TxId
from hdfsd.editlog.codec import encode
from hdfsd.editlog.ops import StartLogSegmentOp
from hdfsd.journal.acceptor import (
    Acceptor,
    Append,
    DropAccepted,
    Effect,
    FetchSegment,
    FinalizeSegment,
    InstallFetched,
    JournalState,
    NoteCommitted,
    OpenSegment,
    PersistAccepted,
    PersistPromise,
    PersistWriterEpoch,
    Refuse,
    Reply,
    Segment,
    SetAside,
)
from hdfsd.quorum import recovery, writer
from hdfsd.quorum.tally import majority
from hdfsd.wire.messages import Message, hdfs_server, qjournal

DIRECTORY = Path(__file__).parent / "qjm"
STORAGE = StorageInfo(-67, 7, 1, "CID")


class Crashed(Exception):
    """The journal did not live to answer."""


@dataclass
class Copy:
    """A segment's file: which writer's epoch wrote each transaction."""

    finalized: bool = False
    epochs: dict[int, int] = field(default_factory=dict)


@dataclass
class MemoryDisk:
    """What survives a crash."""

    promised: int = 0
    writer_epoch: int = 0
    committed: int = INVALID_TXID
    copies: dict[int, Copy] = field(default_factory=dict)
    accepted: dict[int, Any] = field(default_factory=dict)
    fetched: dict[tuple[int, int], Copy] = field(default_factory=dict)

    def load(self) -> JournalState:
        for first, epoch in list(self.fetched):
            if first in self.accepted and self.accepted[first].epoch == epoch:
                self.copies[first] = self.fetched.pop((first, epoch))
        segments = {
            TxId(first): Segment(
                TxId(first), TxId(max(c.epochs)) if c.epochs else None, c.finalized
            )
            for first, c in self.copies.items()
        }
        return JournalState(
            STORAGE,
            True,
            Epoch(self.promised),
            Epoch(self.writer_epoch),
            TxId(self.committed),
            segments,
            dict(self.accepted),
        )


class Node:
    """One journal."""

    def __init__(self, name: str, peers: dict[str, Node]) -> None:
        self.name = name
        self.peers = peers
        self.disk = MemoryDisk()
        self.acceptor: Acceptor | None = None
        self.crash_before = ""
        self.restart()

    def restart(self) -> None:
        self.acceptor = Acceptor(self.name, f"/{self.name}", self.disk.load())
        self.crash_before = ""

    def ask(self, method: str, request: Message) -> Any:
        """The answer, or raises Crashed or the RemoteFault."""
        if self.acceptor is None:
            raise Crashed("down")
        if isinstance(request, qjournal.AcceptRecoveryRequestProto):
            self.acceptor.source_is_us = request.fromURL.startswith(f"{self.name}?")
        for effect in self.acceptor.step(method, request):
            if type(effect).__name__ == self.crash_before:
                self.acceptor = None
                raise Crashed(f"crashed before {self.crash_before}")
            if isinstance(effect, Refuse):
                raise effect.fault
            if isinstance(effect, Reply):
                return effect.message
            self.execute(effect, getattr(request, "reqInfo", None))
        raise AssertionError("no answer")

    def execute(self, effect: Effect, info: Any) -> None:
        disk = self.disk
        assert self.acceptor is not None
        match effect:
            case PersistPromise(epoch):
                disk.promised = epoch
            case PersistWriterEpoch(epoch):
                disk.writer_epoch = epoch
            case NoteCommitted(txid):
                disk.committed = txid
            case OpenSegment(first, _):
                disk.copies[first] = Copy()
            case Append(first, last, _):
                assert self.acceptor.open_first is not None
                epochs = disk.copies[self.acceptor.open_first].epochs
                epochs.update((txid, info.epoch) for txid in range(first, last + 1))
                self.acceptor.synced(last)
            case FinalizeSegment(first, last):
                assert max(disk.copies[first].epochs) == last
                disk.copies[first].finalized = True
            case SetAside(segment, _):
                del disk.copies[segment.first_txid]
            case FetchSegment(first, _, epoch, url):
                source = self.peers[url.partition("?")[0]].disk.copies[first]
                disk.fetched[first, epoch] = Copy(False, dict(source.epochs))
            case PersistAccepted(accepted):
                disk.accepted[accepted.first_txid] = accepted
            case InstallFetched(first, epoch):
                disk.copies[first] = disk.fetched.pop((first, epoch))
            case DropAccepted(first):
                disk.accepted.pop(first, None)

    def describe(self) -> str:
        state = "down" if self.acceptor is None else self.acceptor.describe()
        contents = []
        for first, kept in sorted(self.disk.copies.items()):
            runs: list[list[int]] = []
            for txid, epoch in sorted(kept.epochs.items()):
                if runs and runs[-1][2] == epoch:
                    runs[-1][1] = txid
                else:
                    runs.append([txid, txid, epoch])
            drawn = " ".join(f"{a}..{b} by e{e}" for a, b, e in runs) or "nothing"
            contents.append(f"[{first}: {drawn}]")
        return f"{self.name} {state} {' '.join(contents)}".rstrip()


class Writer:
    """A NameNode's side: the epoch it has, the serial numbers it used."""

    def __init__(self) -> None:
        self.epoch = Epoch(0)
        self.serial = 0
        self.segment = TxId(0)
        self.committed = INVALID_TXID

    def info(self) -> qjournal.RequestInfoProto:
        self.serial += 1
        info = qjournal.RequestInfoProto(epoch=self.epoch, ipcSerialNumber=self.serial)
        info.journalId.identifier = "ns"
        if self.committed > 0:
            info.committedTxId = self.committed
        return info


class Scenario:
    """Runs commands and collects what they print."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self.writers: dict[str, Writer] = {}
        self.acknowledged: dict[int, int] = {}
        """Txid to the epoch of the writer that was told it is committed."""
        self.out: list[str] = []

    def run(self, line: str) -> None:
        words = line.split()
        options = dict(word.split("=", 1) for word in words if "=" in word)
        plain = [word for word in words if "=" not in word]
        getattr(self, f"do_{plain[0]}")(
            *plain[1:], **{k.replace("-", "_"): v for k, v in options.items()}
        )

    def do_journals(self, count: str) -> None:
        for number in range(1, int(count) + 1):
            name = f"jn{number}"
            self.nodes[name] = Node(name, self.nodes)

    def do_show(self) -> None:
        self.out += [node.describe() for node in self.nodes.values()]

    def do_crash(self, name: str, before: str = "") -> None:
        if before:
            self.nodes[name].crash_before = before
        else:
            self.nodes[name].acceptor = None

    def do_restart(self, name: str) -> None:
        self.nodes[name].restart()
        self.out.append(self.nodes[name].describe())

    def do_start(self, name: str, txid: str, lose: str = "") -> None:
        nn = self.writers[name]
        nn.segment = TxId(int(txid))
        self.ask_all(
            f"{name} start {txid}",
            "start_log_segment",
            lambda: qjournal.StartLogSegmentRequestProto(
                reqInfo=nn.info(), txid=nn.segment, layoutVersion=-67
            ),
            lose,
        )

    def do_write(self, name: str, txids: str, lose: str = "") -> None:
        nn = self.writers[name]
        first, last = map(int, txids.split(".."))
        answers = self.ask_all(
            f"{name} write {txids}",
            "journal",
            lambda: qjournal.JournalRequestProto(
                reqInfo=nn.info(),
                firstTxnId=first,
                numTxns=last - first + 1,
                records=b"".join(encode(StartLogSegmentOp(), t) for t in range(first, last + 1)),
                segmentTxnId=nn.segment,
            ),
            lose,
        )
        if len(answers) >= majority(len(self.nodes)):
            nn.committed = TxId(last)
            self.acknowledged.update((txid, nn.epoch) for txid in range(first, last + 1))

    def do_finalize(self, name: str, txids: str, lose: str = "") -> None:
        nn = self.writers[name]
        first, last = map(int, txids.split(".."))
        self.ask_all(
            f"{name} finalize {txids}",
            "finalize_log_segment",
            lambda: qjournal.FinalizeLogSegmentRequestProto(
                reqInfo=nn.info(), startTxId=first, endTxId=last
            ),
            lose,
        )

    def do_recover(self, name: str, lose: str = "", stop_after: str = "") -> None:
        nn = self.writers[name] = Writer()
        lost = lose.split(",")
        up = [n for n in self.nodes.values() if n.acceptor is not None and n.name not in lost]
        nn.epoch = writer.next_epoch([n.acceptor.state.promised for n in up if n.acceptor])
        namespace = hdfs_server.NamespaceInfoProto(
            storageInfo={"layoutVersion": 0, "namespceID": 7, "clusterID": "CID", "cTime": 1}
        )
        answers = self.ask_all(
            f"{name} newEpoch {nn.epoch}",
            "new_epoch",
            lambda: qjournal.NewEpochRequestProto(nsInfo=namespace, epoch=nn.epoch),
            lose,
        )
        if len(answers) < majority(len(self.nodes)) or stop_after == "newEpoch":
            return
        first = writer.segment_to_recover(
            a.lastSegmentTxId if a.HasField("lastSegmentTxId") else None for a in answers.values()
        )
        if first is None:
            self.out.append(f"{name} finds an empty journal")
            return
        self._recover_segment(name, nn, first, lose, stop_after)

    def _recover_segment(
        self, name: str, nn: Writer, first: TxId, lose: str, stop_after: str
    ) -> None:
        answers = self.ask_all(
            f"{name} prepare {first}",
            "prepare_recovery",
            lambda: qjournal.PrepareRecoveryRequestProto(reqInfo=nn.info(), segmentTxId=first),
            lose,
        )
        if len(answers) < majority(len(self.nodes)):
            return
        decision = recovery.decide([_prepared(node, a) for node, a in answers.items()])
        self.out.append(f"{name} decides: {decision.reason}")
        if decision.segment is None or stop_after == "prepare":
            return
        last = decision.segment.last_txid
        told = "" if decision.seen_epoch is None else f"&seenEpoch={decision.seen_epoch}"
        answers = self.ask_all(
            f"{name} accept {first}..{last} from {decision.source}",
            "accept_recovery",
            lambda: qjournal.AcceptRecoveryRequestProto(
                reqInfo=nn.info(),
                stateToAccept={
                    "startTxId": first,
                    "endTxId": last,
                    "isInProgress": not decision.segment.finalized,
                },
                fromURL=f"{decision.source}?jid=ns{told}",
            ),
            lose,
        )
        if len(answers) < majority(len(self.nodes)) or stop_after == "accept":
            return
        self.do_finalize(name, f"{first}..{last}", lose)

    def ask_all(self, what: str, method: str, build: Any, lose: str) -> dict[str, Any]:
        answers: dict[str, Any] = {}
        told = []
        for node in self.nodes.values():
            if node.name in lose.split(","):
                told.append(f"{node.name} lost")
                continue
            try:
                answers[node.name] = node.ask(method, build())
                told.append(f"{node.name} ok")
            except Crashed as crash:
                told.append(f"{node.name} {crash}")
            except RemoteFault as fault:
                told.append(f"{node.name} refuses ({fault})")
        enough = len(answers) >= majority(len(self.nodes))
        self.out.append(f"{what}: {'done' if enough else 'FAILED'}: {', '.join(told)}")
        return answers

    def check(self) -> None:
        """Q1, Q2: finalized copies agree, and hold every acknowledged transaction they cover."""
        finals: dict[int, dict[int, int]] = {}
        for node in self.nodes.values():
            for first, kept in node.disk.copies.items():
                if kept.finalized:
                    assert finals.setdefault(first, kept.epochs) == kept.epochs, node.describe()
        for epochs in finals.values():
            for txid, epoch in self.acknowledged.items():
                if txid in epochs:
                    assert epochs[txid] == epoch, f"txid {txid} of epoch {epoch} was replaced"


def _prepared(node: str, answer: qjournal.PrepareRecoveryResponseProto) -> recovery.PrepareAnswer:
    state = answer.segmentState
    segment = None
    if answer.HasField("segmentState"):
        segment = recovery.Segment(
            TxId(state.startTxId), TxId(state.endTxId), not state.isInProgress
        )
    return recovery.PrepareAnswer(
        NodeId(node),
        segment,
        Epoch(answer.acceptedInEpoch),
        Epoch(answer.lastWriterEpoch),
        TxId(answer.lastCommittedTxId),
    )


def play(text: str) -> str:
    """The same text with its transcripts as they are now."""
    scenario, lines = Scenario(), []
    in_transcript = False
    for line in text.splitlines():
        if line.strip() == "----":
            lines.append("----")
            lines += scenario.out
            scenario.out = []
            in_transcript = True
        elif not line.strip():
            in_transcript = False
            lines.append("")
        elif not in_transcript:
            lines.append(line)
            if not line.startswith("#"):
                scenario.run(line)
                scenario.check()
    assert not scenario.out, "the last commands have no ---- behind them"
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("path", sorted(DIRECTORY.glob("*.txt")), ids=lambda path: path.stem)
def test_scenario(path: Path) -> None:
    text = path.read_text()
    now = play(text)
    if os.environ.get("HDFSD_UPDATE_SCENARIOS"):
        path.write_text(now)
    assert now == text


def test_there_are_scenarios() -> None:
    assert len(list(DIRECTORY.glob("*.txt"))) >= 5


EFFECTS = [
    "PersistPromise",
    "PersistWriterEpoch",
    "OpenSegment",
    "Append",
    "CloseSegment",
    "FetchSegment",
    "PersistAccepted",
    "InstallFetched",
    "FinalizeSegment",
    "DropAccepted",
    "Reply",
]
FAULTS = [(node, effect) for node in ("jn1", "jn2", "jn3") for effect in EFFECTS]


def _story(faults: list[tuple[str, str]], behind: str) -> Scenario:
    """Write with one journal behind, lose the writer, recover with faults, recover again."""
    scenario = Scenario()
    for line in (
        "journals 3",
        "recover nn1",
        "start nn1 1",
        f"write nn1 1..3 lose={behind}",
        "write nn1 4..4 lose=jn1,jn2,jn3",
    ):
        scenario.run(line)
    for node, effect in faults:
        scenario.run(f"crash {node} before={effect}")
    scenario.run("recover nn2")
    scenario.check()
    for node in scenario.nodes.values():
        if node.acceptor is None:
            node.restart()
        node.crash_before = ""
    scenario.run("recover nn3")
    scenario.check()
    return scenario


def test_every_crash_and_every_pair_of_crashes_during_a_recovery() -> None:
    """Habit 5: after each, the next recovery finishes and keeps what was acknowledged."""
    pairs = [[one, other] for one in FAULTS for other in FAULTS if one[0] < other[0]]
    for faults in [[], *([fault] for fault in FAULTS), *pairs]:
        for behind in ("jn1", "jn3"):
            scenario = _story(copy.copy(faults), behind)
            holders = [
                node
                for node in scenario.nodes.values()
                if 1 in node.disk.copies and node.disk.copies[1].finalized
            ]
            assert len(holders) >= 2, (faults, behind, scenario.out)
            assert all(node.disk.copies[1].epochs.keys() == {1, 2, 3} for node in holders)
