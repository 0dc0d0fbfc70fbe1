"""`tracecore trace`: where something came from."""

from __future__ import annotations

from pathlib import Path

import click

from tracecore.options import emit_json, json_option, workspace_option

__all__ = ["command"]

_EXAMPLES = """
\b
Examples:
  tracecore trace build/demo
  tracecore trace model/demo.model@41aa9e --depth 2
  tracecore trace build/demo --format mermaid > trace.mmd
  tracecore trace dataset/demo.training_set.train --as-of 2026-11-22T12:00:00Z --json
"""


@click.command(name="trace", epilog=_EXAMPLES)
@click.argument("ref")
@click.option("--depth", type=int, metavar="N", help="Follow N levels of runs; the answer says that it was cut.")
@click.option("--as-of", metavar="TIME", help="The record as it stood at a recorded time (ISO 8601, UTC without an offset).")
@click.option("--strict", is_flag=True, help="Exit with 1 where the trace is not complete.")
@click.option("--format", "form", type=click.Choice(["tree", "json", "mermaid", "dot"]), default="tree", show_default=True, help="How to print it.")
@workspace_option
@json_option
@click.pass_context
def command(
    ctx: click.Context, ref: str, depth: int | None, as_of: str | None, strict: bool, form: str, workspace: Path | None, as_json: bool
) -> None:
    """Show the complete backward trace of REF: everything it was made from, over the exact versions that were read.

    REF is a build (build/demo), a version (model/demo.model@41aa9e, the newest without a digest), a run (run/<uuid>), a frame
    (frame/<drive>/<sensor>/<ns>) or a bug (bug/<id>). A build is answered from the part of the record it was sealed over, the same for ever.
    """
    from tracecore_lineage import Record
    from tracecore_lineage.rendering.diagram import dot, mermaid

    with Record.open(workspace) as record:
        answer = record.trace(ref, depth=depth, as_of=as_of)
        if as_json or form == "json":
            emit_json(answer)
        elif form == "tree":
            from tracecore_lineage.rendering.sealed import sealed_of
            from tracecore_lineage.rendering.tree import draw, show

            show(draw(answer, sealed_of(record, answer["root"])))
        else:
            click.echo(mermaid(answer) if form == "mermaid" else dot(answer), nl=False)
    if strict and not answer["complete"]:
        ctx.exit(1)
