"""Making staged rows the next version of a Delta table: the data first, then one commit that is there whole or not at all."""

from __future__ import annotations

import json
import random
import time
from typing import TYPE_CHECKING, Any, Protocol

from tracecore.errors import UsageProblem
from tracecore.store.base import StagedTable, Stored
from tracecore.store.delta_log import LOG, commit_name, commit_names, replay
from tracecore.store.manifest import DeltaFile, delta_manifest
from tracecore.store.place import Place
from tracecore_schemas.canonical import digest_bytes, hex_of
from tracecore_schemas.kinds import Media
from tracecore_schemas.run import DeltaVersion, FieldSpec
from tracecore_schemas.tables import describe

if TYPE_CHECKING:
    from deltalake.transaction import AddAction

__all__ = ["CONFIGURATION", "TableWriter", "commit_table"]

CONFIGURATION = {
    # A version that a COMPLETE names stays readable for ever: neither the log nor the files of old versions may be cleaned away.
    "delta.enableExpiredLogCleanup": "false",
    "delta.logRetentionDuration": "interval 36500 days",
    "delta.deletedFileRetentionDuration": "interval 36500 days",
}

_TRIES = 30
_PAUSE = 0.05


class TableWriter(Protocol):
    """What a place does its own way when a table is written there."""

    @property
    def place(self) -> Place:
        """Where tables lie."""

    def bring(self, staged: StagedTable, folder: str) -> None:
        """Put staged data files into a folder of the place, durably."""

    def withdraw(self, folder: str) -> None:
        """Take brought data back: no commit names it."""

    def settle(self, table: str, version: int) -> None:
        """Make a commit that is there durable."""


def commit_table(staged: StagedTable, writer: TableWriter, location: str, run_id: str) -> Stored:
    """Make a staged table the next version of a Delta table.

    A writer on another machine may commit to the same table at the same time: the commit is a put-if-absent, and whoever comes second takes the next
    version.

    Args:
        staged: what `write_table` wrote.
        writer: brings it to its place.
        location: the table's folder there, which need not exist.
        run_id: goes into the commit, and is the folder of the data files.

    Raises:
        UsageProblem: others commit to this table without a pause.
    """
    # Before they are moved: on an object store the moment of writing is the staged file's.
    times = {file.name: int((staged.folder / file.name).stat().st_mtime * 1000) for file in staged.files}
    folder = f"{location}/{run_id}"
    uri, options = writer.place.delta(location)
    writer.bring(staged, folder)
    try:
        version = _commit(staged, writer.place, location, run_id, times, uri, options)
    except BaseException:
        writer.withdraw(folder)
        raise
    writer.settle(location, version)
    names = commit_names(version)
    commits = writer.place.read_all([f"{location}/{LOG}/{name}" for name in names])
    snapshot = replay(commits, location)
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
        delta=DeltaVersion(version, tuple((name, digest_bytes(commit)) for name, commit in zip(names, commits, strict=True))),
    )


def _commit(staged: StagedTable, place: Place, location: str, run_id: str, times: dict[str, int], uri: str, options: dict[str, str] | None) -> int:
    """Commit the files of a run, again on top of whatever another writer committed first; give the version that they became."""
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError
    from deltalake.transaction import AddAction

    adds = [
        AddAction(
            path=f"{run_id}/{file.name}",
            size=file.size_bytes,
            partition_values=dict(file.partition),
            modification_time=times[file.name],
            data_change=True,
            stats=file.stats,
        )
        for file in staged.files
    ]
    for _ in range(_TRIES):
        existing = DeltaTable(uri, storage_options=options) if DeltaTable.is_deltatable(uri, options) else None
        seen = -1 if existing is None else existing.version()
        try:
            _write_commit(staged, existing, uri, options, adds, run_id)
        except (DeltaError, OSError):
            version = _version_of(place, location, run_id, seen)
            if version is not None:
                return version  # it is there: only the answer was lost on its way
            if place.size(f"{location}/{LOG}/{commit_name(seen + 1)}") is None:
                raise
            time.sleep(_PAUSE * (1 + random.random()))  # noqa: S311  # writers that met once should not meet again
        else:
            version = _version_of(place, location, run_id, seen)
            if version is None:
                raise UsageProblem(f"The commit of {location} was acknowledged, but is not there: its Delta log is being cleaned away.")
            return version
    raise UsageProblem(f"{location} was committed to by others {_TRIES} times in a row while this run tried: run it again when they have ended.")


def _write_commit(staged: StagedTable, existing: Any, uri: str, options: dict[str, str] | None, adds: list[AddAction], run_id: str) -> None:
    from deltalake import Schema
    from deltalake.transaction import CommitProperties, PostCommitHookProperties, create_table_with_add_actions

    # No retries inside deltalake: it would keep the files that another overwrite added meanwhile, and the version would have the rows of both.
    properties = CommitProperties(custom_metadata={"tracecore.run": run_id}, max_commit_retries=0)
    hooks = PostCommitHookProperties(create_checkpoint=False, cleanup_expired_logs=False)
    schema = Schema.from_arrow(staged.schema)
    partition_by = list(staged.partition_columns)
    if existing is not None and existing.metadata().partition_columns == partition_by:
        existing.create_write_transaction(adds, "overwrite", schema, partition_by, commit_properties=properties, post_commithook_properties=hooks)
        return
    create_table_with_add_actions(
        uri,
        schema,
        adds,
        mode="error" if existing is None else "overwrite",
        partition_by=partition_by,
        configuration=CONFIGURATION,
        storage_options=options,
        commit_properties=properties,
        post_commithook_properties=hooks,
    )


def _version_of(place: Place, location: str, run_id: str, after: int) -> int | None:
    """Find the version that a run committed, among those after one."""
    version = after + 1
    while True:
        try:
            commit = place.read(f"{location}/{LOG}/{commit_name(version)}")
        except FileNotFoundError:
            return None
        actions = [json.loads(line) for line in commit.decode("utf-8").split("\n") if line.strip()]
        if any(action.get("commitInfo", {}).get("tracecore.run") == run_id for action in actions):
            return version
        version += 1
