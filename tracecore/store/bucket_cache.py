"""Local copies of a bucket's objects by digest; they may be deleted whenever no process runs."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tracecore.errors import UsageError
from tracecore.files import remove_tree
from tracecore.store.bucket import Bucket
from tracecore.system.failures import clear_disk_errors
from tracecore_schemas.canonical import digest_file, hex_of

__all__ = ["Cache"]


class Cache:
    """A folder of copies, created when needed. Copies are not fsynced: one torn by a power failure is downloaded again."""

    def __init__(self, folder: Path, bucket: Bucket) -> None:
        self._folder = folder
        self._bucket = bucket

    def file(self, digest: str) -> Path:
        """Return the path of a file's copy, which may not exist."""
        return self._folder / "files" / hex_of(digest)

    def tree(self, digest: str) -> Path:
        """Return the path of a directory's copy, which may not exist."""
        return self._folder / "trees" / hex_of(digest)

    def give(self, staged: Path, place: Path) -> None:
        """Move a staged file or directory, whose bytes are stored, to its path in the cache."""
        with clear_disk_errors(self._folder):
            place.parent.mkdir(parents=True, exist_ok=True)
            if place.exists():
                _remove(staged)
            else:
                _rename(staged, place)

    def fetch(self, path: str, digest: str, size: int | None = None) -> Path:
        """Return the copy of an object, downloaded and verified if it is missing or has another size than `size`.

        Raises:
            FileNotFoundError: the object is missing.
            UsageError: its bytes do not match the digest.
        """
        place = self.file(digest)
        if not place.is_file() or size not in {None, place.stat().st_size}:
            _remove(place)
            with self._part() as part:
                self._download(path, part, digest)
                self.give(part, place)
        return place

    def fetch_tree(self, location: str, digest: str, members: Sequence[tuple[str, int, str]]) -> Path:
        """Return the copy of a directory, downloaded and verified as by `fetch`; `members` are its (path, size, SHA-256 hex)."""
        place = self.tree(digest)
        if not all((file := place / path).is_file() and file.stat().st_size == size for path, size, _ in members):
            _remove(place)
            with self._part() as part:
                part.mkdir()
                for path, _, digits in members:
                    (part / path).parent.mkdir(parents=True, exist_ok=True)
                    self._download(f"{location}/{path}", part / path, f"sha256:{digits}")
                self.give(part, place)
        return place

    def forget(self) -> None:
        """Delete all copies, so that none of an erased file remains."""
        remove_tree(self._folder)

    def drop(self, place: Path) -> None:
        """Delete one copy."""
        _remove(place)

    @contextmanager
    def _part(self) -> Iterator[Path]:
        with clear_disk_errors(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            part = self._folder / f"part-{uuid.uuid4().hex}"
            try:
                yield part
            finally:
                _remove(part)

    def _download(self, path: str, target: Path, digest: str) -> None:
        with target.open("wb") as file:
            for chunk in self._bucket.chunks(path):
                file.write(chunk)
        found = digest_file(target)
        if found != digest:
            raise UsageError(f"'{path}' can't be read: its bytes in the store are not those recorded ({digest} expected, {found} found).")


def _rename(source: Path, target: Path) -> None:
    """Move a copy into place; if another process put the same one there, delete it."""
    try:
        source.replace(target)
    except OSError:
        if not target.exists():
            raise
        _remove(source)


def _remove(place: Path) -> None:
    if place.is_dir():
        shutil.rmtree(place, ignore_errors=True)
    else:
        place.unlink(missing_ok=True)
