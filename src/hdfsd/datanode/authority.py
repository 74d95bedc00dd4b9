"""Core. Which NameNode to obey: the one whose claim to be active is the newest (invariant P5).

Source: Hadoop's BPOfferService.updateActorStatesFromHeartbeat.
"""

from __future__ import annotations

from dataclasses import dataclass

from hdfsd.base.ids import NodeId, TxId

NO_CLAIM = TxId(-1)


@dataclass(frozen=True, slots=True)
class Authority:
    """The NameNode obeyed now and the highest txid an obeyed one has shown."""

    active: NodeId | None = None
    txid: TxId = NO_CLAIM

    def heard(self, node: NodeId, *, claims_active: bool, txid: TxId) -> tuple[Authority, str]:
        """The authority after a heartbeat's answer, and the reason ("" when nothing changed).

        A NameNode that lost its role without knowing shows the txid it stopped at; its successor
        has begun a segment since, so its claim is strictly newer.
        """
        if claims_active and self.active != node:
            if txid <= self.txid:
                return self, (
                    f"{node} claims to be active at txid {txid}, "
                    f"but there was a more recent claim at txid {self.txid}"
                )
            before = f", taking over from {self.active}" if self.active else ""
            return Authority(node, txid), f"{node} is active at txid {txid}{before}"
        if not claims_active and self.active == node:
            return Authority(None, self.txid), f"{node} is active no more at txid {txid}"
        if self.active == node:
            return Authority(node, max(txid, self.txid)), ""
        return self, ""

    def obeys(self, node: NodeId) -> bool:
        return self.active == node
