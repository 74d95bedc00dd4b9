"""Core. When a standby saves an image, whom it offers it to, and when again (StandbyCheckpointer).

Saving and giving away are decided apart, so that no peer can make the standby save again: a save is
due by transactions or time since the last save alone, and an image goes to each peer by what that
peer said. Whoever took an image or does not want it is not offered the same one again. Whoever
could not be reached, or broke off, is asked again at a later look, each time after twice the wait,
at most a period apart, until there is a newer image.

Whether a peer is offered a new image follows Hadoop (HDFS-12979, HDFS-14646): always, after it took
our last one; else when none of ours was taken for a quiet period, so that of several standbys one
supplies the others' images and the rest take over when it is gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from hdfsd.base.ids import Address, TxId
from hdfsd.base.settings import CheckpointSettings

BACKOFF_DOUBLINGS_MAX = 16


class Outcome(Enum):
    """What came of offering an image to a peer."""

    TAKEN = "taken"
    NOT_WANTED = "not wanted"
    """It has it, or a newer or recent one, or is a standby that saves its own."""
    BUSY = "busy with another upload"
    UNREACHABLE = "unreachable"
    BROKEN = "broken off"
    REFUSED = "refused"
    """For a reason that somebody should look into."""


SETTLED = frozenset({Outcome.TAKEN, Outcome.NOT_WANTED})
"""After these the image is not offered to the peer again."""


@dataclass(slots=True)
class Receiver:
    """What is known of one peer."""

    peer: Address
    is_primary: bool = True
    """It took the last image that it answered about."""
    taken_ms: int | None = None
    """When it last took one of ours."""
    taken_txid: TxId | None = None
    wanted_txid: TxId | None = None
    """The image that it is still to be offered."""
    sending_txid: TxId | None = None
    """The image that is on its way."""
    failures: int = 0
    """In a row, since it last answered."""
    retry_ms: int = 0
    outcome: Outcome | None = None
    detail: str = ""
    bytes_resumed: int = 0
    """Of the last upload: how much of it the peer had kept from the one that broke off."""


class Checkpoints:
    """All times are of one monotonic clock."""

    def __init__(
        self, settings: CheckpointSettings, peers: Sequence[Address], *, now_ms: int
    ) -> None:
        self._settings = settings
        self.receivers = {peer: Receiver(peer) for peer in peers}
        # The time before the start does not count: a standby that restarts does not save at once.
        self._saved_ms = now_ms
        self._save_failures = 0
        self._save_retry_ms = now_ms

    @property
    def look_ms(self) -> int:
        """How often to look (CheckpointConf.getCheckPeriod)."""
        return min(self._settings.check_period_ms, self._settings.period_ms)

    @property
    def quiet_ms(self) -> int:
        """CheckpointConf.getQuietPeriod."""
        return int(self._settings.period_ms * self._settings.quiet_multiplier)

    # --- saving ---

    def due(self, *, applied_txid: TxId, image_txid: TxId, now_ms: int) -> str | None:
        """Why to save now, or None (StandbyCheckpointer.doWork)."""
        uncheckpointed = applied_txid - image_txid
        if uncheckpointed <= 0 or now_ms < self._save_retry_ms:
            return None
        if uncheckpointed >= self._settings.txns:
            return f"{uncheckpointed} transactions since the last image"
        since_ms = now_ms - self._saved_ms
        if since_ms >= self._settings.period_ms:
            return f"{since_ms // 1000} s since the last look, {uncheckpointed} transactions"
        return None

    def saved(self, txid: TxId, now_ms: int) -> None:
        """There is a new image; it is what peers are offered from now on."""
        self._saved_ms = self._save_retry_ms = now_ms
        self._save_failures = 0
        for receiver in self.receivers.values():
            if self._is_supplied(receiver, now_ms):
                # One who failed before is asked at once, and if in vain not sooner than before.
                receiver.wanted_txid, receiver.retry_ms = txid, now_ms
            else:
                receiver.wanted_txid = None

    def _is_supplied(self, receiver: Receiver, now_ms: int) -> bool:
        if receiver.is_primary or receiver.taken_ms is None:
            return True
        return now_ms - receiver.taken_ms >= self.quiet_ms

    def save_failed(self, now_ms: int) -> int:
        """How long until the next attempt: a full disk is not written to at every look."""
        wait_ms = self._backoff_ms(self._save_failures)
        self._save_failures += 1
        self._save_retry_ms = now_ms + wait_ms
        return wait_ms

    def _backoff_ms(self, failures: int) -> int:
        doubled = self.look_ms << min(failures, BACKOFF_DOUBLINGS_MAX)
        return min(doubled, max(self._settings.period_ms, self.look_ms))

    # --- giving away ---

    def offers(self, now_ms: int) -> list[Receiver]:
        """Who is to be offered its `wanted_txid` now."""
        return [
            receiver
            for receiver in self.receivers.values()
            if receiver.wanted_txid is not None
            and receiver.sending_txid is None
            and now_ms >= receiver.retry_ms
        ]

    def began(self, receiver: Receiver) -> None:
        assert receiver.sending_txid is None, "one upload to a peer at a time"
        receiver.sending_txid = receiver.wanted_txid

    def ended(self, receiver: Receiver, outcome: Outcome, detail: str, now_ms: int) -> int | None:
        """How long until it is asked again about the same image; None: never."""
        txid, receiver.sending_txid = receiver.sending_txid, None
        assert txid is not None, "nothing was being sent"
        receiver.outcome, receiver.detail = outcome, detail
        if outcome is Outcome.TAKEN:
            receiver.is_primary = True
            receiver.taken_ms, receiver.taken_txid = now_ms, txid
        elif outcome is Outcome.NOT_WANTED:
            receiver.is_primary = False
        if outcome not in SETTLED:
            wait_ms = self._backoff_ms(receiver.failures)
            receiver.failures += 1
        else:
            wait_ms = receiver.failures = 0
        if receiver.wanted_txid != txid:
            return None  # A newer one was saved meanwhile: that one is offered at the next look.
        if outcome in SETTLED:
            receiver.wanted_txid = None
            return None
        receiver.retry_ms = now_ms + wait_ms
        return wait_ms
