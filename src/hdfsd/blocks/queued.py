"""Core. What a standby was told about blocks it can't judge yet: kept until the edit arrives.

Behaviour: Hadoop's PendingDataNodeMessages.
"""

from __future__ import annotations

from dataclasses import dataclass

from hdfsd.base.ids import Block, BlockId
from hdfsd.blocks.datanodes import DataNode, Storage


@dataclass(frozen=True, slots=True)
class QueuedMessage:
    storage: Storage
    block: Block
    state: int | None
    """ReplicaState as reported; None for a deletion."""


class QueuedMessages:
    """The last word of every storage about a block, in order of first arrival.

    Only the last one counts: a DataNode's messages are in order, and an older one replayed late
    would contradict what the storage has said since (HDFS-17453).
    """

    def __init__(self) -> None:
        self._by_block: dict[BlockId, dict[int, QueuedMessage]] = {}
        self.count = 0

    def add(self, storage: Storage, block: Block, state: int | None) -> None:
        messages = self._by_block.setdefault(block.block_id, {})
        self.count += storage.index not in messages
        messages[storage.index] = QueuedMessage(storage, block, state)

    def supersede(self, storage: Storage, block_id: BlockId) -> None:
        """The storage said something that could be judged: what waits of it is outdated."""
        messages = self._by_block.get(block_id)
        if messages is not None and messages.pop(storage.index, None) is not None:
            self.count -= 1
            if not messages:
                del self._by_block[block_id]

    def take(self, block_id: BlockId) -> list[QueuedMessage]:
        messages = list(self._by_block.pop(block_id, {}).values())
        self.count -= len(messages)
        return messages

    def take_all(self) -> list[QueuedMessage]:
        taken = [message for messages in self._by_block.values() for message in messages.values()]
        self._by_block.clear()
        self.count = 0
        return taken

    def forget(self, node: DataNode) -> None:
        """Whatever a dead or replaced node said counts no longer."""
        storages = list(node.storages.values())
        for block_id in list(self._by_block):
            for storage in storages:
                self.supersede(storage, block_id)
