"""Reading a Delta transaction log by itself: which files one version has, from the JSON commits alone.

Our tables never have checkpoints (each run is one commit, and commits are never cleaned away), so a version is the plain replay of its commits
(https://github.com/delta-io/delta/blob/master/PROTOCOL.md). Kept apart from deltalake so that verification depends on bytes, not on a reader's cache.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from tracecore.store.place import Place

__all__ = ["LOG", "LogEntry", "Snapshot", "commit_name", "commit_names", "read_snapshot", "replay"]

LOG = "_delta_log"


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One file that a version holds; `path` is relative to the table, decoded."""

    path: str
    size: int
    partition: tuple[tuple[str, str | None], ...]
    deletion_vector: Any = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One version of a table."""

    schema: Mapping[str, Any]
    partition_columns: tuple[str, ...]
    protocol: Mapping[str, Any]
    configuration: Mapping[str, str]
    files: tuple[LogEntry, ...] = field(default=())


def commit_name(version: int) -> str:
    """Give the file name of one commit."""
    return f"{version:020d}.json"


def commit_names(version: int) -> list[str]:
    """Give the file names of the commits up to a version."""
    return [commit_name(number) for number in range(version + 1)]


def read_snapshot(place: Place, table: str, version: int) -> Snapshot:
    """Replay the commits of a table from 0 to a version.

    Args:
        place: where the table lies.
        table: its folder there.
        version: the last commit that counts.

    Raises:
        FileNotFoundError: a commit is missing.
        ValueError: a commit is no JSON, or the log does not say what the table is.
    """
    return replay(place.read_all([f"{table}/{LOG}/{name}" for name in commit_names(version)]), table)


def replay(commits: Sequence[bytes], table: str) -> Snapshot:
    """Replay commits, from the first.

    Raises:
        ValueError: a commit is no JSON, or they do not say what the table is.
    """
    protocol: Mapping[str, Any] | None = None
    metadata: Mapping[str, Any] | None = None
    files: dict[str, LogEntry] = {}
    for commit in commits:
        actions = [json.loads(line) for line in commit.decode("utf-8").split("\n") if line.strip()]
        protocol = next((each["protocol"] for each in actions if "protocol" in each), protocol)
        metadata = next((each["metaData"] for each in actions if "metaData" in each), metadata)
        # Within one commit the order of actions has no meaning, so removals first: no commit adds and removes one path.
        for removed in (each["remove"] for each in actions if "remove" in each):
            files.pop(unquote(removed["path"]), None)
        for added in (each["add"] for each in actions if "add" in each):
            path = unquote(added["path"])
            partition = tuple(sorted(added["partitionValues"].items()))
            files[path] = LogEntry(path, added["size"], partition, added.get("deletionVector"))
    if protocol is None or metadata is None:
        raise ValueError(f"The Delta log of {table} names no protocol or no schema up to version {len(commits) - 1}.")
    return Snapshot(
        schema=json.loads(metadata["schemaString"]),
        partition_columns=tuple(metadata["partitionColumns"]),
        protocol=protocol,
        configuration=metadata.get("configuration") or {},
        files=tuple(files[path] for path in sorted(files)),
    )
