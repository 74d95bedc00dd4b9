"""Adapter. Journals as `hdfsd journal` looks at them: directories and live JournalNodes, read only.

A directory is a JournalNode's (`<edits dir>/<journal id>`) or a NameNode's or shared one with
segments in it. A live JournalNode is asked what it tells everybody: no question here is a writer's.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import quote, urlsplit

from hdfsd.base import version_file
from hdfsd.base.errors import ConfigError, CorruptData, HdfsdError, InvariantBroken, IOFault
from hdfsd.base.ids import INVALID_TXID, Address, Epoch, NodeId, StorageInfo, TxId
from hdfsd.daemons.world import World
from hdfsd.editlog import files
from hdfsd.editlog.checkup import SegmentCheck, SegmentReport
from hdfsd.editlog.files import SegmentFile
from hdfsd.journal import layout
from hdfsd.quorum.inspect import AcceptedRecovery, JournalContent
from hdfsd.rpc.client import RpcClient
from hdfsd.wire.messages import qjournal
from hdfsd.wire.services import QJOURNAL_PROTOCOL

PIECE_BYTES = 1 << 20
ASK_MS = 20_000
FETCH_MS = 60_000
HTTP_OK, HTTP_NOT_FOUND = 200, 404
JMX_BYTES_MAX = 1 << 20
READ_AGAIN = 5
"""A segment that is finalized while we read is listed anew."""


@dataclass(frozen=True, slots=True)
class Directory:
    path: str


@dataclass(frozen=True, slots=True)
class Host:
    address: Address
    journal_id: str


Source = Directory | Host


async def look_at(sources: Sequence[Source], user: str) -> list[JournalContent]:
    """All of them at once; one that can't be read says so in its `error`."""
    world = World()
    try:
        return list(await asyncio.gather(*(_look(source, world, user) for source in sources)))
    finally:
        await world.http_client.close()


async def _look(source: Source, world: World, user: str) -> JournalContent:
    if isinstance(source, Directory):
        return await asyncio.to_thread(read_directory, source.path)
    return await _ask(source, world, user)


# -- directories -----------------------------------------------------------------------------


def read_directory(path: str) -> JournalContent:
    """What lies there. Raises ConfigError when it is no journal's directory at all."""
    current = current_of(path)
    for _ in range(READ_AGAIN):
        try:
            return _read_current(NodeId(path), current)
        except FileNotFoundError:
            continue
        except (CorruptData, OSError) as error:
            return JournalContent(NodeId(path), error=f"can't be read: {error}")
    return JournalContent(NodeId(path), error="can't be read: its files change all the time")


def current_of(path: str) -> str:
    """The directory with the segments: `path` itself, or `current` in it."""
    if not os.path.isdir(path):
        raise ConfigError(f"{path} is no directory")
    inner = os.path.join(path, layout.CURRENT)
    if os.path.isdir(inner):
        return inner
    names = os.listdir(path)
    if layout.VERSION in names or any(map(files.parse_segment, names)):
        return path
    journals = sorted(n for n in names if os.path.isdir(os.path.join(path, n, layout.CURRENT)))
    if len(journals) == 1:
        return os.path.join(path, journals[0], layout.CURRENT)
    which = f"; name one of its journals: {', '.join(journals)}" if journals else ""
    raise ConfigError(f"{path} is no journal directory: there is no current/ in it{which}")


def _read_current(journal: NodeId, current: str) -> JournalContent:
    names = sorted(os.listdir(current))
    storage, is_journal = _read_version(current) if layout.VERSION in names else (None, False)
    content = JournalContent(journal, formatted=storage is not None, storage=storage)
    if is_journal:
        content = replace(
            content,
            promised=Epoch(_read_long(current, layout.LAST_PROMISED_EPOCH)),
            writer_epoch=Epoch(_read_long(current, layout.LAST_WRITER_EPOCH)),
            committed_txid=_read_committed(current),
            accepted=_read_accepted(current),
            learning_until=TxId(_read_long(current, layout.LEARNING_UNTIL)) or None,
        )
    else:
        # A shared directory has that file too.
        content = replace(content, committed_txid=_read_committed(current))
    chosen = _segments(names, content.accepted or {})
    reports = [_check(os.path.join(current, name), file) for file, name in chosen]
    return replace(content, segments=tuple(reports), notes=tuple(_notes(names)))


def _segments(
    names: Sequence[str], accepted: Mapping[TxId, AcceptedRecovery]
) -> list[tuple[SegmentFile, str]]:
    """What a JournalNode finds when it starts, with the file that holds it."""
    found = {file.name: name for name in names if (file := files.parse_segment(name))}
    finalized = {f.first_txid for f in map(files.parse_segment, found) if f and not f.in_progress}
    for name in names:
        fetched = layout.parse_fetched(name)
        if fetched is None or fetched[0] in finalized:
            continue
        recovery = accepted.get(TxId(fetched[0]))
        if recovery is not None and recovery.epoch == fetched[1]:
            found[files.inprogress_name(fetched[0])] = name
    parsed = [(file, name) for known, name in found.items() if (file := files.parse_segment(known))]
    return sorted(parsed, key=lambda pair: (pair[0].first_txid, pair[0].in_progress))


def _notes(names: Sequence[str]) -> list[str]:
    told = []
    for name in names:
        aside = files.parse_set_aside(name)
        if aside is not None:
            told.append(f"has {name}, moved aside as {aside[1]}")
        elif layout.parse_fetched(name) is not None:
            told.append(f"has {name}, fetched by a recovery that did not finish here")
    return told


def _check(path: str, file: SegmentFile) -> SegmentReport:
    check = SegmentCheck(file)
    with open(path, "rb") as source:
        while data := source.read(PIECE_BYTES):
            check.feed(data)
    return check.finish()


def _read_small(current: str, name: str) -> bytes:
    path = os.path.join(current, name)
    if not os.path.exists(path):
        return b""
    with open(path, "rb") as source:
        return source.read(layout.SMALL_FILE_BYTES_MAX)


def _read_version(current: str) -> tuple[StorageInfo, bool]:
    """(the storage, whether it is a JournalNode's)."""
    where = os.path.join(current, layout.VERSION)
    text = _read_small(current, layout.VERSION).decode(errors="replace")
    properties = version_file.parse(text, where)
    if version_file.require(properties, "storageType", where) == layout.STORAGE_TYPE:
        return layout.parse_version(text, where), True
    storage = StorageInfo(
        layout_version=version_file.require_int(properties, "layoutVersion", where),
        namespace_id=version_file.require_int(properties, "namespaceID", where),
        ctime_ms=version_file.require_int(properties, "cTime", where),
        cluster_id=version_file.require(properties, "clusterID", where),
    )
    return storage, False


def _read_long(current: str, name: str) -> int:
    data = _read_small(current, name)
    return layout.parse_long(data, os.path.join(current, name)) if data else 0


def _read_committed(current: str) -> TxId | None:
    where = os.path.join(current, layout.COMMITTED_TXID)
    committed = layout.parse_committed(_read_small(current, layout.COMMITTED_TXID), where)
    return None if committed == INVALID_TXID else committed


def _read_accepted(current: str) -> dict[TxId, AcceptedRecovery]:
    directory = os.path.join(current, layout.PAXOS)
    if not os.path.isdir(directory):
        return {}
    found = {}
    for name in sorted(os.listdir(directory)):
        first = layout.parse_accepted(name)
        if first is None:
            continue
        stored = layout.parse_paxos(_read_small(directory, name), os.path.join(directory, name))
        found[TxId(first)] = AcceptedRecovery(
            TxId(stored.segmentState.endTxId),
            stored.segmentState.isInProgress,
            Epoch(stored.acceptedInEpoch),
        )
    return found


# -- live JournalNodes -----------------------------------------------------------------------


async def _ask(host: Host, world: World, user: str) -> JournalContent:
    journal = NodeId(str(host.address))
    client = RpcClient(world.network, host.address, QJOURNAL_PROTOCOL, user=user, dice=world.dice)
    try:
        return await _ask_with(client, host, world)
    except InvariantBroken:
        raise
    except (HdfsdError, OSError) as error:
        return JournalContent(journal, error=f"can't be asked: {error}")
    finally:
        await client.close()


async def _ask_with(client: RpcClient, host: Host, world: World) -> JournalContent:
    journal = NodeId(str(host.address))
    jid = qjournal.JournalIdProto(identifier=host.journal_id)
    formatted = await client.call(
        "isFormatted", qjournal.IsFormattedRequestProto(jid=jid), deadline_ms=ASK_MS
    )
    if not formatted.isFormatted:
        return JournalContent(journal)
    state = await client.call(
        "getJournalState", qjournal.GetJournalStateRequestProto(jid=jid), deadline_ms=ASK_MS
    )
    manifest = await client.call(
        "getEditLogManifest",
        qjournal.GetEditLogManifestRequestProto(jid=jid, sinceTxId=0, inProgressOk=True),
        deadline_ms=ASK_MS,
    )
    base = _http_url(host.address, state)
    bean = await _bean(world, base, host.journal_id)
    reports: list[SegmentReport] = []
    for log in manifest.manifest.logs:
        last = None if log.isInProgress else TxId(log.endTxId)
        name = (
            files.inprogress_name(log.startTxId)
            if last is None
            else files.finalized_name(log.startTxId, last)
        )
        file = SegmentFile(TxId(log.startTxId), last, name)
        report = await _fetch(world, base, host.journal_id, file)
        if report is not None:
            reports.append(report)
    committed = bean.get("CommittedTxId")
    return JournalContent(
        journal,
        formatted=True,
        promised=Epoch(state.lastPromisedEpoch),
        writer_epoch=Epoch(bean["LastWriterEpoch"]) if "LastWriterEpoch" in bean else None,
        committed_txid=TxId(committed) if committed is not None and committed > 0 else None,
        accepted=None,
        segments=tuple(reports),
    )


def _http_url(address: Address, state: qjournal.GetJournalStateResponseProto) -> str:
    """The host that we were given is the one we reach it by."""
    scheme, port = "http", state.httpPort
    if state.HasField("fromURL"):
        url = urlsplit(state.fromURL)
        scheme, port = url.scheme or scheme, url.port or port
    return f"{scheme}://{Address(address.host, port)}"


async def _fetch(
    world: World, base: str, journal_id: str, file: SegmentFile
) -> SegmentReport | None:
    """None: it is not there any more."""
    url = (
        f"{base}/getJournal?jid={quote(journal_id, safe='')}&segmentTxId={file.first_txid}"
        f"&inProgressOk={str(file.in_progress).lower()}"
    )
    reply = await world.http_client.request("GET", url, connect_ms=ASK_MS, read_ms=FETCH_MS)
    try:
        if reply.status == HTTP_NOT_FOUND:
            return None
        if reply.status != HTTP_OK:
            raise IOFault(f"{url}: HTTP {reply.status} {reply.reason}")
        check = SegmentCheck(file)
        async for chunk in reply.chunks():
            check.feed(chunk)
        return check.finish()
    finally:
        await reply.close()


async def _bean(world: World, base: str, journal_id: str) -> Mapping[str, int]:
    """What it publishes of this journal under /jmx; empty when it publishes nothing."""
    name = f"Hadoop:service=JournalNode,name=Journal-{journal_id}"
    url = f"{base}/jmx?qry={quote(name, safe='')}"
    reply = await world.http_client.request("GET", url, connect_ms=ASK_MS, read_ms=ASK_MS)
    data = bytearray()
    try:
        async for chunk in reply.chunks():
            data += chunk
            if len(data) > JMX_BYTES_MAX:
                raise CorruptData(url, JMX_BYTES_MAX, "longer than a page of beans may be")
    finally:
        await reply.close()
    if reply.status != HTTP_OK:
        return {}
    try:
        beans = json.loads(data)["beans"]
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptData(url, None, f"no page of beans: {error!r}") from error
    for bean in beans:
        if bean.get("name") == name:
            return {key: value for key, value in bean.items() if isinstance(value, int)}
    return {}
