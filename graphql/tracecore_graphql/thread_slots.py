"""Places for work in threads: bounded, and each held until its thread has ended, also when nobody waits for the answer any more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from anyio import CapacityLimiter, to_thread

__all__ = ["Busy", "StillRunning", "ThreadSlots"]

T = TypeVar("T")


class Busy(Exception):
    """No place became free in time; the work was not begun."""


class StillRunning(Exception):
    """The work was begun and did not end in time; it goes on and holds its place until it ends."""


class ThreadSlots:
    """A number of threads that work at one time; further work waits for a place.

    Args:
        count: how many threads work at one time.
    """

    def __init__(self, count: int) -> None:
        self._limiter = CapacityLimiter(count)
        self._working: set[asyncio.Task[object]] = set()  # the event loop itself keeps only weak references to tasks

    async def run(self, work: Callable[[], T], *, seconds: float) -> T:
        """Run work in a thread and return its result.

        A thread can't be stopped. Were its place given back when the asker stops waiting, slow questions would pile up in threads without bound.

        Args:
            work: called once, in a thread, unless no place becomes free in time.
            seconds: to wait for a place and for the result, together.

        Raises:
            Busy: no place became free; `work` will not be called.
            Unfinished: `work` has not ended.
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
            task.exception()  # whoever waited has been answered: asyncio need not log that nobody looked at it
