"""Adapter. One thread that does blocking work for event loops, in the order it was asked for.

Much lighter than a ThreadPoolExecutor behind asyncio.wrap_future: an fsync of a fast disk takes
less time than handing it over that way does, and a JournalNode hands one over for every batch.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")


class _Order(NamedTuple):
    """Something to do, and who is told."""

    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]
    work: Callable[[], Any]
    after: Callable[[], None] | None


class Worker:
    """The thread starts with the first order, and ends when nobody has the Worker any more."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._orders: SimpleQueue[_Order | None] = SimpleQueue()
        self._started = False

    def run(
        self, work: Callable[[], T], after: Callable[[], None] | None = None
    ) -> asyncio.Future[T]:
        """What it returns or raises. Cancelling the future does not stop the work.

        `after` is called in the loop when the work is done, even when the future was cancelled.
        """
        if not self._started:
            self._start()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._orders.put(_Order(loop, future, work, after))
        return future

    def _start(self) -> None:
        self._started = True
        # A daemon, or the interpreter would wait for it before the finalizer below can end it.
        thread = threading.Thread(target=_serve, args=(self._orders,), name=self._name, daemon=True)
        thread.start()
        weakref.finalize(self, _end, self._orders, thread)


def _serve(orders: SimpleQueue[_Order | None]) -> None:
    while (order := orders.get()) is not None:
        result: Any = None
        error: BaseException | None = None
        try:
            result = order.work()
        except BaseException as raised:  # noqa: BLE001 - it is raised where the work was asked for
            error = raised
        try:
            order.loop.call_soon_threadsafe(_settle, order, result, error)
        except RuntimeError:
            # The loop is closed: nobody waits for it any more.
            pass
        # Until the next order comes, nothing of the last is held.
        del order, result, error


def _settle(order: _Order, result: Any, error: BaseException | None) -> None:
    if order.after is not None:
        order.after()
    future = order.future
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)


def _end(orders: SimpleQueue[_Order | None], thread: threading.Thread) -> None:
    """What was asked for is done first; at the end of the process it is waited for."""
    orders.put(None)
    if thread is not threading.current_thread():
        thread.join()
