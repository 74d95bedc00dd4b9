"""Adapter. A thread beside the event loop: sees when the loop is late and at what, and beats.

The loop leaves a mark some forty times a second; the thread looks as often whether the mark is
young. When it is old, the stack of the loop's thread says what it is at, at no cost for the work
itself. How long it was is measured by the loop, whose mark comes that much late.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from hdfsd.base.stalls import STALL_MS, UNSEEN, Place, Stall, name_of
from hdfsd.ports.heartbeat import BEAT_MS, Beat

MARK_MS = 25
LOOKS_PER_BEAT = BEAT_MS // MARK_MS
STATE_LATE_MS = 1000
"""From when on the kernel is asked for the state of the loop's thread."""
FRAMES_MAX = 60
JOIN_S = 2.0


class LoopWatch:
    """Of the loop in whose thread it is made."""

    def __init__(
        self,
        on_stall: Callable[[Stall], None],
        on_beat: Callable[[Beat], None],
        on_end: Callable[[], None],
    ) -> None:
        """`on_stall` is called on the loop; `on_beat` in the thread, every BEAT_MS, and `on_end`
        when that ends, whatever the cause."""
        self._on_stall = on_stall
        self._on_beat = on_beat
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._ident = threading.get_ident()
        self._native_id = threading.get_native_id()
        self._cpu_clock = time.pthread_getcpuclockid(self._ident)
        self._marked_ns = time.monotonic_ns()
        self._cpu_ns = time.thread_time_ns()
        self._sample: tuple[int, str] | None = None
        """When the mark was made after which it was taken, and what the loop was at."""
        self._timer = self._loop.call_later(MARK_MS / 1000, self._mark)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="loop-watch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread."""
        self._timer.cancel()
        self._stopped.set()
        self._thread.join(JOIN_S)

    # On the loop.

    def _mark(self) -> None:
        now_ns, cpu_ns = time.monotonic_ns(), time.thread_time_ns()
        before_ns, sample = self._marked_ns, self._sample
        late_ms = (now_ns - before_ns) // 1_000_000 - MARK_MS
        used_ms = (cpu_ns - self._cpu_ns) // 1_000_000
        self._marked_ns, self._cpu_ns = now_ns, cpu_ns
        self._timer = self._loop.call_later(MARK_MS / 1000, self._mark)
        if late_ms > STALL_MS:
            name = sample[1] if sample is not None and sample[0] == before_ns else UNSEEN
            self._on_stall(Stall(name, late_ms, used_ms, time.time_ns() // 1_000_000))

    # In the thread.

    def _run(self) -> None:
        try:
            self._look_again_and_again()
        finally:
            self._on_end()

    def _look_again_and_again(self) -> None:
        looks = 0
        while not self._stopped.wait(MARK_MS / 1000):
            marked_ns = self._marked_ns
            late_ms = (time.monotonic_ns() - marked_ns) // 1_000_000 - MARK_MS
            if late_ms > STALL_MS and (self._sample is None or self._sample[0] != marked_ns):
                self._sample = (marked_ns, self._what_it_does())
            looks += 1
            if looks % LOOKS_PER_BEAT == 0:
                self._on_beat(self._beat(max(0, late_ms)))

    def _what_it_does(self) -> str:
        frame = sys._current_frames().get(self._ident)
        places: list[Place] = []
        while frame is not None and len(places) < FRAMES_MAX:
            module = str(frame.f_globals.get("__name__", "?"))
            places.append(Place(module, frame.f_code.co_qualname, frame.f_lineno))
            frame = frame.f_back
        task = asyncio.current_task(self._loop)
        return name_of(places[::-1], task.get_name() if task is not None else "")

    def _beat(self, late_ms: int) -> Beat:
        cpu_ms = time.clock_gettime_ns(self._cpu_clock) // 1_000_000
        state = "R" if late_ms < STATE_LATE_MS else thread_state(self._native_id)
        return Beat(late_ms, cpu_ms, state)


def thread_state(native_id: int) -> str:
    """The letter of one of our own threads."""
    stat = Path(f"/proc/self/task/{native_id}/stat").read_text("latin-1")
    return stat.rpartition(") ")[2][:1]
