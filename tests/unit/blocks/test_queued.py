from __future__ import annotations

from hdfsd.blocks.queued import QueuedMessages


def test_messages_of_a_block_come_back_in_order_of_storages(world):
    a, b = world.add_node("a"), world.add_node("b")
    on_a, on_b = a.storages["a-s0"], b.storages["b-s0"]
    queued = QueuedMessages()
    queued.add(on_a, world.block(1), 0)
    queued.add(on_b, world.block(1), 1)
    queued.add(on_b, world.block(2), None)
    assert queued.count == 3
    taken = queued.take(world.block(1).block_id)
    assert [(m.storage, m.state) for m in taken] == [(on_a, 0), (on_b, 1)]
    assert queued.count == 1
    assert queued.take(world.block(1).block_id) == []


def test_only_the_last_word_of_a_storage_counts(world):
    storage = world.add_node("a").storages["a-s0"]
    queued = QueuedMessages()
    for state in (1, 0, None):
        queued.add(storage, world.block(1, stamp=1001 + (state or 0)), state)
    assert queued.count == 1
    assert [m.state for m in queued.take_all()] == [None]
    assert queued.count == 0


def test_superseded_and_forgotten_messages_are_gone(world):
    a, b = world.add_node("a", storages=2), world.add_node("b")
    queued = QueuedMessages()
    for storage in (*a.storages.values(), *b.storages.values()):
        queued.add(storage, world.block(1), 0)
        queued.add(storage, world.block(2), 0)
    queued.supersede(b.storages["b-s0"], world.block(1).block_id)
    queued.supersede(b.storages["b-s0"], world.block(9).block_id)
    assert queued.count == 5
    queued.forget(a)
    assert queued.count == 1
    assert [m.block for m in queued.take_all()] == [world.block(2)]
