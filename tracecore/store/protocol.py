"""The interface of artifact stores, implemented by a local folder and a bucket."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from tracecore_schemas.kinds import Media
from tracecore_schemas.run import Artifact, DeltaVersion, FieldSpec

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.dataset as ds

__all__ = ["ErasedFile", "Opened", "Part", "StagedTable", "Store", "StoreFailure", "Stored", "TableFile"]


@dataclass(frozen=True, slots=True)
class ErasedFile:
    """One file that was erased, or rewritten without some of what it held.

    Attributes:
        path: relative to the store's root, POSIX.
        digest: as recorded.
        rows: of a table's data file.
        left: digest of what replaced it; None where nothing did.
    """

    path: str
    digest: str
    size_bytes: int
    rows: int | None = None
    left: str | None = None

    @property
    def table(self) -> str:
        """The folder of the table of whose log the file is a commit."""
        return self.path.partition("/_delta_log/")[0]


Opened = Any
"""`pyarrow.dataset.Dataset` for a Delta table, `pathlib.Path` for a file or directory."""


@dataclass(frozen=True, slots=True)
class Stored:
    """Bytes that are durably in the store, as an `Artifact` records them.

    Attributes:
        location: relative to the store's root, POSIX.
        delta: version and log chain of a table.
    """

    digest: str
    media: Media
    location: str
    size_bytes: int
    rows: int | None = None
    schema: tuple[FieldSpec, ...] = ()
    delta: DeltaVersion | None = None


@dataclass(frozen=True, slots=True)
class TableFile:
    """One Parquet file of a table: the rows of one drive."""

    name: str
    digest: str
    size_bytes: int
    rows: int
    partition: tuple[tuple[str, str], ...]
    stats: str


@dataclass(frozen=True, slots=True)
class StagedTable:
    """A table written to staging, not yet visible to anyone."""

    folder: Path
    schema: pa.Schema
    partition_columns: tuple[str, ...]
    files: tuple[TableFile, ...]

    @property
    def rows(self) -> int:
        """Rows of all its files."""
        return sum(file.rows for file in self.files)


@dataclass(frozen=True, slots=True)
class StoreFailure:
    """A difference between store and record: `what` is the file, relative to the store's root."""

    what: str
    expected: str
    found: str


@dataclass(frozen=True, slots=True)
class Part:
    """One file that holds content of a version.

    Attributes:
        path: relative to the store's root, POSIX.
        digest: as recorded.
        rows: of a table's data file, from its footer; None where it is missing.
    """

    path: str
    digest: str
    size_bytes: int
    rows: int | None = None
    partition: tuple[tuple[str, str | None], ...] = ()


class Store(Protocol):
    """Storage of artifacts' bytes. A put is atomic, and returns only when the bytes are durable."""

    def staging(self, run_id: str) -> Path:
        """Make the folder that a run writes to before its outputs are put, on the store's own file system, and return it."""

    def discard(self, run_id: str) -> None:
        """Remove a run's files in staging."""

    def staged_runs(self) -> list[str]:
        """Return the ids of runs with files in staging: live ones, and orphans of crashed ones."""

    def put_file(self, source: Path, *, run_id: str, move: bool = False) -> Stored:
        """Store a file; with `move` a staged output is moved, else the source is copied."""

    def put_directory(self, source: Path, *, run_id: str) -> Stored:
        """Store a staged directory by moving it."""

    def stage_table(self, data: pa.Table | pa.RecordBatchReader, *, run_id: str, port: str) -> StagedTable:
        """Write a table to staging: sorted, one file a drive; the same rows give the same bytes."""

    def put_table(self, staged: StagedTable, *, kind: str, name: str, run_id: str, after: DeltaVersion | None = None) -> Stored:
        """Make a staged table the next version of the Delta table of an artifact name.

        Args:
            after: the newest recorded version; without it the table's whole log is read.
        """

    def put_import(self, folder: Path, location: str) -> None:
        """Move all files of a staged folder, durably, to a location of their own; what a crash left there is replaced."""

    def exists(self, artifact: Artifact) -> bool:
        """Whether all files of an artifact exist with their recorded sizes; they are not read."""

    def open(self, artifact: Artifact) -> Path | ds.Dataset:
        """Return a file's or directory's path, or a dataset at exactly the recorded version of a table."""

    def fetched(self, artifact: Artifact, name: str) -> Path:
        """Return the local path of one of an artifact's files, downloaded if necessary.

        Raises:
            FileNotFoundError: it is missing, as far as that is known without opening it.
        """

    def log(self, artifact: Artifact) -> Sequence[str]:
        """Return the existing commits of a table up to a version, by POSIX path relative to the store's root, in order."""

    def names(self, artifact: Artifact, *, log: bool = True) -> Sequence[str]:
        """Return every file of an artifact by POSIX path relative to the store's root, without downloads.

        Args:
            log: whether to name a table's commits, which all its versions share.
        """

    def verify(self, artifact: Artifact, gone: Sequence[ErasedFile] = (), *, log: Sequence[StoreFailure] | None = None) -> list[StoreFailure]:
        """Recompute an artifact's digest from its bytes, without trusting stored hashes; an empty list means that all is as recorded.

        Args:
            gone: files that a tombstone of the record names: no failures, and the digest is recomputed with what was recorded of them, so that
                nothing else hides behind them. A file that was left rewritten must be what was left.
            log: failures of `verify_log` for this version; None verifies the log now.
        """

    def verify_log(
        self, location: str, versions: Collection[DeltaVersion], gone: Sequence[ErasedFile] = ()
    ) -> Mapping[DeltaVersion, list[StoreFailure]]:
        """Recompute a table's log once, from its first commit; return its differences from each recorded version."""

    def parts(self, artifact: Artifact) -> list[Part]:
        """Return the files with a version's content (a table's data files, not its log) by log or manifest, existing or not."""

    def inventory(self) -> Iterator[tuple[str, int]]:
        """Yield (POSIX path relative to the store's root, size) of every stored file, without staging, in order."""

    def read(self, path: str) -> bytes | None:
        """Return the bytes of a stored file by its path relative to the store's root; None if missing."""

    def erase(self, paths: Collection[str]) -> int:
        """Remove stored files, durably, and their cached copies; missing ones are ignored. Returns the number of bytes removed."""

    def rewrite(self, path: str, data: bytes) -> None:
        """Replace the bytes of a stored file, atomically and durably, to erase a part of its content."""
