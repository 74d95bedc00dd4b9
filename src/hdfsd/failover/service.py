"""Driver. ZKFCProtocol: what others may ask of this failover controller."""

from __future__ import annotations

import logging

from hdfsd.base.errors import AccessControl
from hdfsd.failover.controller import FailoverController
from hdfsd.rpc.server import Call
from hdfsd.wire.messages import zkfc

log = logging.getLogger(__name__)

ADMINISTRATORS_KEY = "dfs.cluster.administrators"


class ZkfcProtocolService:
    """Handlers by method (rpc.server); open to administrators and to our own user."""

    def __init__(
        self, controller: FailoverController, *, user: str, administrators: frozenset[str]
    ) -> None:
        """`administrators`: user names; `*` is everybody."""
        self._controller = controller
        self._allowed = administrators | {user}

    async def cede_active(
        self, request: zkfc.CedeActiveRequestProto, call: Call
    ) -> zkfc.CedeActiveResponseProto:
        self._check(call)
        # An int32 in a uint32 field: -1 comes as 4294967295 (ha-zk.md 4).
        unsigned = request.millisToCede
        millis = unsigned - (1 << 32) if unsigned >= 1 << 31 else unsigned
        await self._controller.cede_active(millis, call.caller.user)
        return zkfc.CedeActiveResponseProto()

    async def graceful_failover(
        self, request: zkfc.GracefulFailoverRequestProto, call: Call
    ) -> zkfc.GracefulFailoverResponseProto:
        self._check(call)
        await self._controller.graceful_failover()
        return zkfc.GracefulFailoverResponseProto()

    def _check(self, call: Call) -> None:
        """DFSZKFailoverController.checkRpcAdminAccess."""
        user = call.caller.user
        if user in self._allowed or "*" in self._allowed:
            log.info("allowed a request of %s from %s", user, call.caller.address)
            return
        message = (
            f"Disallowed RPC access from {user} (auth:SIMPLE) at {call.caller.address}."
            f" Not listed in {ADMINISTRATORS_KEY}"
        )
        log.warning("%s", message)
        raise AccessControl(message)


def parse_administrators(text: str) -> frozenset[str]:
    """User names of an access control list `users groups`; groups are not asked for here."""
    users = text.split(" ", 1)[0]
    return frozenset(name.strip() for name in users.split(",") if name.strip())
