"""Read access to a store's files by POSIX path relative to the store's root, in a folder or a bucket."""
# ruff: noqa: D102  # the docstrings of `Place` apply

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Protocol

from tracecore.errors import UsageError
from tracecore.store.manifest import scan_directory
from tracecore.system.failures import unless_missing
from tracecore_schemas.canonical import digest_file

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

__all__ = ["LocalPlace", "Place", "inside", "leads_out"]


class Place(Protocol):
    """Read access to the files of a store."""

    def read(self, path: str) -> bytes:
        """Return the bytes of a small file in the store; raises FileNotFoundError if it is missing."""

    def read_all(self, paths: Sequence[str]) -> list[bytes]:
        """Return the bytes of several small files in the store, in the order of `paths`; raises FileNotFoundError if one is missing."""

    def size(self, path: str) -> int | None:
        """Return the size in bytes of a file in the store, or None if it is missing."""

    def fingerprint(self, path: str) -> tuple[str, int] | None:
        """Return the digest and size in bytes of a file in the store, computed from its content, or None if it is missing."""

    def listed(self, folder: str) -> Iterator[tuple[str, int]]:
        """Yield (path relative to the store's root, size in bytes) of every file below a folder of the store, in a fixed order."""

    def is_folder(self, folder: str) -> bool:
        """Whether a directory exists in the store and all its files have been written."""

    def scan(self, folder: str) -> list[tuple[str, int, str]]:
        """Return (path relative to the folder, size, SHA-256 hex) of every file below a folder, sorted."""

    def contains(self, folder: str, path: str) -> bool:
        """Whether `path`, relative to the folder, is still below the folder after following symbolic links."""

    def arrow(self, folder: str) -> FileSystem:
        """Return a folder of the store as an Arrow file system."""


def leads_out(path: str) -> bool:
    """Whether a path could lead out of the store: it is absolute or empty, or contains `..`."""
    parts = PurePosixPath(path)
    return parts.is_absolute() or ".." in parts.parts or not parts.parts


def inside(path: str) -> str:
    """Return a path in a store unchanged; raises UsageError if it is absolute or empty, or contains `..`."""
    if leads_out(path):
        raise UsageError(f"The path '{path}' leads out of the store.")
    return path


@dataclass(frozen=True, slots=True)
class LocalPlace:
    """The `Place` of a local folder."""

    root: Path

    def read(self, path: str) -> bytes:
        return (self.root / path).read_bytes()

    def read_all(self, paths: Sequence[str]) -> list[bytes]:
        return [self.read(path) for path in paths]

    def size(self, path: str) -> int | None:
        place = self.root / path
        return place.stat().st_size if place.is_file() else None

    def fingerprint(self, path: str) -> tuple[str, int] | None:
        place = self.root / path
        return (digest_file(place), place.stat().st_size) if place.is_file() else None

    def listed(self, folder: str) -> Iterator[tuple[str, int]]:
        for place, folders, files in os.walk(self.root / folder, onerror=unless_missing):
            folders.sort()
            for name in sorted(files):
                path = Path(place) / name
                if path.is_file():
                    yield path.relative_to(self.root).as_posix(), path.stat().st_size

    def is_folder(self, folder: str) -> bool:
        """Whether a directory exists in the store; it is then complete, since it was moved there by one rename."""
        return (self.root / folder).is_dir()

    def scan(self, folder: str) -> list[tuple[str, int, str]]:
        """Return (path relative to the folder, size, SHA-256 hex) of every file below it, sorted; raises UsageError for links and special files."""
        return scan_directory(self.root / folder)

    def contains(self, folder: str, path: str) -> bool:
        return (self.root / folder / path).resolve().is_relative_to((self.root / folder).resolve())

    def arrow(self, folder: str) -> Any:
        from pyarrow.fs import LocalFileSystem, SubTreeFileSystem

        # deltalake's own file system calls back into Python from Arrow's threads, which aborts the process at exit.
        return SubTreeFileSystem(str(self.root / folder), LocalFileSystem())
