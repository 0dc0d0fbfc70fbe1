"""Durable file operations: what is acknowledged survives a power cut."""

from __future__ import annotations

import os
import threading
from pathlib import Path

__all__ = ["fsync_file", "fsync_folder", "fsync_upward", "make_folder", "write_durably"]


def fsync_file(path: Path) -> None:
    """Force a file's bytes to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fsync_folder(path: Path) -> None:
    """Force a folder's entries to disk: a rename or a new file alone may not survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Make a folder and its parents, each new entry durable."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    fsync_folder(folder.parent)


def fsync_upward(folder: Path, top: Path) -> None:
    """Force the entries of a folder and of every folder above it to disk, up to and with `top`.

    What stands there already may be what a process left that was killed before its own fsync: whoever promises it must not trust that it came so far.
    """
    for each in (folder, *folder.parents):
        fsync_folder(each)
        if each == top:
            return


def write_durably(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Write a file whole or not at all: temporary file, fsync, rename, fsync of the folder."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    fsync_folder(path.parent)
