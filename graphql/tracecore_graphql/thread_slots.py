"""Worker threads in bounded number; a slot stays taken until its thread has ended, even if the request no longer waits for the result."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from anyio import CapacityLimiter, to_thread

__all__ = ["Busy", "StillRunning", "ThreadSlots"]

T = TypeVar("T")


class Busy(Exception):
    """No slot became free in time; the work was not started."""


class StillRunning(Exception):
    """The work did not end in time; it continues and keeps its slot until it ends."""


class ThreadSlots:
    """A bounded number of worker threads; further work waits for a slot.

    A thread can't be stopped. If a request that timed out freed its slot, threads of slow requests would accumulate without bound.
    """

    def __init__(self, count: int) -> None:
        self._limiter = CapacityLimiter(count)
        self._working: set[asyncio.Task[object]] = set()  # the event loop itself keeps only weak references to tasks

    async def run(self, work: Callable[[], T], *, seconds: float) -> T:
        """Run a function in a thread and return its result; waits at most `seconds` for a slot and the result together.

        Raises:
            Busy: no slot became free; `work` will not be called.
            StillRunning: `work` has not ended.
        """
        begun = False

        def begin() -> T:
            nonlocal begun
            begun = True
            return work()

        task = asyncio.ensure_future(to_thread.run_sync(begin, limiter=self._limiter))
        self._working.add(task)
        task.add_done_callback(self._ended)
        try:
            done, _ = await asyncio.wait({task}, timeout=seconds)
        except asyncio.CancelledError:
            if not begun:
                task.cancel()
            raise
        if done:
            return task.result()
        if begun:
            raise StillRunning
        task.cancel()
        raise Busy

    def _ended(self, task: asyncio.Task[object]) -> None:
        self._working.discard(task)
        if not task.cancelled():
            task.exception()  # retrieved, so that asyncio does not log it as never retrieved
