"""What the record keeps of a failure: where in the code it happened, without where that code lies on this machine."""

from __future__ import annotations

import re
import traceback
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

__all__ = ["absent_column", "failure_trace", "inside_package", "reason_of", "recordable", "tellable", "without_places"]

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
    """Give the frames of an exception, innermost last: `package/module.py:12 function`, as paths inside their package folder."""
    frames = traceback.extract_tb(error.__traceback__)[-_MOST_FRAMES:]
    lines = [f"{inside_package(frame.filename)}:{frame.lineno} {frame.name}" for frame in frames]
    return tellable("\n".join([*lines, type(error).__name__]))


def inside_package(filename: str) -> str:
    """Cut a source path down to the part below site-packages, else below the last folder that is no package."""
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
    """Take folders of this machine out of a message: where a file lay is no part of the record. What is given can be recorded."""
    for folder in sorted({str(each.absolute()) for each in folders} - {"/"}, key=len, reverse=True):
        message = message.replace(f"{folder}/", "").replace(folder, folder.rpartition("/")[2])
    return tellable(message)


def recordable(value: Any) -> Any:
    """Return a JSON value whose texts can be recorded; whatever is no JSON is left as it is."""
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
