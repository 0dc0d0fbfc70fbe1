"""Programs of a workspace: begun by `tracecore init`, named by the newest build, listed for the Dagster UI; no part of the record."""

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
    """One program as it was last named here.

    Attributes:
        name: of the program.
        source: a shipped program's name, or an absolute path.
        overrides: what the command line changed, paths absolute.
    """

    name: str
    source: str
    overrides: Overrides


def keep_recent_program(workspace: Workspace, name: str, source: str | Path, overrides: Overrides) -> None:
    """Keep how a program was named; the last time counts."""
    text = str(source)
    place = text if text in shipped_programs() and not Path(text).is_file() else str(Path(text).absolute())
    changes = overrides.absolute()
    folder = workspace.root / _FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    entry = {"program": place, "set": list(changes.settings), "drives": list(changes.drives), "labels": list(changes.labels)}
    write_durably(folder / f"{name}.json", json.dumps(entry, indent=2).encode() + b"\n")


def recent_programs(workspace: Workspace) -> list[RecentProgram]:
    """Return all programs of a workspace, by name.

    Raises:
        UsageError: an entry can't be read.
    """
    return [_read(file) for file in sorted((workspace.root / _FOLDER).glob("*.json"))]


def _read(file: Path) -> RecentProgram:
    try:
        entry = json.loads(file.read_text(encoding="utf-8"))
        return RecentProgram(file.stem, entry["program"], Overrides(tuple(entry["set"]), tuple(entry["drives"]), tuple(entry["labels"])))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{file} is no program entry of a workspace ({error!r}); remove it, the next build writes it anew.") from error


@dataclass(frozen=True, slots=True)
class NewProgram:
    """The program that a project begins with.

    Attributes:
        file: where it stands, or is to stand.
        name: of the program.
        text: what is to be written there, comments and all; None where the file is there already, and stays.
    """

    file: Path
    name: str
    text: bytes | None

    @property
    def new(self) -> bool:
        """Whether the file is still to be written."""
        return self.text is not None

    def place(self, workspace: Workspace) -> None:
        """Write the file where it is new; the workspace remembers the program for its page.

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
    """Read the program that a project begins with, and change nothing.

    Args:
        target: the file to make; a program that stands there already is the beginning.
        source: a shipped program's name, or a path.

    Raises:
        UsageError: the source, or what stands at the target, is no program.
    """
    program = parse_program(read_program_yaml(source))
    if target.exists():
        return NewProgram(target, parse_program(read_program_yaml(target)).name, None)
    return NewProgram(target, program.name, program_file(source).read_bytes())
