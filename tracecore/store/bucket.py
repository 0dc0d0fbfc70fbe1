"""Access to the objects of a store in a bucket: reads, conditional puts, uploads, and the claim of the bucket for one ledger.

`BlobBackend.of` comes first: it reports a missing client package.
"""
# ruff: noqa: D102  # the docstrings of `Place` apply

from __future__ import annotations

import errno
import hashlib
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import obstore
from obstore.exceptions import AlreadyExistsError
from obstore.store import S3Store

from tracecore.errors import UsageError
from tracecore.store.base_store import manifest_beside
from tracecore.store.blob_backend import BlobBackend
from tracecore.store.ledger_binding import MARKER, another_ledger, ledger_mark, marked_ledger
from tracecore.store.place import leads_out

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

__all__ = ["Bucket"]

_CHUNK = 8 * 1024 * 1024
_IN_ONE = 16 * 1024 * 1024
_PARTS = 4  # of one file, on their way at once
_MOST_PARTS = 9_000  # S3 takes 10,000
_AT_ONCE = 8
_TRIES = 20
_PAUSE = 0.25

T = TypeVar("T")
R = TypeVar("R")


class Bucket:
    """A `Place` below one prefix of a bucket, for the ledger `owner`; no request is made before the first use."""

    def __init__(self, backend: BlobBackend, owner: str) -> None:
        self.backend = backend
        self._owner = owner
        self._lock = threading.Lock()
        self._claimed = False

    @cached_property
    def _objects(self) -> S3Store:
        return self.backend.objects()

    def _in_parallel(self, work: Callable[[T], R], things: Sequence[T]) -> list[R]:
        """Call the function `work` with each of `things` in up to 8 threads, and return the results in the same order."""
        if len(things) < 2:
            return [work(thing) for thing in things]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return list(pool.map(work, things))

    # --- reading

    def read(self, path: str) -> bytes:
        try:
            with self.backend.clear_errors():
                return bytes(obstore.get(self._objects, path).bytes())
        except FileNotFoundError as error:
            raise FileNotFoundError(errno.ENOENT, "no such object", path) from error

    def read_all(self, paths: Sequence[str]) -> list[bytes]:
        """Return the bytes of several small objects, in the order of `paths`, read in parallel."""
        return self._in_parallel(self.read, paths)

    def chunks(self, path: str) -> Iterator[bytes]:
        """Yield an object's bytes in chunks; raises FileNotFoundError if it is missing."""
        with self.backend.clear_errors():
            for chunk in obstore.get(self._objects, path).stream(min_chunk_size=_CHUNK):
                yield bytes(chunk)

    def size(self, path: str) -> int | None:
        try:
            with self.backend.clear_errors():
                return int(obstore.head(self._objects, path)["size"])
        except FileNotFoundError:
            return None

    def fingerprint(self, path: str) -> tuple[str, int] | None:
        """Return an object's digest and size, computed from its bytes since ETags and stored checksums are not trusted; None if it is missing."""
        digest, size = hashlib.sha256(), 0
        try:
            for chunk in self.chunks(path):
                digest.update(chunk)
                size += len(chunk)
        except FileNotFoundError:
            return None
        return f"sha256:{digest.hexdigest()}", size

    def listed(self, folder: str) -> Iterator[tuple[str, int]]:
        """Yield (path relative to the store's prefix, size in bytes) of each object below a folder, sorted, without `ledger.json`."""
        with self.backend.clear_errors():
            found = [(str(each["path"]), int(each["size"])) for batch in obstore.list(self._objects, folder or None) for each in batch]
        yield from sorted(each for each in found if each[0] != MARKER)

    def is_folder(self, folder: str) -> bool:
        """Whether a stored directory is complete: its manifest (list of files), which is uploaded last, exists."""
        return self.size(manifest_beside(folder)) is not None

    def scan(self, folder: str) -> list[tuple[str, int, str]]:
        paths = [path for path, _ in self.listed(folder)]
        found = zip(paths, self._in_parallel(self.fingerprint, paths), strict=True)
        return sorted((path.removeprefix(f"{folder}/"), facts[1], facts[0].removeprefix("sha256:")) for path, facts in found if facts is not None)

    def contains(self, folder: str, path: str) -> bool:  # noqa: ARG002  # keys are plain texts: nothing leads elsewhere
        return not leads_out(path)

    def arrow(self, folder: str) -> FileSystem:
        return self.backend.arrow(folder)

    # --- writing

    def claim(self) -> None:
        """Bind the store in the bucket to the workspace's ledger by its `ledger.json`, before the first change, once per instance.

        Raises UsageError if the store can't be reached or written, belongs to another ledger, or has no conditional writes.
        """
        with self._lock:
            if self._claimed:
                return
            mark = ledger_mark(self._owner)
            if self.create(MARKER, mark):
                if self.create(MARKER, mark):
                    raise UsageError(
                        f"The store {self.backend.where} ignores 'If-None-Match: *': it took the same put-if-absent twice, so that it could "
                        "acknowledge nothing. Use an S3 server with conditional writes."
                    )
            elif (found := marked_ledger(self.read(MARKER))) != self._owner:
                raise another_ledger(self.backend.where, found, self._owner)
            self._claimed = True

    def ledger(self) -> str | None:
        """Return the id of the ledger that the store in the bucket is bound to; None if it is bound to none."""
        return marked_ledger(self.read(MARKER)) if self.size(MARKER) is not None else None

    def create(self, path: str, data: bytes | Path) -> bool:
        """Create an object if there is none at `path`, and return whether this call created it; raises UsageError after repeated conflicts."""
        for _ in range(_TRIES):
            with self.backend.clear_errors(), suppress(AlreadyExistsError):
                obstore.put(self._objects, path, data, mode="create", use_multipart=False)
                return True
            if self.size(path) is not None:
                return False
            # S3 answers 409 while another put of this name is in progress, which may still fail.
            time.sleep(_PAUSE)
        raise UsageError(f"The store {self.backend.where} reports another put of '{path}' in progress, which does not end: try again later.")

    def replace(self, path: str, data: bytes | Path) -> None:
        """Create or replace an object; a large one is uploaded in parts, which become visible together."""
        size = data.stat().st_size if isinstance(data, Path) else len(data)
        chunk = max(_CHUNK, size // _MOST_PARTS)
        with self.backend.clear_errors():
            obstore.put(self._objects, path, data, mode="overwrite", use_multipart=size > _IN_ONE, chunk_size=chunk, max_concurrency=_PARTS)

    def upload(self, source: Path, path: str, digest: str, size: int) -> None:
        """Upload a file to `path`, unless the object there has its digest and size already; raises UsageError if the stored size differs."""
        if not (size <= _IN_ONE and self.create(path, source)):
            if self.fingerprint(path) == (digest, size):
                return
            self.replace(path, source)
        if self.size(path) != size:
            raise UsageError(f"The store {self.backend.where} acknowledged '{path}' but keeps another number of bytes than the {size} sent.")

    def upload_all(self, files: Sequence[tuple[Path, str, str, int]]) -> None:
        """Upload files in parallel, each given as (local file, path in the store, digest, size in bytes)."""
        self._in_parallel(lambda each: self.upload(*each), files)

    def remove(self, paths: Collection[str]) -> None:
        """Delete objects from the bucket; missing ones are ignored."""
        if paths:
            with self.backend.clear_errors():
                obstore.delete(self._objects, sorted(paths))
