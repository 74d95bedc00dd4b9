"""What clients and other DataNodes ask of one DataNode over RPC."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hdfsd.base.errors import IllegalArgument, RemoteFault, ReplicaNotFound
from hdfsd.base.ids import Address
from hdfsd.datanode import registration
from hdfsd.datanode.services import ClientDatanodeService, InterDatanodeService
from hdfsd.io.clock import RealClock
from hdfsd.io.dice import RealDice
from hdfsd.io.network import TcpNetwork
from hdfsd.rpc.client import RpcClient
from hdfsd.rpc.server import RpcServer
from hdfsd.wire.messages import client_datanode, hdfs_server, inter_datanode
from hdfsd.wire.services import CLIENT_DATANODE_PROTOCOL, INTER_DATANODE_PROTOCOL

POOL = "BP-1-127.0.0.1-1"


class Actor:
    """As far as a service knows one."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.asked: list[bool] = []

    def report_now(self, *, incremental: bool) -> None:
        self.asked.append(incremental)


class Offer:
    balance_bandwidth = 0

    def __init__(self) -> None:
        self.actors = [Actor(Address("a", 1)), Actor(Address("b", 2))]


def ask(node: Any, protocol: str, method: str, request: Any, offer: Offer | None = None) -> Any:
    """One call over a real connection."""

    async def call() -> Any:
        services = {
            CLIENT_DATANODE_PROTOCOL: ClientDatanodeService(
                node.store, offer or Offer(), RealClock(), balance_bandwidth=5
            ),
            INTER_DATANODE_PROTOCOL: InterDatanodeService(node.store),
        }
        server = RpcServer(services, clock=RealClock())
        await server.start(TcpNetwork(), Address("127.0.0.1", 0))
        client = RpcClient(TcpNetwork(), server.address, protocol, user="u", dice=RealDice())
        try:
            return await client.call(method, request, deadline_ms=10_000)
        finally:
            await client.close()
            await server.stop()

    return asyncio.run(call())


def test_visible_length(lab: Any) -> None:
    node = lab.start()
    lab.write([node], lab.block(), b"x" * 700)

    def length(stamp: int, block_id: int = 1073741825) -> int:
        request = client_datanode.GetReplicaVisibleLengthRequestProto(
            block=registration.extended_block_message(lab.block(block_id, stamp), POOL)
        )
        method = "getReplicaVisibleLength"
        return int(ask(node, CLIENT_DATANODE_PROTOCOL, method, request).length)

    assert length(1001) == 700
    assert length(1000) == 700
    for stamp, block_id in ((1002, 1073741825), (1001, 5)):
        with pytest.raises(ReplicaNotFound):
            length(stamp, block_id)


def test_information(lab: Any) -> None:
    node = lab.start("SSD")
    lab.write([node], lab.block(), b"x" * 700)
    client = client_datanode
    info = ask(
        node,
        CLIENT_DATANODE_PROTOCOL,
        "getDatanodeInfo",
        client.GetDatanodeInfoRequestProto(),
    )
    assert info.localInfo.softwareVersion == registration.SOFTWARE_VERSION
    report = ask(
        node, CLIENT_DATANODE_PROTOCOL, "getVolumeReport", client.GetVolumeReportRequestProto()
    )
    assert [(v.numBlocks, v.storageType) for v in report.volumeInfo] == [(1, 2)]
    bandwidth = ask(
        node,
        CLIENT_DATANODE_PROTOCOL,
        "getBalancerBandwidth",
        client.GetBalancerBandwidthRequestProto(),
    )
    assert bandwidth.bandwidth == 5


@pytest.mark.parametrize(
    ("address", "asked"), [("", [[True], [True]]), ("b:2", [[], [True]]), ("c:3", None)]
)
def test_block_reports_on_demand(lab: Any, address: str, asked: list[list[bool]] | None) -> None:
    node, offer = lab.start(), Offer()
    request = client_datanode.TriggerBlockReportRequestProto(incremental=True, nnAddress=address)
    if asked is None:
        with pytest.raises(IllegalArgument, match="c:3"):
            ask(node, CLIENT_DATANODE_PROTOCOL, "triggerBlockReport", request, offer)
    else:
        ask(node, CLIENT_DATANODE_PROTOCOL, "triggerBlockReport", request, offer)
        assert [a.asked for a in offer.actors] == asked


def test_what_is_not_built_says_so(lab: Any) -> None:
    request = client_datanode.DeleteBlockPoolRequestProto(blockPool=POOL, force=True)
    with pytest.raises(RemoteFault, match="not built"):
        ask(lab.start(), CLIENT_DATANODE_PROTOCOL, "deleteBlockPool", request)


def test_recovery_by_another_datanode(lab: Any) -> None:
    node = lab.start()
    lab.write([node], lab.block(), b"x" * 700)

    def init(block_id: int) -> Any:
        block = hdfs_server.RecoveringBlockProto(newGenStamp=1003)
        located = block.block
        located.b.CopyFrom(registration.extended_block_message(lab.block(block_id), POOL))
        located.offset, located.corrupt = 0, False
        located.blockToken.identifier = located.blockToken.password = b""
        located.blockToken.kind = located.blockToken.service = ""
        request = inter_datanode.InitReplicaRecoveryRequestProto(block=block)
        return ask(node, INTER_DATANODE_PROTOCOL, "initReplicaRecovery", request)

    assert not init(99).replicaFound
    found = init(1073741825)
    assert (found.replicaFound, found.state, found.block.numBytes) == (True, 0, 700)
    request = inter_datanode.UpdateReplicaUnderRecoveryRequestProto(
        block=registration.extended_block_message(lab.block(size=700), POOL),
        recoveryId=1003,
        newLength=600,
    )
    answer = ask(node, INTER_DATANODE_PROTOCOL, "updateReplicaUnderRecovery", request)
    assert answer.storageUuid == node.store.usage()[0].storage_id
    assert lab.read(node, lab.block(stamp=1003), 0, 600).data == b"x" * 600
