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
        """Return the bytes of a small file; raises FileNotFoundError if it is missing."""

    def read_all(self, paths: Sequence[str]) -> list[bytes]:
        """Return the bytes of several small files, as `read`."""

    def size(self, path: str) -> int | None:
        """Return a file's size in bytes, or None."""

    def fingerprint(self, path: str) -> tuple[str, int] | None:
        """Return a file's digest and size, computed from its bytes, or None."""

    def listed(self, folder: str) -> Iterator[tuple[str, int]]:
        """Yield (path, size) of every file below a folder, in order."""

    def is_folder(self, folder: str) -> bool:
        """Whether a folder exists and is complete."""

    def scan(self, folder: str) -> list[tuple[str, int, str]]:
        """Return (path relative to the folder, size, SHA-256 hex) of every file below a folder, sorted."""

    def contains(self, folder: str, path: str) -> bool:
        """Whether a path is below a folder after following symbolic links."""

    def arrow(self, folder: str) -> FileSystem:
        """Return a folder as an Arrow file system."""


def leads_out(path: str) -> bool:
    """Whether a path is absolute, empty, or contains `..`."""
    parts = PurePosixPath(path)
    return parts.is_absolute() or ".." in parts.parts or not parts.parts


def inside(path: str) -> str:
    """Return a path unchanged; raises UsageError if it leads out of the store."""
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
        """Whether a folder exists, which implies that it is complete, as it was moved by one rename."""
        return (self.root / folder).is_dir()

    def scan(self, folder: str) -> list[tuple[str, int, str]]:
        """Return (path relative to the folder, size, SHA-256 hex) of every file, sorted; raises UsageError for links."""
        return scan_directory(self.root / folder)

    def contains(self, folder: str, path: str) -> bool:
        return (self.root / folder / path).resolve().is_relative_to((self.root / folder).resolve())

    def arrow(self, folder: str) -> Any:
        from pyarrow.fs import LocalFileSystem, SubTreeFileSystem

        # deltalake's own file system calls back into Python from Arrow's threads, which aborts the process at exit.
        return SubTreeFileSystem(str(self.root / folder), LocalFileSystem())
