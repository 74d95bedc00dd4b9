"""Core. Whether the local NameNode is frozen, from its heartbeat and from what the kernel says.

A pause is no freeze. What tells them apart:

| | beats | its loop | its process |
|---|---|---|---|
| stopped (SIGSTOP, a debugger) | none | | in state T |
| frozen (a cgroup, a lock that nobody frees) | none | | sleeps, uses no processor time |
| wedged | come | does not come round | its thread sleeps, uses no processor time |
| busy, forking | may be late | may be late | uses processor time, or would like to (R) |
| waits for a disk or for swapped memory | may be late | may be late | in state D |
| machine or controller stood still | late | | time that we did not see pass does not count |

A loop waits for nothing but its own events: for files in state D, and user databases and names are
asked in threads. So one that sleeps elsewhere is given no more time than a process that is silent.

For a pause that is no freeze Hadoop's time-out of the health check alone decides, and so it does
where nothing is known of the process (another pid namespace).
"""

from __future__ import annotations

from hdfsd.ports.heartbeat import BEAT_MS, Beat, Evidence

TICK_MS = 250
"""How often `tick` is to be called."""
SEEN_MS_MAX = 2 * TICK_MS
"""What one tick counts at most: when it comes later, it was us who stood still."""
LATE_MS = 4 * BEAT_MS
"""A loop that is late by less is no news."""
CPU_MS = 10
"""Less processor time than that is none: it is the kernel's unit."""
STOPPED, LIVE = frozenset("Tt"), frozenset("RD")


class Pulse:
    """One NameNode's, as long as one connection to it lasts."""

    def __init__(self, limit_ms: int, now_ms: int) -> None:
        """`limit_ms`: how long without a sign of life is a freeze."""
        self._limit_ms = limit_ms
        self._ticked_ms = now_ms
        self._silent_ms = 0
        """Seen to pass since the last beat."""
        self._before: Evidence | None = None
        """Of when the silence began."""
        self._stuck_ms = 0
        """Seen to pass while the loop's thread slept and its loop did not come round."""
        self._last: Beat | None = None
        self._has_beaten = False

    @property
    def needs_evidence(self) -> bool:
        """Whether `tick` is to be given any: looking for it costs a little."""
        return not self._has_beaten

    def beat(self, beat: Beat) -> None:
        self._has_beaten = True
        self._silent_ms, self._before = 0, None
        last, self._last = self._last, beat
        used_ms = beat.loop_cpu_ms - last.loop_cpu_ms if last is not None else 0
        if beat.loop_late_ms < LATE_MS or used_ms >= CPU_MS or beat.loop_state in LIVE:
            self._stuck_ms = 0

    def tick(self, now_ms: int, evidence: Evidence | None) -> str | None:
        """Time has passed: why the NameNode is frozen, None when it is not."""
        seen_ms = min(now_ms - self._ticked_ms, SEEN_MS_MAX)
        self._ticked_ms = now_ms
        if self._has_beaten:
            self._has_beaten = False
            return self._wedged(seen_ms)
        return self._silent(seen_ms, evidence)

    def _wedged(self, seen_ms: int) -> str | None:
        last = self._last
        if last is None or last.loop_late_ms < LATE_MS:
            return None
        self._stuck_ms += seen_ms
        if self._stuck_ms < self._limit_ms:
            return None
        return (
            f"its event loop has not come round for {last.loop_late_ms} ms and uses no processor"
            f" time (its thread is in state {last.loop_state})"
        )

    def _silent(self, seen_ms: int, evidence: Evidence | None) -> str | None:
        self._silent_ms += seen_ms
        if self._before is None:
            self._before = evidence
        if evidence is None or self._before is None or self._silent_ms < self._limit_ms:
            return None
        silence = f"it has given no heartbeat for {self._silent_ms} ms"
        states = frozenset(evidence.states)
        if states and states <= STOPPED:
            return f"{silence}: its process is stopped"
        if evidence.cpu_ms - self._before.cpu_ms >= CPU_MS or states & LIVE:
            # It works, or waits for its turn: counted from now on anew.
            self._before = evidence
            return None
        return f"{silence}, and its process uses no processor time (threads: {evidence.states})"
