"""Core. Where a new replica goes: racks, load and space, with dice.

Behaviour: Hadoop's BlockPlacementPolicyDefault for the HOT policy (DISK storages): the writer's own
node, then two nodes of one other rack, then anywhere; never two replicas on a node.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from hdfsd.blocks.datanodes import DataNode, Registry, Storage
from hdfsd.blocks.settings import BlockSettings
from hdfsd.ports.dice import Dice
from hdfsd.wire.messages import hdfs

LOAD_FACTOR = 2.0
"""dfs.namenode.redundancy.considerLoad.factor"""


class Placement:
    """Chooses storages; scheduled work is counted on the nodes by the caller."""

    def __init__(self, settings: BlockSettings, datanodes: Registry, dice: Dice) -> None:
        self._settings = settings
        self._datanodes = datanodes
        self._dice = dice

    def choose(
        self,
        count: int,
        block_size: int,
        now_ms: int,
        *,
        writer: DataNode | None = None,
        chosen: Sequence[Storage] = (),
        excluded: Collection[str] = (),
        favored: Sequence[DataNode] = (),
    ) -> list[Storage]:
        """At most `count` further storages, in pipeline order from the writer. `chosen` hold the
        block already; `excluded` are node uuids."""
        choice = _Choice(self, block_size, now_ms, chosen, excluded, count)
        for node in favored:
            choice.take(iter([node]))
        if self._settings.avoid_write_stale:
            choice.fill(writer, new_block=not chosen, avoid_stale=True)
        choice.fill(writer, new_block=not chosen, avoid_stale=False)
        return _pipeline(choice.found, writer)

    def writer_node(self, host: str | None) -> DataNode | None:
        """The live DataNode on the writer's machine, one of them when there are more."""
        nodes = self._datanodes.at_host(host) if host else []
        return self._dice.pick(nodes) if nodes else None

    def shuffled(self) -> list[DataNode]:
        nodes = self._datanodes.live()
        self._dice.shuffle(nodes)
        return nodes

    def storage_on(self, node: DataNode, block_size: int) -> Storage | None:
        """A disk of the node with room for the block, beside what is on its way there already."""
        fitting = [
            storage
            for storage in node.storages.values()
            if storage.storage_type == hdfs.DISK
            and not storage.failed
            and not storage.read_only
            and storage.remaining >= block_size
        ]
        room = sum(storage.remaining for storage in fitting)
        if not fitting or room - node.scheduled * block_size < block_size:
            return None
        return self._dice.pick(fitting)

    def load_limit(self) -> float:
        """Connections above which a node is left out (considerLoad); 0 for no limit."""
        live = self._datanodes.live()
        if not self._settings.consider_load or not live:
            return 0
        return LOAD_FACTOR * sum(node.xceivers for node in live) / len(live)

    def is_stale(self, node: DataNode, now_ms: int) -> bool:
        return self._datanodes.is_stale(node, now_ms)

    def rack_count(self) -> int:
        return len({node.location for node in self._datanodes.live()})


class _Choice:
    """One choice being made: what is found so far and which nodes are out."""

    def __init__(
        self,
        placement: Placement,
        block_size: int,
        now_ms: int,
        chosen: Sequence[Storage],
        excluded: Collection[str],
        count: int,
    ) -> None:
        self._placement = placement
        self._block_size = block_size
        self._now_ms = now_ms
        self._count = count
        self._out = {storage.node.uuid for storage in chosen}.union(excluded)
        self._all: list[Storage] = list(chosen)
        self._avoid_stale = False
        self._load_limit = placement.load_limit()
        self._rack_max = self._max_per_rack(len(chosen) + count, placement.rack_count())
        self.found: list[Storage] = []

    @staticmethod
    def _max_per_rack(total: int, racks: int) -> int:
        """BlockPlacementPolicyDefault.getMaxNodesPerRack."""
        if racks <= 1 or total <= 1:
            return total
        limit = (total - 1) // racks + 2
        return limit - 1 if limit == total else limit

    def fill(self, writer: DataNode | None, *, new_block: bool, avoid_stale: bool) -> None:
        """Chooses replica after replica by its place in the order, until all are found or none
        fits any more."""
        self._avoid_stale = avoid_stale
        while len(self.found) < self._count:
            if not any(self.take(nodes) for nodes in self._scopes(writer, new_block)):
                return

    def _scopes(self, writer: DataNode | None, new_block: bool) -> Iterator[Iterator[DataNode]]:
        """Where to look for the next replica, best first; every list ends with anywhere."""
        racks = [storage.node.location for storage in self._all]
        if not racks:
            yield iter([writer] if writer is not None else [])
            if writer is not None:
                yield self._nodes_in(writer.location)
        elif len(racks) == 1:
            yield self._nodes_off(racks[0])
        elif len(racks) == 2:
            if racks[0] == racks[1]:
                yield self._nodes_off(racks[0])
            else:
                beside = racks[1] if new_block or writer is None else writer.location
                yield self._nodes_in(beside)
        yield iter(self._placement.shuffled())

    def _nodes_in(self, rack: str) -> Iterator[DataNode]:
        return (node for node in self._placement.shuffled() if node.location == rack)

    def _nodes_off(self, rack: str) -> Iterator[DataNode]:
        return (node for node in self._placement.shuffled() if node.location != rack)

    def take(self, nodes: Iterator[DataNode]) -> bool:
        """Takes the first good one; False when there is none, or enough were found."""
        if len(self.found) >= self._count:
            return False
        for node in nodes:
            if node.uuid in self._out or self._rack_is_full(node):
                continue
            storage = self._storage_if_good(node)
            if storage is not None:
                self._out.add(node.uuid)
                self._all.append(storage)
                self.found.append(storage)
                return True
        return False

    def _rack_is_full(self, node: DataNode) -> bool:
        in_rack = sum(storage.node.location == node.location for storage in self._all)
        return in_rack >= self._rack_max

    def _storage_if_good(self, node: DataNode) -> Storage | None:
        if not node.registered or (
            self._avoid_stale and self._placement.is_stale(node, self._now_ms)
        ):
            return None
        if 0 < self._load_limit < node.xceivers:
            return None
        return self._placement.storage_on(node, self._block_size)


def _pipeline(found: list[Storage], writer: DataNode | None) -> list[Storage]:
    """The shortest way from the writer through all of them, nearest next (getPipeline)."""
    left, ordered = list(found), []
    at = writer
    while left:
        nearest = min(left, key=lambda storage: _distance(at, storage.node))
        left.remove(nearest)
        ordered.append(nearest)
        at = nearest.node
    return ordered


def _distance(one: DataNode | None, other: DataNode) -> int:
    """0 for the same node, 2 in the same rack, 4 beyond (NetworkTopology)."""
    if one is other:
        return 0
    return 2 if one is not None and one.location == other.location else 4
