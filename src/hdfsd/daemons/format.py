"""Adapter. `hdfsd namenode -format`, `-bootstrapStandby`, `-initializeSharedEdits`.

Options, questions and exit codes are Hadoop's (NameNode.format, BootstrapStandby): 0 done, 1 not
confirmed or failed; a bootstrap has codes of its own for each way to fail.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import sys
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from hdfsd.base.errors import (
    ConfigError,
    CorruptData,
    HdfsdError,
    LinkError,
    QuorumLost,
    RemoteFault,
)
from hdfsd.base.ids import NAMENODE_LAYOUT_VERSION, NamespaceInfo, StorageInfo, TxId
from hdfsd.base.nameservices import NameNodeAddresses
from hdfsd.base.settings import NameNodeSettings
from hdfsd.daemons.world import World
from hdfsd.editlog import segment
from hdfsd.editlog.codec import LAYOUT_WITH_LENGTH
from hdfsd.editlog.frames import FrameScanner
from hdfsd.image.save import save
from hdfsd.image.sections import ImageHeader
from hdfsd.io.prompt import confirm
from hdfsd.namenode.local_edits import LocalEdits
from hdfsd.namenode.shared_journal import open_journal
from hdfsd.namenode.storage import NameStorage
from hdfsd.namenode.views import new_namespace
from hdfsd.ports.journal import Journal
from hdfsd.rpc.client import RpcClient
from hdfsd.wire.messages import hdfs_server, namenode
from hdfsd.wire.services import NAMENODE_PROTOCOL

NAMESPACE_ID_MAX = 0x7FFFFFFF
FAILED_CONNECT, INVALID_VERSION, ALREADY_FORMATTED, LOGS_UNAVAILABLE = 2, 3, 5, 6
"""Exit codes of BootstrapStandby."""
RPC_DEADLINE_MS = 20_000
COPIED_BYTES = 1 << 20
"""Of edits that go to a shared journal at a time."""


@dataclass(slots=True)
class FormatOptions:
    force: bool = False
    interactive: bool = True
    cluster_id: str | None = None
    skip_shared_edits_check: bool = False


def parse_options(words: Sequence[str]) -> FormatOptions:
    """Raises ConfigError for a word that is no option of these commands."""
    options, rest = FormatOptions(), list(words)
    while rest:
        word = rest.pop(0)
        match word.lower():
            case "-force":
                options.force = True
            case "-noninteractive":
                options.interactive = False
            case "-skipsharededitscheck":
                options.skip_shared_edits_check = True
            case "-clusterid" if rest and rest[0]:
                options.cluster_id = rest.pop(0)
            case _:
                raise ConfigError(f"{word!r} is no option here, or lacks its value")
    return options


def _storage(settings: NameNodeSettings, world: World) -> NameStorage:
    return NameStorage(
        disk=world.disk, image_dirs=settings.name_dirs, edits_dirs=settings.edits_dirs
    )


def _may_destroy(what: Sequence[str], options: FormatOptions) -> bool:
    """Whether the user agrees to lose what is there (Storage.confirmFormat)."""
    for name in what:
        if options.force:
            print(f"Data exists in {name}. Formatting anyway.", file=sys.stderr)
        elif not options.interactive:
            print(
                "Running in non-interactive mode, and data appears to exist in "
                f"{name}. Not formatting.",
                file=sys.stderr,
            )
            return False
        elif not confirm(f"Re-format filesystem in {name} ?"):
            print(f"Format aborted in {name}", file=sys.stderr)
            return False
    return True


# --- -format ---


async def format_namenode(
    settings: NameNodeSettings, options: FormatOptions, world: World, user: str
) -> int:
    """A new, empty namespace in the name directories and on the shared journal."""
    if not settings.format_allowed:
        raise ConfigError("dfs.namenode.support.allow.format is false: formatting is forbidden")
    storage = _storage(settings, world)
    info = new_info(options.cluster_id, world)
    journal = open_journal(settings, info, world, user) if settings.journal else None
    existing = [f"Storage Directory {d}" for d in storage.has_data()]
    if journal is not None and settings.journal is not None and await journal.has_data():
        existing.append(settings.journal.describe())
    if not _may_destroy(existing, options):
        return 1
    storage.lock()
    try:
        if journal is not None:
            await journal.format(info, force=options.force or bool(existing))
        await storage.format(info, _date_comment())
        await _save_first_image(settings, storage, info, world, user)
    finally:
        storage.unlock()
        if journal is not None:
            await journal.close()
    for directory in storage.all_dirs:
        print(f"Storage directory {directory} has been successfully formatted.", file=sys.stderr)
    return 0


async def _save_first_image(
    settings: NameNodeSettings, storage: NameStorage, info: NamespaceInfo, world: World, user: str
) -> None:
    namespace = new_namespace(settings, user, world.clock.wall_ms())
    data = b"".join(save(namespace, ImageHeader(info.storage.namespace_id, TxId(0))))

    async def body() -> AsyncIterator[bytes]:
        yield data

    await storage.receive_image(TxId(0), body(), size=len(data), md5_hex=None)


def new_info(cluster_id: str | None, world: World) -> NamespaceInfo:
    """Ids of a new namespace, made as NNStorage and NameNode make them."""
    now_ms = world.clock.wall_ms()
    host_ip = _own_ip()
    storage = StorageInfo(
        layout_version=NAMENODE_LAYOUT_VERSION,
        namespace_id=1 + world.dice.below(NAMESPACE_ID_MAX),
        ctime_ms=now_ms,
        cluster_id=cluster_id or f"CID-{uuid.UUID(bytes=world.dice.token(16), version=4)}",
    )
    pool = f"BP-{world.dice.below(NAMESPACE_ID_MAX)}-{host_ip}-{now_ms}"
    return NamespaceInfo(storage, pool)


def _own_ip() -> str:
    try:
        address = socket.gethostbyname(socket.gethostname())
        return str(ipaddress.ip_address(address))
    except (OSError, ValueError):
        return "127.0.0.1"


def _date_comment() -> str:
    """As java.util.Properties writes it: `Sun Nov 22 02:00:00 UTC 2026`."""
    return time.strftime("%a %b %d %H:%M:%S UTC %Y", time.gmtime())


# --- -bootstrapStandby ---


class _NotBootstrapped(HdfsdError):
    """Nothing was copied; `code` says which way it failed."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


async def bootstrap_standby(
    settings: NameNodeSettings, options: FormatOptions, world: World, user: str
) -> int:
    """Copies the namespace's newest image from another NameNode into our directories."""
    if not settings.peers:
        raise ConfigError("-bootstrapStandby needs an HA nameservice: dfs.ha.namenodes.<ns>")
    try:
        await _bootstrap(settings, options, world, user)
    except _NotBootstrapped as failure:
        print(failure, file=sys.stderr)
        return failure.code
    return 0


async def _bootstrap(
    settings: NameNodeSettings, options: FormatOptions, world: World, user: str
) -> None:
    peer, info, image_txid, newest_txid = await _ask_peers(settings, world, user)
    if info.storage.layout_version != NAMENODE_LAYOUT_VERSION:
        raise _NotBootstrapped(
            INVALID_VERSION,
            f"{peer.node_id} has layout version {info.storage.layout_version}, this NameNode "
            f"{NAMENODE_LAYOUT_VERSION}: upgrade it first",
        )
    print(
        f"=====================================================\n"
        f"About to bootstrap Standby ID {settings.node_id} from:\n"
        f"           Nameservice ID: {settings.nameservice}\n"
        f"        Other Namenode ID: {peer.node_id}\n"
        f"  Other NN's HTTP address: http://{peer.http}\n"
        f"  Other NN's IPC  address: {peer.for_servers}\n"
        f"             Namespace ID: {info.storage.namespace_id}\n"
        f"            Block pool ID: {info.block_pool_id}\n"
        f"               Cluster ID: {info.storage.cluster_id}\n"
        f"           Layout version: {info.storage.layout_version}\n"
        f"=====================================================",
        file=sys.stderr,
    )
    storage = _storage(settings, world)
    existing = [f"Storage Directory {d}" for d in storage.has_data()]
    if not _may_destroy(existing, options):
        raise _NotBootstrapped(ALREADY_FORMATTED, "Nothing was copied.")
    storage.lock()
    try:
        if settings.journal is not None and not options.skip_shared_edits_check:
            await _check_journal(settings, info, world, user, image_txid, newest_txid)
        await storage.format(info, _date_comment())
        await _fetch_image(settings, storage, info, peer, image_txid, world)
        await storage.write_seen_txid(image_txid)
    finally:
        storage.unlock()


async def _ask_peers(
    settings: NameNodeSettings, world: World, user: str
) -> tuple[NameNodeAddresses, NamespaceInfo, TxId, TxId]:
    """The first NameNode that answers: its namespace, newest image and newest transaction."""
    reasons = []
    for peer in settings.peers:
        client = RpcClient(
            world.network, peer.for_servers, NAMENODE_PROTOCOL, user=user, dice=world.dice
        )
        try:
            version = await client.call(
                "versionRequest", hdfs_server.VersionRequestProto(), deadline_ms=RPC_DEADLINE_MS
            )
            image = await client.call(
                "getMostRecentCheckpointTxId",
                namenode.GetMostRecentCheckpointTxIdRequestProto(),
                deadline_ms=RPC_DEADLINE_MS,
            )
            newest = await client.call(
                "getTransactionId",
                namenode.GetTransactionIdRequestProto(),
                deadline_ms=RPC_DEADLINE_MS,
            )
        except (LinkError, RemoteFault) as error:
            reasons.append(f"{peer.node_id} at {peer.for_servers}: {error}")
            continue
        finally:
            await client.close()
        return peer, _info_of(version.info), TxId(image.txId), TxId(newest.txId)
    raise _NotBootstrapped(
        FAILED_CONNECT, f"no other NameNode could be asked: {'; '.join(reasons)}"
    )


def _info_of(info: hdfs_server.NamespaceInfoProto) -> NamespaceInfo:
    layout = info.storageInfo.layoutVersion
    storage = StorageInfo(
        layout - (1 << 32) if layout >= 1 << 31 else layout,
        info.storageInfo.namespceID,
        info.storageInfo.cTime,
        info.storageInfo.clusterID,
    )
    return NamespaceInfo(storage, info.blockPoolID)


async def _check_journal(
    settings: NameNodeSettings,
    info: NamespaceInfo,
    world: World,
    user: str,
    image_txid: TxId,
    newest_txid: TxId,
) -> None:
    """Every transaction after the image must be on the journal (checkLogsAvailableForRead)."""
    if image_txid >= newest_txid:
        return
    journal = open_journal(settings, info, world, user)
    try:
        found = (await journal.edits(TxId(image_txid + 1), 1)).count > 0
    except (QuorumLost, CorruptData) as error:
        print(error, file=sys.stderr)
        found = False
    finally:
        await journal.close()
    if not found:
        raise _NotBootstrapped(
            LOGS_UNAVAILABLE,
            f"Unable to read transaction ids {image_txid + 1}-{newest_txid} from the configured "
            "shared edits storage. Please copy these logs into the shared edits storage or call "
            "saveNamespace on the active node.",
        )


async def _fetch_image(
    settings: NameNodeSettings,
    storage: NameStorage,
    info: NamespaceInfo,
    peer: NameNodeAddresses,
    txid: TxId,
    world: World,
) -> None:
    url = (
        f"http://{peer.http}/imagetransfer?getimage=1&txid={txid}"
        f"&storageInfo={info.storage.colon_form()}&bootstrapstandby=true"
    )
    timeout_ms = settings.checkpoint.transfer_timeout_ms
    reply = await world.http_client.request("GET", url, connect_ms=timeout_ms, read_ms=timeout_ms)
    try:
        if reply.status != 200:
            raise HdfsdError(f"{url} answered {reply.status} {reply.reason}")
        size = reply.headers.get("content-length")
        if size is None:
            raise CorruptData(url, None, "the answer has no Content-Length")
        await storage.receive_image(
            txid, reply.chunks(), size=int(size), md5_hex=reply.headers.get("x-md5-digest")
        )
    finally:
        await reply.close()


# --- -initializeSharedEdits ---


async def initialize_shared_edits(
    settings: NameNodeSettings, options: FormatOptions, world: World, user: str
) -> int:
    """Formats the shared journal and copies our own edits since the last image to it.

    They must be whole: a NameNode that was a standby for a while has gaps in its own.
    """
    if settings.journal is None:
        raise ConfigError("-initializeSharedEdits needs dfs.namenode.shared.edits.dir")
    storage = _storage(settings, world)
    storage.lock()
    info = storage.read_info()
    journal = open_journal(settings, info, world, user)
    try:
        local = LocalEdits(
            disk=world.disk, storage=storage, directories_min=settings.edits_dirs_min
        )
        await local.recover_unclosed()
        first_txid = TxId((storage.newest_image_txid() or TxId(0)) + 1)
        last_txid = _last_without_gap(local, first_txid)
        existing = ["the shared edits"] if await journal.has_data() else []
        if existing:
            await _tell_what_is_lost(journal, last_txid)
        if not _may_destroy(existing, options):
            return 1
        await journal.format(info, force=bool(existing))
        await journal.recover()
        for path, data, end_txid in local.read_from(first_txid):
            await _copy_segment(journal, path, data, end_txid)
    finally:
        await journal.close()
        storage.unlock()
    return 0


def _last_without_gap(local: LocalEdits, first_txid: TxId) -> TxId:
    """Where our own edits from `first_txid` on end. Raises CorruptData at a gap, as Hadoop does
    when it loads them before it copies them."""
    next_txid = first_txid
    for path, data, end_txid in local.read_from(first_txid):
        scanned = segment.scan(data, path, end_txid)
        if scanned.first_txid is None or scanned.last_txid is None:
            continue
        if scanned.layout_version > LAYOUT_WITH_LENGTH:
            raise CorruptData(path, 0, f"layout {scanned.layout_version} is too old to be copied")
        if scanned.first_txid > next_txid:
            raise CorruptData(
                path,
                None,
                f"it begins with txid {scanned.first_txid}, and txid {next_txid} is in no segment"
                " of this NameNode: another one wrote meanwhile. Nothing was changed. Run this on"
                " the NameNode whose image is newer, or start this one with the shared edits that"
                " it had and let it save its namespace",
            )
        next_txid = max(next_txid, TxId(scanned.last_txid + 1))
    return TxId(next_txid - 1)


async def _tell_what_is_lost(journal: Journal, last_txid: TxId) -> None:
    try:
        newest = await journal.newest_txid()
    except (HdfsdError, OSError) as error:
        print(f"What the shared edits hold can't be read: {error}", file=sys.stderr)
        return
    if newest > last_txid:
        print(
            f"The shared edits hold transactions up to {newest}, this NameNode up to {last_txid}:"
            " those between will be lost.",
            file=sys.stderr,
        )


async def _copy_segment(journal: Journal, path: str, data: bytes, end_txid: TxId | None) -> None:
    """One segment, in batches of bounded size."""
    scanned = segment.scan(data, path, end_txid)
    first, last = scanned.first_txid, scanned.last_txid
    if first is None or last is None:
        return
    await journal.start_segment(first, scanned.layout_version)
    # Cut anew: a whole segment may be more than a request may hold.
    scanner = FrameScanner(path)
    for offset in range(0, scanned.end_offset, COPIED_BYTES):
        run = scanner.feed(data[offset : min(offset + COPIED_BYTES, scanned.end_offset)])
        if run is not None:
            await journal.write(run.first_txid, run.count, run.data)
    await journal.finalize_segment(first, last)


# --- the commands ---

Work = Callable[[NameNodeSettings, Sequence[str], str], int]


def _command(
    work: Callable[[NameNodeSettings, FormatOptions, World, str], Awaitable[int]],
) -> Work:
    def run(settings: NameNodeSettings, words: Sequence[str], user: str) -> int:
        options = parse_options(words)

        async def life() -> int:
            world = World()
            try:
                return await work(settings, options, world, user)
            finally:
                await world.http_client.close()

        return asyncio.run(life())

    return run


COMMANDS: Mapping[str, Work] = {
    "-format": _command(format_namenode),
    "-bootstrapStandby": _command(bootstrap_standby),
    "-initializeSharedEdits": _command(initialize_shared_edits),
}
