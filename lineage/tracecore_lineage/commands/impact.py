"""`tracecore impact`: what something reached."""

from __future__ import annotations

import click

from tracecore.cli import emit_json, json_option, workspace_option
from tracecore.workspace import NamedWorkspace

__all__ = ["command"]

_EXAMPLES = """
\b
Examples:
  tracecore impact drive_log/0016E5
  tracecore impact dataset/demo.training_set.train@d09c41 --json
  tracecore impact plugin/training@0.1.0
  tracecore impact labeler/w07
"""


@click.command(name="impact", epilog=_EXAMPLES)
@click.argument("ref")
@click.option("--depth", type=int, metavar="N", help="Follow N levels of runs; the answer says that it was cut.")
@click.option("--as-of", metavar="TIME", help="The record as it stood at a recorded time (ISO 8601, UTC without an offset).")
@click.option("--format", "form", type=click.Choice(["tree", "json", "mermaid", "dot"]), default="tree", show_default=True, help="How to print it.")
@workspace_option
@json_option
def command(ref: str, depth: int | None, as_of: str | None, form: str, workspace: NamedWorkspace, as_json: bool) -> None:
    """Show everything that REF reached, builds first.

    REF is a version (the newest without a digest), a run, a frame (followed through its drive), a plugin (the runs that ran it) or a labeler (the
    batches that they labeled).
    """
    from tracecore_lineage import Record
    from tracecore_lineage.rendering.diagram import dot, mermaid

    with Record.open(workspace) as record:
        answer = record.impact(ref, depth=depth, as_of=as_of)
    if as_json or form == "json":
        emit_json(answer)
    elif form == "tree":
        from tracecore_lineage.rendering.tree import draw, show

        for node in answer["nodes"]:
            if node["kind"] == "build":
                click.echo(f"reached build/{node['name']}")
        show(draw(answer))
    else:
        click.echo(mermaid(answer) if form == "mermaid" else dot(answer), nl=False)
