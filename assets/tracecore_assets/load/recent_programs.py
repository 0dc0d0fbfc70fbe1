"""Programs of a workspace, stored by `tracecore init` and each build for the Dagster UI; not part of the record."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from tracecore.errors import UsageError
from tracecore.files import write_durably
from tracecore.workspace import Workspace
from tracecore_assets.load.overrides import Overrides
from tracecore_assets.load.parse import parse_program, program_file, read_program_yaml, shipped_programs

__all__ = ["RecentProgram", "keep_recent_program", "read_new_program", "recent_programs"]

_FOLDER = "programs"


@dataclass(frozen=True, slots=True)
class RecentProgram:
    """A program as last built; `source` is the name of a shipped program or an absolute path, `overrides` have absolute paths."""

    name: str
    source: str
    overrides: Overrides


def keep_recent_program(workspace: Workspace, name: str, source: str | Path, overrides: Overrides) -> None:
    """Store a program's source and the overrides of its last build in a workspace, replacing the program's earlier entry."""
    text = str(source)
    source_or_path = text if text in shipped_programs() and not Path(text).is_file() else str(Path(text).absolute())
    changes = overrides.absolute()
    folder = workspace.root / _FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    entry = {"program": source_or_path, "set": list(changes.settings), "drives": list(changes.drives), "labels": list(changes.labels)}
    write_durably(folder / f"{name}.json", json.dumps(entry, indent=2).encode() + b"\n")


def recent_programs(workspace: Workspace) -> list[RecentProgram]:
    """Return the programs built in a workspace or created by `tracecore init`, sorted by name. Raises UsageError for an unreadable entry."""
    return [_read_entry(file) for file in sorted((workspace.root / _FOLDER).glob("*.json"))]


def _read_entry(file: Path) -> RecentProgram:
    try:
        entry = json.loads(file.read_text(encoding="utf-8"))
        return RecentProgram(file.stem, entry["program"], Overrides(tuple(entry["set"]), tuple(entry["drives"]), tuple(entry["labels"])))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{file} is not a valid program entry of a workspace ({error!r}); remove it, the next build writes it anew.") from error


def read_new_program(target: Path, source: str) -> tuple[str, bytes | None]:
    """Return (program name, bytes to write to `target`) for a new project. If `target` exists, the name is that of its program; the bytes are None.

    Raises UsageError if the source (a shipped program or path) or the existing target is not a valid program.
    """
    program = parse_program(read_program_yaml(source))
    if target.exists():
        return parse_program(read_program_yaml(target)).name, None
    return program.name, program_file(source).read_bytes()
