"""Delta tables of the store: one per artifact name, one commit per run, read at exactly the recorded version."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from functools import reduce
from operator import and_
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from tracecore.errors import UsageError
from tracecore.store.delta_log import LOG, LogEntry, LogState, Snapshot, commit_name, commits_from, link, read_snapshot, runs_of, whole
from tracecore.store.manifest import DeltaFile, delta_manifest
from tracecore.store.place import Place
from tracecore.store.protocol import ErasedFile, Part, StoreFailure
from tracecore_schemas.canonical import digest_bytes, hex_of
from tracecore_schemas.run import Artifact, DeltaVersion

if TYPE_CHECKING:
    import pyarrow.compute as pc
    import pyarrow.dataset as ds

__all__ = [
    "data_names",
    "log_names",
    "open_table",
    "table_exists",
    "table_parts",
    "uncommitted",
    "verify_log",
    "verify_table",
]

_COMMIT = re.compile(r"[0-9]{20}\.json")


class _Unreadable(UsageError):
    """The log of a recorded version is missing or damaged."""


def uncommitted(place: Place, table: str, run_ids: Collection[str]) -> set[str]:
    """Return the ids in `run_ids` that no commit of a Delta table names, as writer or by a data file; raises UsageError for a damaged commit."""
    left = set(run_ids)
    for path in reversed(_commit_paths(place, table)):
        if not left:
            break
        try:
            left -= runs_of(place.read(path))
        except (ValueError, AttributeError) as error:
            raise _Unreadable(f"The Delta log file {path} is damaged ({error}): run 'tracecore verify'.") from error
    return left


def _commit_paths(place: Place, table: str) -> list[str]:
    """Return the paths of a Delta table's commit files in order of version, without checkpoints and other files."""
    return sorted(path for path, _ in place.listed(f"{table}/{LOG}") if _COMMIT.fullmatch(PurePosixPath(path).name))


def _version_of(artifact: Artifact) -> DeltaVersion:
    """Return the Delta version that is recorded for a table artifact; raises a UsageError if none is recorded."""
    if artifact.delta is None:
        raise _Unreadable(f"{artifact.ref} is recorded as a Delta table, but without the version that was written.")
    return artifact.delta


def _snapshot(artifact: Artifact, place: Place) -> Snapshot:
    """Return a table artifact's recorded version, read from its Delta log; raises a UsageError if the log is missing or damaged."""
    version = _version_of(artifact)
    try:
        return read_snapshot(place, str(artifact.location), version.version)
    except FileNotFoundError as error:
        missing = PurePosixPath(str(error.filename)).name
        raise _Unreadable(f"{artifact.ref} can't be read: its Delta log file '{missing}' is missing from {artifact.location}/{LOG}.") from error
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise _Unreadable(f"{artifact.ref} can't be read: the Delta log in {artifact.location} is damaged ({error}).") from error


def _sizes(place: Place, artifact: Artifact, snapshot: Snapshot) -> dict[str, int]:
    """Return the size in bytes of each existing file in the folders of a table version's data files, by path relative to the table."""
    folders = sorted({str(PurePosixPath(entry.path).parent) for entry in snapshot.files})
    start = f"{artifact.location}/"
    return {path.removeprefix(start): size for folder in folders for path, size in place.listed(f"{start}{folder}")}


def open_table(artifact: Artifact, place: Place) -> ds.Dataset:
    """Return a table artifact's dataset at exactly the recorded version; raises UsageError if its log is damaged or a file is missing."""
    import pyarrow as pa
    import pyarrow.dataset as ds
    from deltalake import Schema

    snapshot = _snapshot(artifact, place)
    there = _sizes(place, artifact, snapshot)
    missing = next((entry.path for entry in snapshot.files if entry.path not in there), None)
    if missing is not None:
        raise UsageError(f"{artifact.ref} can't be read: its file '{artifact.location}/{missing}' is missing from the store.")
    files = place.arrow(str(artifact.location))
    schema = pa.schema(Schema.from_json(json.dumps(snapshot.schema)).to_arrow())
    parquet = ds.ParquetFileFormat()
    # Arrow gets only the partition values; bounds inside a file are those of its Parquet footer.
    fragments = [parquet.make_fragment(entry.path, filesystem=files, partition_expression=_partition_expression(entry)) for entry in snapshot.files]
    return ds.FileSystemDataset(fragments, schema, parquet, files)


def _partition_expression(entry: LogEntry) -> pc.Expression | None:
    """Return the Arrow expression that is true for all rows of a data file by its partition values, or None if it has none."""
    import pyarrow.compute as pc

    known = [pc.field(name) == value for name, value in entry.partition if value is not None]
    return reduce(and_, known) if known else None


def log_names(artifact: Artifact, place: Place) -> list[str]:
    """Return the paths of a table's existing commit files up to its recorded version, relative to the store's root."""
    last = f"{artifact.location}/{LOG}/{commit_name(_version_of(artifact).version)}"
    return [path for path in _commit_paths(place, str(artifact.location)) if path <= last]


def data_names(artifact: Artifact, place: Place) -> list[str]:
    """Return the paths of the data files of a table's recorded version, existing or not, relative to the store's root."""
    return [f"{artifact.location}/{entry.path}" for entry in _snapshot(artifact, place).files]


def table_parts(artifact: Artifact, place: Place) -> list[Part]:
    """Return the data files of a table's recorded version, with the digest in each file's name and the row count (None if the file is missing)."""
    snapshot = _snapshot(artifact, place)
    there = _sizes(place, artifact, snapshot)
    return [
        Part(
            f"{artifact.location}/{entry.path}",
            "sha256:" + PurePosixPath(entry.path).stem.partition("-")[2],
            entry.size,
            _rows(place, f"{artifact.location}/{entry.path}") if entry.path in there else None,
            entry.partition,
        )
        for entry in snapshot.files
    ]


def table_exists(artifact: Artifact, place: Place) -> bool:
    """Whether all data files of a table's recorded version exist with the sizes in its log; False if the log is missing or damaged."""
    try:
        snapshot = _snapshot(artifact, place)
    except _Unreadable:
        return False
    there = _sizes(place, artifact, snapshot)
    return all(there.get(entry.path) == entry.size for entry in snapshot.files)


def verify_table(artifact: Artifact, place: Place, gone: Mapping[str, ErasedFile], log: Sequence[StoreFailure] | None = None) -> list[StoreFailure]:
    """Recompute a table's digest from its log and data files, and return a failure for each difference from the recorded state.

    Args:
        gone: erased files by path; their recorded digest, size and rows enter the table's digest.
        log: failures of `verify_log` up to this version; None verifies the log now.
    """
    version = _version_of(artifact)
    failures = list(verify_log(place, str(artifact.location), [version], gone)[version] if log is None else log)
    try:
        snapshot = read_snapshot(place, str(artifact.location), version.version)
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        if not failures:
            failures.append(StoreFailure(f"{artifact.location}/{LOG}", f"a readable log up to version {version.version}", str(error)))
        return failures
    files: list[DeltaFile] = []
    for entry in snapshot.files:
        found, problem = _verify_file(artifact, place, entry, gone.get(f"{artifact.location}/{entry.path}"))
        failures.extend(problem)
        if found is not None:
            files.append(found)
    manifest = delta_manifest(snapshot.schema, snapshot.partition_columns, snapshot.protocol, snapshot.configuration, files)
    digest = digest_bytes(manifest)
    if digest != artifact.digest:
        failures.append(StoreFailure(f"{artifact.location} (version {version.version})", artifact.digest, digest))
    return failures


def verify_log(
    place: Place, table: str, versions: Collection[DeltaVersion], gone: Mapping[str, ErasedFile]
) -> dict[DeltaVersion, list[StoreFailure]]:
    """Recompute the hash chain of a Delta log from its first commit, and return its differences from each recorded version.

    A mismatch names the commits since the last match. A damaged commit is a failure of every later version too. After a mismatch the chain
    continues from the recorded value, so that further edits are found.

    Args:
        gone: commits rewritten by erasures, by path: the original digest enters the chain, and the file must be what the last erasure left.
    """
    wanted: dict[int, list[DeltaVersion]] = {}
    for version in versions:
        wanted.setdefault(version.version, []).append(version)
    # Readers would use a checkpoint, which is not verified, instead of the commits.
    strays = sorted(path for path, _ in place.listed(f"{table}/{LOG}") if "checkpoint" in PurePosixPath(path).name)
    failures = [StoreFailure(stray, "commits alone, no checkpoint", "a checkpoint") for stray in strays]
    found: dict[DeltaVersion, list[StoreFailure]] = {}
    state: LogState | None = LogState()
    log: str | None = None
    since = number = 0
    for number, commit in commits_from(place, table, 0, max(wanted, default=-1)):
        where = f"{table}/{LOG}/{commit_name(number)}"
        digest, erased = digest_bytes(commit), gone.get(where)
        if erased is not None and digest != erased.left:
            failures.append(StoreFailure(where, erased.left or "nothing: it was erased", digest))
        log = link(log, number, digest if erased is None else erased.digest)
        state, problem = _apply_checked(state, commit, where, check=number in wanted)
        failures.extend(problem)
        recorded = sorted({version.log for version in wanted.get(number, ())})
        for version in wanted.get(number, ()):
            differs = [] if version.log == log else [StoreFailure(_commit_range(table, since, number), version.log, log)]
            found[version] = [*failures, *differs]
        if recorded:
            if log not in recorded:
                failures.append(StoreFailure(_commit_range(table, since, number), recorded[0], log))
                log = recorded[0]
            since = number + 1
    for version in versions:
        missing = commit_name(number + 1 if log is not None else 0)
        found.setdefault(version, [*failures, StoreFailure(f"{table}/{LOG}/{missing}", f"a commit of version {version.version}'s log", "missing")])
    return found


def _commit_range(table: str, first: int, last: int) -> str:
    """Return the path of a Delta table's commit file, or for a range of commits the text `<path of the first> to <name of the last>`."""
    name = f"{table}/{LOG}/{commit_name(last)}"
    return name if first == last else f"{table}/{LOG}/{commit_name(first)} to {commit_name(last)}"


def _rows(place: Place, path: str) -> int:
    """Return the number of rows in a Parquet file's footer; raises OSError or ValueError if it is not a Parquet file."""
    import pyarrow.parquet as pq

    return int(pq.read_metadata(path, filesystem=place.arrow("")).num_rows)


def _apply_checked(state: LogState | None, commit: bytes, where: str, *, check: bool) -> tuple[LogState | None, list[StoreFailure]]:
    """Apply a commit to a log's state and, if `check`, verify that it describes its table version completely, as readers assume.

    Returns the new state, None after an unreadable commit, and the failures.
    """
    if state is None:
        return None, []
    try:
        state.apply(commit)
        alone = whole(commit) if check else None
        if alone is None or alone == state.snapshot():
            return state, []
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        return None, [StoreFailure(where, "a commit", f"{type(error).__name__}: {error}")]
    return state, [StoreFailure(where, "a commit that replaces every file of the version before it", "one that leaves some")]


def _verify_file(artifact: Artifact, place: Place, entry: LogEntry, gone: ErasedFile | None) -> tuple[DeltaFile | None, list[StoreFailure]]:
    """Recompute a data file's entry for the table manifest; return it (None if missing or damaged) and a failure for each difference from the log."""
    table = str(artifact.location)
    where = f"{table}/{entry.path}"
    # A path in a damaged log may lead anywhere: only files of this table are read.
    within = len(PurePosixPath(entry.path).parts) == 2 and place.contains(table, entry.path)
    found = place.fingerprint(where) if within else None
    if gone is not None and gone.rows is not None:
        left = None if found is None else found[0]
        shown = [] if left == gone.left else [StoreFailure(where, gone.left or "nothing: it was erased", left or "missing")]
        return DeltaFile(hex_of(gone.digest), gone.size_bytes, gone.rows, entry.partition), shown
    # The digest in the file's name locates damage; the table's digest decides.
    expected = "sha256:" + PurePosixPath(entry.path).stem.partition("-")[2]
    if found is None:
        return None, [StoreFailure(where, expected, "missing")]
    digest, size = found
    if digest != expected:
        # A changed footer is not parsed: it proves nothing, and may crash a Parquet reader.
        return None, [StoreFailure(where, expected, digest)]
    failures = [] if size == entry.size else [StoreFailure(where, f"{entry.size} bytes", f"{size} bytes")]
    try:
        rows = _rows(place, where)
    except (OSError, ValueError) as error:
        return None, failures or [StoreFailure(where, "a Parquet file", str(error))]
    return DeltaFile(hex_of(digest), size, rows, entry.partition), failures
