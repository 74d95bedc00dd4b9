"""Adapter. What nobody should ask of a JournalNode, as cases that can be put to either kind.

Every case has a journal of its own: 1..10 finalized, 11..15 in the open segment, epoch 3 promised
and writing. What a JournalNode says is brought into one form: class and text, or HTTP status and
text, without its own paths.
"""

from __future__ import annotations

import hashlib
import html
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

from journals import NAMESPACE, RawWriter, call, fetch, frames_of, namespace_message, segment_url

from hdfsd.base.errors import RemoteFault
from hdfsd.base.ids import Address, NamespaceInfo, StorageInfo
from hdfsd.wire.messages import qjournal

EPOCH = 3
FOREIGN_NAMESPACE = replace(NAMESPACE, storage=replace(NAMESPACE.storage, namespace_id=999))
FOREIGN_CLUSTER = replace(NAMESPACE, storage=replace(NAMESPACE.storage, cluster_id="CID-other"))
BAD_IDS = ("", ".", "..", "../x", "../../etc", "a/b", "/abs", ".hidden")


@dataclass(frozen=True)
class Target:
    """A JournalNode under test; `writer` is the good one of its journal."""

    address: Address
    http: str
    edits_dir: Path
    writer: RawWriter

    @property
    def root(self) -> Path:
        return self.edits_dir / self.writer.journal_id


Misuse = Callable[[Target], object]
RECORDED = Path(__file__).parent / "data/journal_refusals.json"


def refusals(kind: str) -> dict[str, tuple[str | int, str]]:
    """What Hadoop's JournalNode said: "calls" or "downloads", by the title of the case."""
    recorded = json.loads(RECORDED.read_text())[kind]
    return {title: (answer[0], answer[1]) for title, answer in recorded.items()}


def prepare(target: Target) -> None:
    writer = target.writer
    writer.format()
    writer.new_epoch(EPOCH)
    writer.start(1)
    writer.write(1, "a", 1, 10)
    writer.finalize(1, 10)
    writer.start(11)
    writer.write(11, "a", 11, 15)


def _journal(first: int, count: int, segment: int = 11) -> Misuse:
    return lambda t: t.writer.journal(
        segment, first, count, frames_of("a", first, first + count - 1)
    )


def _as(epoch: int) -> Misuse:
    def ask(target: Target) -> None:
        target.writer.epoch = epoch
        target.writer.write(11, "a", 16, 16)

    return ask


def _serial_again(target: Target) -> None:
    target.writer.serial -= 1
    target.writer.write(11, "a", 16, 16)


def _committed_backwards(target: Target) -> None:
    target.writer.committed = 12
    target.writer.write(11, "a", 16, 16)
    target.writer.committed = 11
    target.writer.write(11, "a", 17, 17)


def _of_id(journal_id: str, method: str) -> Misuse:
    jid = qjournal.JournalIdProto(identifier=journal_id)
    requests = {
        "getJournalState": qjournal.GetJournalStateRequestProto(jid=jid),
        "isFormatted": qjournal.IsFormattedRequestProto(jid=jid),
        "format": qjournal.FormatRequestProto(jid=jid, nsInfo=namespace_message(), force=True),
        "newEpoch": qjournal.NewEpochRequestProto(jid=jid, nsInfo=namespace_message(), epoch=9),
        "discardSegments": qjournal.DiscardSegmentsRequestProto(jid=jid, startTxId=1),
    }
    return lambda target: call(target.address, method, requests[method])


def _new_epoch(epoch: int, namespace: NamespaceInfo = NAMESPACE) -> Misuse:
    return lambda target: target.writer.new_epoch(epoch, namespace)


def _accept(first: int, last: int, url: str = "") -> Misuse:
    def ask(target: Target) -> None:
        good = segment_url(target.http, target.writer.journal_id, first)
        target.writer.accept(first, last, url.format(http=target.http) or good)

    return ask


def _discard(txid: int) -> Misuse:
    def ask(target: Target) -> None:
        request = qjournal.DiscardSegmentsRequestProto(jid=target.writer.jid, startTxId=txid)
        target.writer.call("discardSegments", request)

    return ask


def _unformatted(method: str) -> Misuse:
    return _of_id("nobody-formatted-this", method)


def _edits_since(txid: int) -> Misuse:
    def ask(target: Target) -> None:
        request = qjournal.GetJournaledEditsRequestProto(
            jid=target.writer.jid, sinceTxId=txid, maxTxns=10
        )
        target.writer.call("getJournaledEdits", request)

    return ask


CALLS: Mapping[str, Misuse] = {
    **{
        f"{method} of journal {journal_id!r}": _of_id(journal_id, method)
        for journal_id in BAD_IDS
        for method in ("getJournalState", "isFormatted", "format", "newEpoch", "discardSegments")
    },
    **{
        f"{method} of a journal that was never formatted": _unformatted(method)
        for method in ("getJournalState", "newEpoch")
    },
    "newEpoch for a foreign namespace id": _new_epoch(9, FOREIGN_NAMESPACE),
    "newEpoch for a foreign cluster id": _new_epoch(9, FOREIGN_CLUSTER),
    "newEpoch that was promised": _new_epoch(EPOCH),
    "newEpoch below the promise": _new_epoch(1),
    "format over data": lambda target: target.writer.format(),
    "format over data for a foreign cluster id": lambda target: target.writer.format(
        namespace=FOREIGN_CLUSTER
    ),
    "edits after a gap": _journal(17, 1),
    "edits that overlap": _journal(15, 2),
    "edits again": _journal(11, 5),
    "edits of an older epoch": _as(2),
    "edits with a serial number that was used": _serial_again,
    "edits with a committed txid that goes back": _committed_backwards,
    "a segment that is finalized started again": lambda target: target.writer.start(1),
    "finalize of what was never started": lambda target: target.writer.finalize(50, 60),
    "finalize with another end": lambda target: target.writer.finalize(1, 9),
    "accept with an end before its start": _accept(11, 5),
    "accept with no end": _accept(11, 0),
    "accept for a finalized segment with another end": _accept(1, 12),
    "discard in the middle of a segment": _discard(5),
    "edits from memory beyond the end": _edits_since(100),
}
ALLOWED_CHANGES = ("edits with a committed txid that goes back",)
"""Its first half is good."""


def _bytes(data: bytes, count: int = 1) -> Misuse:
    return lambda target: target.writer.journal(11, 16, count, data)


def _flipped(data: bytes) -> bytes:
    return data[:-9] + bytes([data[-9] ^ 1]) + data[-8:]


UNREADABLE: Mapping[str, Misuse] = {
    "a wrong checksum": _bytes(_flipped(frames_of("a", 16, 16))),
    "a wrong checksum in the middle": _bytes(
        _flipped(frames_of("a", 16, 16)) + frames_of("a", 17, 18), 3
    ),
    "txids out of order": _bytes(frames_of("a", 17, 17) + frames_of("a", 16, 16), 2),
    "another txid than is said": _bytes(frames_of("a", 99, 99)),
    "fewer than are said": _bytes(frames_of("a", 16, 17), 5),
    "more than are said": _bytes(frames_of("a", 16, 20), 2),
    "half of one": _bytes(frames_of("a", 16, 16)[:20]),
    "nothing": _bytes(b""),
    "no edits at all": _bytes(b"<html>404</html>"),
    "padding": _bytes(b"\xff" * 100),
}
"""Bytes that a good writer never sends, by what is wrong with the transactions behind 15."""

STORAGE = NAMESPACE.storage


def _get(query: str, **headers: str) -> Callable[[Target], tuple[int, str]]:
    def ask(target: Target) -> tuple[int, str]:
        url = f"{target.http}/getJournal{query.format(jid=target.writer.journal_id)}"
        status, _, body = fetch(url, headers)
        if status == 200:
            return status, f"{len(body)} bytes"
        text = body.decode()
        page = re.search(r"<th>MESSAGE:</th><td>(.*?)</td>", text, re.DOTALL)
        return status, plain(html.unescape(page[1]) if page else text, target)

    return ask


def _info(storage: StorageInfo) -> str:
    return f"&storageInfo={quote(storage.colon_form(), safe='')}"


OURS = _info(STORAGE)
GOOD = "?jid={jid}&segmentTxId=1" + OURS
GETS: Mapping[str, Callable[[Target], tuple[int, str]]] = {
    "good": _get(GOOD),
    **{
        f"journal {journal_id!r}": _get(f"?jid={quote(journal_id, safe='')}&segmentTxId=1{OURS}")
        for journal_id in BAD_IDS
    },
    "no journal": _get(f"?segmentTxId=1{OURS}"),
    "no segment": _get("?jid={jid}" + OURS),
    "a segment that is no number": _get("?jid={jid}&segmentTxId=abc" + OURS),
    "a segment below zero": _get("?jid={jid}&segmentTxId=-5" + OURS),
    "a segment that is not there": _get("?jid={jid}&segmentTxId=5" + OURS),
    "an unfinished segment that is not wanted": _get(
        "?jid={jid}&segmentTxId=11&inProgressOk=false" + OURS
    ),
    "a foreign namespace id": _get("?jid={jid}&segmentTxId=1" + _info(FOREIGN_NAMESPACE.storage)),
    "a foreign cluster id": _get("?jid={jid}&segmentTxId=1" + _info(FOREIGN_CLUSTER.storage)),
    "storage info of three fields": _get("?jid={jid}&segmentTxId=1&storageInfo=-67:4711:0"),
    "storage info of letters": _get("?jid={jid}&segmentTxId=1&storageInfo=a:b:c:d"),
    "a range beyond the file": _get(GOOD, Range="bytes=100000000-"),
    "a range that ends beyond the file": _get(GOOD, Range="bytes=0-100000000"),
    "a range backwards": _get(GOOD, Range="bytes=10-5"),
    "a range that is none": _get(GOOD, Range="bites=x"),
    "a journal that was never formatted": _get("?jid=never&segmentTxId=1" + OURS),
}


def outcome(target: Target, misuse: Misuse) -> tuple[str, str]:
    """(Java class, text) of the refusal; ("done", "") when there was none."""
    try:
        misuse(target)
    except RemoteFault as fault:
        return fault.wire_class, plain(fault.message, target)
    return "done", ""


def plain(text: str, target: Target) -> str:
    """The message without stack, line breaks and this JournalNode's own names."""
    text = re.split(r"\s+at [\w.$/]+\(", text, maxsplit=1)[0]
    text = re.sub(r"^([\w.$]+(Exception|Error)): ", "", text)
    text = re.sub(r"\s+", " ", text).strip()
    named = text.replace(str(target.edits_dir), "{dir}").replace(target.http, "{http}")
    return named.replace(target.writer.journal_id, "{jid}")


def tree_hash(directory: Path) -> str:
    """Of names and contents of everything in it."""
    digest = hashlib.sha256()
    for path in sorted(directory.rglob("*")):
        digest.update(str(path.relative_to(directory)).encode() + b"\0")
        if path.is_file() and path.name != "in_use.lock":
            digest.update(path.read_bytes())
    return digest.hexdigest()
