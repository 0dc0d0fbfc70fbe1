"""A vehicle program to edit, begun from another."""

from __future__ import annotations

from pathlib import Path

from tracecore.errors import UsageProblem
from tracecore.workspace import Workspace
from tracecore_assets.overrides import Overrides
from tracecore_assets.parse import parse_program, program_file, program_source
from tracecore_assets.remembered import remember

__all__ = ["begin_program"]


def begin_program(target: Path, source: str, workspace: Workspace) -> tuple[Path, str, bool]:
    """Copy a program, comments and all, unless there is one already; the workspace remembers it for its page.

    Args:
        target: the file to make.
        source: a shipped program's name, or a path.
        workspace: that is to show it.

    Returns:
        The file, the program's name, and whether it is new.

    Raises:
        UsageProblem: the source is no program, or the target can't be written.
    """
    new = not target.exists()
    if new:
        parse_program(program_source(source))
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(program_file(source).read_bytes())
        except OSError as error:
            raise UsageProblem(f"A program can't be written at {target}: {error.strerror or error}.") from error
    program = parse_program(program_source(target))
    remember(workspace, program.name, target, Overrides())
    return target, program.name, new
