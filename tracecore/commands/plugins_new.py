"""`tracecore plugins new`: a plugin to begin with."""

from __future__ import annotations

from pathlib import Path

import click

from tracecore.options import emit_json, json_option, no_workspace_option, say

__all__ = ["new"]

_EXAMPLES = """
\b
Examples:
  tracecore plugins new night
  tracecore plugins new sharper-boxes --kind train -o ../plugins
"""


@click.command("new", short_help="Make a new plugin from the template.", epilog=_EXAMPLES)
@click.argument("name")
@click.option("--kind", default="curate", show_default=True, metavar="KIND", help="What its stage is: ingest, curate, label, train, evaluate, …")
@click.option("-o", "--output", type=click.Path(path_type=Path, file_okay=False), default=Path(), metavar="DIR", help="Where to make its folder.")
@no_workspace_option
@json_option
def new(name: str, kind: str, output: Path, *, as_json: bool) -> None:
    """Make a folder NAME with a whole plugin in it: one stage that runs, its test, its README.

    It keeps the contract as it is; change the stage from there. Nothing that is there already is written over.
    """
    from tracecore.scaffold import make_plugin

    made = make_plugin(name, output, kind)
    steps = [f"pip install -e {made.folder}", f"tracecore plugins check {made.name}", f"pytest {made.folder}"]
    if as_json:
        emit_json({"folder": str(made.folder), "name": made.name, "distribution": made.distribution, "files": list(made.files), "next": steps})
        return
    for file in made.files:
        click.echo(made.folder / file)
    say("Next:")
    for step in steps:
        say(f"  {step}")
