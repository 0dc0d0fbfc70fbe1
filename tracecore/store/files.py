"""Moving bytes into place: copied or cloned, hashed on the way, durable before they are visible."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from pathlib import Path

from tracecore.durable import fsync_file, fsync_folder, make_folder

__all__ = ["clone_or_copy", "fsync_tree", "remove_tree", "rename_durably"]

_FICLONE = 0x40049409  # linux/fs.h: share the blocks of a file (btrfs, XFS), instant and without extra room
_CHUNK = 4 * 1024 * 1024


def clone_or_copy(source: Path, target: Path) -> tuple[str, int]:
    """Copy a file, by reference where the file system can, fsync it, and give the digest and size of what was written."""
    with source.open("rb") as reader, target.open("wb") as writer:
        try:
            fcntl.ioctl(writer.fileno(), _FICLONE, reader.fileno())
        except OSError:
            shutil.copyfileobj(reader, writer, _CHUNK)
        writer.flush()
        os.fsync(writer.fileno())
    # Hashed from the copy: the source may change under us, and what counts is what we keep.
    with target.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest(), target.stat().st_size


def rename_durably(source: Path, target: Path) -> None:
    """Move a file or folder inside one file system; both folders' entries are durable afterwards."""
    make_folder(target.parent)
    source.replace(target)
    fsync_folder(target.parent)
    if source.parent != target.parent:
        fsync_folder(source.parent)


def fsync_tree(folder: Path) -> None:
    """Force every file and folder below (and with) a folder to disk."""
    for place, folders, files in os.walk(folder):
        for name in files:
            fsync_file(Path(place) / name)
        for name in folders:
            fsync_folder(Path(place) / name)
    fsync_folder(folder)


def remove_tree(folder: Path) -> None:
    """Remove a folder and all in it, if it is there; what can't be removed is left for `recover`."""
    shutil.rmtree(folder, ignore_errors=True)
