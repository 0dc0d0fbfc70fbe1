"""`tracecore trace` and `tracecore impact`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

import tracecore_lineage
from tracecore.cli import emit_json, json_option, say, workspace_option
from tracecore.errors import UsageError
from tracecore.workspace import NamedWorkspace
from tracecore_lineage.commands.options import FILE, as_of_option, depth_option, form_option

if TYPE_CHECKING:
    from tracecore_lineage import Record
    from tracecore_schemas.trace import Trace

__all__ = ["impact_command", "trace_command"]

_TRACE_EXAMPLES = """
\b
Examples:
  tracecore trace build/demo
  tracecore trace model/demo.model@41aa9e --depth 2
  tracecore trace build/demo --format mermaid > trace.mmd
  tracecore trace dataset/demo.training_set.train --as-of 2026-11-22T12:00:00Z --json
  tracecore trace --bundle demo.bundle    # no workspace needed
"""


@click.command(name="trace", epilog=_TRACE_EXAMPLES)
@click.argument("ref", required=False)
@depth_option
@as_of_option
@click.option("--strict", is_flag=True, help="Exit with 1 if the trace is not complete.")
@form_option
@click.option("--bundle", type=FILE, metavar="FILE", help="Trace in a bundle file instead of a workspace.")
@workspace_option
@json_option
@click.pass_context
def trace_command(
    ctx: click.Context,
    ref: str | None,
    depth: int | None,
    as_of: str | None,
    strict: bool,
    form: str,
    bundle: Path | None,
    workspace: NamedWorkspace,
    as_json: bool,
) -> None:
    """Show the complete backward trace of REF: everything that it was made from, in exact versions.

    REF is a build (build/demo), a version (model/demo.model@41aa9e, or the newest if it has no digest), a run (run/<uuid>), a frame
    (frame/<drive>/<sensor>/<ns>) or a bug (bug/<id>). The trace of a build covers the part of the record that the build was sealed over, so it never
    changes.
    """
    form = "json" if as_json else form
    if bundle is not None:
        from tracecore_lineage.bundle.reader import trace_bundle

        if as_of is not None:
            raise UsageError("--as-of selects a time of a record, and a bundle has only the part of one build: leave it out.")
        answer = trace_bundle(bundle, ref, depth=depth)
        say(f"{bundle} was asked, not verified: 'tracecore verify {bundle}' does that.")
        _print(answer, form, None)
    elif ref is None:
        raise UsageError("Name what to trace: a ref, such as build/NAME, or --bundle FILE.")
    else:
        with tracecore_lineage.Record.open(workspace) as record:
            answer = record.trace(ref, depth=depth, as_of=as_of)
            _print(answer, form, record)
    if strict and not answer["complete"]:
        ctx.exit(1)


def _print(answer: Trace, form: str, record: Record | None) -> None:
    """Print a trace as JSON, tree, Mermaid or DOT; a tree also describes the build's seal, unless `record` is None."""
    from tracecore_lineage.present.graph import dot, mermaid

    if form == "json":
        emit_json(answer)
    elif form == "tree":
        from tracecore_lineage.present.tree import draw, sealed_of, show

        show(draw(answer, None if record is None else sealed_of(record.recorder, answer)))
    else:
        click.echo(mermaid(answer) if form == "mermaid" else dot(answer), nl=False)


_IMPACT_EXAMPLES = """
\b
Examples:
  tracecore impact drive_log/0016E5
  tracecore impact dataset/demo.training_set.train@d09c41 --json
  tracecore impact plugin/training@0.1.0
  tracecore impact labeler/w07
"""


@click.command(name="impact", epilog=_IMPACT_EXAMPLES)
@click.argument("ref")
@depth_option
@as_of_option
@form_option
@workspace_option
@json_option
def impact_command(ref: str, depth: int | None, as_of: str | None, form: str, workspace: NamedWorkspace, as_json: bool) -> None:
    """Show everything that was made from REF, builds first.

    REF is a version (the newest if it has no digest), a run, a frame (followed through its drive), a plugin (followed through the runs that used it)
    or a labeler (followed through the batches that they labeled).
    """
    form = "json" if as_json else form
    with tracecore_lineage.Record.open(workspace) as record:
        answer = record.impact(ref, depth=depth, as_of=as_of)
    if form == "tree":
        for node in answer["nodes"]:
            if node["kind"] == "build":
                click.echo(f"reached build/{node['name']}")
    _print(answer, form, None)
