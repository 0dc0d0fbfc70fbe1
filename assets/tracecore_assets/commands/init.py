"""`tracecore init`: a workspace and a vehicle program to edit."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import click

from tracecore.cli import emit_json, json_option, say, workspace_option
from tracecore.errors import UsageError
from tracecore.workspace import NamedWorkspace, Workspace

__all__ = ["command"]

_EXAMPLES = """
\b
Examples:
  tracecore init
  tracecore init fleet --from reference
"""


@click.command("init", epilog=_EXAMPLES)
@click.argument("directory", metavar="[DIR]", required=False, type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--from", "source", default="recorded", show_default=True, metavar="PROGRAM", help="The program to begin with: a shipped one or a file."
)
@workspace_option
@json_option
def command(directory: Path | None, source: str, workspace: NamedWorkspace, as_json: bool) -> None:
    """Make a workspace, its signing key, and a vehicle program to edit.

    DIR is the project's folder (by default the current one): the program becomes DIR/vehicle.yaml, the workspace DIR/.tracecore unless
    --workspace or TRACECORE_HOME names another, which is reported.
    """
    from tracecore.workspace import DEFAULT
    from tracecore_assets.load.overrides import Overrides
    from tracecore_assets.load.recent_programs import keep_recent_program, read_new_program
    from tracecore_assets.run.instance import dagster_home
    from tracecore_lineage import Record
    from tracecore_lineage.api.binding import make_workspace

    folder = directory or Path()
    program = folder / "vehicle.yaml"
    name, text = read_new_program(program, source)  # before anything is made, so that an error leaves nothing behind
    home = workspace.settings.home
    named = workspace if workspace.directory or home else replace(workspace, directory=folder / DEFAULT)
    opened = make_workspace(named, slug=folder.absolute().name)
    with Record.open(opened) as record:
        record.recorder.keys.ensure()
    dagster_home(opened)
    if text is not None:
        _write_program(program, text)
    keep_recent_program(opened, name, program, Overrides())
    if directory is not None and workspace.directory is None and home and opened.root.resolve() != (folder / DEFAULT).resolve():
        own = shlex.join(["tracecore", "init", str(folder), "--workspace", str(folder / DEFAULT)])
        say(f"The workspace is {opened.root}, given by TRACECORE_HOME; none was made in the program's folder; '{own}' makes one there.")
    if as_json:
        emit_json({"workspace": str(opened.root), "slug": opened.slug, "program": str(program), "new": text is not None})
        return
    click.echo(f"workspace {opened.root} ({opened.slug})")
    click.echo(f"program   {program} ({name}, {'new' if text is not None else 'was there, left as it is'})")
    click.echo(f"next      edit it, then: {shlex.join(_next_command(program, opened, workspace))}")


def _write_program(program: Path, text: bytes) -> None:
    try:
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_bytes(text)
    except OSError as error:
        raise UsageError(f"A program can't be written at {program}: {error.strerror or error}.") from error


def _next_command(program: Path, opened: Workspace, workspace: NamedWorkspace) -> list[str]:
    """Return the command line of a project's first build, with --workspace if the command would otherwise open another workspace."""
    elsewhere = Workspace.locate(replace(workspace, directory=None)).resolve() != opened.root.resolve()
    named = ["--workspace", str(opened.root)] if elsewhere else []
    return ["tracecore", "build", "NAME", "--program", str(program), *named, "--approver", "WHO"]
