"""Driver. The standby has the active roll its edit log, so that segments come to an end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from hdfsd.base.errors import LinkError, RemoteFault
from hdfsd.base.ids import TxId
from hdfsd.base.settings import TailSettings
from hdfsd.rpc.client import RpcClient
from hdfsd.wire.messages import namenode

log = logging.getLogger(__name__)


class Roller:
    """Asks the other NameNodes in turn; whoever is active rolls."""

    def __init__(
        self,
        *,
        peers: Sequence[RpcClient],
        applied_txid: Callable[[], TxId],
        settings: TailSettings,
    ) -> None:
        self._peers = peers
        self._applied_txid = applied_txid
        self._settings = settings

    async def run(self) -> None:
        """Every period, if anything was written since the last roll, until cancelled."""
        if self._settings.log_roll_period_ms < 0:
            return
        rolled_txid = TxId(0)
        while True:
            await asyncio.sleep(self._settings.log_roll_period_ms / 1000)
            if self._applied_txid() > rolled_txid and await self._roll():
                rolled_txid = self._applied_txid()

    async def _roll(self) -> bool:
        request = namenode.RollEditLogRequestProto()
        for peer in self._peers:
            try:
                await peer.call("rollEditLog", request, deadline_ms=self._settings.roll_timeout_ms)
            except (RemoteFault, LinkError) as error:
                log.info("no roll of the edit log by this NameNode: %s", error)
            else:
                return True
        log.warning("no NameNode rolled its edit log: is any of them active?")
        return False
