"""Driver. Brings a namespace into memory at start: the newest good image, then edits. Holds P9.

With HA the edits come from the shared journal, by the tailer; without, from our own directories.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from hdfsd.base.errors import CorruptData, StorageError
from hdfsd.base.ids import NamespaceInfo, TxId
from hdfsd.blocks.manager import BlockManager
from hdfsd.editlog import segment
from hdfsd.image.load import load
from hdfsd.namenode.local_edits import LocalEdits
from hdfsd.namenode.state import NameNodeState
from hdfsd.namenode.storage import NameStorage
from hdfsd.namespace.tree import Namespace
from hdfsd.standby.replay import replay

log = logging.getLogger(__name__)


def load_image(
    storage: NameStorage,
    *,
    info: NamespaceInfo,
    make_namespace: Callable[[], Namespace],
    blocks: BlockManager,
    retry_life_ms: int,
) -> NameNodeState:
    """The state of the newest image whose digest and content are good.

    A bad image is told and passed over for an older one, as in Hadoop's FSImage.loadFSImage: the
    edits since the older one are kept for that. Raises StorageError when none can be read.
    """
    failures = []
    for image in storage.images():
        namespace = make_namespace()
        try:
            header = load(storage.read_image(image), namespace, image.path)
            if header.namespace_id != info.storage.namespace_id:
                raise CorruptData(
                    image.path,
                    None,
                    f"it is of namespace {header.namespace_id}, not {info.storage.namespace_id}",
                )
        except CorruptData as error:
            log.error("image passed over: %s", error)
            failures.append(str(error))
            continue
        log.info("loaded %s: %d inodes", image.path, namespace.inode_count)
        state = NameNodeState(
            info=info,
            namespace=namespace,
            blocks=blocks,
            applied_txid=header.txid,
            retry_life_ms=retry_life_ms,
        )
        state.load_blocks()
        return state
    where = ", ".join(storage.image_dirs)
    why = "; ".join(failures) or "there is none"
    raise StorageError(f"no image in {where} can be loaded: {why}")


async def replay_local(
    state: NameNodeState, local: LocalEdits, *, seen_txid: TxId, now_ms: int
) -> None:
    """Applies our own segments from the image on. Raises CorruptData for a gap or a missing end."""
    await local.recover_unclosed()
    for path, data, last_txid in local.read_from(TxId(state.applied_txid + 1)):
        layout_version, offset = segment.read_header(data, path)
        steps = replay(
            data,
            layout_version,
            next_txid=state.applied_txid + 1,
            where=path,
            apply=lambda op, txid: state.replay(op, txid, now_ms),
            offset=offset,
            last_txid=last_txid,
        )
        for _ in steps:
            pass
    if state.applied_txid < seen_txid - 1:
        raise CorruptData(
            "the edits directories",
            None,
            f"they end at transaction {state.applied_txid}, but {seen_txid} was begun: restore the "
            "missing segments from a copy",
        )
