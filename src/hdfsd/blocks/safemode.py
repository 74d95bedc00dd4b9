"""Core. Safe mode: when enough blocks and nodes have been reported to serve mutations.

    LOADING ──start──> PENDING ──thresholds met──> EXTENSION ──time over, still met──> OFF
                          └──────thresholds met, extension 0─────────────────────────> OFF

By hand and for low resources are two flags beside it. Behaviour and texts: Hadoop's
BlockManagerSafeMode and FSNamesystem.getSafeModeTip.
"""

from __future__ import annotations

from enum import Enum

from hdfsd.blocks.blockmap import BlockMap
from hdfsd.blocks.datanodes import Registry
from hdfsd.blocks.settings import BlockSettings

_HOW_TO_LEAVE = 'Use "hdfs dfsadmin -safemode leave" to turn safe mode off.'
_AUTOMATICALLY = "Safe mode will be turned off automatically "


class SafeModeStatus(Enum):
    LOADING = "loading"
    """Before the image and edits are in: totals mean nothing yet."""
    PENDING = "pending thresholds"
    EXTENSION = "extension"
    OFF = "off"


class SafeMode:
    """`active` is the question every mutation asks."""

    def __init__(self, settings: BlockSettings, blocks: BlockMap, datanodes: Registry) -> None:
        self._settings = settings
        self._blocks = blocks
        self._datanodes = datanodes
        self._reached_ms = 0
        self.status = SafeModeStatus.LOADING
        self.manual = False
        self.resources_low = False

    @property
    def active(self) -> bool:
        return self.manual or self.resources_low or self.is_startup

    @property
    def is_startup(self) -> bool:
        """On since the start, whatever was added by hand (isInStartupSafeMode)."""
        return self.status is not SafeModeStatus.OFF

    @property
    def block_threshold(self) -> int:
        """Safe blocks needed."""
        return int(self._blocks.complete_count * self._settings.safemode_threshold)

    def start(self, now_ms: int) -> None:
        """The namespace is loaded; leaves at once when the thresholds are met already."""
        self.status = SafeModeStatus.PENDING
        if self._thresholds_met():
            # Hadoop does not wait for an extension here (BlockManagerSafeMode.activate).
            self.status = SafeModeStatus.OFF
        self.check(now_ms)

    def check(self, now_ms: int) -> bool:
        """Looks at the counters, which are kept elsewhere: O(1). True when it left just now."""
        if self.status is SafeModeStatus.PENDING and self._thresholds_met():
            self.status, self._reached_ms = SafeModeStatus.EXTENSION, now_ms
        if (
            self.status is SafeModeStatus.EXTENSION
            and self._left_ms(now_ms) <= 0
            and self._thresholds_met()
        ):
            self.status = SafeModeStatus.OFF
            return True
        return False

    def enter(self, *, resources_low: bool = False) -> None:
        if resources_low:
            self.resources_low = True
        else:
            self.manual = True

    def leave(self) -> None:
        """By hand: ends every kind of it."""
        self.manual = self.resources_low = False
        self.status = SafeModeStatus.OFF

    def message(self, now_ms: int) -> str:
        """How it can be turned off; the empty text when it is off."""
        if self.resources_low:
            # No blank between the two words: so it stands in Hadoop's.
            return (
                "Resources are low on NN. Please add or free up more resourcesthen turn off safe "
                "mode manually. NOTE:  If you turn off safe mode before adding resources, the NN "
                f"will immediately return to safe mode. {_HOW_TO_LEAVE}"
            )
        if self.manual:
            return f"It was turned on manually. {_HOW_TO_LEAVE}"
        if not self.is_startup:
            return ""
        return self._blocks_text() + self._nodes_text() + self._outlook(now_ms)

    def _blocks_text(self) -> str:
        safe, needed = self._blocks.safe_count, self.block_threshold
        total, share = self._blocks.complete_count, self._settings.safemode_threshold
        if safe < needed:
            return (
                f"The reported blocks {safe} needs additional {needed - safe} blocks to reach the "
                f"threshold {share:.4f} of total blocks {total}.\n"
            )
        return (
            f"The reported blocks {safe} has reached the threshold {share:.4f} of total blocks "
            f"{total}. "
        )

    def _nodes_text(self) -> str:
        live, needed = self._datanodes.live_count(), self._settings.safemode_min_datanodes
        if live < needed:
            return (
                f"The number of live datanodes {live} needs an additional {needed - live} live "
                f"datanodes to reach the minimum number {needed}.\n"
            )
        return f"The number of live datanodes {live} has reached the minimum number {needed}. "

    def _outlook(self, now_ms: int) -> str:
        if self.status is SafeModeStatus.EXTENSION:
            seconds = max(0, self._left_ms(now_ms)) // 1000
            return f"In safe mode extension. {_AUTOMATICALLY}in {seconds} seconds."
        return f"{_AUTOMATICALLY}once the thresholds have been reached."

    def _left_ms(self, now_ms: int) -> int:
        return self._reached_ms + self._settings.safemode_extension_ms - now_ms

    def _thresholds_met(self) -> bool:
        return self._blocks.safe_count >= self.block_threshold and (
            not self._settings.safemode_min_datanodes
            or self._datanodes.live_count() >= self._settings.safemode_min_datanodes
        )
