"""Driver. An asyncio event loop with virtual time, and lanes: what each simulated process runs.

Within a lane callbacks run in the order asyncio promises (first in, first out). Which lane runs
next is drawn from the seed after every callback, since processes of a real cluster run side by
side. When no lane can run, time jumps to the next timer. Timers are never early and a little late.
"""

from __future__ import annotations

import asyncio
import contextvars
import hashlib
import heapq
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine
from types import CoroutineType, GeneratorType
from typing import Any, TypeVar, Union, cast

from hdfsd.sim.dice import SimDice

T = TypeVar("T")
Work = Union["CoroutineType[Any, Any, Any]", "GeneratorType[Any, Any, Any]"]
"""What a task runs: generators as well, which `ensure_future` wraps other awaitables in."""

STEPS_MAX = 50_000_000
"""Callbacks of one run: more means that something spins without time passing."""
TIMER_LATE_S_MAX = 0.0002
TRACE_LINES_MAX = 400
CLEANUPS_MAX = 50
"""Awaits in `finally` clauses of one coroutine that a dying process is thrown out of."""


class NothingLeft(Exception):
    """No callback is ready, no timer is set, and the run has not ended: everybody waits."""


class Trace:
    """A digest of everything that happened, with its time; the last lines are kept to read."""

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=16)
        self.lines: deque[str] = deque(maxlen=TRACE_LINES_MAX)

    def note(self, time_s: float, text: str) -> None:
        line = f"{time_s * 1000:.3f} {text}"
        self._hash.update(line.encode() + b"\n")
        self.lines.append(line)

    def digest(self) -> str:
        return self._hash.hexdigest()


class Lane:
    """The callbacks of one process, and whether they may run."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.alive = True
        self.paused = False
        self.ready: deque[events.Handle] = deque()
        self.tasks: dict[asyncio.Task[Any], None] = {}
        """Held so that what waits for ever is not collected at a time nobody chose."""
        self.context = contextvars.copy_context()
        self.context.run(_lane.set, self)

    def __repr__(self) -> str:
        return f"Lane({self.name})"


_lane: contextvars.ContextVar[Lane] = contextvars.ContextVar("hdfsd.sim.lane")


def current_lane() -> Lane:
    """The lane whose callback is running."""
    return _lane.get()


class SimLoop(asyncio.BaseEventLoop):
    """Virtual time; `world` is the lane of whoever stands outside of all processes."""

    def __init__(self, dice: SimDice) -> None:
        super().__init__()
        self._dice = dice
        self._now_s = 0.0
        self._timers: list[tuple[float, int, events.TimerHandle, Lane]] = []
        self._timer_count = 0
        self._steps = 0
        self.trace = Trace()
        self.errors: list[BaseException | str] = []
        """What callbacks raised and nobody caught."""
        self.world = Lane("world")
        self.lanes: list[Lane] = [self.world]
        self.set_exception_handler(self._keep_error)
        self.set_task_factory(cast(Any, self._make_task))

    def note(self, text: str) -> None:
        self.trace.note(self._now_s, text)

    # -- lanes

    def add_lane(self, name: str) -> Lane:
        lane = Lane(name)
        self.lanes.append(lane)
        return lane

    def end_lane(self, lane: Lane) -> None:
        """Nothing of the lane runs any more, not even what its tasks would do when cancelled."""
        lane.alive = False
        self.lanes.remove(lane)
        buried = 0
        while buried < len(lane.tasks):
            # What a dying task starts in its `finally` dies with it.
            dying = list(lane.tasks)[buried:]
            buried += len(dying)
            for task in dying:
                _bury(task, lane)
        lane.ready.clear()

    def spawn(self, lane: Lane, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """A task in the lane, whichever lane is running now."""
        return lane.context.copy().run(self.create_task, work)

    # -- what asyncio asks of a loop

    def time(self) -> float:
        return self._now_s

    def _call_soon(
        self,
        callback: Callable[..., object],
        args: Any,
        context: contextvars.Context | None,
    ) -> events.Handle:
        context = contextvars.copy_context() if context is None else context
        handle = events.Handle(callback, args, self, context)
        lane = context.get(_lane) or self.world
        if lane.alive:
            lane.ready.append(handle)
        return handle

    def call_soon_threadsafe(  # type: ignore[override]
        self,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> events.Handle:
        return self._call_soon(callback, args, context)

    def call_at(  # type: ignore[override]
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> events.TimerHandle:
        context = contextvars.copy_context() if context is None else context
        timer = events.TimerHandle(when, callback, args, self, context)
        lane = context.get(_lane) or self.world
        late_s = 0.0 if lane is self.world else TIMER_LATE_S_MAX * self._dice.fraction()
        self._timer_count += 1
        heapq.heappush(self._timers, (when + late_s, self._timer_count, timer, lane))
        return timer

    def run_in_executor(self, *args: Any) -> Any:  # type: ignore[override]
        raise RuntimeError("threads are not simulated: a driver must not ask for one")

    def _timer_handle_cancelled(self, handle: events.TimerHandle) -> None:
        """Cancelled timers stay in the heap until their time and do nothing then."""

    def _process_events(self, event_list: Any) -> None:
        raise AssertionError("a simulated loop has no selector")

    def _run_once(self) -> None:
        """Callbacks until somebody stops the loop: BaseEventLoop looks after each call of this."""
        while not self._stopping:  # type: ignore[attr-defined]
            runnable = [lane for lane in self.lanes if lane.ready and not lane.paused]
            if not runnable:
                self._advance()
                continue
            lane = runnable[self._dice.below(len(runnable))] if len(runnable) > 1 else runnable[0]
            handle = lane.ready.popleft()
            self._steps += 1
            if self._steps > STEPS_MAX:
                raise NothingLeft(f"{STEPS_MAX} callbacks, and time stands at {self._now_s} s")
            if not handle.cancelled():
                handle._run()

    def _advance(self) -> None:
        """Moves time to the next timer and makes ready whatever is due then."""
        while self._timers and (self._timers[0][2].cancelled() or not self._timers[0][3].alive):
            heapq.heappop(self._timers)
        if not self._timers:
            waiting = ", ".join(lane.name for lane in self.lanes if lane.paused) or "nobody"
            raise NothingLeft(f"nothing can happen after {self._now_s} s; paused: {waiting}")
        self._now_s = max(self._now_s, self._timers[0][0])
        while self._timers and self._timers[0][0] <= self._now_s:
            _, _, timer, lane = heapq.heappop(self._timers)
            if lane.alive and not timer.cancelled():
                lane.ready.append(timer)

    # -- tasks and errors

    def _make_task(
        self, loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any], **options: Any
    ) -> asyncio.Task[Any]:
        context = options.get("context") or contextvars.copy_context()
        task = asyncio.Task(work, loop=self, name=options.get("name"), context=context)
        lane = context.get(_lane) or self.world
        if lane.alive and len(lane.tasks) % 256 == 255:
            lane.tasks = {known: None for known in lane.tasks if not known.done()}
        lane.tasks[task] = None
        return task

    def _keep_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if str(context.get("message")).startswith("Future exception was never retrieved"):
            return  # Whoever would have asked was cancelled or killed.
        self.errors.append(context.get("exception") or str(context.get("message")))

    def close(self) -> None:
        # A `finally` that makes a future or a task makes it here, not in a new loop of asyncio's.
        running = events._get_running_loop()
        events._set_running_loop(self)
        try:
            for lane in list(self.lanes):
                self.end_lane(lane)
        finally:
            events._set_running_loop(running)
        super().close()

    def __del__(self) -> None:
        """Holds no selector and no socket: a loop that never ran needs no closing."""


def _bury(task: asyncio.Task[Any], lane: Lane) -> None:
    """Ends a task's coroutine now rather than when it happens to be collected.

    Its `finally` clauses run, as they would at collection, but the lane is dead: whatever they
    schedule is dropped, and its ports refuse to act.
    """
    if task.done():
        return
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    context = lane.context.copy()
    # One that awaits in its `finally` is left behind by those around it, which take that for an
    # error of its own.
    chain = _chain(task.get_coro())
    for work in (*chain[:1], *reversed(chain)):
        _close(work, context)


def _close(work: Work, context: contextvars.Context) -> None:
    """A `finally` that awaits is thrown out of that as well."""
    for _ in range(CLEANUPS_MAX):
        try:
            context.run(work.close)
            return
        except (Exception, GeneratorExit, BaseExceptionGroup):  # noqa: BLE001 - nobody hears it
            continue


def _chain(work: object) -> list[Work]:
    """Coroutines that wait each for the next one."""
    found: list[Work] = []
    while isinstance(work, CoroutineType | GeneratorType):
        found.append(work)
        work = work.cr_await if isinstance(work, CoroutineType) else work.gi_yieldfrom
    return found
