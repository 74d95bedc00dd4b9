from __future__ import annotations

from hdfsd.base.ids import Block, BlockId, GenStamp
from hdfsd.blocks import located
from hdfsd.wire.messages import datanode, hdfs


def test_block_ids_travel_as_unsigned_numbers():
    what = Block(BlockId(-5), 7, GenStamp(9))
    proto = located.block_proto(what)
    assert proto.blockId == (1 << 64) - 5
    assert located.signed_id(proto.blockId) == -5
    assert located.signed_id(1073741825) == 1073741825
    extended = located.extended_block(what, "BP-1")
    assert (extended.poolId, extended.blockId) == ("BP-1", (1 << 64) - 5)
    assert (extended.numBytes, extended.generationStamp) == (7, 9)


def test_a_node_is_shown_with_the_sums_of_its_storages(world):
    node = world.add_node("a", storages=2, remaining=5, xceivers=3)
    info = located.node_info(node)
    assert (info.id.ipAddr, info.id.hostName, info.id.datanodeUuid) == ("10.0.0.1", "a", "uuid-a")
    assert (info.id.xferPort, info.id.infoPort, info.id.ipcPort) == (9866, 9864, 9867)
    assert (info.capacity, info.dfsUsed, info.remaining) == (4 << 40, 1 << 40, 10)
    assert (info.blockPoolUsed, info.xceiverCount, info.location) == (1 << 39, 3, "/default-rack")
    assert info.lastUpdate == 1_700_000_000_000
    assert info.adminState == hdfs.DatanodeInfoProto.NORMAL


def test_a_node_is_shown_anew_after_its_heartbeat(world):
    node = world.add_node("a", remaining=5)
    assert located.node_info(node) is located.node_info(node)
    world.heartbeat("a", remaining=6)
    assert located.node_info(node).remaining == 6


def test_a_located_block_is_complete_on_the_wire(world):
    world.add_node("a")
    world.add_node("b")
    what = world.block(3)
    storages = [world.storage("b"), world.storage("a")]
    proto = located.located_block(what, world.POOL, 128, storages)
    assert proto.IsInitialized()
    parsed = hdfs.LocatedBlockProto.FromString(proto.SerializeToString())
    assert [info.id.hostName for info in parsed.locs] == ["b", "a"]
    assert list(parsed.storageIDs) == ["b-s0", "a-s0"]
    assert list(parsed.storageTypes) == [hdfs.DISK, hdfs.DISK]
    assert (parsed.offset, parsed.corrupt, parsed.b.blockId) == (128, False, what.block_id)
    assert parsed.blockToken.identifier == b""


def test_a_copied_located_block_is_as_one_made_anew(world):
    for name in "abc":
        world.add_node(name)
    templates = located.LocatedBlocks(world.POOL)
    storages = [world.storage(name) for name in "abc"]

    def check(number, order, corrupt):
        what, into = world.block(number), hdfs.LocatedBlockProto(offset=7, corrupt=True)
        templates.fill(into, what, 128 * number, order, corrupt=corrupt)
        assert into == located.located_block(what, world.POOL, 128 * number, order, corrupt=corrupt)

    for number, order in enumerate([storages, storages[::-1], storages[:1], [], storages]):
        check(number, order, bool(number % 2))
    world.heartbeat("b", remaining=6)
    check(6, storages, False)
    world.heartbeat("b", remaining=7)
    check(6, storages[::-1], False)
    proto = hdfs.DatanodeStorageProto(storageUuid="c-s0", storageType=hdfs.SSD)
    world.manager.datanodes.storage(storages[2].node, proto)
    assert storages[2].storage_type == hdfs.SSD
    check(8, storages, False)


def test_storages_are_reported_one_by_one(world):
    node = world.add_node("a", storages=2, remaining=5)
    node.storages["a-s1"].failed = True
    node.storages["a-s1"].read_only = True
    proto = located.storage_report(node)
    assert [r.storage.storageUuid for r in proto.storageReports] == ["a-s0", "a-s1"]
    assert [r.failed for r in proto.storageReports] == [False, True]
    assert proto.storageReports[1].storage.state == hdfs.DatanodeStorageProto.READ_ONLY_SHARED
    assert proto.storageReports[0].remaining == 5


def test_commands_are_complete_on_the_wire(world):
    world.add_node("a")
    target, what = world.storage("a"), world.block(1)
    recovery = located.BlockRecovery(what, GenStamp(1005), [target], 40, what.block_id)
    commands = [
        located.register_command(),
        located.finalize_command(world.POOL),
        located.transfer_command([(what, [target])], world.POOL),
        located.invalidate_command([what], world.POOL),
        located.recovery_command([recovery], world.POOL),
    ]
    kind = datanode.DatanodeCommandProto
    assert [command.cmdType for command in commands] == [
        kind.RegisterCommand,
        kind.FinalizeCommand,
        kind.BlockCommand,
        kind.BlockCommand,
        kind.BlockRecoveryCommand,
    ]
    assert all(command.IsInitialized() for command in commands)
    transfer = commands[2].blkCmd
    assert [list(uuids.storageUuids) for uuids in transfer.targetStorageUuids] == [["a-s0"]]
    assert [list(types.storageTypes) for types in transfer.targetStorageTypes] == [[hdfs.DISK]]
    (recovering,) = commands[4].recoveryCmd.blocks
    assert (recovering.newGenStamp, recovering.truncateBlock.numBytes) == (1005, 40)
    assert recovering.truncateBlock.genStamp == 1005
