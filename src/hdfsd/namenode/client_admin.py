"""Driver. ClientProtocol: calls of administrators: safe mode, rolling and saving, upgrades."""

from __future__ import annotations

from typing import Protocol

from hdfsd.base.errors import IOFault
from hdfsd.base.ids import TxId
from hdfsd.namenode.desk import Desk
from hdfsd.namenode.gate import Category
from hdfsd.rpc.coverage import partial
from hdfsd.rpc.server import Call
from hdfsd.wire.messages import client_namenode

_SAFE_MODE_OPERATIONS = {
    client_namenode.SAFEMODE_LEAVE: "safemode_leave",
    client_namenode.SAFEMODE_ENTER: "safemode_enter",
    client_namenode.SAFEMODE_FORCE_EXIT: "safemode_force_exit",
}
_ROLLING_OPERATIONS = {
    client_namenode.QUERY: "queryRollingUpgrade",
    client_namenode.START: "startRollingUpgrade",
    client_namenode.FINALIZE: "finalizeRollingUpgrade",
}
_RESTORE_OPERATIONS = {"true": "enableRestoreFailedStorage", "false": "disableRestoreFailedStorage"}
_CHECK_RESTORE = "checkRestoreFailedStorage"


class Keeper(Protocol):
    """Who keeps the edit log and the images (namenode.lifecycle)."""

    async def roll_edits(self) -> TxId: ...

    async def save_namespace(self) -> TxId: ...

    def has_recent_image(self, *, within_s: int, within_txns: int) -> bool: ...


class ClientAdmin:
    """Handlers are named after the wire methods; requests and responses are those of the tables."""

    _desk: Desk
    _keeper: Keeper

    def set_safe_mode(
        self, request: client_namenode.SetSafeModeRequestProto, call: Call
    ) -> client_namenode.SetSafeModeResponseProto:
        desk = self._desk
        blocks, now_ms = desk.state.blocks, desk.clock.now_ms()
        if request.checked:
            looks = request.action == client_namenode.SAFEMODE_GET
            desk.require_category(Category.READ if looks else Category.WRITE)
        if request.action != client_namenode.SAFEMODE_GET:
            self._desk.require_superuser(call.caller, _SAFE_MODE_OPERATIONS[request.action])
        if request.action == client_namenode.SAFEMODE_ENTER:
            blocks.enter_safe_mode()
        elif request.action in (
            client_namenode.SAFEMODE_LEAVE,
            client_namenode.SAFEMODE_FORCE_EXIT,
        ):
            # The next look at blocks goes through all of them, in steps (P7): nobody waits for it.
            blocks.leave_safe_mode(now_ms)
        return client_namenode.SetSafeModeResponseProto(result=blocks.safe_mode.active)

    async def save_namespace(
        self, request: client_namenode.SaveNamespaceRequestProto, call: Call
    ) -> client_namenode.SaveNamespaceResponseProto:
        """Unlike Hadoop's it needs no safe mode: the image is written from a frozen copy (D7)."""
        self._desk.require_superuser(call.caller, "saveNamespace")
        within_s, within_txns = request.timeWindow, request.txGap
        if (within_s or within_txns) and self._keeper.has_recent_image(
            within_s=within_s, within_txns=within_txns
        ):
            return client_namenode.SaveNamespaceResponseProto(saved=False)
        await self._keeper.save_namespace()
        return client_namenode.SaveNamespaceResponseProto(saved=True)

    async def roll_edits(
        self, request: client_namenode.RollEditsRequestProto, call: Call
    ) -> client_namenode.RollEditsResponseProto:
        self._desk.require_superuser(call.caller, "rollEditLog")
        first_txid = await self._keeper.roll_edits()
        return client_namenode.RollEditsResponseProto(newSegmentTxId=first_txid)

    @partial("include and exclude files are not read: nothing changes")
    def refresh_nodes(
        self, request: client_namenode.RefreshNodesRequestProto, call: Call
    ) -> client_namenode.RefreshNodesResponseProto:
        self._desk.require_superuser(call.caller, "refreshNodes")
        return client_namenode.RefreshNodesResponseProto()

    def upgrade_status(
        self, request: client_namenode.UpgradeStatusRequestProto, call: Call
    ) -> client_namenode.UpgradeStatusResponseProto:
        """No upgrade can be going on: hdfsd has a single layout."""
        return client_namenode.UpgradeStatusResponseProto(upgradeFinalized=True)

    def finalize_upgrade(
        self, request: client_namenode.FinalizeUpgradeRequestProto, call: Call
    ) -> client_namenode.FinalizeUpgradeResponseProto:
        self._desk.require_superuser(call.caller, "finalizeUpgrade")
        return client_namenode.FinalizeUpgradeResponseProto()

    @partial("only QUERY: a rolling upgrade can't be started")
    def rolling_upgrade(
        self, request: client_namenode.RollingUpgradeRequestProto, call: Call
    ) -> client_namenode.RollingUpgradeResponseProto:
        self._desk.require_superuser(call.caller, _ROLLING_OPERATIONS[request.action])
        if request.action != client_namenode.QUERY:
            raise IOFault("rolling upgrades are not built in hdfsd; see docs/COVERAGE.md")
        return client_namenode.RollingUpgradeResponseProto()

    def restore_failed_storage(
        self, request: client_namenode.RestoreFailedStorageRequestProto, call: Call
    ) -> client_namenode.RestoreFailedStorageResponseProto:
        """Failed name directories come back at a restart; `check` says so, `true` is refused."""
        self._desk.require_superuser(
            call.caller, _RESTORE_OPERATIONS.get(request.arg, _CHECK_RESTORE)
        )
        if request.arg == "true":
            raise IOFault("restoring failed name directories is not built in hdfsd: restart it")
        return client_namenode.RestoreFailedStorageResponseProto(result=False)
