"""Driver. Carries news of the transfer threads to the event loop, in order."""

from __future__ import annotations

import asyncio

from hdfsd.base.ids import Block
from hdfsd.datanode.offer import Offer
from hdfsd.datanode.reporter import BlockChange


class LoopListener:
    """Implements `dataset.Listener`; made in the loop. `offer` is set before any thread runs."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.offer: Offer | None = None

    def changed(self, change: BlockChange) -> None:
        self._loop.call_soon_threadsafe(self._changed, change)

    def corrupt(self, block: Block, storage_id: str, reason: str) -> None:
        self._loop.call_soon_threadsafe(self._corrupt, block, storage_id, reason)

    def _changed(self, change: BlockChange) -> None:
        assert self.offer is not None
        self.offer.changed(change)

    def _corrupt(self, block: Block, storage_id: str, reason: str) -> None:
        assert self.offer is not None
        self.offer.corrupt(block, storage_id, reason)
