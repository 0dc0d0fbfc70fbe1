"""The store in a bucket: the same locations, digests and results as in a folder, with put-if-absent instead of link and fsync."""
# ruff: noqa: D102  # the docstrings of `Store` apply

from __future__ import annotations

import json
import logging
import re
import shutil
import uuid
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tracecore.errors import UsageError
from tracecore.files import remove_tree, write_durably
from tracecore.store.base_store import BaseStore, described_directory, directory_members, manifest_beside
from tracecore.store.blob_backend import BlobBackend
from tracecore.store.bucket import Bucket
from tracecore.store.delta_log import commit_table
from tracecore.store.delta_tables import open_table, uncommitted
from tracecore.store.manifest import scan_directory
from tracecore.store.place import inside
from tracecore.store.protocol import StagedTable, Stored
from tracecore.system.failures import clear_disk_errors
from tracecore.system.locks import hold_table
from tracecore.workspace import Workspace
from tracecore_schemas.canonical import blob_location, digest_bytes, digest_file, hex_of, table_folder, tree_location
from tracecore_schemas.kinds import Media
from tracecore_schemas.run import Artifact, DeltaVersion

if TYPE_CHECKING:
    import pyarrow.dataset as ds

__all__ = ["Cache", "ObjectStore"]
_BROUGHT = ".brought.json"
_NO_KEY = re.compile(r"[\x00-\x1f\x7f\\]")
"""Characters not allowed in object names: the client refuses control characters, some servers (SeaweedFS 4.48) turn backslashes into slashes."""
_log = logging.getLogger(__name__)


@dataclass
class Cache:
    """A folder of copies of a bucket's objects, created when needed; not fsynced: a copy torn by a power failure is downloaded again."""

    _folder: Path
    _bucket: Bucket

    def file(self, digest: str) -> Path:
        """Return the path of the cached copy of the file with a digest; the copy may not exist."""
        return self._folder / "files" / hex_of(digest)

    def tree(self, digest: str) -> Path:
        """Return the path of the cached copy of the directory with a digest; the copy may not exist."""
        return self._folder / "trees" / hex_of(digest)

    def move_in(self, staged: Path, place: Path) -> None:
        """Move a staged file or directory that has been uploaded to the path `place` in the cache; delete it if a copy is there."""
        with clear_disk_errors(self._folder):
            place.parent.mkdir(parents=True, exist_ok=True)
            if place.exists():
                _remove(staged)
            else:
                _rename(staged, place)

    def fetch(self, path: str, digest: str, size: int | None = None) -> Path:
        """Return the path of an object's cached copy, downloaded and verified if it is missing or its size is not `size` (None for any).

        Raises FileNotFoundError if the object is missing, UsageError if its bytes do not match the digest.
        """
        place = self.file(digest)
        if not place.is_file() or size not in {None, place.stat().st_size}:
            _remove(place)
            with self._part() as part:
                self._download(path, part, digest)
                self.move_in(part, place)
        return place

    def fetch_tree(self, location: str, digest: str, members: Sequence[tuple[str, int, str]]) -> Path:
        """Return the path of a directory's cached copy, downloaded if incomplete; `members` are its files as (path, size, SHA-256 hex)."""
        place = self.tree(digest)
        if not all((file := place / path).is_file() and file.stat().st_size == size for path, size, _ in members):
            _remove(place)
            with self._part() as part:
                part.mkdir()
                for path, _, digits in members:
                    (part / path).parent.mkdir(parents=True, exist_ok=True)
                    self._download(f"{location}/{path}", part / path, f"sha256:{digits}")
                self.move_in(part, place)
        return place

    def forget(self) -> None:
        """Delete all cached copies, so that no copy of an erased file remains."""
        remove_tree(self._folder)

    @contextmanager
    def _part(self) -> Iterator[Path]:
        """Context manager that yields a temporary path for a download, and deletes any file or folder that is there at the end."""
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
    """Move a copy to `target` in the cache; if another process has put one there, delete `source` instead."""
    try:
        source.replace(target)
    except OSError:
        if not target.exists():
            raise
        _remove(source)


def _remove(place: Path) -> None:
    """Delete a file, or a folder with its content, if it exists."""
    if place.is_dir():
        shutil.rmtree(place, ignore_errors=True)
    else:
        place.unlink(missing_ok=True)


class ObjectStore(BaseStore):
    """A `Store` below a prefix of a bucket, shared by the workspaces of one ledger; staging and cache are local."""

    def __init__(self, workspace: Workspace, backend: BlobBackend) -> None:
        self._bucket = Bucket(backend, workspace.ledger_id)
        super().__init__(self._bucket, workspace)
        self._backend = backend
        self._cache = Cache(workspace.cache, self._bucket)

    # --- staging

    def staging(self, run_id: str) -> Path:
        """Create a run's local staging folder and return it; raises UsageError if the bucket can't be written or belongs to another ledger."""
        self._bucket.claim()
        return super().staging(run_id)

    def discard(self, run_id: str) -> None:
        """Delete a run's staging folder, and the data files that it uploaded to tables but did not commit.

        If the bucket can't be reached, the list of uploads stays in staging for the next call.
        """
        folder = self._staging / run_id
        try:
            for brought in _uploaded_tables(folder):
                table = brought.rpartition("/")[0]
                if uncommitted(self.place, table, [run_id]):
                    self._bucket.remove([path for path, _ in self._bucket.listed(brought)])
        except (UsageError, OSError) as problem:
            _log.warning("What run %s left in %s could not be removed: %s", run_id, self._backend.url, problem)
            for path in folder.iterdir():
                if path.name != _BROUGHT:
                    _remove(path)
        else:
            remove_tree(folder)

    def staged_runs(self) -> list[str]:
        return sorted(path.name for path in self._staging.iterdir()) if self._staging.is_dir() else []

    # --- files and directories

    def put_file(self, source: Path, *, run_id: str, move: bool = False) -> Stored:
        """Upload a file to the path given by its digest, unless an undamaged object is there, and move the file or its copy to the cache."""
        with clear_disk_errors(self._workspace):
            self._bucket.claim()
            staged, digest, size = self._staged_file(source, run_id, move=move)
            location = blob_location(digest)
            self._bucket.upload(staged, location, digest, size)
            self._cache.move_in(staged, self._cache.file(digest))
        return Stored(digest, Media.FILE, location, size)

    def put_directory(self, source: Path, *, run_id: str) -> Stored:
        """Upload a staged directory to the path given by its manifest's digest; the manifest is uploaded last and marks it complete."""
        files, manifest = described_directory(source)
        _check_names(path for path, _, _ in files)
        digest = digest_bytes(manifest)
        location = tree_location(digest)
        with clear_disk_errors(self._workspace):
            self.staging(run_id)
            self._bucket.upload_all([(source / path, f"{location}/{path}", f"sha256:{digits}", size) for path, size, digits in files])
            beside = manifest_beside(location)
            if not self._bucket.create(beside, manifest) and self._bucket.read(beside) != manifest:
                self._bucket.replace(beside, manifest)
            self._cache.move_in(source, self._cache.tree(digest))
        return Stored(digest, Media.DIRECTORY, location, sum(size for _, size, _ in files))

    def put_import(self, folder: Path, location: str) -> None:
        """Upload a staged folder to `location` in the bucket, and delete other objects that an earlier attempt left there."""
        files = scan_directory(folder)
        _check_names(path for path, _, _ in files)
        with clear_disk_errors(self._workspace):
            self._bucket.claim()
            self._bucket.upload_all([(folder / path, f"{location}/{path}", f"sha256:{digits}", size) for path, size, digits in files])
            brought = {f"{location}/{path}" for path, _, _ in files}
            self._bucket.remove([path for path, _ in self._bucket.listed(location) if path not in brought])
            remove_tree(folder)

    # --- tables

    def put_table(self, staged: StagedTable, *, kind: str, name: str, run_id: str, after: DeltaVersion | None = None) -> Stored:
        """Commit a staged table as the next version of the Delta table of the artifact `<kind>/<name>`.

        A lock serializes the writers of this machine; between machines the commit's put-if-absent decides.
        """
        location = table_folder(kind, name)
        writer = _BucketTables(self._bucket, self.staging(run_id))
        with clear_disk_errors(self._workspace), self._backend.clear_errors(), hold_table(self._locks, kind, name):
            stored = commit_table(staged, writer, location, run_id, after)
        remove_tree(staged.folder)
        return stored

    # --- reading

    def open(self, artifact: Artifact) -> Path | ds.Dataset:
        """Return an artifact's path in the cache, or a table's dataset, read from the bucket on demand; raises UsageError if bytes are damaged."""
        location = self._location(artifact)
        if artifact.media is Media.DELTA:
            with self._backend.clear_errors():
                return open_table(artifact, self.place)
        copy = self._cache.tree(artifact.digest) if artifact.media is Media.DIRECTORY else self._cache.file(artifact.digest)
        # The original is asked for each time: what was erased from the bucket by anyone is not read from a copy.
        if not self._is_stored(artifact, location):
            _remove(copy)
            raise self._missing(artifact)
        try:
            if artifact.media is Media.DIRECTORY:
                return self._cache.fetch_tree(location, artifact.digest, directory_members(artifact, self.place))
            return self._cache.fetch(location, artifact.digest, artifact.size_bytes)
        except FileNotFoundError as error:
            raise self._missing(artifact) from error

    def _is_stored(self, artifact: Artifact, location: str) -> bool:
        """Whether all files of the file or directory artifact at `location` are still in the bucket."""
        if artifact.media is not Media.DIRECTORY:
            return self._bucket.size(location) is not None
        if not self._bucket.is_folder(location):
            return False
        there = {path.removeprefix(f"{location}/") for path, _ in self._bucket.listed(location)}
        return there >= {path for path, _, _ in directory_members(artifact, self.place)}

    def fetched(self, artifact: Artifact, name: str) -> Path:
        if artifact.media is Media.FILE:
            return self._cache.fetch(name, artifact.digest, artifact.size_bytes)
        found = self._bucket.fingerprint(name)
        if found is None:
            raise FileNotFoundError(2, "no such object", name)
        return self._cache.fetch(name, found[0])

    # --- erasing

    def inventory(self) -> Iterator[tuple[str, int]]:
        return self._bucket.listed("")

    def read(self, path: str) -> bytes | None:
        try:
            return self._bucket.read(inside(path))
        except FileNotFoundError:
            return None

    def erase(self, paths: Collection[str]) -> int:
        """Delete objects from the bucket, and this machine's whole cache; return the number of bytes freed in the bucket."""
        self._bucket.claim()
        sizes = {path: self._bucket.size(inside(path)) for path in sorted(paths)}
        there = {path: size for path, size in sizes.items() if size is not None}
        self._bucket.remove(list(there))
        self._cache.forget()
        return sum(there.values())

    def rewrite(self, path: str, data: bytes) -> None:
        """Replace an object in the bucket by `data` atomically, and delete this machine's whole cache."""
        self._bucket.claim()
        self._bucket.replace(inside(path), data)
        self._cache.forget()


@dataclass
class _BucketTables:
    """The `TableWriter` of a bucket: data is uploaded to the run's folder, and the commit is a put-if-absent."""

    place: Bucket
    _staging: Path

    def bring(self, staged: StagedTable, folder: str) -> None:
        """Upload a staged table's data files to a folder, which is first noted in staging, so that `discard` can remove it after a crash."""
        write_durably(self._staging / _BROUGHT, json.dumps(sorted({*_uploaded_tables(self._staging), folder})).encode())
        self.place.upload_all([(staged.folder / file.name, f"{folder}/{file.name}", file.digest, file.size_bytes) for file in staged.files])

    def withdraw(self, folder: str) -> None:
        """Do nothing, since a commit whose response was lost may name the uploaded data files; `discard` later removes files that no commit names."""

    def commit(self, path: str, data: bytes) -> bool:
        """Create a Delta commit file unless it exists; return whether this call did, False also if an error hides which writer created it."""
        try:
            return self.place.create(path, data)
        except (UsageError, OSError):
            if self.place.size(path) is None:
                raise
            return False


def _uploaded_tables(staging: Path) -> list[str]:
    """Return the folders in tables to which a run uploaded data files, as noted in its staging folder."""
    with suppress(FileNotFoundError, ValueError):
        return [str(each) for each in json.loads((staging / _BROUGHT).read_text(encoding="utf-8"))]
    return []


def _check_names(paths: Iterable[str]) -> None:
    """Raise UsageError if a file name has a control character or a backslash, which object keys can't have."""
    for path in paths:
        if _NO_KEY.search(path):
            raise UsageError(f"The file {path!r} can't be kept in a bucket: its name has a control character or a backslash; give it another name.")
