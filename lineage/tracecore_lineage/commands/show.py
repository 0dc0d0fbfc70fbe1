"""`tracecore show`: one thing of the record, looked at closely."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from tracecore.cli import emit_json, json_option, workspace_option
from tracecore.errors import UsageError
from tracecore.workspace import NamedWorkspace

__all__ = ["command"]

_EXAMPLES = """
\b
Examples:
  tracecore show build/demo
  tracecore show model/demo.model
  tracecore show frame/0016E5/%2Fcamera%2Ffront%2Fimage/1700000000000000000
  tracecore show labeler/w07
  tracecore show kpi_report/demo.kpis --history --kpi map50
  tracecore show run/0199c1f4-8f0e-7a31-9c55-1b6a3f1f2a10 --json
  tracecore show run/0199c1f4-8f0e-7a31-9c55-1b6a3f1f2a10 --source night_plugin/stage.py
"""


@click.command(name="show", epilog=_EXAMPLES)
@click.argument("ref")
@click.option("--history", is_flag=True, help="Of a KPI report: its KPIs over all its versions, with the builds sealed on them.")
@click.option("--kpi", "kpis", multiple=True, metavar="NAME", help="With --history: only this KPI; may be given often.")
@click.option("--source", metavar="FILE", help="Of a run: print the text of a source file that it loaded from a plugin, as it was then.")
@click.option("--as-of", metavar="TIME", help="The record as it stood at a recorded time (ISO 8601, UTC without an offset).")
@workspace_option
@json_option
def command(ref: str, history: bool, kpis: tuple[str, ...], source: str | None, as_of: str | None, workspace: NamedWorkspace, as_json: bool) -> None:
    """Show one artifact, run or build: its facets, its checks, and its history.

    Of a frame or label the tables that hold it; of a labeler the batches that name them; of a bug what was seen, and where.
    """
    from tracecore_lineage import Record
    from tracecore_lineage.rendering.page import page

    if kpis and not history:
        raise UsageError("--kpi chooses what --history shows: add --history.")
    if source is not None and (history or as_of is not None):
        raise UsageError("--source prints what one run loaded: leave --history and --as-of out.")
    with Record.open(workspace) as record:
        if source is not None:
            data = record.source(ref, source)
            if as_json:
                emit_json({"ref": ref, "file": source, "text": data.decode(errors="replace")})
            else:
                click.echo(data, nl=False)
            return
        if history:
            _history(record.kpi_history(ref, kpis=kpis, as_of=as_of), kpis, as_json=as_json)
            return
        answer = record.show(ref, as_of=as_of)
        if as_json:
            emit_json(answer)
            return
        lines = list(page(answer, record.person_in_words))
    click.echo("\n".join(lines))


def _history(answer: Mapping[str, Any], kpis: Sequence[str], *, as_json: bool) -> None:
    from tracecore_lineage.rendering.history import history_table, left_out
    from tracecore_lineage.rendering.screen import screen

    if as_json:
        emit_json(answer)
        return
    shown, more = left_out(answer, kpis)
    screen().print(history_table(answer, shown))
    if more is not None:
        click.echo(more)
