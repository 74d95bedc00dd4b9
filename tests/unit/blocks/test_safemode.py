from __future__ import annotations

import pytest

from hdfsd.blocks.safemode import SafeModeStatus


def loaded(worlds, count, **settings):
    """A NameNode that just loaded `count` blocks."""
    world = worlds(active=False, **settings)
    safe_mode = world.manager.safe_mode
    safe_mode.status = SafeModeStatus.LOADING
    for number in range(count):
        world.add_block(number)
    world.manager.loaded(world.now_ms)
    return world, safe_mode


def test_an_empty_namespace_is_never_in_safe_mode(worlds):
    world, safe_mode = loaded(worlds, 0, safemode_extension_ms=30_000)
    assert not safe_mode.active
    assert safe_mode.message(world.now_ms) == ""


def test_without_extension_it_is_left_with_the_last_needed_report(worlds):
    world, safe_mode = loaded(worlds, 10, safemode_threshold=0.8)
    world.add_node("a")
    for number in range(8):
        assert safe_mode.is_startup
        world.received("a", world.block(number))
    assert not safe_mode.active


def test_the_text_counts_down(worlds):
    world, safe_mode = loaded(worlds, 10, safemode_min_datanodes=1, safemode_extension_ms=30_000)
    assert safe_mode.message(world.now_ms) == (
        "The reported blocks 0 needs additional 9 blocks to reach the threshold 0.9990 of total "
        "blocks 10.\nThe number of live datanodes 0 needs an additional 1 live datanodes to reach "
        "the minimum number 1.\nSafe mode will be turned off automatically once the thresholds "
        "have been reached."
    )
    world.add_node("a")
    world.full_report("a", [world.block(number) for number in range(10)])
    assert safe_mode.status is SafeModeStatus.EXTENSION
    assert safe_mode.message(world.now_ms + 1) == (
        "The reported blocks 10 has reached the threshold 0.9990 of total blocks 10. The number "
        "of live datanodes 1 has reached the minimum number 1. In safe mode extension. Safe mode "
        "will be turned off automatically in 29 seconds."
    )
    world.tick(29_999)
    assert safe_mode.active
    world.tick(1)
    assert not safe_mode.active


def test_the_extension_ends_only_while_the_thresholds_hold(worlds):
    world, safe_mode = loaded(worlds, 1, safemode_threshold=1.0, safemode_extension_ms=1_000)
    world.add_node("a")
    world.received("a", world.block(0))
    assert safe_mode.status is SafeModeStatus.EXTENSION
    world.deleted("a", world.block(0))
    world.tick(2_000)
    assert safe_mode.active
    world.received("a", world.block(0))
    assert not safe_mode.active


@pytest.mark.parametrize(
    ("share", "total", "needed"), [(0.999, 1000, 999), (0.999, 1, 0), (0.5, 3, 1), (1.5, 10, 15)]
)
def test_the_threshold_is_rounded_down(worlds, share, total, needed):
    _, safe_mode = loaded(worlds, total, safemode_threshold=share)
    assert safe_mode.block_threshold == needed
    assert safe_mode.active == (needed > 0)


def test_min_datanodes_alone_can_hold_it(worlds):
    world, safe_mode = loaded(worlds, 0, safemode_min_datanodes=2)
    world.add_node("a")
    assert safe_mode.active
    world.add_node("b")
    assert not safe_mode.active


def test_safe_replication_may_be_more_than_one(worlds):
    world, safe_mode = loaded(worlds, 1, safemode_threshold=1.0, safemode_replication_min=2)
    world.add_node("a")
    world.received("a", world.block(0))
    assert safe_mode.active
    world.add_node("b")
    world.received("b", world.block(0))
    assert not safe_mode.active


def test_blocks_that_come_and_go_by_edits_move_the_total(worlds):
    world, safe_mode = loaded(worlds, 2, safemode_threshold=1.0)
    world.add_node("a")
    world.received("a", world.block(0))
    world.add_block(2, open_=True)
    assert safe_mode.block_threshold == 2
    world.manager.remove_blocks([world.block(1).block_id])
    world.tick()
    assert not safe_mode.active


def test_by_hand_and_for_low_resources(worlds):
    world, safe_mode = loaded(worlds, 0)
    world.manager.enter_safe_mode()
    assert safe_mode.active
    assert not safe_mode.is_startup
    assert safe_mode.message(0) == (
        'It was turned on manually. Use "hdfs dfsadmin -safemode leave" to turn safe mode off.'
    )
    world.tick()
    assert safe_mode.active
    world.manager.enter_safe_mode(resources_low=True)
    assert safe_mode.message(0).startswith("Resources are low on NN. Please add or free up")
    for _ in world.manager.leave_safe_mode(world.now_ms):
        pass
    assert not safe_mode.active


def test_leaving_by_hand_ends_the_startup_kind_too(worlds):
    world, safe_mode = loaded(worlds, 5)
    assert safe_mode.is_startup
    list(world.manager.leave_safe_mode(world.now_ms))
    assert not safe_mode.active
