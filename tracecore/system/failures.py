"""Error messages for disk failures, and error texts and stack traces that are safe to record, without local paths and addresses."""

from __future__ import annotations

import errno
import os
import re
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path, PurePath
from typing import Any

from tracecore.errors import UsageError

__all__ = [
    "absent_column",
    "causes",
    "clear_disk_errors",
    "clear_errors",
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
"""pyarrow's error messages for a missing column."""


def absent_column(reason: str) -> str | None:
    """Return the name of the missing column in an error message of pyarrow, or None for other messages."""
    found = _ABSENT.search(reason)
    return next(filter(None, found.groups())) if found else None


def reason_of(error: BaseException) -> str:
    """Return an exception's type and message on one line, without memory addresses, so that it is the same in each process."""
    text = tellable(" ".join(str(error).split()))
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def failure_trace(error: BaseException) -> str:
    """Return an exception's stack trace: its last 30 frames, innermost last, as lines `package/module.py:12 function`, and its type."""
    frames = traceback.extract_tb(error.__traceback__)[-_MOST_FRAMES:]
    lines = [f"{inside_package(frame.filename)}:{frame.lineno} {frame.name}" for frame in frames]
    return tellable("\n".join([*lines, type(error).__name__]))


def inside_package(filename: str) -> str:
    """Return a source path relative to site-packages, else to the first parent folder that is not a package."""
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
    """Return a message with paths made relative to these folders, surrogates escaped and memory addresses removed."""
    for folder in sorted({str(each.absolute()) for each in folders} - {"/"}, key=len, reverse=True):
        message = message.replace(f"{folder}/", "").replace(folder, folder.rpartition("/")[2])
    return tellable(message)


def recordable(value: Any) -> Any:
    """Return a copy of a JSON value with surrogates escaped and memory addresses removed in its texts; other values are unchanged."""
    match value:
        case str():
            return tellable(value)
        case Mapping():
            return {recordable(name): recordable(each) for name, each in value.items()}
        case list() | tuple():
            return [recordable(each) for each in value]
    return value


def tellable(text: str) -> str:
    """Return a text that can be recorded: surrogates are escaped, and memory addresses removed."""
    return _ADDRESS.sub("", text).encode("utf-8", "backslashreplace").decode("utf-8")


_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM})
# Libraries written in other languages pass the operating system's words on, not its number.
_FULL_WORDS = ("no space left on device", "disk quota exceeded", "disk is full", "os error 28")
_BROKEN_WORDS = ("input/output error", "disk i/o error", "os error 5)")
_READ_ONLY_WORDS = ("read-only file system", "os error 30)")
_FORBIDDEN_WORDS = ("permission denied", "operation not permitted", "os error 13)", "os error 1)")
_SQLITE_WORDS = "readonly database"
"""SQLite's message for missing permissions as well as for a read-only file system."""


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception, its cause or context, and so on, innermost last."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def disk_problem(error: BaseException, place: Path | str) -> UsageError | None:
    """Return the UsageError that explains a full, read-only or broken disk or a missing permission; None if the exception has another cause."""
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
    """Whether a path is on a file system that is known to be writable; `place` is the path, or a text that ends in it."""
    text = str(place)
    path = Path(text[text.find("/") :]) if "/" in text else Path(text)
    try:
        return not os.statvfs(path if path.exists() else path.parent).f_flag & os.ST_RDONLY
    except OSError:
        return False


def unless_missing(error: OSError) -> None:
    """Raise an error of `os.walk` (as its `onerror`), except for a missing folder, which counts as empty."""
    if not isinstance(error, FileNotFoundError):
        raise error


def clear_disk_errors(place: Path | str) -> AbstractContextManager[None]:
    """Context manager that turns errors of a full, read-only or broken disk or a missing permission into a `UsageError`; others propagate."""
    return clear_errors(lambda error: disk_problem(error, place))


@contextmanager
def clear_errors(problem_of: Callable[[Exception], UsageError | None]) -> Iterator[None]:
    """Context manager that raises the UsageError that `problem_of` returns for an exception; where it returns None, the exception propagates."""
    try:
        yield
    except UsageError:
        raise
    except Exception as error:
        problem = problem_of(error)
        if problem is None:
            raise
        raise problem from error
