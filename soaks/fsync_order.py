"""The fsync-order audit: from the system calls of a build, is everything that an acknowledgement depends on forced to disk before it is given?

An acknowledgement is a write to the witness's own file, after the call that promised something returned. It depends on the record's database, or on
the files of what was stored. A file is safe when an fsync came after its last write; an entry of a folder when an fsync of the folder came after the
entry did; and so on up to the folder that the workspace lies in. A process that comes after another was killed depends on what that one left: it must
not take for safe what it merely finds.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from disk_model import Disk
from system_calls import Call

__all__ = ["Audit", "audit"]


@dataclass(frozen=True, slots=True)
class Audit:
    """What an audit found.

    Attributes:
        acknowledgements: how many were looked at.
        dependencies: how many files and folders they depended on, each counted for each.
        early: acknowledgements that were given too early, one sentence each.
    """

    acknowledgements: int
    dependencies: int
    early: tuple[str, ...]


def audit(calls: Iterable[Call], acks: Path, root: Path, *, disk: Disk | None = None, earlier: int = 0) -> Audit:
    """Follow the calls of a process and judge each acknowledgement at the moment it was given.

    Args:
        calls: of a process that was watched from its beginning.
        acks: the file that its witness wrote to.
        root: the workspace.
        disk: what earlier processes left; a new one where None.
        earlier: how many acknowledgements earlier processes wrote to the file.
    """
    model = Disk(root) if disk is None else disk
    lines = acks.read_text(encoding="utf-8").splitlines()[earlier:]
    given = 0
    looked = 0
    early: list[str] = []
    for call in calls:
        if call.name == "write" and f"<{acks}>" in call.text:
            acknowledged = json.loads(lines[given])
            given += 1
            for path in _dependencies(acknowledged, PurePosixPath(root), model):
                looked += 1
                early += [f"{_name(acknowledged)}: {what}" for what in model.unsafe(path)]
        else:
            model.apply(call)
    return Audit(given, looked, tuple(dict.fromkeys(early)))


def _dependencies(ack: Mapping[str, Any], root: PurePosixPath, disk: Disk) -> Iterator[PurePosixPath]:
    """Yield the files that must outlive a power cut for an acknowledgement to be true."""
    yield root / "workspace.json"
    if ack["kind"] == "stored":
        place = root / "store" / ack["location"]
        if ack["media"] == "table" or ack["delta"]:
            yield from (place / "_delta_log" / f"{number:020d}.json" for number in range(ack["delta"]["version"] + 1))
            yield from disk.files(place / _run_of(ack, place))
        else:
            yield from disk.files(place)
        if ack["media"] == "directory":
            yield place.with_name(f"{place.name}.manifest.json")
    elif ack["kind"] in {"events", "head", "sealed"}:
        # What is in the write-ahead log is safe there, whatever of it is in the database already; without a log the database is all there is.
        log = root / "record.db-wal"
        yield log if disk.written(log) else root / "record.db"
        yield from (path for path in disk.files(root / "keys") if not path.name.endswith(".tmp"))


def _run_of(ack: Mapping[str, Any], place: PurePosixPath) -> str:
    """Return the folder of a table version's data files: that which its last commit names."""
    commit = Path(place) / "_delta_log" / f"{ack['delta']['version']:020d}.json"
    actions = [json.loads(line) for line in commit.read_text(encoding="utf-8").splitlines()]
    return str(next(action["add"]["path"] for action in actions if "add" in action)).partition("/")[0]


def _name(ack: Mapping[str, Any]) -> str:
    match ack["kind"]:
        case "stored":
            return f"the {ack['media']} {ack['location']}"
        case "events":
            return f"the events of '{ack['by']}'"
    return f"the {ack['kind']}"
