"""A bucket of an S3-compatible object store as the place of a store's bytes, and the few ways in which something is put there."""

from __future__ import annotations

import errno
import hashlib
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tracecore.errors import UsageError
from tracecore.store.base_store import manifest_beside
from tracecore.store.bucket_access import BucketSettings, clear_bucket_errors
from tracecore.store.ledger_binding import MARKER, another_ledger, ledger_mark, marked_ledger
from tracecore.store.place import leads_out

if TYPE_CHECKING:
    from obstore.store import S3Store
    from pyarrow.fs import FileSystem

__all__ = ["Bucket"]

_CHUNK = 8 * 1024 * 1024
_IN_ONE = 16 * 1024 * 1024
_PARTS = 4  # of one file, on their way at once
_MOST_PARTS = 9_000  # S3 takes 10,000
_AT_ONCE = 8
_TRIES = 20
_PAUSE = 0.25
_CONNECT = timedelta(seconds=5)
_ANSWER = timedelta(seconds=60)
_RETRY = timedelta(seconds=30)

T = TypeVar("T")
R = TypeVar("R")


class Bucket:
    """A `Place` below one prefix of a bucket.

    Args:
        settings: of the bucket; no request is made before the first use.
        owner: ledger id.
    """

    def __init__(self, settings: BucketSettings, owner: str) -> None:
        self.settings = settings
        self._owner = owner
        self._lock = threading.Lock()
        self._claimed = False

    @cached_property
    def _objects(self) -> S3Store:
        from obstore.store import S3Store

        config: dict[str, Any] = {
            "region": self.settings.region,
            "virtual_hosted_style_request": self.settings.virtual_hosted,
            "conditional_put": "etag",
            "checksum_algorithm": "SHA256",  # the server compares what it got with what was sent
        }
        named = {
            "endpoint": self.settings.endpoint,
            "access_key_id": self.settings.access_key,
            "secret_access_key": self.settings.secret_key,
            "session_token": self.settings.session_token,
        }
        config |= {name: value for name, value in named.items() if value is not None}
        allow_http = bool(self.settings.endpoint and self.settings.endpoint.startswith("http:"))
        return S3Store(
            self.settings.bucket,
            prefix=self.settings.prefix or None,
            client_options={"allow_http": allow_http, "connect_timeout": _CONNECT, "timeout": _ANSWER},
            retry_config={"max_retries": 4, "retry_timeout": _RETRY, "backoff": {"init_backoff": timedelta(milliseconds=100), "base": 2}},
            **config,
        )

    def _side_by_side(self, work: Callable[[T], R], things: Sequence[T]) -> list[R]:
        if len(things) < 2:
            return [work(thing) for thing in things]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return list(pool.map(work, things))

    # --- reading

    def read(self, path: str) -> bytes:
        """Return a small object's bytes."""
        import obstore

        try:
            with clear_bucket_errors(self.settings):
                return bytes(obstore.get(self._objects, path).bytes())
        except FileNotFoundError as error:
            raise FileNotFoundError(errno.ENOENT, "no such object", path) from error

    def read_all(self, paths: Sequence[str]) -> list[bytes]:
        """Return several small objects' bytes, asked for side by side."""
        return self._side_by_side(self.read, paths)

    def chunks(self, path: str) -> Iterator[bytes]:
        """Yield an object's bytes piece by piece.

        Raises:
            FileNotFoundError: it is not there.
        """
        import obstore

        with clear_bucket_errors(self.settings):
            for chunk in obstore.get(self._objects, path).stream(min_chunk_size=_CHUNK):
                yield bytes(chunk)

    def size(self, path: str) -> int | None:
        """Return an object's size."""
        import obstore

        try:
            with clear_bucket_errors(self.settings):
                return int(obstore.head(self._objects, path)["size"])
        except FileNotFoundError:
            return None

    def fingerprint(self, path: str) -> tuple[str, int] | None:
        """Recompute an object's digest from its bytes, which pass by: no ETag and no stored checksum is asked."""
        digest, size = hashlib.sha256(), 0
        try:
            for chunk in self.chunks(path):
                digest.update(chunk)
                size += len(chunk)
        except FileNotFoundError:
            return None
        return f"sha256:{digest.hexdigest()}", size

    def listed(self, folder: str) -> Iterator[tuple[str, int]]:
        """List the objects below a folder."""
        import obstore

        with clear_bucket_errors(self.settings):
            found = [(str(each["path"]), int(each["size"])) for batch in obstore.list(self._objects, folder or None) for each in batch]
        yield from sorted(each for each in found if each[0] != MARKER)

    def is_folder(self, folder: str) -> bool:
        """Return whether a directory is there: its manifest is put last, so one without a manifest is none."""
        return self.size(manifest_beside(folder)) is not None

    def scan(self, folder: str) -> list[tuple[str, int, str]]:
        """Hash every object below a folder."""
        paths = [path for path, _ in self.listed(folder)]
        found = zip(paths, self._side_by_side(self.fingerprint, paths), strict=True)
        return sorted((path.removeprefix(f"{folder}/"), facts[1], facts[0].removeprefix("sha256:")) for path, facts in found if facts is not None)

    def contains(self, folder: str, path: str) -> bool:  # noqa: ARG002  # keys are plain texts: nothing leads elsewhere
        """Return whether a path stays below a folder."""
        return not leads_out(path)

    def rows(self, path: str) -> int:
        """Read a Parquet footer, and no more of the object."""
        import pyarrow.parquet as pq

        counted: int = pq.read_metadata(path, filesystem=self.arrow("")).num_rows
        return counted

    def arrow(self, folder: str) -> FileSystem:
        """Return a folder to Arrow's own S3 client: it reads the columns and row groups that are asked for, and calls no Python from its threads."""
        from pyarrow.fs import S3FileSystem, SubTreeFileSystem

        endpoint = self.settings.endpoint
        files = S3FileSystem(
            access_key=self.settings.access_key,
            secret_key=self.settings.secret_key,
            session_token=self.settings.session_token,
            region=self.settings.region,
            endpoint_override=endpoint and endpoint.partition("://")[2],
            scheme=endpoint.partition("://")[0] if endpoint else "https",
            force_virtual_addressing=self.settings.virtual_hosted and endpoint is not None,
            connect_timeout=_CONNECT.total_seconds(),
            request_timeout=_ANSWER.total_seconds(),
        )
        return SubTreeFileSystem("/".join(part for part in (self.settings.bucket, self.settings.prefix, folder) if part), files)

    # --- writing

    def claim(self) -> None:
        """Make sure once, before anything is changed, that this is the workspace's own store, can be written and refuses a second put-if-absent.

        Raises:
            UsageError: it can't be reached or written; it is another's, which would take these bytes for orphans; or it takes both, so that nothing
                could be acknowledged here.
        """
        with self._lock:
            if self._claimed:
                return
            mark = ledger_mark(self._owner)
            if self.create(MARKER, mark):
                if self.create(MARKER, mark):
                    raise UsageError(
                        f"The store {self.settings.where} ignores 'If-None-Match: *': it took the same put-if-absent twice, so that it could "
                        "acknowledge nothing. Use an S3 server with conditional writes."
                    )
            elif (found := marked_ledger(self.read(MARKER))) != self._owner:
                raise another_ledger(self.settings.where, found, self._owner)
            self._claimed = True

    def ledger(self) -> str | None:
        """Return the id of the ledger whose store it is; None where nothing was ever kept here."""
        return marked_ledger(self.read(MARKER)) if self.size(MARKER) is not None else None

    def create(self, path: str, data: bytes | Path) -> bool:
        """Put an object if there is none; say whether this call did. The answer is the acknowledgement.

        Raises:
            UsageError: the server says again and again that there is one, and there is none.
        """
        import obstore
        from obstore.exceptions import AlreadyExistsError

        for _ in range(_TRIES):
            with clear_bucket_errors(self.settings), suppress(AlreadyExistsError):
                obstore.put(self._objects, path, data, mode="create", use_multipart=False)
                return True
            if self.size(path) is not None:
                return False
            # S3 answers 409, which reads like 412, while somebody else's put of this name is under way; that one may yet come to nothing.
            time.sleep(_PAUSE)
        raise UsageError(f"The store {self.settings.where} says that '{path}' is being put by somebody else, but does not come: try again later.")

    def replace(self, path: str, data: bytes | Path) -> None:
        """Put an object in place of what is there; a large one in parts, which become visible together."""
        import obstore

        size = data.stat().st_size if isinstance(data, Path) else len(data)
        chunk = max(_CHUNK, size // _MOST_PARTS)
        with clear_bucket_errors(self.settings):
            obstore.put(self._objects, path, data, mode="overwrite", use_multipart=size > _IN_ONE, chunk_size=chunk, max_concurrency=_PARTS)

    def upload(self, source: Path, path: str, digest: str, size: int) -> None:
        """Keep a file under a path that promises its digest; one that is there already, whole, is kept as it is, a damaged one is replaced.

        Raises:
            UsageError: what lies there afterwards is not what was sent.
        """
        made = False
        if size <= _IN_ONE:
            made = self.create(path, source)
        if not made:
            if self.fingerprint(path) == (digest, size):
                return
            self.replace(path, source)
        if self.size(path) != size:
            raise UsageError(f"The store {self.settings.where} acknowledged '{path}' but keeps another number of bytes than the {size} sent.")

    def upload_all(self, files: Sequence[tuple[Path, str, str, int]]) -> None:
        """Upload several files side by side: (source, path, digest, size)."""
        self._side_by_side(lambda each: self.upload(*each), files)

    def remove(self, paths: Collection[str]) -> None:
        """Remove objects; those that are gone are no error."""
        import obstore

        if paths:
            with clear_bucket_errors(self.settings):
                obstore.delete(self._objects, sorted(paths))
