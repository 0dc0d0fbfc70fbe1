"""The place of a store's bytes for readers: files under POSIX paths relative to the store's root, in a folder or in a bucket."""

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
        """Return a small file's bytes.

        Raises:
            FileNotFoundError: it is missing.
        """

    def read_all(self, paths: Sequence[str]) -> list[bytes]:
        """Return several small files' bytes, as `read`."""

    def size(self, path: str) -> int | None:
        """Return a file's size, None if missing."""

    def fingerprint(self, path: str) -> tuple[str, int] | None:
        """Recompute a file's digest and size from its bytes; None if missing."""

    def listed(self, folder: str) -> Iterator[tuple[str, int]]:
        """Yield path and size of every file below a folder, in order."""

    def is_folder(self, folder: str) -> bool:
        """Whether a folder exists, complete."""

    def scan(self, folder: str) -> list[tuple[str, int, str]]:
        """Hash every file below a folder: (path relative to it, size, SHA-256 hex), as `scan_directory`."""

    def contains(self, folder: str, path: str) -> bool:
        """Whether a path stays below a folder, links followed."""

    def rows(self, path: str) -> int:
        """Return the rows that a Parquet file's footer counts.

        Raises:
            OSError, ValueError: it is not a Parquet file.
        """

    def arrow(self, folder: str) -> FileSystem:
        """Return a folder as a file system for Arrow."""


def leads_out(path: str) -> bool:
    """Whether a path from a record or log is absolute, empty or has `..`."""
    parts = PurePosixPath(path)
    return parts.is_absolute() or ".." in parts.parts or not parts.parts


def inside(path: str) -> str:
    """Return a path in the store.

    Raises:
        UsageError: it leads out of the store.
    """
    if leads_out(path):
        raise UsageError(f"The path '{path}' leads out of the store.")
    return path


@dataclass(frozen=True, slots=True)
class LocalPlace:
    """A folder of this machine."""

    root: Path

    def read(self, path: str) -> bytes:
        """Return a file's bytes."""
        return (self.root / path).read_bytes()

    def read_all(self, paths: Sequence[str]) -> list[bytes]:
        """Return several files' bytes."""
        return [self.read(path) for path in paths]

    def size(self, path: str) -> int | None:
        """Return a file's size."""
        place = self.root / path
        return place.stat().st_size if place.is_file() else None

    def fingerprint(self, path: str) -> tuple[str, int] | None:
        """Recompute a file's digest."""
        place = self.root / path
        return (digest_file(place), place.stat().st_size) if place.is_file() else None

    def listed(self, folder: str) -> Iterator[tuple[str, int]]:
        """Walk a folder."""
        for place, folders, files in os.walk(self.root / folder, onerror=unless_missing):
            folders.sort()
            for name in sorted(files):
                path = Path(place) / name
                if path.is_file():
                    yield path.relative_to(self.root).as_posix(), path.stat().st_size

    def is_folder(self, folder: str) -> bool:
        """Whether a folder exists: it was moved there by one rename."""
        return (self.root / folder).is_dir()

    def scan(self, folder: str) -> list[tuple[str, int, str]]:
        """Hash every file below a folder; links are refused."""
        return scan_directory(self.root / folder)

    def contains(self, folder: str, path: str) -> bool:
        """Whether a path stays below a folder, links followed."""
        return (self.root / folder / path).resolve().is_relative_to((self.root / folder).resolve())

    def rows(self, path: str) -> int:
        """Read a Parquet footer."""
        import pyarrow.parquet as pq

        counted: int = pq.read_metadata(self.root / path).num_rows
        return counted

    def arrow(self, folder: str) -> Any:
        """Return a folder as a file system for Arrow."""
        from pyarrow.fs import LocalFileSystem, SubTreeFileSystem

        # deltalake's own file system calls back into Python from Arrow's threads, which aborts the process at exit.
        return SubTreeFileSystem(str(self.root / folder), LocalFileSystem())
