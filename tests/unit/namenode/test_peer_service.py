"""NamenodeProtocol: what a standby, a bootstrap or a balancer learns of a NameNode."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from small_namenode import POOL, LivingNameNode, call, on_virtual_time

from hdfsd.base.errors import AccessControl, StandbyError
from hdfsd.namenode.peer_service import PeerService
from hdfsd.wire.messages import hdfs_server, namenode
from hdfsd.wire.services import NAMENODE_PROTOCOL, PROTOCOLS

n = namenode
LAYOUT = (1 << 32) - 67


def service(made: LivingNameNode) -> PeerService:
    return PeerService(made.desk, made.lifecycle, made.storage, made.ports.disk)


async def ask(made: LivingNameNode, name: str, request: Any, user: str = "hdfs") -> Any:
    method = next(m for m in PROTOCOLS[NAMENODE_PROTOCOL].methods.values() if m.handler == name)
    about = call(method.name, user, protocol=NAMENODE_PROTOCOL)
    answer = getattr(service(made), name)(request, about)
    return await answer if inspect.isawaitable(answer) else answer


async def rolled_twice(made: LivingNameNode) -> None:
    """Segments 1-2 and 3-4 are finished, 5 is open; an image at 0."""
    await made.lifecycle.start()
    await made.lifecycle.become_active()
    for _ in range(2):
        await made.lifecycle.roll_edits()


@pytest.mark.parametrize(
    ("name", "request_"),
    [
        ("version_request", hdfs_server.VersionRequestProto()),
        ("get_transaction_id", n.GetTransactionIdRequestProto()),
        ("get_most_recent_checkpoint_tx_id", n.GetMostRecentCheckpointTxIdRequestProto()),
        ("roll_edit_log", n.RollEditLogRequestProto()),
        ("get_edit_log_manifest", n.GetEditLogManifestRequestProto(sinceTxId=1)),
    ],
)
def test_superusers_only(name: str, request_: Any) -> None:
    async def story(made: LivingNameNode) -> None:
        await rolled_twice(made)
        applied = made.state.applied_txid
        with pytest.raises(AccessControl):
            await ask(made, name, request_, "eve")
        assert made.state.applied_txid == applied
        assert (await ask(made, name, request_)).IsInitialized()

    on_virtual_time(story)


def test_versions_and_transactions() -> None:
    async def story(made: LivingNameNode) -> None:
        await rolled_twice(made)
        info = (await ask(made, "version_request", hdfs_server.VersionRequestProto())).info
        assert (info.blockPoolID, info.storageInfo.clusterID) == (POOL, "CID-x")
        assert (info.storageInfo.layoutVersion, info.softwareVersion) == (LAYOUT, "3.4.1")
        assert info.state == hdfs_server.NNHAStatusHeartbeatProto.ACTIVE
        newest = await ask(made, "get_transaction_id", n.GetTransactionIdRequestProto())
        assert newest.txId == 5
        await made.lifecycle.save_namespace()
        request = n.GetMostRecentCheckpointTxIdRequestProto()
        image = await ask(made, "get_most_recent_checkpoint_tx_id", request)
        assert image.txId == 7

    on_virtual_time(story)


def test_a_roll_answers_with_the_signature_of_the_new_segment() -> None:
    async def story(made: LivingNameNode) -> None:
        await rolled_twice(made)
        signature = (await ask(made, "roll_edit_log", n.RollEditLogRequestProto())).signature
        assert (signature.curSegmentTxId, signature.mostRecentCheckpointTxId) == (7, 0)
        assert (signature.blockPoolId, signature.storageInfo.namespceID) == (POOL, 77)

    on_virtual_time(story)


def test_a_standby_rolls_nothing() -> None:
    async def story(made: LivingNameNode) -> None:
        await made.lifecycle.start()
        with pytest.raises(StandbyError, match="category JOURNAL"):
            await ask(made, "roll_edit_log", n.RollEditLogRequestProto())

    on_virtual_time(story)


@pytest.mark.parametrize(
    ("since", "segments"),
    [(1, [(1, 2), (3, 4)]), (2, [(1, 2), (3, 4)]), (3, [(3, 4)]), (4, [(3, 4)]), (5, [])],
)
def test_the_manifest_names_finished_segments_from_a_transaction_on(
    since: int, segments: list[tuple[int, int]]
) -> None:
    async def story(made: LivingNameNode) -> None:
        await rolled_twice(made)
        request = n.GetEditLogManifestRequestProto(sinceTxId=since)
        manifest = (await ask(made, "get_edit_log_manifest", request)).manifest
        assert [(s.startTxId, s.endTxId) for s in manifest.logs] == segments

    on_virtual_time(story)


def test_no_upgrade_no_keys_and_errors_are_only_noted() -> None:
    async def story(made: LivingNameNode) -> None:
        upgrade = await ask(made, "is_upgrade_finalized", n.IsUpgradeFinalizedRequestProto())
        assert upgrade.isUpgradeFinalized
        rolling = await ask(made, "is_rolling_upgrade", n.IsRollingUpgradeRequestProto())
        assert not rolling.isRollingUpgrade
        keys = await ask(made, "get_block_keys", n.GetBlockKeysRequestProto())
        assert not keys.HasField("keys")
        registration = hdfs_server.NamenodeRegistrationProto(
            rpcAddress="nn2:8020",
            httpAddress="nn2:9870",
            storageInfo=hdfs_server.StorageInfoProto(
                layoutVersion=LAYOUT, namespceID=77, clusterID="CID-x", cTime=1
            ),
        )
        report = n.ErrorReportRequestProto(registration=registration, errorCode=1, msg="x")
        assert (await ask(made, "error_report", report)).IsInitialized()

    on_virtual_time(story)
