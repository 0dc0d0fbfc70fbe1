"""The Delta transaction log: reading versions, the hash chain over commits, and committing staged rows.

Versions are read here, not with deltalake: each tracecore commit describes its version completely, so only one is read, where deltalake without
checkpoints replays the whole log (0.1 against 110 ms at 300 commits); and `verify` needs the exact bytes of every commit.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote, unquote
from uuid import uuid4

from tracecore.errors import UsageError
from tracecore.store.manifest import DeltaFile, delta_manifest
from tracecore.store.place import Place
from tracecore.store.protocol import StagedTable, Stored
from tracecore_schemas.arrow_tables import describe
from tracecore_schemas.canonical import digest_bytes, hex_of, jcs
from tracecore_schemas.kinds import Media
from tracecore_schemas.run import DeltaVersion, FieldSpec

__all__ = [
    "CONFIGURATION",
    "LOG",
    "RUN",
    "LogEntry",
    "LogState",
    "Snapshot",
    "TableWriter",
    "commit_name",
    "commit_table",
    "commits_from",
    "link",
    "read_snapshot",
    "runs_of",
    "whole",
    "writer_of",
]

LOG = "_delta_log"
RUN = "tracecore.run"
"""Member of a commit's `commitInfo` with the id of the tracecore run that wrote it."""

_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One data file of a version; `path` is relative to the table and decoded."""

    path: str
    size: int
    partition: tuple[tuple[str, str | None], ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One version of a table; `identity` is Delta's table id."""

    identity: str
    schema: Mapping[str, Any]
    partition_columns: tuple[str, ...]
    protocol: Mapping[str, Any]
    configuration: Mapping[str, str]
    files: tuple[LogEntry, ...] = ()


class LogState:
    """The state of a table after the commits applied so far."""

    def __init__(self) -> None:
        self._protocol: Mapping[str, Any] | None = None
        self._metadata: Mapping[str, Any] | None = None
        self._files: dict[str, LogEntry] = {}

    def apply(self, commit: bytes) -> None:
        """Apply the next commit of a Delta log to this state of the table; raises ValueError if the bytes are not a commit."""
        actions = _actions(commit)
        self._protocol = next((each["protocol"] for each in actions if "protocol" in each), self._protocol)
        self._metadata = next((each["metaData"] for each in actions if "metaData" in each), self._metadata)
        # Within one commit the order of actions has no meaning, so removals first: no commit adds and removes one path.
        for removed in (each["remove"] for each in actions if "remove" in each):
            self._files.pop(unquote(removed["path"]), None)
        for added in (each["add"] for each in actions if "add" in each):
            path = unquote(added["path"])
            partition = tuple(sorted(added["partitionValues"].items()))
            self._files[path] = LogEntry(path, added["size"], partition)

    def snapshot(self) -> Snapshot:
        """Return the table's version after the commits applied so far; raises ValueError if these have no protocol or no schema."""
        if self._protocol is None or self._metadata is None:
            raise ValueError("no commit up to this version names the table's protocol or its schema")
        return Snapshot(
            identity=str(self._metadata.get("id")),
            schema=json.loads(self._metadata["schemaString"]),
            partition_columns=tuple(self._metadata["partitionColumns"]),
            protocol=self._protocol,
            configuration=self._metadata.get("configuration") or {},
            files=tuple(self._files[path] for path in sorted(self._files)),
        )


def commit_name(version: int) -> str:
    """Return the file name of a version's commit in a Delta log."""
    return f"{version:020d}.json"


def link(previous: str | None, version: int, commit_digest: str) -> str:
    """Return a version's hash in a Delta log's hash chain, from the `previous` version's hash (None for version 0) and the commit's digest."""
    return digest_bytes(jcs({"previous": previous, "version": version, "commit_sha256": hex_of(commit_digest)}))


def commits_from(place: Place, table: str, version: int, last: int) -> Iterator[tuple[int, bytes]]:
    """Yield (version, commit's bytes) of a Delta table from `version` to `last`, ending before the first missing commit."""
    for start in range(version, last + 1, _AT_ONCE):
        numbers = range(start, min(start + _AT_ONCE, last + 1))
        try:
            yield from zip(numbers, place.read_all([f"{table}/{LOG}/{commit_name(number)}" for number in numbers]), strict=True)
        except FileNotFoundError:
            yield from _commits_since(place, table, start)
            return


def whole(commit: bytes) -> Snapshot | None:
    """Return the table version that a commit of tracecore describes completely; None for any other commit. Raises ValueError if it is damaged."""
    actions = _actions(commit)
    kinds = {kind for action in actions for kind in action}
    if not {"protocol", "metaData"} <= kinds or writer_of(commit) is None:
        return None
    state = LogState()
    state.apply(commit)
    return state.snapshot()


def read_snapshot(place: Place, table: str, version: int) -> Snapshot:
    """Return a version of a Delta table, from its own commit if that describes all of it, else from all commits up to it.

    Raises FileNotFoundError if a commit is missing, ValueError if one is invalid or the log lacks protocol or schema.
    """
    found = whole(place.read(f"{table}/{LOG}/{commit_name(version)}"))
    if found is not None:
        return found
    state = LogState()
    for commit in place.read_all([f"{table}/{LOG}/{commit_name(number)}" for number in range(version + 1)]):
        state.apply(commit)
    return state.snapshot()


def runs_of(commit: bytes) -> set[str]:
    """Return the ids of the run that wrote a Delta commit and of the runs whose data files the commit adds or removes."""
    found: set[str] = set()
    for action in _actions(commit):
        found.add(str(action.get("commitInfo", {}).get(RUN)))
        for kind in ("add", "remove"):
            if kind in action:
                found.add(unquote(str(action[kind].get("path"))).partition("/")[0])
    return found


def writer_of(commit: bytes) -> str | None:
    """Return the id of the tracecore run that wrote a Delta commit; None if another program wrote it."""
    return next((str(action["commitInfo"][RUN]) for action in _actions(commit) if RUN in action.get("commitInfo", {})), None)


def _actions(commit: bytes) -> Sequence[Mapping[str, Any]]:
    actions = [json.loads(line) for line in commit.decode("utf-8").split("\n") if line.strip()]
    if not all(isinstance(action, dict) for action in actions):
        raise ValueError("a line of the commit is not an action")
    return actions


CONFIGURATION = {
    # Recorded versions stay readable forever: neither the log nor files of old versions may be cleaned up.
    "delta.enableExpiredLogCleanup": "false",
    "delta.logRetentionDuration": "interval 36500 days",
    "delta.deletedFileRetentionDuration": "interval 36500 days",
}

_PLAIN = {"minReaderVersion": 1, "minWriterVersion": 2}
_WITHOUT_ZONE = {"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": ["timestampNtz"], "writerFeatures": ["timestampNtz"]}
_TRIES = 30


class TableWriter(Protocol):
    """The steps of writing a table that differ between a folder and a bucket."""

    @property
    def place(self) -> Place:
        """Read access to the store's files, the Delta logs among them."""

    def bring(self, staged: StagedTable, folder: str) -> None:
        """Move a staged table's data files durably into a folder of the store."""

    def withdraw(self, folder: str) -> None:
        """Remove the data files that `bring` moved to a folder, unless a commit names or may still name them."""

    def commit(self, path: str, data: bytes) -> bool:
        """Create a commit file of a Delta log if it does not exist, atomically and durably, and return whether this call created it."""


def commit_table(staged: StagedTable, writer: TableWriter, location: str, run_id: str, after: DeltaVersion | None = None) -> Stored:
    """Commit a staged table as the next version of a Delta table, and return its digest, location and version.

    The commit is a put-if-absent: if a writer on another machine commits first, the next version is used.

    Args:
        location: the table's folder, which need not exist.
        run_id: id of the writing run, which names the commit's writer and the folder of the new data files.
        after: newest recorded version, so that only later commits are read; None reads the whole log.

    Raises:
        UsageError: other writers keep committing to this table, or its log is damaged.
    """
    # Before they are moved: an object's time would be that of the upload.
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
    """Commit a run's staged files as the next version of the Delta table at `location`; return the version and the commit's bytes."""
    standing: Snapshot | None = None
    if after is not None:
        try:
            standing = read_snapshot(writer.place, location, after.version)
        except FileNotFoundError as error:
            raise UsageError(
                f"Nothing can be added to {location}: the Delta log file of its version {after.version} is missing. Run 'tracecore verify'."
            ) from error
    at = after
    for _ in range(_TRIES):
        for number, commit in _commits_since(writer.place, location, 0 if at is None else at.version + 1):
            at = DeltaVersion(number, link(None if at is None else at.log, number, digest_bytes(commit)))
            if writer_of(commit) == run_id:
                return at, commit  # it succeeded, only the answer was lost
            standing = whole(commit) or read_snapshot(writer.place, location, number)
        version = 0 if at is None else at.version + 1
        commit = b"".join(
            json.dumps(action, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
            for action in _staged_actions(staged, standing, run_id, times)
        )
        if writer.commit(f"{location}/{LOG}/{commit_name(version)}", commit):
            return DeltaVersion(version, link(None if at is None else at.log, version, digest_bytes(commit))), commit
    raise UsageError(f"{location} was committed to by others {_TRIES} times in a row while this run tried: run it again when they have ended.")


def _commits_since(place: Place, table: str, version: int) -> Iterator[tuple[int, bytes]]:
    """Yield (version, commit's bytes) of a Delta table from `version` on, ending before the first missing commit."""
    while True:
        try:
            commit = place.read(f"{table}/{LOG}/{commit_name(version)}")
        except FileNotFoundError:
            return
        yield version, commit
        version += 1


def _staged_actions(staged: StagedTable, standing: Snapshot | None, run_id: str, times: Mapping[str, int]) -> Iterator[dict[str, Any]]:
    """Yield the actions of a Delta commit: run, protocol, schema, removal of every file of the version `standing`, addition of the staged files."""
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
        yield {
            "remove": {
                "path": quote(entry.path),
                "deletionTimestamp": now,
                "dataChange": True,
                "extendedFileMetadata": True,
                "partitionValues": dict(entry.partition),
                "size": entry.size,
            }
        }
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
