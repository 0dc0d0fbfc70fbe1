"""Many drives at once: each is made by itself, so that several processes give the same bytes as one."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from queue import SimpleQueue

from tracecore_simulation.drive import Drive, Settings, record_drive
from tracecore_simulation.plan import DrivePlan
from tracecore_simulation.worker import Task, Worker, WorkerGone, worker

__all__ = ["record_drives"]

_WORTH_A_PROCESS = 60  # frames: fewer are drawn before a second process has started
_log = logging.getLogger(__name__)


def record_drives(
    folder: Path, plans: Sequence[DrivePlan], settings: Settings, *, processes: int = 1, progress: Callable[[int, int, str], None] | None = None
) -> list[Drive]:
    """Record drives into a folder, in the order of their plans.

    Args:
        folder: for `<drive>.mcap`.
        plans: where and when.
        settings: what all share.
        processes: how many may work at once; the files are the same for any number.
        progress: told (frames done, frames in all, name of the drive).
    """
    total, frames = len(plans) * settings.frames, 0

    def tell(name: str, count: int = 1) -> None:
        nonlocal frames
        frames += count
        if progress is not None:
            progress(frames, total, name)

    tasks = [(folder / f"{plan.name}.mcap", plan, settings) for plan in plans]
    if processes > 1 and len(plans) > 1 and total > _WORTH_A_PROCESS:
        return _in_processes(tasks, min(processes, len(plans)), lambda drive: tell(drive.plan.name, settings.frames))
    return [record_drive(*task, partial(tell, task[1].name)) for task in tasks]


def _in_processes(tasks: Sequence[Task], processes: int, done: Callable[[Drive], None]) -> list[Drive]:
    """Share tasks out among processes; whoever is free takes the next."""
    free: SimpleQueue[Worker] = SimpleQueue()
    with ExitStack() as stack:
        for _ in range(processes):
            free.put(stack.enter_context(worker()))
        pool = stack.enter_context(ThreadPoolExecutor(processes))
        running = {pool.submit(_record, free, task): number for number, task in enumerate(tasks)}
        found: dict[int, Drive] = {}
        for future in as_completed(running):
            found[running[future]] = future.result()
            done(future.result())
    return [found[number] for number in range(len(tasks))]


def _record(free: SimpleQueue[Worker], task: Task) -> Drive:
    own = free.get()
    try:
        return own.record(task)
    except WorkerGone as problem:
        _log.warning("A process that records drives ended (%s); %s is recorded by this one.", problem, task[1].name)
        return record_drive(*task)
    finally:
        free.put(own)
