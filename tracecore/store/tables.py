"""Delta tables of the store: one a name, one commit a run, read at exactly the recorded version."""

from __future__ import annotations

from functools import reduce
from operator import and_
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pyarrow.compute as pc
import pyarrow.parquet as pq

from tracecore.durable import fsync_file, fsync_folder
from tracecore.errors import UsageProblem
from tracecore.store.base import StagedTable, Stored, StoreFailure
from tracecore.store.delta_log import LOG, LogEntry, Snapshot, commit_name, read_snapshot
from tracecore.store.files import remove_tree, rename_durably
from tracecore.store.manifest import DeltaFile, delta_manifest
from tracecore_schemas.canonical import digest_bytes, digest_file, hex_of
from tracecore_schemas.kinds import Media
from tracecore_schemas.run import Artifact, DeltaVersion, FieldSpec
from tracecore_schemas.tables import describe

if TYPE_CHECKING:
    import pyarrow.dataset as ds

__all__ = ["commit_table", "open_table", "table_exists", "table_files", "table_folder", "uncommitted", "verify_table"]

CONFIGURATION = {
    # A version that a COMPLETE names stays readable for ever: neither the log nor the files of old versions may be cleaned away.
    "delta.enableExpiredLogCleanup": "false",
    "delta.logRetentionDuration": "interval 36500 days",
    "delta.deletedFileRetentionDuration": "interval 36500 days",
}


def table_folder(kind: str, name: str) -> str:
    """Give where the table of an artifact name lies, relative to the store: percent-encoded, with '=' for '%' (deltalake decodes a '%' twice)."""
    return f"tables/{kind}/{quote(name, safe='').replace('%', '=')}"


def commit_table(staged: StagedTable, table: Path, location: str, run_id: str) -> Stored:
    """Make a staged table the next version of a Delta table; the caller holds the table's lock.

    Args:
        staged: what `write_table` wrote, on the same file system.
        table: the Delta table's folder, which need not exist.
        location: what the record says of where it lies.
        run_id: goes into the commit, and is the folder of the data files.
    """
    from deltalake import DeltaTable, Schema
    from deltalake.transaction import AddAction, CommitProperties, PostCommitHookProperties, create_table_with_add_actions

    uri = _uri(table)
    folder = table / run_id
    rename_durably(staged.folder, folder)
    try:
        adds = [
            AddAction(
                path=f"{run_id}/{file.name}",
                size=file.size_bytes,
                partition_values=dict(file.partition),
                modification_time=int((folder / file.name).stat().st_mtime * 1000),
                data_change=True,
                stats=file.stats,
            )
            for file in staged.files
        ]
        properties = CommitProperties(custom_metadata={"tracecore.run": run_id})
        hooks = PostCommitHookProperties(create_checkpoint=False, cleanup_expired_logs=False)
        schema = Schema.from_arrow(staged.schema)
        partition_by = list(staged.partition_columns)
        existing = DeltaTable(uri) if DeltaTable.is_deltatable(uri) else None
        if existing is not None and existing.metadata().partition_columns == partition_by:
            existing.create_write_transaction(
                [*adds], "overwrite", schema, partition_by, commit_properties=properties, post_commithook_properties=hooks
            )
        else:
            create_table_with_add_actions(
                uri,
                schema,
                adds,
                mode="error" if existing is None else "overwrite",
                partition_by=partition_by,
                configuration=CONFIGURATION,
                commit_properties=properties,
                post_commithook_properties=hooks,
            )
    except BaseException:
        remove_tree(folder)
        raise
    version = DeltaTable(uri).version()
    # Delta Lake calls no fsync on a local disk: the event that names this version must not outlive it.
    fsync_file(table / LOG / commit_name(version))
    fsync_folder(table / LOG)
    fsync_folder(table)
    snapshot = read_snapshot(table, version)
    manifest = delta_manifest(
        snapshot.schema,
        snapshot.partition_columns,
        snapshot.protocol,
        snapshot.configuration,
        [DeltaFile(hex_of(file.digest), file.size_bytes, file.rows, file.partition) for file in staged.files],
    )
    return Stored(
        digest=digest_bytes(manifest),
        media=Media.DELTA,
        location=location,
        size_bytes=sum(file.size_bytes for file in staged.files),
        rows=staged.rows,
        schema=tuple(FieldSpec(*each) for each in describe(staged.schema)),
        delta=DeltaVersion(version, tuple((name, digest_file(table / LOG / name)) for name in _commits(version))),
    )


def _uri(table: Path) -> str:
    """Give a table's URI for deltalake, which decodes a '%' in a path twice (1.6.6) and would write beside the table."""
    if "%" in str(table.absolute()):
        raise UsageProblem(f"The workspace folder {table.absolute()} has a '%' in its path, which Delta Lake can't write to: give it another name.")
    return table.absolute().as_uri()


def _commits(version: int) -> list[str]:
    return [commit_name(number) for number in range(version + 1)]


def uncommitted(root: Path, run_id: str = "*") -> list[Path]:
    """Find data folders in tables that no commit names: a crash between moving them there and the commit leaves them.

    Args:
        root: the store's.
        run_id: of one run; every run's by default.
    """
    return [folder for folder in sorted(root.glob(f"tables/*/*/{run_id}")) if folder.name != LOG and folder.is_dir() and not _committed(folder)]


def _committed(folder: Path) -> bool:
    """Say whether a commit adds a file of a run's data folder; the newest commits first, as that is where it usually is."""
    named = f'"path":"{folder.name}/'
    empty = f'"tracecore.run":"{folder.name}"'
    commits = sorted((folder.parent / LOG).glob("*.json"), reverse=True)
    return any(named in text or empty in text for text in (commit.read_text(encoding="utf-8", errors="replace") for commit in commits))


def _version_of(artifact: Artifact) -> DeltaVersion:
    if artifact.delta is None:
        raise UsageProblem(f"{artifact.ref} is recorded as a Delta table, but without the version that was written.")
    return artifact.delta


def _snapshot(artifact: Artifact, table: Path) -> Snapshot:
    version = _version_of(artifact)
    try:
        return read_snapshot(table, version.version)
    except FileNotFoundError as error:
        missing = Path(str(error.filename)).name
        raise UsageProblem(f"{artifact.ref} can't be read: its Delta log file '{missing}' is missing from {artifact.location}/{LOG}.") from error
    except (ValueError, KeyError) as error:
        raise UsageProblem(f"{artifact.ref} can't be read: the Delta log in {artifact.location} is damaged ({error}).") from error


def open_table(artifact: Artifact, table: Path) -> ds.Dataset:
    """Give the dataset at exactly the recorded version.

    Raises:
        UsageProblem: the log or a data file of that version is missing, named.
    """
    import pyarrow.dataset as ds
    from deltalake import DeltaTable
    from pyarrow.fs import LocalFileSystem, SubTreeFileSystem

    snapshot = _snapshot(artifact, table)
    missing = next((entry.path for entry in snapshot.files if not (table / entry.path).is_file()), None)
    if missing is not None:
        raise UsageProblem(f"{artifact.ref} can't be read: its file '{artifact.location}/{missing}' is missing from the store.")
    # The plain local file system: deltalake's own handler calls back into Python from Arrow's threads, which aborts the process at exit.
    files = SubTreeFileSystem(str(table), LocalFileSystem())
    opened = DeltaTable(_uri(table), version=_version_of(artifact).version).to_pyarrow_dataset(filesystem=files)
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


def table_files(artifact: Artifact, table: Path) -> list[tuple[str, Path]]:
    """Every file that the recorded version stands on: its commits and its data."""
    version = _version_of(artifact)
    log = [f"{LOG}/{name}" for name, _ in version.log]
    data = [entry.path for entry in _snapshot(artifact, table).files]
    return [(f"{artifact.location}/{relative}", table / relative) for relative in [*log, *data]]


def table_exists(artifact: Artifact, table: Path) -> bool:
    """Say whether all files of the recorded version are there with their sizes."""
    try:
        snapshot = _snapshot(artifact, table)
    except UsageProblem:
        return False
    return all((table / entry.path).is_file() and (table / entry.path).stat().st_size == entry.size for entry in snapshot.files)


def verify_table(artifact: Artifact, table: Path) -> list[StoreFailure]:
    """Recompute a table's digest from its log and its files; each file that differs is named."""
    version = _version_of(artifact)
    failures = _verify_log(artifact, table, version)
    try:
        snapshot = read_snapshot(table, version.version)
        configuration = snapshot.configuration
    except (OSError, ValueError, KeyError, AttributeError) as error:
        if not failures:
            failures.append(StoreFailure(f"{artifact.location}/{LOG}", f"a readable log up to version {version.version}", str(error)))
        return failures
    files: list[DeltaFile] = []
    for entry in snapshot.files:
        found, problem = _verify_file(artifact, table, entry)
        failures.extend(problem)
        if found is not None:
            files.append(found)
    manifest = delta_manifest(snapshot.schema, snapshot.partition_columns, snapshot.protocol, configuration, files)
    digest = digest_bytes(manifest)
    if digest != artifact.digest:
        failures.append(StoreFailure(f"{artifact.location} (version {version.version})", artifact.digest, digest))
    return failures


def _verify_log(artifact: Artifact, table: Path, version: DeltaVersion) -> list[StoreFailure]:
    failures: list[StoreFailure] = []
    recorded = dict(version.log)
    for name in _commits(version.version):
        path = table / LOG / name
        where = f"{artifact.location}/{LOG}/{name}"
        if name not in recorded:
            failures.append(StoreFailure(where, "a recorded digest of each log file", "none recorded"))
        elif not path.is_file():
            failures.append(StoreFailure(where, recorded[name], "missing"))
        elif (digest := digest_file(path)) != recorded[name]:
            failures.append(StoreFailure(where, recorded[name], digest))
    # A checkpoint would be read instead of the commits, and could say anything.
    strays = sorted((table / LOG).glob("*checkpoint*")) if (table / LOG).is_dir() else []
    failures += [StoreFailure(f"{artifact.location}/{LOG}/{stray.name}", "commits alone, no checkpoint", "a checkpoint") for stray in strays]
    return failures


def _verify_file(artifact: Artifact, table: Path, entry: LogEntry) -> tuple[DeltaFile | None, list[StoreFailure]]:
    path = table / entry.path
    where = f"{artifact.location}/{entry.path}"
    # The file's name carries the digest it was written with; it names the culprit, the table's digest is the judge.
    expected = "sha256:" + Path(entry.path).stem.partition("-")[2]
    if path.resolve().parent.parent != table.resolve() or not path.is_file():
        return None, [StoreFailure(where, expected, "missing")]
    digest, size = digest_file(path), path.stat().st_size
    failures: list[StoreFailure] = []
    if digest != expected:
        failures.append(StoreFailure(where, expected, digest))
    elif size != entry.size:
        failures.append(StoreFailure(where, f"{entry.size} bytes", f"{size} bytes"))
    try:
        rows = pq.read_metadata(path).num_rows
    except (OSError, ValueError) as error:
        return None, failures or [StoreFailure(where, "a Parquet file", str(error))]
    return DeltaFile(hex_of(digest), size, rows, entry.partition), failures
