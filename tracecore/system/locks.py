"""Locks between processes, held by the operating system: a crash releases them.

Four kinds: a live run holds its run lock from START to its terminal event, so that `recover` knows it from a crashed one; who makes what a staleness
key stands for holds the key's lock, so that a second process waits and reuses; who writes a Delta table holds the table's lock; and whoever stands on
stored bytes shares the store, which who erases bytes must have alone.

A lock is of the process that took it, not of children that it forks: workers of a pool outlive a killed process, and would hold its locks for ever.
The worker of a stage, which ends with its build, is handed them on purpose: until it is gone it may still write where they say that somebody does.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from tracecore.system.failures import clear_disk_errors
from tracecore_schemas.canonical import digest_bytes, hex_of

__all__ = ["held", "hold_key", "hold_run", "hold_table", "keep_open", "own_store", "share_store", "try_run"]

_STORE = "store"
_PAUSE = 0.05
_WORKERS_END_S = 1.0
_OPEN: set[int] = set()
"""Descriptors of the lock files that this process has open."""


def _let_go_in_a_child() -> None:
    for descriptor in _OPEN:
        with suppress(OSError):
            os.close(descriptor)  # without unlocking, which would unlock it for the parent
    _OPEN.clear()


os.register_at_fork(after_in_child=_let_go_in_a_child)


def held() -> list[int]:
    """Return the descriptors of the locks that this process holds, to be handed to a worker: nobody gets them before both have ended."""
    return sorted(_OPEN)


def keep_open(descriptors: Iterable[int]) -> None:
    """Hold the locks of the build that this worker belongs to; children that it forks let go of them."""
    _OPEN.update(descriptors)


@contextmanager
def _file(folder: Path, name: str) -> Iterator[tuple[Path, int]]:
    """Open a lock file; give its place and a descriptor of its own, so that two threads of one process exclude each other too."""
    with clear_disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        place = folder / f"{name}.lock"
        descriptor = os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    _OPEN.add(descriptor)
    try:
        yield place, descriptor
    finally:
        if descriptor in _OPEN:
            _OPEN.discard(descriptor)
            with suppress(OSError):  # closing lets go too, but not before a child that is just being started has closed its own
                fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)


def _acquired(descriptor: int, mode: int, patience: float | None) -> bool:
    """Take a lock; say whether it was got within so many seconds, as long as it takes where None."""
    if patience is None:
        fcntl.flock(descriptor, mode)
        return True
    until = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(descriptor, mode | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                return False
            time.sleep(_PAUSE)
        else:
            return True


@contextmanager
def hold_run(folder: Path, run_id: str) -> Iterator[None]:
    """Hold the lock of a live run; its file is removed at the end, when the run has its terminal event."""
    with _file(folder, f"run-{run_id}") as (place, descriptor):
        with clear_disk_errors(folder):
            _acquired(descriptor, fcntl.LOCK_EX, None)
        try:
            yield
        finally:
            # Still held: whoever tries this run's lock now finds either this file locked or a run that has ended.
            place.unlink(missing_ok=True)


@contextmanager
def hold_key(folder: Path, key: str, waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold the lock of a staleness key.

    Args:
        folder: the workspace's locks.
        key: `sha256:` staleness key.
        waiting: called once where another process holds it.
    """
    with _file(folder, f"key-{hex_of(key)}") as (_, descriptor):
        with clear_disk_errors(folder):
            if not _acquired(descriptor, fcntl.LOCK_EX, 0):
                if waiting is not None:
                    waiting()
                _acquired(descriptor, fcntl.LOCK_EX, None)
        yield


@contextmanager
def hold_table(folder: Path, kind: str, name: str) -> Iterator[None]:
    """Hold the lock of one artifact name's Delta table."""
    readable = quote(f"{kind}.{name}", safe="")[:80]
    with _file(folder, f"table-{readable}-{hex_of(digest_bytes(f'{kind}/{name}'.encode()))[:16]}") as (_, descriptor):
        _acquired(descriptor, fcntl.LOCK_EX, None)
        yield


@contextmanager
def try_run(folder: Path, run_id: str) -> Iterator[bool]:
    """Try the lock of a run, no longer than a worker needs to end after the process that it belonged to.

    Yields:
        True where no live process holds it: it is held now. Ask for the run's state only then: the run may just have ended by itself.
    """
    with _file(folder, f"run-{run_id}") as (place, descriptor):
        got = _acquired(descriptor, fcntl.LOCK_EX, _WORKERS_END_S)
        try:
            yield got
        finally:
            if got:
                place.unlink(missing_ok=True)


@contextmanager
def share_store(folder: Path) -> Iterator[None]:
    """Stand on stored bytes: for as long, nobody erases any. Waits for an erasure that is going on; many may share at once."""
    with _file(folder, _STORE) as (_, descriptor):
        _acquired(descriptor, fcntl.LOCK_SH, None)
        yield


@contextmanager
def own_store(folder: Path, patience: float = 5.0) -> Iterator[bool]:
    """Have the stored bytes alone, to erase some of them.

    Args:
        folder: the workspace's locks.
        patience: seconds to wait for those who share them.

    Yields:
        Whether they are had: False where somebody still stands on them.
    """
    with _file(folder, _STORE) as (_, descriptor):
        yield _acquired(descriptor, fcntl.LOCK_EX, patience)
