"""The Delta transaction log by itself: what one version holds, and the chain of links that seals every commit up to it.

Our tables never have checkpoints, and commits are never cleaned away, so a version is the plain replay of its commits
(https://github.com/delta-io/delta/blob/master/PROTOCOL.md). Kept apart from deltalake so that verification depends on bytes, not on a reader's cache.

Each commit that a run of ours writes repeats protocol and schema and replaces every file before it, so it describes its version alone: reading one
costs the same however many there are. Whether it really does is for `verify` to find out, which replays the log from the first commit.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from tracecore.store.place import Place
from tracecore_schemas.canonical import digest_bytes, hex_of, jcs

__all__ = ["LOG", "RUN", "LogEntry", "LogState", "Snapshot", "commit_name", "commits_from", "link", "read_snapshot", "runs_of", "whole", "writer_of"]

LOG = "_delta_log"
RUN = "tracecore.run"
"""Member of a commit's `commitInfo`: the id of the run of ours that wrote it."""

_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One file that a version holds; `path` is relative to the table, decoded."""

    path: str
    size: int
    partition: tuple[tuple[str, str | None], ...]
    deletion_vector: Any = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One version of a table; `identity` is Delta's own id of the table."""

    identity: str
    schema: Mapping[str, Any]
    partition_columns: tuple[str, ...]
    protocol: Mapping[str, Any]
    configuration: Mapping[str, str]
    files: tuple[LogEntry, ...] = ()


class LogState:
    """What a log says up to the last commit applied."""

    def __init__(self) -> None:
        self._protocol: Mapping[str, Any] | None = None
        self._metadata: Mapping[str, Any] | None = None
        self._files: dict[str, LogEntry] = {}

    def apply(self, commit: bytes) -> None:
        """Apply the next commit.

        Raises:
            ValueError: it is not a commit.
        """
        actions = _actions(commit)
        self._protocol = next((each["protocol"] for each in actions if "protocol" in each), self._protocol)
        self._metadata = next((each["metaData"] for each in actions if "metaData" in each), self._metadata)
        # Within one commit the order of actions has no meaning, so removals first: no commit adds and removes one path.
        for removed in (each["remove"] for each in actions if "remove" in each):
            self._files.pop(unquote(removed["path"]), None)
        for added in (each["add"] for each in actions if "add" in each):
            path = unquote(added["path"])
            partition = tuple(sorted(added["partitionValues"].items()))
            self._files[path] = LogEntry(path, added["size"], partition, added.get("deletionVector"))

    def snapshot(self) -> Snapshot:
        """Return the version that the last commit made.

        Raises:
            ValueError: no commit so far names protocol and schema.
        """
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
    """Return the file name of one commit."""
    return f"{version:020d}.json"


def link(previous: str | None, version: int, commit_digest: str) -> str:
    """Return the next link of a log's chain.

    Args:
        previous: the link before it; None before version 0.
        version: of the commit.
        commit_digest: of the commit's bytes as they were written.
    """
    return digest_bytes(jcs({"previous": previous, "version": version, "commit_sha256": hex_of(commit_digest)}))


def commits_from(place: Place, table: str, version: int, last: int) -> Iterator[tuple[int, bytes]]:
    """Read the commits of a table from one version to another, in order, up to the first that is missing."""
    for start in range(version, last + 1, _AT_ONCE):
        numbers = range(start, min(start + _AT_ONCE, last + 1))
        try:
            yield from zip(numbers, place.read_all([f"{table}/{LOG}/{commit_name(number)}" for number in numbers]), strict=True)
        except FileNotFoundError:
            for number in numbers:
                try:
                    commit = place.read(f"{table}/{LOG}/{commit_name(number)}")
                except FileNotFoundError:
                    return
                yield number, commit


def whole(commit: bytes) -> Snapshot | None:
    """Return the version that a commit of ours describes by itself; None for a commit of another writer, which stands on those before it.

    Raises:
        ValueError: it is not a commit.
    """
    actions = _actions(commit)
    kinds = {kind for action in actions for kind in action}
    if not {"protocol", "metaData"} <= kinds or writer_of(commit) is None:
        return None
    state = LogState()
    state.apply(commit)
    return state.snapshot()


def read_snapshot(place: Place, table: str, version: int) -> Snapshot:
    """Read what one version of a table holds: from its own commit where that says it all, else from all commits up to it.

    Raises:
        FileNotFoundError: a commit is missing.
        ValueError: a commit can't be read as one, or the log does not say what the table is.
    """
    found = whole(place.read(f"{table}/{LOG}/{commit_name(version)}"))
    if found is not None:
        return found
    state = LogState()
    for commit in place.read_all([f"{table}/{LOG}/{commit_name(number)}" for number in range(version + 1)]):
        state.apply(commit)
    return state.snapshot()


def runs_of(commit: bytes) -> set[str]:
    """Return the ids of the runs that a commit names: the one that wrote it, and those whose data it adds or removes."""
    found: set[str] = set()
    for action in _actions(commit):
        found.add(str(action.get("commitInfo", {}).get(RUN)))
        for kind in ("add", "remove"):
            if kind in action:
                found.add(unquote(str(action[kind].get("path"))).partition("/")[0])
    return found


def writer_of(commit: bytes) -> str | None:
    """Return the id of the run of ours that wrote a commit; None of another writer's."""
    return next((str(action["commitInfo"][RUN]) for action in _actions(commit) if RUN in action.get("commitInfo", {})), None)


def _actions(commit: bytes) -> Sequence[Mapping[str, Any]]:
    actions = [json.loads(line) for line in commit.decode("utf-8").split("\n") if line.strip()]
    if not all(isinstance(action, dict) for action in actions):
        raise ValueError("a line of the commit is not an action")
    return actions
