"""Programs of a workspace, noted by `tracecore init` and each build for the Dagster UI; not part of the record."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from tracecore.errors import UsageError
from tracecore.files import write_durably
from tracecore.workspace import Workspace
from tracecore_assets.load.overrides import Overrides
from tracecore_assets.load.parse import parse_program, program_file, read_program_yaml, shipped_programs

__all__ = ["NewProgram", "RecentProgram", "keep_recent_program", "read_new_program", "recent_programs"]

_FOLDER = "programs"


@dataclass(frozen=True, slots=True)
class RecentProgram:
    """A program as it was last built here.

    Attributes:
        source: a shipped program's name, or an absolute path.
        overrides: of that build, with absolute paths.
    """

    name: str
    source: str
    overrides: Overrides


def keep_recent_program(workspace: Workspace, name: str, source: str | Path, overrides: Overrides) -> None:
    """Note a program and its overrides, in place of an earlier note of the same program."""
    text = str(source)
    source_or_path = text if text in shipped_programs() and not Path(text).is_file() else str(Path(text).absolute())
    changes = overrides.absolute()
    folder = workspace.root / _FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    entry = {"program": source_or_path, "set": list(changes.settings), "drives": list(changes.drives), "labels": list(changes.labels)}
    write_durably(folder / f"{name}.json", json.dumps(entry, indent=2).encode() + b"\n")


def recent_programs(workspace: Workspace) -> list[RecentProgram]:
    """Return the programs of a workspace in the order of their names.

    Raises:
        UsageError: an entry can't be read.
    """
    return [_read(file) for file in sorted((workspace.root / _FOLDER).glob("*.json"))]


def _read(file: Path) -> RecentProgram:
    try:
        entry = json.loads(file.read_text(encoding="utf-8"))
        return RecentProgram(file.stem, entry["program"], Overrides(tuple(entry["set"]), tuple(entry["drives"]), tuple(entry["labels"])))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{file} is not a valid program entry of a workspace ({error!r}); remove it, the next build writes it anew.") from error


@dataclass(frozen=True, slots=True)
class NewProgram:
    """The first program of a project.

    Attributes:
        file: existing or to be written.
        text: content to write; None if the file exists, which is then kept.
    """

    file: Path
    name: str
    text: bytes | None

    @property
    def new(self) -> bool:
        """Whether the file is still to be written."""
        return self.text is not None

    def save(self, workspace: Workspace) -> None:
        """Write the file if it is new, and note the program for the Dagster UI.

        Raises:
            UsageError: the file can't be written.
        """
        if self.text is not None:
            try:
                self.file.parent.mkdir(parents=True, exist_ok=True)
                self.file.write_bytes(self.text)
            except OSError as error:
                raise UsageError(f"A program can't be written at {self.file}: {error.strerror or error}.") from error
        keep_recent_program(workspace, self.name, self.file, Overrides())


def read_new_program(target: Path, source: str) -> NewProgram:
    """Read the first program of a project, without writing anything.

    Args:
        target: the file to write; if it exists, it is the program.
        source: a shipped program's name, or a path.

    Raises:
        UsageError: the source or the existing target is not a valid program.
    """
    program = parse_program(read_program_yaml(source))
    if target.exists():
        return NewProgram(target, parse_program(read_program_yaml(target)).name, None)
    return NewProgram(target, program.name, program_file(source).read_bytes())
