"""The interface of artifact stores, implemented for a local folder and for a bucket."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from tracecore_schemas.kinds import Media
from tracecore_schemas.run import Artifact, DeltaVersion, FieldSpec

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.dataset as ds

__all__ = ["ErasedFile", "Part", "StagedTable", "Store", "StoreFailure", "Stored", "TableFile"]


@dataclass(frozen=True, slots=True)
class ErasedFile:
    """A file that was erased, or rewritten without part of its content; `path` is POSIX, relative to the store's root.

    `digest` is the recorded one, `rows` the number in a table's data file, `left` the digest of the file that replaced it, None if it was deleted.
    """

    path: str
    digest: str
    size_bytes: int
    rows: int | None = None
    left: str | None = None

    @property
    def table(self) -> str:
        """Path of the folder of the Delta table that this erased or rewritten commit file belongs to."""
        return self.path.partition("/_delta_log/")[0]


@dataclass(frozen=True, slots=True)
class Stored:
    """Content that is durably stored; `location` is a POSIX path relative to the store's root, `delta` a table's version and log chain."""

    digest: str
    media: Media
    location: str
    size_bytes: int
    rows: int | None = None
    schema: tuple[FieldSpec, ...] = ()
    delta: DeltaVersion | None = None


@dataclass(frozen=True, slots=True)
class TableFile:
    """One Parquet file of a table, with the rows of one drive; `stats` are Delta's statistics as JSON."""

    name: str
    digest: str
    size_bytes: int
    rows: int
    partition: tuple[tuple[str, str], ...]
    stats: str


@dataclass(frozen=True, slots=True)
class StagedTable:
    """A table in staging, not yet visible to readers."""

    folder: Path
    schema: pa.Schema
    partition_columns: tuple[str, ...]
    files: tuple[TableFile, ...]

    @property
    def rows(self) -> int:
        """Number of rows of the staged table, in all its files."""
        return sum(file.rows for file in self.files)


@dataclass(frozen=True, slots=True)
class StoreFailure:
    """A difference between store and record; `what` is a file, relative to the store's root."""

    what: str
    expected: str
    found: str


@dataclass(frozen=True, slots=True)
class Part:
    """One file with content of a version, with its recorded digest; `path` is POSIX, relative to the store's root.

    `rows` is the number of rows in a table's data file, from its footer; None if it is missing or not a table's.
    """

    path: str
    digest: str
    size_bytes: int
    rows: int | None = None
    partition: tuple[tuple[str, str | None], ...] = ()


class Store(Protocol):
    """Storage of artifacts. Each put is atomic and returns only when the bytes are durable."""

    def staging(self, run_id: str) -> Path:
        """Create and return the staging folder, to which a run writes its outputs before they are moved into the store."""

    def discard(self, run_id: str) -> None:
        """Delete a run's staging folder, and data files that it moved to tables but did not commit."""

    def staged_runs(self) -> list[str]:
        """Return the ids of the runs, running or crashed, that have files in staging, sorted."""

    def put_file(self, source: Path, *, run_id: str, move: bool = False) -> Stored:
        """Store a file and return its digest, location and size; it is moved if `move` (for a staged output), else copied."""

    def put_directory(self, source: Path, *, run_id: str) -> Stored:
        """Store a staged directory by moving it, and return its digest, location and size."""

    def stage_table(self, data: pa.Table | pa.RecordBatchReader, *, run_id: str, port: str) -> StagedTable:
        """Write a table to staging, sorted, as one Parquet file per drive, and return its description; the same rows give the same bytes."""

    def put_table(self, staged: StagedTable, *, kind: str, name: str, run_id: str, after: DeltaVersion | None = None) -> Stored:
        """Commit a staged table as the next version of the Delta table `<kind>/<name>`; `after` is its newest recorded version, if any."""

    def put_import(self, folder: Path, location: str) -> None:
        """Move a staged folder's files durably to `location` in the store, replacing any files that a crashed attempt left there."""

    def exists(self, artifact: Artifact) -> bool:
        """Whether all files of an artifact exist with their recorded sizes; content is not read."""

    def open(self, artifact: Artifact) -> Path | ds.Dataset:
        """Return the path of a file or directory artifact, or the dataset of a table artifact at exactly its recorded version."""

    def fetched(self, artifact: Artifact, name: str) -> Path:
        """Return the local path of one of an artifact's files, downloaded if necessary; may raise FileNotFoundError if it is missing."""

    def log(self, artifact: Artifact) -> Sequence[str]:
        """Return the existing commit files of a table up to the artifact's version, as POSIX paths relative to the store's root, in order."""

    def names(self, artifact: Artifact, *, log: bool = True) -> Sequence[str]:
        """Return all files of an artifact, with a table's commits if `log`, as POSIX paths relative to the store's root, without downloads."""

    def verify(self, artifact: Artifact, gone: Sequence[ErasedFile] = (), *, log: Sequence[StoreFailure] | None = None) -> list[StoreFailure]:
        """Recompute an artifact's digest from its bytes and return a failure for each difference.

        Args:
            gone: erased files; their recorded digests enter the digest, so that other changes are still found. A rewritten file must be what the
                erasure left.
            log: failures of `verify_log` for this version; None verifies the log now.
        """

    def verify_log(
        self, location: str, versions: Collection[DeltaVersion], gone: Sequence[ErasedFile] = ()
    ) -> Mapping[DeltaVersion, list[StoreFailure]]:
        """Recompute the hash chain of a table's Delta log from its first commit; return its differences from each recorded version."""

    def parts(self, artifact: Artifact) -> list[Part]:
        """Return the files with an artifact's content (of a table, its data files without the log), existing or not, with their digests."""

    def inventory(self) -> Iterator[tuple[str, int]]:
        """Yield (POSIX path relative to the store's root, size in bytes) of every stored file, without staging, in a fixed order."""

    def read(self, path: str) -> bytes | None:
        """Return the bytes of a stored file by its path relative to the store's root, or None if it is missing."""

    def erase(self, paths: Collection[str]) -> int:
        """Delete stored files and cached copies durably and return the number of bytes freed; missing files are ignored."""

    def rewrite(self, path: str, data: bytes) -> None:
        """Replace a stored file's content by `data`, atomically and durably, to erase part of it."""
