"""`tracecore query`: SQL over the recorded tables."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tracecore.cli import emit_json, json_option, say, workspace_option
from tracecore.errors import UsageError
from tracecore.workspace import NamedWorkspace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tracecore_lineage.sql.session import Answer
    from tracecore_lineage.sql.tables import QueryTable
    from tracecore_schemas.run import Artifact

__all__ = ["command"]

_EXAMPLES = """
\b
Examples:
  tracecore query --tables
  tracecore query "SELECT drive, count(*) AS frames FROM drives_frames GROUP BY drive"
  tracecore query 'SELECT category, count(*) FROM "reference.labels" GROUP BY ALL' --build demo --json
  tracecore query "SELECT frame_id, image FROM drives_frames WHERE luma < 0.2" --format parquet -o night.parquet
"""
_FORMS = ("table", "csv", "json", "parquet")


@click.command(name="query", epilog=_EXAMPLES)
@click.argument("sql", required=False)
@click.option("--tables", "listing", is_flag=True, help="List the tables that SQL may name, with their rows and columns.")
@click.option("--build", metavar="BUILD", help="The very versions that a build stands on, instead of the newest.")
@click.option("--as-of", metavar="TIME", help="The newest versions that were recorded by a time (ISO 8601, UTC without an offset).")
@click.option("--format", "form", type=click.Choice(_FORMS), default="table", show_default=True, help="How to give the answer; Parquet needs -o.")
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write to a file instead of stdout.")
@workspace_option
@json_option
def command(
    sql: str | None, listing: bool, build: str | None, as_of: str | None, form: str, output: Path | None, workspace: NamedWorkspace, as_json: bool
) -> None:
    """Ask one question in SQL (DuckDB's) of the datasets, label batches and event sets.

    A table is called as its asset, in double quotes ("reference.drives.frames"), and without its program too where no other table is called so
    (drives_frames). Tables are read at one exact version each, and nothing can be changed: no file, network or extension is in the query's reach.
    Images and other bytes are shown as their size; Parquet holds them.
    """
    if listing == (sql is not None):
        raise UsageError('Expected a query, such as "SELECT count(*) FROM drives_frames", or --tables, which lists what it can name.')
    form = "json" if as_json else form
    if form == "parquet" and output is None:
        raise UsageError("Parquet is no text: say where to write it by -o FILE.")
    from tracecore_lineage import Record
    from tracecore_lineage.sql.session import ask
    from tracecore_lineage.sql.tables import tables

    with Record.open(workspace) as record:
        with record.database.read() as connection:
            known = tables(connection, build=build, as_of=as_of)
        if sql is None:
            _list(known, as_json=form == "json")
            return
        from tracecore.store import open_store

        store = open_store(record.workspace)

        def opened(artifact: Artifact) -> Any:
            erased = record.erased(artifact)
            if erased is not None:
                raise UsageError(erased)
            return store.open(artifact)

        with ask(sql, known, opened) as answer:
            _write(answer, form, output)
    if form == "table" and output is None:
        for table in answer.asked:
            say(f"{table.name} is {table.artifact.ref}{' (REJECTED by a check)' if table.rejected else ''}")


def _list(known: Sequence[QueryTable], *, as_json: bool) -> None:
    if as_json:
        emit_json(
            {
                "tables": [
                    {
                        "name": table.name,
                        "short": table.short,
                        "ref": table.artifact.ref,
                        "rows": table.artifact.rows,
                        "columns": [{"name": name, "type": type_} for name, type_ in table.columns],
                        "rejected": table.rejected,
                    }
                    for table in known
                ]
            }
        )
        return
    from tracecore_lineage.rendering.words import count, short_ref

    for table in known:
        rows = "rows not counted" if table.artifact.rows is None else count(table.artifact.rows, "row")
        rejected = "   REJECTED" if table.rejected else ""
        short = f"{table.short}   " if table.short else ""
        click.echo(f'{short}"{table.name}"   {rows}   {short_ref(table.artifact.ref)}{rejected}')
        click.echo(f"  {', '.join(f'{name} {type_}' for name, type_ in table.columns)}")
    if not known:
        say("No table is recorded here yet.")


def _write(answer: Answer, form: str, output: Path | None) -> None:
    from tracecore_lineage.rendering.screen import WHOLE, screen
    from tracecore_lineage.sql import forms

    if output is None:
        if form == "json":
            emit_json(forms.as_json(answer))
        elif form == "csv":
            forms.write_csv(answer, sys.stdout)
        else:
            forms.write_table(answer, screen())
        return
    try:
        if form == "parquet":
            forms.write_parquet(answer, output)
            return
        with output.open("w", encoding="utf-8", newline="") as target:
            if form == "json":
                forms.write_json(answer, target)
            elif form == "csv":
                forms.write_csv(answer, target)
            else:
                from rich.console import Console

                forms.write_table(answer, Console(file=target, width=WHOLE, highlight=False))
    except OSError as error:
        raise UsageError(f"The answer can't be written to {output}: {error.strerror or error}.") from error
