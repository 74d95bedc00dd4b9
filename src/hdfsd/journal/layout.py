"""Core. Names and small files of a journal directory (editlog.md sections 4 and 6).

`<edits dir>/<journal id>/{in_use.lock, current/, edits.sync/}`, as Hadoop's JNStorage lays it out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import parse_qs, urlsplit

from google.protobuf.text_format import MessageToString

from hdfsd.base import version_file
from hdfsd.base.errors import CorruptData, IllegalArgument
from hdfsd.base.ids import INVALID_TXID, StorageInfo, TxId
from hdfsd.editlog import files
from hdfsd.wire.messages import DecodeError, qjournal

CURRENT = "current"
VERSION = "VERSION"
LAST_PROMISED_EPOCH = "last-promised-epoch"
LAST_WRITER_EPOCH = "last-writer-epoch"
COMMITTED_TXID = "committed-txid"
PAXOS = "paxos"
EDITS_SYNC = "edits.sync"
LEARNING_UNTIL = "learning-until"
"""Ours: of a journal that was formatted from its peers, the txid up to which it must catch up
before it votes. Hadoop's JournalNode does not look at it."""
STORAGE_TYPE = "JOURNAL_NODE"
SMALL_FILE_BYTES_MAX = 1 << 16

_FETCHED = re.compile(r"edits_inprogress_(\d+)\.epoch=(\d+)")
_ACCEPTED = re.compile(r"\d+")
# What purgeLogs looks at: the captured txid decides (JNStorage.purgeDataOlderThan).
_PURGED_IN_CURRENT = (
    re.compile(r"edits_\d+-(\d+)"),
    re.compile(r"edits_inprogress_(\d+)(?:\..*)?"),
)


def check_journal_id(journal_id: str) -> None:
    """Raises IllegalArgument for an id that could leave the edits directory or hide in it."""
    bad = not journal_id or "/" in journal_id or journal_id.startswith(".")
    if bad or "\\" in journal_id or not journal_id.isprintable() or len(journal_id) > 255:
        raise IllegalArgument(f"bad journal id: {journal_id}")


def fetched_name(first_txid: int, epoch: int) -> str:
    """A segment that acceptRecovery is fetching, before it takes the in-progress file's place."""
    return f"{files.inprogress_name(first_txid)}.epoch={epoch}"


def parse_fetched(name: str) -> tuple[int, int] | None:
    """First txid and epoch of a fetched segment."""
    match = _FETCHED.fullmatch(name)
    return (int(match[1]), int(match[2])) if match else None


def parse_accepted(name: str) -> int | None:
    """First txid that a file of `paxos/` is about."""
    return int(name) if _ACCEPTED.fullmatch(name) else None


def purged(name: str, min_txid: int) -> bool:
    """Whether purgeLogs removes this file of `current/`."""
    return any(
        int(match[1]) < min_txid
        for pattern in _PURGED_IN_CURRENT
        if (match := pattern.fullmatch(name))
    )


def seen_epoch_of(url: str) -> int | None:
    """The epoch of the copy that an acceptRecovery points to, when the writer tells it.

    hdfsd's writer adds `seenEpoch`, which Hadoop ignores: the larger of the epochs in which that
    unfinished copy was written and accepted. None: not told, or the copy is finalized.
    """
    values = parse_qs(urlsplit(url).query).get("seenEpoch", [])
    return int(values[0]) if values and values[0].isdigit() else None


def parse_long(data: bytes, where: str) -> int:
    """A PersistentLongFile: ASCII decimal. Raises CorruptData."""
    text = data.strip()
    if not text.isdigit():
        raise CorruptData(where, 0, f"{data[:40]!r} is not a number")
    return int(text)


def render_long(value: int) -> bytes:
    return b"%d\n" % value


def parse_committed(data: bytes, where: str) -> TxId:
    """A BestEffortLongFile: eight bytes, or none for its default. Raises CorruptData."""
    if not data:
        return INVALID_TXID
    if len(data) != 8:
        raise CorruptData(where, 0, f"{len(data)} bytes where 8 are a txid")
    return TxId(int.from_bytes(data, "big", signed=True))


def render_committed(txid: int) -> bytes:
    return txid.to_bytes(8, "big", signed=True)


def parse_paxos(data: bytes, where: str) -> qjournal.PersistedRecoveryPaxosData:
    """An accepted recovery; only the delimited message counts, the text behind it is for people."""
    size, shift, offset = 0, 0, 0
    while offset < min(len(data), 5):
        byte = data[offset]
        size |= (byte & 0x7F) << shift
        shift += 7
        offset += 1
        if byte < 0x80:
            break
    if size == 0 or offset + size > len(data):
        raise CorruptData(where, 0, "not an accepted recovery: too short")
    accepted = qjournal.PersistedRecoveryPaxosData()
    try:
        accepted.ParseFromString(data[offset : offset + size])
    except DecodeError as error:
        raise CorruptData(where, offset, f"not an accepted recovery: {error}") from None
    return accepted


def render_paxos(accepted: qjournal.PersistedRecoveryPaxosData) -> bytes:
    body = accepted.SerializeToString()
    assert len(body) < 0x80, "three numbers and a flag never need two length bytes"
    text = MessageToString(accepted)
    return bytes([len(body)]) + body + b"\n" + text.encode() + b"\n"


def parse_version(text: str, where: str) -> StorageInfo:
    """The VERSION file of a journal. Any layout version: a journal does not decode its edits."""
    properties = version_file.parse(text, where)
    storage_type = version_file.require(properties, "storageType", where)
    if storage_type != STORAGE_TYPE:
        raise CorruptData(where, None, f"storageType is {storage_type}, not {STORAGE_TYPE}")
    return StorageInfo(
        layout_version=version_file.require_int(properties, "layoutVersion", where),
        namespace_id=version_file.require_int(properties, "namespaceID", where),
        ctime_ms=version_file.require_int(properties, "cTime", where),
        cluster_id=version_file.require(properties, "clusterID", where),
    )


def render_version(storage: StorageInfo, comment: str) -> str:
    properties: Mapping[str, str] = {
        "namespaceID": str(storage.namespace_id),
        "clusterID": storage.cluster_id,
        "cTime": str(storage.ctime_ms),
        "storageType": STORAGE_TYPE,
        "layoutVersion": str(storage.layout_version),
    }
    return version_file.render(properties, comment)
