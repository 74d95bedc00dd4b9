"""Adapter. Who asks NameNodes for their states and controllers for failovers, in this process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from witnesses import rpc_client, state_of

from hdfsd.base.errors import HdfsdError
from hdfsd.base.ids import Address
from hdfsd.wire.messages import zkfc
from hdfsd.wire.services import CLIENT_PROTOCOL, HA_SERVICE_PROTOCOL, ZKFC_PROTOCOL

FAILOVER_MS = 60_000
ATTEMPTS_S = 120
PAUSE_S = 0.05


class Operator:
    """`haadmin` without the start of a process; daemons of either kind, by the NameNodes' ids."""

    def __init__(
        self, namenodes: Mapping[str, Address], controllers: Mapping[str, Address]
    ) -> None:
        self._namenodes = namenodes
        self._controllers = controllers
        self.seconds: list[float] = []
        """How long each failover took that was asked for."""

    def states(self) -> dict[str, str]:
        """What each says that it is (witnesses.state_of), or why it says nothing."""
        return asyncio.run(self._states())

    async def _states(self) -> dict[str, str]:
        return {name: await self._state(name) for name in self._namenodes}

    async def _state(self, name: str) -> str:
        address = self._namenodes[name]
        clients = [rpc_client(address, p) for p in (HA_SERVICE_PROTOCOL, CLIENT_PROTOCOL)]
        try:
            return await state_of(*clients)
        except HdfsdError as error:
            return type(error).__name__
        finally:
            for client in clients:
                await client.close()

    def whole(self) -> tuple[str, str]:
        """(active, standby), once there are one of each."""
        end = time.monotonic() + ATTEMPTS_S
        while sorted((states := self.states()).values()) != ["ACTIVE", "STANDBY"]:
            assert time.monotonic() < end, f"not whole within {ATTEMPTS_S} s: {states}"
            time.sleep(PAUSE_S)
        active, standby = sorted(states, key=states.__getitem__)
        return active, standby

    def fail_over(self) -> None:
        """Asks the standby's controller until it has done it; raises its last refusal.

        One that has not seen its NameNode healthy as a standby yet refuses.
        """
        standby = self.whole()[1]
        end = time.monotonic() + ATTEMPTS_S
        while not asyncio.run(self._ask(standby, may_raise=time.monotonic() > end)):
            time.sleep(PAUSE_S)
        assert self.whole()[0] == standby

    async def _ask(self, standby: str, *, may_raise: bool) -> bool:
        client = rpc_client(self._controllers[standby], ZKFC_PROTOCOL)
        began = time.monotonic()
        try:
            request = zkfc.GracefulFailoverRequestProto()
            await client.call("gracefulFailover", request, deadline_ms=FAILOVER_MS)
            self.seconds.append(time.monotonic() - began)
            return True
        except HdfsdError:
            if may_raise:
                raise
            return False
        finally:
            await client.close()
