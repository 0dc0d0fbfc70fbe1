"""A vehicle program to edit, begun from another."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tracecore.errors import UsageError
from tracecore.workspace import Workspace
from tracecore_assets.overrides import Overrides
from tracecore_assets.parse import parse_program, program_file, program_source
from tracecore_assets.remembered import remember

__all__ = ["Beginning", "read_beginning"]


@dataclass(frozen=True, slots=True)
class Beginning:
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
        remember(workspace, self.name, self.file, Overrides())


def read_beginning(target: Path, source: str) -> Beginning:
    """Read the program that a project begins with, and change nothing.

    Args:
        target: the file to make; a program that stands there already is the beginning.
        source: a shipped program's name, or a path.

    Raises:
        UsageError: the source, or what stands at the target, is no program.
    """
    program = parse_program(program_source(source))
    if target.exists():
        return Beginning(target, parse_program(program_source(target)).name, None)
    return Beginning(target, program.name, program_file(source).read_bytes())
