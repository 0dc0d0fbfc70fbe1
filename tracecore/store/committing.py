"""Making staged rows the next version of a Delta table: the data first, then one commit that is there whole or not at all.

Commits are written here, not by deltalake, which reads the whole log before each: a put costs the same however many versions there are.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from typing import Any, Protocol
from uuid import uuid4

from tracecore.errors import UsageProblem
from tracecore.store.base import StagedTable, Stored
from tracecore.store.delta_log import LOG, RUN, LogEntry, LogState, Snapshot, commit_name, link, read_snapshot, whole, writer_of
from tracecore.store.manifest import DeltaFile, delta_manifest
from tracecore.store.place import Place
from tracecore_schemas.canonical import digest_bytes, hex_of
from tracecore_schemas.kinds import Media
from tracecore_schemas.run import DeltaVersion, FieldSpec
from tracecore_schemas.tables import describe

__all__ = ["CONFIGURATION", "TableWriter", "commit_table"]

CONFIGURATION = {
    # A version that a COMPLETE names stays readable for ever: neither the log nor the files of old versions may be cleaned away.
    "delta.enableExpiredLogCleanup": "false",
    "delta.logRetentionDuration": "interval 36500 days",
    "delta.deletedFileRetentionDuration": "interval 36500 days",
}

_PLAIN = {"minReaderVersion": 1, "minWriterVersion": 2}
_WITHOUT_ZONE = {"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": ["timestampNtz"], "writerFeatures": ["timestampNtz"]}
_TRIES = 30


class TableWriter(Protocol):
    """What a place does its own way when a table is written there."""

    @property
    def place(self) -> Place:
        """Where tables lie."""

    def bring(self, staged: StagedTable, folder: str) -> None:
        """Put staged data files into a folder of the place, durably."""

    def withdraw(self, folder: str) -> None:
        """Take brought data back: no commit names it."""

    def commit(self, path: str, data: bytes) -> bool:
        """Put a commit file if there is none, whole and durably, with all before it; return whether this call did."""


def commit_table(staged: StagedTable, writer: TableWriter, location: str, run_id: str, after: DeltaVersion | None = None) -> Stored:
    """Make a staged table the next version of a Delta table.

    A writer on another machine may commit to the same table at the same time: the commit is a put-if-absent, and whoever comes second takes the next
    version.

    Args:
        staged: what `write_table` wrote.
        writer: brings it to its place.
        location: the table's folder there, which need not exist.
        run_id: goes into the commit, and is the folder of the data files.
        after: the newest version that the record knows: only what was committed since is read. Without it the whole log is.

    Raises:
        UsageProblem: others commit to this table without a pause, or its log is damaged.
    """
    # Before they are moved: on an object store the moment of writing is the staged file's.
    times = {file.name: int((staged.folder / file.name).stat().st_mtime * 1000) for file in staged.files}
    folder = f"{location}/{run_id}"
    writer.bring(staged, folder)
    try:
        version, commit = _commit(staged, writer, location, run_id, times, after)
    except BaseException:
        writer.withdraw(folder)
        raise
    state = LogState()
    state.apply(commit)
    snapshot = state.snapshot()
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
        delta=version,
    )


def _commit(
    staged: StagedTable, writer: TableWriter, location: str, run_id: str, times: Mapping[str, int], after: DeltaVersion | None
) -> tuple[DeltaVersion, bytes]:
    """Commit the files of a run on top of whatever is there; return the version that they became, and its commit."""
    standing: Snapshot | None = None
    if after is not None:
        try:
            standing = read_snapshot(writer.place, location, after.version)
        except FileNotFoundError as error:
            raise UsageProblem(
                f"Nothing can be added to {location}: the Delta log file of its version {after.version} is missing. Run 'tracecore verify'."
            ) from error
    at = after
    for _ in range(_TRIES):
        for number, commit in _since(writer.place, location, 0 if at is None else at.version + 1):
            at = DeltaVersion(number, link(None if at is None else at.log, number, digest_bytes(commit)))
            if writer_of(commit) == run_id:
                return at, commit  # it is there: only the answer was lost on its way
            standing = whole(commit) or read_snapshot(writer.place, location, number)
        version = 0 if at is None else at.version + 1
        commit = b"".join(
            json.dumps(action, separators=(",", ":"), ensure_ascii=False).encode() + b"\n" for action in _actions(staged, standing, run_id, times)
        )
        if writer.commit(f"{location}/{LOG}/{commit_name(version)}", commit):
            return DeltaVersion(version, link(None if at is None else at.log, version, digest_bytes(commit))), commit
    raise UsageProblem(f"{location} was committed to by others {_TRIES} times in a row while this run tried: run it again when they have ended.")


def _since(place: Place, location: str, version: int) -> Iterator[tuple[int, bytes]]:
    """Read the commits from a version on, up to the newest."""
    while True:
        try:
            commit = place.read(f"{location}/{LOG}/{commit_name(version)}")
        except FileNotFoundError:
            return
        yield version, commit
        version += 1


def _actions(staged: StagedTable, standing: Snapshot | None, run_id: str, times: Mapping[str, int]) -> Iterator[dict[str, Any]]:
    """Write the actions of a commit that describes its version alone: protocol and schema again, every file before it removed."""
    from deltalake import Schema

    now = int(time.time() * 1000)
    schema = Schema.from_arrow(staged.schema).to_json()
    columns = list(staged.partition_columns)
    yield {
        "commitInfo": {
            "timestamp": now,
            "operation": "WRITE",
            "operationParameters": {"mode": "Overwrite", "partitionBy": json.dumps(columns)},
            "engineInfo": "tracecore",
            RUN: run_id,
        }
    }
    yield {"protocol": _WITHOUT_ZONE if '"timestamp_ntz"' in schema else _PLAIN}
    yield {
        "metaData": {
            "id": str(uuid4()) if standing is None else standing.identity,
            "format": {"provider": "parquet", "options": {}},
            "schemaString": schema,
            "partitionColumns": columns,
            "createdTime": now,
            "configuration": CONFIGURATION,
        }
    }
    for entry in () if standing is None else standing.files:
        yield {"remove": _removed(entry, now)}
    for file in staged.files:
        yield {
            "add": {
                "path": f"{run_id}/{file.name}",
                "partitionValues": dict(file.partition),
                "size": file.size_bytes,
                "modificationTime": times[file.name],
                "dataChange": True,
                "stats": file.stats,
            }
        }


def _removed(entry: LogEntry, now: int) -> dict[str, Any]:
    from urllib.parse import quote

    return {
        "path": quote(entry.path),
        "deletionTimestamp": now,
        "dataChange": True,
        "extendedFileMetadata": True,
        "partitionValues": dict(entry.partition),
        "size": entry.size,
    }
