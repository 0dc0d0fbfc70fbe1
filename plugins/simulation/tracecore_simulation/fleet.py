"""Many drives at once: each is made by itself, so that several threads give the same bytes as one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from pathlib import Path

from tracecore_simulation.drive import Drive, Settings, record_drive
from tracecore_simulation.plan import DrivePlan

__all__ = ["record_drives"]

_Task = tuple[Path, DrivePlan, Settings]
"""What `record_drive` takes."""


def record_drives(
    folder: Path, plans: Sequence[DrivePlan], settings: Settings, *, threads: int = 1, progress: Callable[[int, int, str], None] | None = None
) -> list[Drive]:
    """Record drives into a folder, in the order of their plans.

    Args:
        folder: for `<drive>.mcap`.
        plans: where and when.
        settings: what all share.
        threads: how many may work at once; the files are the same for any number.
        progress: told (frames done, frames in all, name of the drive).
    """
    total, frames = len(plans) * settings.frames, 0

    def tell(name: str, count: int = 1) -> None:
        nonlocal frames
        frames += count
        if progress is not None:
            progress(frames, total, name)

    tasks = [(folder / f"{plan.name}.mcap", plan, settings) for plan in plans]
    if threads > 1 and len(plans) > 1:
        return _in_threads(tasks, min(threads, len(plans)), lambda drive: tell(drive.plan.name, settings.frames))
    return [record_drive(*task, partial(tell, task[1].name)) for task in tasks]


def _in_threads(tasks: Sequence[_Task], threads: int, done: Callable[[Drive], None]) -> list[Drive]:
    """Share tasks out among threads. Not among processes: what another process loads would not be among what the run depends on."""
    with ThreadPoolExecutor(threads) as pool:
        running = [pool.submit(record_drive, *task) for task in tasks]
        for future in as_completed(running):
            done(future.result())
    return [future.result() for future in running]
