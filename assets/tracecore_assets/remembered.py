"""The programs that were built or begun in a workspace, so that the page can show their asset graphs. A convenience, no part of the record."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from tracecore.errors import UsageError
from tracecore.files import write_durably
from tracecore.workspace import Workspace
from tracecore_assets.overrides import Overrides
from tracecore_assets.parse import shipped_programs

__all__ = ["Remembered", "remember", "remembered"]

_FOLDER = "programs"


@dataclass(frozen=True, slots=True)
class Remembered:
    """One program as it was last named here.

    Attributes:
        name: of the program.
        source: a shipped program's name, or an absolute path.
        overrides: what the command line changed, paths absolute.
    """

    name: str
    source: str
    overrides: Overrides


def remember(workspace: Workspace, name: str, source: str | Path, overrides: Overrides) -> None:
    """Keep how a program was named; the last time counts."""
    text = str(source)
    place = text if text in shipped_programs() and not Path(text).is_file() else str(Path(text).absolute())
    changes = overrides.absolute()
    folder = workspace.root / _FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    entry = {"program": place, "set": list(changes.settings), "drives": list(changes.drives), "labels": list(changes.labels)}
    write_durably(folder / f"{name}.json", json.dumps(entry, indent=2).encode() + b"\n")


def remembered(workspace: Workspace) -> list[Remembered]:
    """Give all programs of a workspace, by name.

    Raises:
        UsageError: an entry can't be read.
    """
    return [_read(file) for file in sorted((workspace.root / _FOLDER).glob("*.json"))]


def _read(file: Path) -> Remembered:
    try:
        entry = json.loads(file.read_text(encoding="utf-8"))
        return Remembered(file.stem, entry["program"], Overrides(tuple(entry["set"]), tuple(entry["drives"]), tuple(entry["labels"])))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{file} is no program entry of a workspace ({error!r}); remove it, the next build writes it anew.") from error
