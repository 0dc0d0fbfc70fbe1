"""A full disk, a read-only mount, missing rights: one clear sentence whoever met it (Python, Rust behind Delta, SQLite)."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tracecore.errors import UsageProblem

__all__ = ["causes", "clear_disk_errors", "disk_problem", "unless_missing"]

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM})
# Libraries written in other languages pass the operating system's words on, not its number.
_FULL_WORDS = ("no space left on device", "disk quota exceeded", "disk is full", "os error 28")
_BROKEN_WORDS = ("input/output error", "disk i/o error", "os error 5)")
_READ_ONLY_WORDS = ("read-only file system", "os error 30)")
_FORBIDDEN_WORDS = ("permission denied", "operation not permitted", "os error 13)", "os error 1)")
_SQLITE_WORDS = "readonly database"
"""What SQLite says of a file that it may not write, whether rights are missing or the file system is read-only."""


def causes(error: BaseException) -> Iterator[BaseException]:
    """Walk an exception and what caused it, innermost last."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def disk_problem(error: BaseException, place: Path | str) -> UsageProblem | None:
    """Say in one sentence that the disk could not take what was written, if that is what an error means.

    Args:
        error: whatever was raised while writing.
        place: where was written: the workspace, or the file.

    Returns:
        The sentence as an error, or None where the error means something else.
    """
    for each in causes(error):
        number = each.errno if isinstance(each, OSError) else None
        words = str(each).lower()
        if number in _FULL or any(word in words for word in _FULL_WORDS):
            return UsageProblem(f"The disk is full: nothing more can be written to {place}. Make room there and run the same command again.")
        if number == errno.EROFS or any(word in words for word in _READ_ONLY_WORDS) or (_SQLITE_WORDS in words and not _writable_mount(place)):
            return UsageProblem(f"{place} can't be written: it lies on a read-only file system. Name another workspace with --workspace.")
        if number == errno.EIO or any(word in words for word in _BROKEN_WORDS):
            return UsageProblem(
                f"The disk of {place} failed (input/output error). Look at the disk, then run 'tracecore recover' and the same command again;"
                " 'tracecore verify' says whether all is whole."
            )
        if number in _FORBIDDEN and isinstance(each, OSError):
            return UsageProblem(f"{each.filename or place} can't be opened: {(each.strerror or 'no permission').lower()}.")
        if _SQLITE_WORDS in words or any(word in words for word in _FORBIDDEN_WORDS):
            return UsageProblem(f"{place} can't be written: the permission is missing (or what it lies on may only be read). Look at who owns it.")
    return None


def _writable_mount(place: Path | str) -> bool:
    """Whether a place, named by its path or by words that end in it, is known to lie on a file system that can be written."""
    text = str(place)
    path = Path(text[text.find("/") :]) if "/" in text else Path(text)
    try:
        return not os.statvfs(path if path.exists() else path.parent).f_flag & os.ST_RDONLY
    except OSError:
        return False


def unless_missing(error: OSError) -> None:
    """Raise what `os.walk` met (its `onerror`): a folder that may not be read is no empty one, a missing one is."""
    if not isinstance(error, FileNotFoundError):
        raise error


@contextmanager
def clear_disk_errors(place: Path | str) -> Iterator[None]:
    """Turn what a full or read-only disk raises inside the block into a `UsageProblem`; other errors pass."""
    try:
        yield
    except UsageProblem:
        raise
    except Exception as error:
        problem = disk_problem(error, place)
        if problem is None:
            raise
        raise problem from error
