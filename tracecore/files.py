"""Durable file operations: what they have completed survives a power failure."""

from __future__ import annotations

import fcntl
import os
import shutil
import threading
from pathlib import Path

from tracecore_schemas.canonical import digest_file

__all__ = [
    "clone_or_copy",
    "fsync_file",
    "fsync_folder",
    "fsync_tree",
    "fsync_upward",
    "make_folder",
    "remove_tree",
    "rename_durably",
    "write_durably",
]


def fsync_file(path: Path) -> None:
    """Flush a file's content to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fsync_folder(path: Path) -> None:
    """Flush a folder's entries to disk, so that new and renamed files in it survive a power failure."""
    fsync_file(path)


def make_folder(folder: Path) -> None:
    """Create a folder and its missing parents, with fsync so that they survive a power failure."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    fsync_folder(folder.parent)


def fsync_upward(folder: Path, top: Path) -> None:
    """Flush the entries of a folder and of its parents up to and including `top`, in case an interrupted process created them without fsync."""
    for each in (folder, *folder.parents):
        fsync_folder(each)
        if each == top:
            return


def write_durably(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Write a file atomically and durably: temporary file, fsync, rename, fsync of the folder."""
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


_FICLONE = 0x40049409  # linux/fs.h: share the blocks of a file (btrfs, XFS), instant and without extra room
_CHUNK = 4 * 1024 * 1024


def clone_or_copy(source: Path, target: Path) -> tuple[str, int]:
    """Copy a file, by reflink where the file system supports it, fsync the copy, and return its `sha256:` digest and size in bytes."""
    with source.open("rb") as reader, target.open("wb") as writer:
        try:
            fcntl.ioctl(writer.fileno(), _FICLONE, reader.fileno())
        except OSError:
            shutil.copyfileobj(reader, writer, _CHUNK)
        writer.flush()
        os.fsync(writer.fileno())
    # Hashed from the copy: the source may change under us, and what counts is what we keep.
    return digest_file(target), target.stat().st_size


def rename_durably(source: Path, target: Path) -> None:
    """Move a file or folder within one file system, creating the target's parent folder if needed, with fsync of both parent folders."""
    make_folder(target.parent)
    source.replace(target)
    fsync_folder(target.parent)
    if source.parent != target.parent:
        fsync_folder(source.parent)


def fsync_tree(folder: Path) -> None:
    """Flush a folder and all files and folders below it to disk."""
    for place, folders, files in os.walk(folder):
        for name in files:
            fsync_file(Path(place) / name)
        for name in folders:
            fsync_folder(Path(place) / name)
    fsync_folder(folder)


def remove_tree(folder: Path) -> None:
    """Delete a folder with its content if it exists; files that can't be deleted are left without an error."""
    shutil.rmtree(folder, ignore_errors=True)
