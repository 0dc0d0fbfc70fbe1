"""Failures in words: one clear sentence for disk errors, and the reason and stack trace as the record keeps them, without paths of this machine."""

from __future__ import annotations

import errno
import os
import re
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import Any

from tracecore.errors import UsageError

__all__ = [
    "absent_column",
    "causes",
    "clear_disk_errors",
    "disk_problem",
    "failure_trace",
    "inside_package",
    "reason_of",
    "recordable",
    "tellable",
    "unless_missing",
    "without_places",
]

_MOST_FRAMES = 30
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]{4,16}(?=[>,])|(?: at)? ?\b0x(?:0000)?(?:7[ef]|5[56])[0-9a-fA-F]{10}\b")
"""As in `<_io.BytesIO object at 0x7f…>` and, of native code, `invalid pointer 0x00007f…`: another in each process, so that two runs of one failure
would give two reasons. Other hexadecimal numbers (`CAN frame 0x18FF50E5`) are facts."""


_ABSENT = re.compile(r"No match for FieldRef\.Name\((.+?)\) in |Field \"(.+?)\" does not exist in schema|Column '(.+?)' does not exist")
"""How pyarrow says that a table has no such column."""


def absent_column(reason: str) -> str | None:
    """Return the column that a table was asked for and does not have, if that is what a reason says."""
    found = _ABSENT.search(reason)
    return next(filter(None, found.groups())) if found else None


def reason_of(error: BaseException) -> str:
    """Return on one line what was raised: its type and message, the same in each process."""
    text = tellable(" ".join(str(error).split()))
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def failure_trace(error: BaseException) -> str:
    """Return the frames of an exception, innermost last: `package/module.py:12 function`, as paths inside their package folder."""
    frames = traceback.extract_tb(error.__traceback__)[-_MOST_FRAMES:]
    lines = [f"{inside_package(frame.filename)}:{frame.lineno} {frame.name}" for frame in frames]
    return tellable("\n".join([*lines, type(error).__name__]))


def inside_package(filename: str) -> str:
    """Cut a source path down to the part below site-packages, else below the last folder that is not a package."""
    path = PurePath(filename)
    for marker in ("site-packages", "dist-packages"):
        if marker in path.parts:
            return PurePath(*path.parts[path.parts.index(marker) + 1 :]).as_posix()
    folder = Path(filename).parent
    depth = 1
    while (folder / "__init__.py").exists() and depth < len(path.parts):
        folder = folder.parent
        depth += 1
    return PurePath(*path.parts[-depth:]).as_posix()


def without_places(message: str, *folders: Path) -> str:
    """Take folders of this machine out of a message: paths of this machine are not recorded. The result can be recorded."""
    for folder in sorted({str(each.absolute()) for each in folders} - {"/"}, key=len, reverse=True):
        message = message.replace(f"{folder}/", "").replace(folder, folder.rpartition("/")[2])
    return tellable(message)


def recordable(value: Any) -> Any:
    """Return a JSON value whose texts can be recorded; anything but JSON is left as it is."""
    match value:
        case str():
            return tellable(value)
        case Mapping():
            return {recordable(name): recordable(each) for name, each in value.items()}
        case list() | tuple():
            return [recordable(each) for each in value]
    return value


def tellable(text: str) -> str:
    """Return a text that can be recorded: bytes of a file name that are not UTF-8 by their numbers, objects without their address in memory."""
    return _ADDRESS.sub("", text).encode("utf-8", "backslashreplace").decode("utf-8")


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


def disk_problem(error: BaseException, place: Path | str) -> UsageError | None:
    """Return the sentence for an error of a disk that could not take what was written, None for any other error.

    Returns:
        The sentence as an error, or None where the error means something else.
    """
    for each in causes(error):
        number = each.errno if isinstance(each, OSError) else None
        words = str(each).lower()
        if number in _FULL or any(word in words for word in _FULL_WORDS):
            return UsageError(f"The disk is full: nothing more can be written to {place}. Make room there and run the same command again.")
        if number == errno.EROFS or any(word in words for word in _READ_ONLY_WORDS) or (_SQLITE_WORDS in words and not _writable_mount(place)):
            return UsageError(f"{place} can't be written: it lies on a read-only file system. Name another workspace with --workspace.")
        if number == errno.EIO or any(word in words for word in _BROKEN_WORDS):
            return UsageError(
                f"The disk of {place} failed (input/output error). Look at the disk, then run 'tracecore recover' and the same command again;"
                " 'tracecore verify' says whether all is whole."
            )
        if number in _FORBIDDEN and isinstance(each, OSError):
            return UsageError(f"{each.filename or place} can't be opened: {(each.strerror or 'no permission').lower()}.")
        if _SQLITE_WORDS in words or any(word in words for word in _FORBIDDEN_WORDS):
            return UsageError(f"{place} can't be written: the permission is missing (or what it lies on may only be read). Look at who owns it.")
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
    """Raise what `os.walk` met (its `onerror`): an unreadable folder is an error, a missing one counts as empty."""
    if not isinstance(error, FileNotFoundError):
        raise error


@contextmanager
def clear_disk_errors(place: Path | str) -> Iterator[None]:
    """Turn what a full or read-only disk raises inside the block into a `UsageError`; other errors pass."""
    try:
        yield
    except UsageError:
        raise
    except Exception as error:
        problem = disk_problem(error, place)
        if problem is None:
            raise
        raise problem from error
