"""Delta tables of the store: one a name, one commit a run, read at exactly the recorded version."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import reduce
from operator import and_
from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import quote

import pyarrow.compute as pc

from tracecore.errors import UsageProblem
from tracecore.gone import Gone
from tracecore.store.base import Part, StoreFailure
from tracecore.store.delta_log import LOG, LogEntry, Snapshot, commit_names, read_snapshot
from tracecore.store.manifest import DeltaFile, delta_manifest
from tracecore.store.place import Place
from tracecore_schemas.canonical import digest_bytes, hex_of
from tracecore_schemas.run import Artifact, DeltaVersion

if TYPE_CHECKING:
    import pyarrow.dataset as ds

__all__ = ["is_committed", "open_table", "table_exists", "table_folder", "table_names", "table_parts", "uncommitted", "verify_table"]


class _Unreadable(UsageProblem):
    """The log of a recorded version is missing or damaged."""


def table_folder(kind: str, name: str) -> str:
    """Give where the table of an artifact name lies, relative to the store: percent-encoded, with '=' for '%' (deltalake decodes a '%' twice)."""
    return f"tables/{kind}/{quote(name, safe='').replace('%', '=')}"


def is_committed(place: Place, table: str, run_id: str) -> bool:
    """Say whether a commit adds a file of a run's data folder."""
    return not uncommitted(place, table, [run_id])


def uncommitted(place: Place, table: str, run_ids: Collection[str]) -> set[str]:
    """Give those of some runs that no commit of a table names; each commit is read once, the newest first, as that is where a run usually is."""
    left = set(run_ids)
    for path in sorted((path for path, _ in place.listed(f"{table}/{LOG}") if path.endswith(".json")), reverse=True):
        if not left:
            break
        commit = place.read(path)
        left = {run for run in left if f'"path":"{run}/'.encode() not in commit and f'"tracecore.run":"{run}"'.encode() not in commit}
    return left


def _version_of(artifact: Artifact) -> DeltaVersion:
    if artifact.delta is None:
        raise _Unreadable(f"{artifact.ref} is recorded as a Delta table, but without the version that was written.")
    return artifact.delta


def _snapshot(artifact: Artifact, place: Place) -> Snapshot:
    version = _version_of(artifact)
    try:
        return read_snapshot(place, str(artifact.location), version.version)
    except FileNotFoundError as error:
        missing = PurePosixPath(str(error.filename)).name
        raise _Unreadable(f"{artifact.ref} can't be read: its Delta log file '{missing}' is missing from {artifact.location}/{LOG}.") from error
    except (ValueError, KeyError) as error:
        raise _Unreadable(f"{artifact.ref} can't be read: the Delta log in {artifact.location} is damaged ({error}).") from error


def _sizes(place: Place, artifact: Artifact, snapshot: Snapshot) -> dict[str, int]:
    """Give the sizes of the data files that are there, by path relative to the table; one listing a folder, not one question a file."""
    folders = sorted({str(PurePosixPath(entry.path).parent) for entry in snapshot.files})
    start = f"{artifact.location}/"
    return {path.removeprefix(start): size for folder in folders for path, size in place.listed(f"{start}{folder}")}


def open_table(artifact: Artifact, place: Place) -> ds.Dataset:
    """Give the dataset at exactly the recorded version; rows are read from where they lie.

    Raises:
        UsageProblem: the log or a data file of that version is missing, named.
    """
    import pyarrow.dataset as ds
    from deltalake import DeltaTable

    snapshot = _snapshot(artifact, place)
    there = _sizes(place, artifact, snapshot)
    missing = next((entry.path for entry in snapshot.files if entry.path not in there), None)
    if missing is not None:
        raise UsageProblem(f"{artifact.ref} can't be read: its file '{artifact.location}/{missing}' is missing from the store.")
    files = place.arrow(str(artifact.location))
    uri, options = place.delta(str(artifact.location))
    opened = DeltaTable(uri, version=_version_of(artifact).version, storage_options=options).to_pyarrow_dataset(filesystem=files)
    # deltalake (1.6) turns a column without bounds in the log into "no row can match", and a filter on it then finds nothing: only the partition's
    # value is told to Arrow here, the bounds inside a file are those of its Parquet footer.
    fragments = [
        opened.format.make_fragment(entry.path, filesystem=files, partition_expression=_partition_expression(entry)) for entry in snapshot.files
    ]
    return ds.FileSystemDataset(fragments, opened.schema, opened.format, files)


def _partition_expression(entry: LogEntry) -> pc.Expression | None:
    """Say what the partition values of a file hold for each of its rows."""
    known = [pc.field(name) == value for name, value in entry.partition if value is not None]
    return reduce(and_, known) if known else None


def table_names(artifact: Artifact, place: Place) -> list[str]:
    """Name every file that the recorded version stands on: its commits and its data; relative to the store."""
    version = _version_of(artifact)
    log = [f"{LOG}/{name}" for name, _ in version.log]
    data = [entry.path for entry in _snapshot(artifact, place).files]
    return [f"{artifact.location}/{relative}" for relative in [*log, *data]]


def table_parts(artifact: Artifact, place: Place) -> list[Part]:
    """Give the data files of the recorded version: each file's name carries the digest it was written with, its footer says its rows."""
    snapshot = _snapshot(artifact, place)
    there = _sizes(place, artifact, snapshot)
    return [
        Part(
            f"{artifact.location}/{entry.path}",
            "sha256:" + PurePosixPath(entry.path).stem.partition("-")[2],
            entry.size,
            place.rows(f"{artifact.location}/{entry.path}") if entry.path in there else None,
            entry.partition,
        )
        for entry in snapshot.files
    ]


def table_exists(artifact: Artifact, place: Place) -> bool:
    """Say whether all files of the recorded version are there with their sizes."""
    try:
        snapshot = _snapshot(artifact, place)
    except _Unreadable:
        return False
    there = _sizes(place, artifact, snapshot)
    return all(there.get(entry.path) == entry.size for entry in snapshot.files)


def verify_table(artifact: Artifact, place: Place, gone: Mapping[str, Gone]) -> list[StoreFailure]:
    """Recompute a table's digest from its log and its files; each file that differs is named.

    Args:
        artifact: what was recorded.
        place: where it lies.
        gone: what was erased of it, by path: of such a data file digest, size and rows are taken as recorded, and the digest must still come out.
    """
    version = _version_of(artifact)
    failures = _verify_log(artifact, place, version, gone)
    try:
        snapshot = read_snapshot(place, str(artifact.location), version.version)
        configuration = snapshot.configuration
    except (OSError, ValueError, KeyError, AttributeError) as error:
        if not failures:
            failures.append(StoreFailure(f"{artifact.location}/{LOG}", f"a readable log up to version {version.version}", str(error)))
        return failures
    files: list[DeltaFile] = []
    for entry in snapshot.files:
        found, problem = _verify_file(artifact, place, entry, gone.get(f"{artifact.location}/{entry.path}"))
        failures.extend(problem)
        if found is not None:
            files.append(found)
    manifest = delta_manifest(snapshot.schema, snapshot.partition_columns, snapshot.protocol, configuration, files)
    digest = digest_bytes(manifest)
    if digest != artifact.digest:
        failures.append(StoreFailure(f"{artifact.location} (version {version.version})", artifact.digest, digest))
    return failures


def _verify_log(artifact: Artifact, place: Place, version: DeltaVersion, gone: Mapping[str, Gone]) -> list[StoreFailure]:
    failures: list[StoreFailure] = []
    recorded = dict(version.log)
    for name in commit_names(version.version):
        where = f"{artifact.location}/{LOG}/{name}"
        if name not in recorded:
            failures.append(StoreFailure(where, "a recorded digest of each log file", "none recorded"))
        elif (found := place.fingerprint(where)) is None:
            failures.append(StoreFailure(where, recorded[name], "missing"))
        elif found[0] != recorded[name] and not (where in gone and gone[where].left == found[0]):
            failures.append(StoreFailure(where, recorded[name], found[0]))
    # A checkpoint would be read instead of the commits, and could say anything.
    strays = [path for path, _ in place.listed(f"{artifact.location}/{LOG}") if "checkpoint" in PurePosixPath(path).name]
    return failures + [StoreFailure(stray, "commits alone, no checkpoint", "a checkpoint") for stray in strays]


def _verify_file(artifact: Artifact, place: Place, entry: LogEntry, gone: Gone | None) -> tuple[DeltaFile | None, list[StoreFailure]]:
    table = str(artifact.location)
    where = f"{table}/{entry.path}"
    # A log may say anything: what lies elsewhere is no file of this table.
    within = len(PurePosixPath(entry.path).parts) == 2 and place.contains(table, entry.path)
    found = place.fingerprint(where) if within else None
    if gone is not None and gone.rows is not None:
        left = None if found is None else found[0]
        shown = [] if left == gone.left else [StoreFailure(where, gone.left or "nothing: it was erased", left or "missing")]
        return DeltaFile(hex_of(gone.digest), gone.size_bytes, gone.rows, entry.partition), shown
    # The file's name carries the digest it was written with; it names the culprit, the table's digest is the judge.
    expected = "sha256:" + PurePosixPath(entry.path).stem.partition("-")[2]
    if found is None:
        return None, [StoreFailure(where, expected, "missing")]
    digest, size = found
    failures: list[StoreFailure] = []
    if digest != expected:
        # A footer that is not the one written is not read at all: what a Parquet reader makes of it proves nothing, and may crash it.
        return None, [StoreFailure(where, expected, digest)]
    if size != entry.size:
        failures.append(StoreFailure(where, f"{entry.size} bytes", f"{size} bytes"))
    try:
        rows = place.rows(where)
    except (OSError, ValueError) as error:
        return None, failures or [StoreFailure(where, "a Parquet file", str(error))]
    return DeltaFile(hex_of(digest), size, rows, entry.partition), failures
