"""Interprocess locks by `flock`, which the operating system releases after a crash.

A run's lock is held from START to its terminal event, so that `recover` can distinguish live runs from crashed ones. A staleness key's lock is held
while its output is made, so that a second process waits and reuses it. A Delta table's lock is held by its writer. The store's lock is shared by
readers and exclusive for erasure. Named locks let one process at a time create keys, tokens and databases.

A lock is not inherited by forked children, which may outlive a killed process. A stage's worker inherits the build's locks on purpose: until it has
ended, it may write what they protect.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from tracecore.system.failures import clear_disk_errors
from tracecore_schemas.canonical import digest_bytes, hex_of

__all__ = ["held", "hold_key", "hold_named", "hold_run", "hold_table", "keep_open", "own_store", "share_store", "try_run"]

_STORE = "store"
_PAUSE = 0.05
_WORKERS_END_S = 1.0
_OPEN: set[int] = set()
"""Descriptors of this process's open lock files."""


def _close_locks_in_child() -> None:
    for descriptor in _OPEN:
        with suppress(OSError):
            os.close(descriptor)  # without unlocking, which would unlock it for the parent
    _OPEN.clear()


os.register_at_fork(after_in_child=_close_locks_in_child)


def held() -> list[int]:
    """Return the descriptors of this process's lock files, for a worker to inherit; a lock is released when both processes have ended."""
    return sorted(_OPEN)


def keep_open(descriptors: Iterable[int]) -> None:
    """Register, in a worker, the lock files' descriptors that it inherited, so that its own forked children close them."""
    _OPEN.update(descriptors)


@contextmanager
def _file(folder: Path, name: str) -> Iterator[tuple[Path, int]]:
    """Context manager that opens `<name>.lock` in a folder and yields (path, new descriptor); locks on that descriptor exclude other threads, too."""
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
    """Acquire the `flock` of a descriptor within `patience` seconds, without limit if None, and return whether it was acquired."""
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
def _locked(
    folder: Path,
    name: str,
    *,
    shared: bool = False,
    patience: float | None = None,
    waiting: Callable[[], None] | None = None,
    remove: bool = False,
) -> Iterator[bool]:
    """Context manager that locks the file `<name>.lock` in a folder, exclusively unless `shared`, and yields whether it is locked.

    Args:
        patience: seconds to wait; None waits without limit.
        waiting: called once if another process has the lock, before waiting without limit.
        remove: whether to delete the lock file at the end.
    """
    mode = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    with _file(folder, name) as (place, descriptor):
        with clear_disk_errors(folder):
            acquired = _acquired(descriptor, mode, patience if waiting is None else 0)
            if not acquired and waiting is not None:
                waiting()
                acquired = _acquired(descriptor, mode, None)
        try:
            yield acquired
        finally:
            if acquired and remove:
                place.unlink(missing_ok=True)  # still locked: another process finds this file locked, or a run that has ended


def hold_named(folder: Path, name: str) -> AbstractContextManager[bool]:
    """Return a context manager that locks the file `<name>.lock` in a folder exclusively, waiting without limit; it yields True."""
    return _locked(folder, name)


def hold_run(folder: Path, run_id: str) -> AbstractContextManager[bool]:
    """Return a context manager that locks a run while it is in progress, and deletes the lock file at the end."""
    return _locked(folder, f"run-{run_id}", remove=True)


def hold_key(folder: Path, key: str, waiting: Callable[[], None] | None = None) -> AbstractContextManager[bool]:
    """Return a context manager that locks a staleness key (`sha256:…`); `waiting` is called once if another process has the lock."""
    return _locked(folder, f"key-{hex_of(key)}", waiting=waiting)


def hold_table(folder: Path, kind: str, name: str) -> AbstractContextManager[bool]:
    """Return a context manager that locks the Delta table of the artifact `<kind>/<name>` for one writer, waiting without limit."""
    readable = quote(f"{kind}.{name}", safe="")[:80]
    return _locked(folder, f"table-{readable}-{hex_of(digest_bytes(f'{kind}/{name}'.encode()))[:16]}")


def try_run(folder: Path, run_id: str) -> AbstractContextManager[bool]:
    """Return a context manager that tries to lock a run for up to 1 s and yields whether it did.

    If it yields True, no process executes the run any more. Read the run's state only then, as the run may just have ended.
    """
    return _locked(folder, f"run-{run_id}", patience=_WORKERS_END_S, remove=True)


def share_store(folder: Path) -> AbstractContextManager[bool]:
    """Return a context manager that locks the store jointly with other readers; the lock blocks erasures, and waits for a running one to end."""
    return _locked(folder, _STORE, shared=True)


def own_store(folder: Path, patience: float = 5.0) -> AbstractContextManager[bool]:
    """Return a context manager that locks the store exclusively, for erasure, and yields whether it did within `patience` seconds."""
    return _locked(folder, _STORE, patience=patience)
