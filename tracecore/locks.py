"""Locks between processes, held by the operating system: a crash releases them.

Four kinds: a live run holds its run lock from START to its terminal event, so that `recover` knows it from a crashed one; who makes what a staleness
key stands for holds the key's lock, so that a second process waits and reuses; who writes a Delta table holds the table's lock; and whoever stands on
stored bytes shares the store, which who erases bytes must have alone.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from filelock import FileLock, Timeout

from tracecore.disk import clear_disk_errors
from tracecore_schemas.canonical import digest_bytes, hex_of

__all__ = ["hold_key", "hold_run", "hold_table", "own_store", "share_store", "try_run"]

_STORE = "store.lock"
_PAUSE = 0.05


def _lock(folder: Path, name: str) -> FileLock:
    folder.mkdir(parents=True, exist_ok=True)
    # Not a singleton and not thread-local: two threads of one process must exclude each other too, and Dagster may release in another thread.
    return FileLock(str(folder / f"{name}.lock"), thread_local=False)


@contextmanager
def hold_run(folder: Path, run_id: str) -> Iterator[None]:
    """Hold the lock of a live run; its file is removed at the end, when the run has its terminal event."""
    with clear_disk_errors(folder):
        lock = _lock(folder, f"run-{run_id}")
        lock.acquire()
    try:
        yield
    finally:
        # Still held: whoever tries this run's lock now finds either this file locked or a run that has ended.
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


@contextmanager
def hold_key(folder: Path, key: str, waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold the lock of a staleness key.

    Args:
        folder: the workspace's locks.
        key: `sha256:` staleness key.
        waiting: called once where another process holds it.
    """
    with clear_disk_errors(folder):
        lock = _lock(folder, f"key-{hex_of(key)}")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            if waiting is not None:
                waiting()
            lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def hold_table(folder: Path, kind: str, name: str) -> Iterator[None]:
    """Hold the lock of one artifact name's Delta table."""
    readable = quote(f"{kind}.{name}", safe="")[:80]
    with _lock(folder, f"table-{readable}-{hex_of(digest_bytes(f'{kind}/{name}'.encode()))[:16]}"):
        yield


@contextmanager
def try_run(folder: Path, run_id: str) -> Iterator[bool]:
    """Try the lock of a run without waiting.

    Yields:
        True where no live process holds it: it is held now. Ask for the run's state only then: the run may just have ended by itself.
    """
    lock = _lock(folder, f"run-{run_id}")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


@contextmanager
def share_store(folder: Path) -> Iterator[None]:
    """Stand on stored bytes: for as long, nobody erases any. Waits for an erasure that is going on; many may share at once."""
    with _flocked(folder, fcntl.LOCK_SH, None):
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
    with _flocked(folder, fcntl.LOCK_EX, patience) as held:
        yield held


@contextmanager
def _flocked(folder: Path, mode: int, patience: float | None) -> Iterator[bool]:
    """Hold one lock file shared or alone; `filelock` knows no shared locks of the operating system."""
    with clear_disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / _STORE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        yield _acquired(descriptor, mode, patience)
    finally:
        os.close(descriptor)  # which lets go of it


def _acquired(descriptor: int, mode: int, patience: float | None) -> bool:
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
