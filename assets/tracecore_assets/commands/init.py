"""`tracecore init`: a workspace and a vehicle program to edit."""

from __future__ import annotations

from pathlib import Path

import click

from tracecore.options import emit_json, json_option, workspace_option

__all__ = ["command"]

_PROGRAM = "vehicle.yaml"


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
def command(directory: Path | None, source: str, workspace: Path | None, as_json: bool) -> None:
    """Make a workspace, its signing key, and a vehicle program to edit.

    DIR is the project's folder (the current one where left out): the program becomes DIR/vehicle.yaml, the workspace DIR/.tracecore unless
    --workspace or TRACECORE_HOME names another.
    """
    import os

    from tracecore.workspace import DEFAULT, ENV_HOME, Workspace
    from tracecore_assets.initialize import begin_program
    from tracecore_lineage import Record

    folder = directory or Path()
    place = Workspace.create(workspace or os.environ.get(ENV_HOME) or folder / DEFAULT, slug=folder.absolute().name)
    with Record.open(place) as record:
        record.keys.ensure()
    file, name, new = begin_program(folder / _PROGRAM, source, place)
    if as_json:
        emit_json({"workspace": str(place.root), "slug": place.slug, "program": str(file), "new": new})
        return
    click.echo(f"workspace {place.root} ({place.slug})")
    click.echo(f"program   {file} ({name}, {'new' if new else 'was there, left as it is'})")
    click.echo(f"next      edit it, then: tracecore build NAME --program {file} --approver WHO")
