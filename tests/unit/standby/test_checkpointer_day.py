"""A day of checkpoints in virtual time: who saves and uploads how often, and that nothing loops.

Real storage, transfers and checkpointers over simulated disks and HTTP; the NameNodes around them
are reduced to the number of their last transaction.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from small_namenode import INFO, DiskWriter, Ports, settings

from hdfsd.base.ids import Address, TxId
from hdfsd.namenode.gate import HAState
from hdfsd.namenode.storage import NameStorage, Retention
from hdfsd.ports.http import HttpRequest, HttpResponse
from hdfsd.sim.world import World
from hdfsd.standby.checkpointer import Checkpointer, SavedImage
from hdfsd.standby.checkpoints import Outcome
from hdfsd.web.image_transfer import ImageTransfer

HOUR = 3600
SETTINGS = replace(settings(ha=True).checkpoint, transfer_chunk_bytes=1000, transfer_bandwidth=0)
IMAGE = b"i" * 5000
NAMES = ("nn1", "nn2", "nn3", "nn4", "nn5")
"""Active, two standbys, an observer, and one that is down."""


async def every_one_durable() -> None:
    """Nothing waits for a journal here."""


class Node:
    """What a NameNode has to do with images."""

    def __init__(self, world: World, name: str, state: HAState) -> None:
        self.settings = SETTINGS
        self.name = name
        self.ports = ports = Ports(world, name)
        self.state = SimpleNamespace(ha_state=state, info=INFO)
        self.storage = NameStorage(disk=ports.disk, image_dirs=["/name"], edits_dirs=["/name"])
        self.answers: Counter[int] = Counter()
        self.asked_by: Counter[str] = Counter()
        self.bytes_in = 0
        self.saves = 0
        self.transfer = ImageTransfer(
            state=self.state,  # type: ignore[arg-type]
            storage=self.storage,
            lifecycle=self,  # type: ignore[arg-type]
            settings=SETTINGS,
            disk=ports.disk,
            clock=ports.clock,
        )

    def applied_txid(self) -> TxId:
        """One transaction a second, everywhere."""
        return TxId(int(asyncio.get_running_loop().time()))

    def standby(self) -> asyncio.Task[None]:
        """Begins to make checkpoints."""
        self.state.ha_state = HAState.STANDBY
        self.checkpointer = Checkpointer(
            clock=self.ports.clock,
            disk=self.ports.disk,
            http=self.ports.http_client,
            peers=[Address(other, 9870) for other in NAMES if other != self.name],
            storage=INFO.storage,
            settings=self.settings,
            applied_txid=self.applied_txid,
            image_txid=lambda: self.storage.newest_image_txid() or TxId(0),
            save=self.save,
        )
        return asyncio.ensure_future(self.checkpointer.run())

    async def start(self) -> None:
        await self.storage.format(INFO, "a date")
        await self._write(TxId(0))
        address = Address(self.name, 9870)
        await self.ports.http_server.serve(address, self.handle)

    async def handle(self, request: HttpRequest) -> HttpResponse:
        async def counted() -> Any:
            async for piece in request.body:
                self.bytes_in += len(piece)
                yield piece

        response = await self.transfer.handle(replace(request, body=counted()))
        self.answers[response.status] += 1
        self.asked_by[request.peer] += 1
        return response

    async def save(self) -> SavedImage:
        self.saves += 1
        await asyncio.sleep(30)
        return await self._write(self.applied_txid())

    async def _write(self, txid: TxId) -> SavedImage:
        image = await self.storage.save_image(
            txid,
            lambda: iter([IMAGE]),
            DiskWriter(self.ports.disk),
            before_publishing=every_one_durable,
        )
        await self.purge()
        return SavedImage(txid, image.path, self.storage.stored_md5(image.path))

    async def purge(self) -> None:
        await self.storage.purge(Retention(2, 0, 100))

    def sent(self, peer: str) -> Outcome | None:
        (found,) = [row for row in self.checkpointer.receivers if row.peer.host == peer]
        return found.outcome


class Day:
    def __init__(self, world: World) -> None:
        self.world = world
        states = (HAState.ACTIVE, HAState.STANDBY, HAState.STANDBY, HAState.OBSERVER)
        self.nodes = [Node(world, name, state) for name, state in zip(NAMES, states, strict=False)]
        world.add_machine("nn5")
        self.running: list[asyncio.Task[None]] = []

    async def begin(self) -> None:
        for node in self.nodes:
            await node.start()
        for standby in self.nodes[1:3]:
            self.running.append(standby.standby())
            await asyncio.sleep(HOUR / 3)


def play(story: Callable[[Day], Coroutine[Any, Any, None]]) -> None:
    world = World("a day of checkpoints")
    day = Day(world)

    async def whole() -> None:
        await day.begin()
        await story(day)
        for task in day.running:
            task.cancel()
        await asyncio.wait(day.running)

    world.run(whole())


def test_a_day_with_one_node_down() -> None:
    async def story(day: Day) -> None:
        active, first, second, observer = day.nodes
        await asyncio.sleep(24 * HOUR)
        # One save an hour each, and an image an hour from one of them, sent once to each.
        assert (first.saves, second.saves) == (24, 24)
        assert (active.saves, observer.saves) == (0, 0)
        for receiver in (active, observer):
            assert receiver.answers[200] == 24
            assert receiver.bytes_in == 24 * len(IMAGE), "nothing was sent that was not wanted"
            assert set(receiver.answers) == {200, 409}
            # The other standby asks when it has a new image, and is told no.
            assert receiver.answers[409] == second.saves
        for standby, other in ((first, second), (second, first)):
            assert standby.bytes_in == 0
            assert standby.answers == {417: other.saves}
        assert first.sent("nn5") is second.sent("nn5") is Outcome.UNREACHABLE
        # nn5: six times in the first hour, then once an hour, which only a new image does.
        failures = [row.failures for row in first.checkpointer.receivers if row.peer.host == "nn5"]
        assert failures == [6 + 23]

    play(story)


def test_the_second_standby_takes_over_when_the_first_is_gone() -> None:
    async def story(day: Day) -> None:
        active, first, second, observer = day.nodes
        await asyncio.sleep(6 * HOUR)
        before = active.answers[200], second.saves
        day.running[0].cancel()
        await asyncio.sleep(6 * HOUR)
        assert first.saves == before[0]
        assert second.saves == before[1] + 6
        for receiver in (active, observer):
            assert receiver.answers[200] == before[0] + 6
            assert receiver.bytes_in == receiver.answers[200] * len(IMAGE)

    play(story)


def test_a_failover_leaves_everybody_with_images() -> None:
    async def story(day: Day) -> None:
        old, new, standby, _ = day.nodes
        await asyncio.sleep(6 * HOUR)
        day.running[0].cancel()
        new.state.ha_state = HAState.ACTIVE
        day.running.append(old.standby())
        await asyncio.sleep(6 * HOUR)
        # Whichever of the two standbys: an image an hour reaches the new active, each once.
        assert new.answers[200] in (5, 6)
        assert new.bytes_in == new.answers[200] * len(IMAGE)
        assert old.saves in (5, 6)
        assert 11 <= standby.saves <= 12

    play(story)


def test_an_upload_that_broke_off_is_resumed_and_nothing_is_sent_twice() -> None:
    """Fifty bytes a second, and a network that is cut in the middle for two minutes."""

    async def story(day: Day) -> None:
        active, _, second, observer = day.nodes
        day.running[0].cancel()
        second.settings = replace(SETTINGS, transfer_chunk_bytes=100, transfer_bandwidth=50)
        day.running[1].cancel()
        day.running.append(second.standby())
        await asyncio.sleep(HOUR + 90)
        (row,) = [row for row in second.checkpointer.receivers if row.peer.host == "nn1"]
        assert row.sending_txid is not None
        half = active.bytes_in
        assert 0 < half < len(IMAGE)
        hosts = active.ports.machine.host, second.ports.machine.host
        day.world.fabric.partition(hosts[:1], hosts[1:])
        await asyncio.sleep(120)
        day.world.fabric.heal()
        await asyncio.sleep(10 * 60)
        assert row.outcome is Outcome.TAKEN
        assert row.bytes_resumed > 0
        assert active.bytes_in == len(IMAGE)
        assert (active.answers[308], active.answers[200]) == (1, 1)
        assert observer.bytes_in == len(IMAGE), "the other one was not delayed"
        assert second.saves == 1, "and nothing was saved again"
        image = active.storage.images()[0]
        assert active.storage.read_image(image) == IMAGE

    play(story)
