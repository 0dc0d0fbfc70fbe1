"""Locks between processes, held by the operating system: a crash releases them.

Three kinds: a live run holds its run lock from START to its terminal event, so that `recover` knows it from a crashed one; who makes what a staleness
key stands for holds the key's lock, so that a second process waits and reuses; who writes a Delta table holds the table's lock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from filelock import FileLock, Timeout

from tracecore.disk import clear_disk_errors
from tracecore_schemas.canonical import digest_bytes, hex_of

__all__ = ["hold_key", "hold_run", "hold_table", "try_run"]


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
