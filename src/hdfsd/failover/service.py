"""Driver. ZKFCProtocol: what others may ask of this failover controller."""

from __future__ import annotations

import json
import logging

from hdfsd.base.errors import AccessControl
from hdfsd.failover.controller import FailoverController
from hdfsd.rpc.coverage import partial
from hdfsd.rpc.server import Call
from hdfsd.rpc.words import answer_word
from hdfsd.wire.messages import generic_refresh, zkfc
from hdfsd.wire.words import COVERAGE, EXPLAIN

log = logging.getLogger(__name__)

ADMINISTRATORS_KEY = "dfs.cluster.administrators"


class ZkfcProtocolService:
    """Handlers by method (rpc.server); open to administrators and to our own user."""

    def __init__(self, controller: FailoverController, allowed: frozenset[str]) -> None:
        """`allowed`: user names; `*` is everybody."""
        self._controller = controller
        self._allowed = allowed

    async def cede_active(
        self, request: zkfc.CedeActiveRequestProto, call: Call
    ) -> zkfc.CedeActiveResponseProto:
        check_access(call, self._allowed)
        # An int32 in a uint32 field: -1 comes as 4294967295 (ha-zk.md 4).
        unsigned = request.millisToCede
        millis = unsigned - (1 << 32) if unsigned >= 1 << 31 else unsigned
        await self._controller.cede_active(millis, call.caller.user)
        return zkfc.CedeActiveResponseProto()

    async def graceful_failover(
        self, request: zkfc.GracefulFailoverRequestProto, call: Call
    ) -> zkfc.GracefulFailoverResponseProto:
        check_access(call, self._allowed)
        await self._controller.graceful_failover(call.caller.user)
        return zkfc.GracefulFailoverResponseProto()


class ExplanationService:
    """GenericRefreshProtocol: what this controller knows, as JSON in the answer's text.

    `hdfs dfsadmin -refresh HOST:PORT` with the word works too.
    """

    def __init__(self, controller: FailoverController, allowed: frozenset[str]) -> None:
        self._controller = controller
        self._allowed = allowed

    @partial(COVERAGE)
    async def refresh(
        self, request: generic_refresh.GenericRefreshRequestProto, call: Call
    ) -> generic_refresh.GenericRefreshResponseCollectionProto:
        check_access(call, self._allowed)
        return await answer_word(request, EXPLAIN, self._explain)

    async def _explain(self) -> str:
        return json.dumps(await self._controller.explain())


def check_access(call: Call, allowed: frozenset[str]) -> None:
    """DFSZKFailoverController.checkRpcAdminAccess. Raises AccessControl."""
    user = call.caller.user
    if user in allowed or "*" in allowed:
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
