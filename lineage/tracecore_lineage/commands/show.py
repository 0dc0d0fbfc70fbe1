"""`tracecore show`, `tracecore look` and `tracecore query`: details of a ref, its pictures, SQL over its tables."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import tracecore_lineage
from tracecore.cli import emit_json, json_option, say, workspace_option
from tracecore.errors import UsageError
from tracecore.workspace import NamedWorkspace
from tracecore_lineage.commands.options import FILE, as_of_option, output_option, writing

if TYPE_CHECKING:
    from tracecore_lineage.present.scene import Scene
    from tracecore_lineage.present.sql import Answer, QueryTable
    from tracecore_lineage.trace.kpi_history import KpiHistory
    from tracecore_schemas.run import Artifact

__all__ = ["look_command", "query_command", "show_command"]

_SHOW_EXAMPLES = """
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


@click.command(name="show", epilog=_SHOW_EXAMPLES)
@click.argument("ref")
@click.option("--history", is_flag=True, help="For a KPI report: its KPIs over all its versions, with the builds that used each.")
@click.option("--kpi", "kpis", multiple=True, metavar="NAME", help="With --history: only this KPI; repeatable.")
@click.option("--source", metavar="FILE", help="For a run: print a plugin source file as the run loaded it.")
@as_of_option
@workspace_option
@json_option
def show_command(
    ref: str, history: bool, kpis: tuple[str, ...], source: str | None, as_of: str | None, workspace: NamedWorkspace, as_json: bool
) -> None:
    """Show the facets, checks and history of one artifact, run or build.

    For a frame or label, show the tables that contain it; for a labeler, the batches that they labeled; for a bug, its description, build and frames.
    """
    from tracecore_lineage.catalog.pseudonyms import display_name
    from tracecore_lineage.present.page import page
    from tracecore_lineage.trace.kpi_history import kpi_history
    from tracecore_lineage.trace.show import run_source, show

    if kpis and not history:
        raise UsageError("--kpi chooses what --history shows: add --history.")
    if source is not None and (history or as_of is not None):
        raise UsageError("--source prints what one run loaded: leave --history and --as-of out.")
    with tracecore_lineage.Record.open(workspace) as record:
        if source is not None:
            data = record.query(run_source, ref, source, record.workspace)
            if as_json:
                emit_json({"ref": ref, "file": source, "text": data.decode(errors="replace")})
            else:
                click.echo(data, nl=False)
            return
        if history:
            _history(record.query(kpi_history, ref, kpis=kpis, as_of=as_of), kpis, as_json=as_json)
            return
        answer = record.query(show, ref, as_of=as_of, workspace=record.workspace)
        if as_json:
            emit_json(answer)
            return
        lines = list(page(answer, lambda pseudonym: record.query(display_name, pseudonym)))
    click.echo("\n".join(lines))


def _history(answer: KpiHistory, kpis: Sequence[str], *, as_json: bool) -> None:
    from tracecore_lineage.present.page import history_table, left_out
    from tracecore_lineage.present.words import screen

    if as_json:
        emit_json(answer)
        return
    shown, more = left_out(answer, kpis)
    screen().print(history_table(answer, shown))
    if more is not None:
        click.echo(more)


_LOOK_EXAMPLES = """
\b
Examples:
  tracecore look dataset/demo.training_set.validation
  tracecore look label_batch/demo.labels --drive tokyo --frames 6 -o labels.png
  tracecore look event_set/demo.kpis.events
  tracecore look frame/tokyo/%2Fcamera%2Ffront%2Fimage/1700000000000000000
  tracecore look dataset/demo.drives.frames --rerun drives.rrd
"""


@click.command(name="look", epilog=_LOOK_EXAMPLES)
@click.argument("ref")
@click.option("-o", "--output", type=FILE, metavar="FILE", help="File to write the picture to; default: in the workspace's folder looks.")
@click.option(
    "--frames", "count", type=click.IntRange(1, 400), default=12, show_default=True, metavar="N", help="Maximum number of frames, evenly spaced."
)
@click.option("--drive", metavar="DRIVE", help="Only frames of this drive.")
@click.option("--labels", metavar="REF", help="Draw this label batch; default: the one that the record connects to the frames.")
@click.option("--rerun", type=FILE, metavar="FILE", help="Also write an .rrd file for the Rerun viewer.")
@workspace_option
@json_option
def look_command(
    ref: str, output: Path | None, count: int, drive: str | None, labels: str | None, rerun: Path | None, workspace: NamedWorkspace, as_json: bool
) -> None:
    """Draw REF as a PNG: frames with boxes, paths and mistakes; a single frame also with cuboids and LiDAR points; for a report, its own pictures.

    Detections are drawn with solid lines, ground truth with dashed ones. Labels and detections come from the exact versions that the record connects
    to the frames.
    """
    from tracecore.images import save_png
    from tracecore_lineage.present.drawing import picture_of
    from tracecore_lineage.present.scene import find_scene

    with tracecore_lineage.Record.open(workspace) as record:
        scene = find_scene(record.workspace, record.database, ref, count=count, drive=drive, labels=labels)
        picture = picture_of(scene)
        target = output or record.workspace.root / "looks" / f"{_file_name(scene.ref)}.png"
    _require_folder(target, made=output is None)
    if rerun is not None:
        from tracecore_lineage.present.drawing import write_rerun

        if not scene.views:
            raise UsageError(f"{scene.ref} has no frames to write for Rerun: it has only pictures.")
        _require_folder(rerun, made=False)
        write_rerun(scene.views, rerun, scene.ref)
    save_png(picture, target)
    if as_json:
        answer = {"picture": str(target), "frames": len(scene.views), "labels": scene.labels, "detections": scene.detections}
        emit_json(answer | ({} if rerun is None else {"rerun": str(rerun)}))
        return
    click.echo(target)
    for line in _description(scene):
        say(line)


def _description(scene: Scene) -> list[str]:
    if scene.pictures:
        return [f"{len(scene.pictures)} pictures of {scene.ref}"]
    drawn = [f"labels: {scene.labels or 'none'}"]
    if scene.detections is not None:
        drawn.append(f"seen: {scene.detections}")
    return [f"{len(scene.views)} frames of {scene.ref}", *drawn]


def _require_folder(path: Path, *, made: bool) -> None:
    if made:
        path.parent.mkdir(parents=True, exist_ok=True)
    elif not path.parent.is_dir():
        raise UsageError(f"The file {path} can't be written: there is no folder {path.parent}.")


def _file_name(ref: str) -> str:
    """Return a file name without special characters for a ref, for example `dataset-demo.drives.frames-1a2b3c4d5e6f`."""
    name, _, digest = ref.partition("@")
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-")
    return f"{safe}-{digest[:12]}" if digest else safe


_QUERY_EXAMPLES = """
\b
Examples:
  tracecore query --tables
  tracecore query "SELECT drive, count(*) AS frames FROM drives_frames GROUP BY drive"
  tracecore query 'SELECT category, count(*) FROM "reference.labels" GROUP BY ALL' --build demo --json
  tracecore query "SELECT frame_id, image FROM drives_frames WHERE luma < 0.2" --format parquet -o night.parquet
"""
_FORMS = ("table", "csv", "json", "parquet")


@click.command(name="query", epilog=_QUERY_EXAMPLES)
@click.argument("sql", required=False)
@click.option("--tables", "listing", is_flag=True, help="List the available tables with their rows and columns.")
@click.option("--build", metavar="BUILD", help="Query the versions that this build depends on, instead of the newest.")
@click.option("--as-of", metavar="TIME", help="Query the newest versions recorded up to this time (ISO 8601; UTC if no offset is given).")
@click.option("--format", "form", type=click.Choice(_FORMS), default="table", show_default=True, help="Output format; parquet needs -o.")
@output_option
@workspace_option
@json_option
def query_command(
    sql: str | None, listing: bool, build: str | None, as_of: str | None, form: str, output: Path | None, workspace: NamedWorkspace, as_json: bool
) -> None:
    """Run one SQL query (DuckDB) over the recorded datasets, label batches and event sets.

    A table has the name of its asset, in double quotes ("reference.drives.frames"), and, if that is unambiguous, a short name without the program
    (drives_frames). Each table is read at one exact version. A query can't change anything, and can't access files, the network or extensions.
    Images and other binary values are shown as their size; Parquet output contains their bytes.
    """
    if listing == (sql is not None):
        raise UsageError('Expected a query, such as "SELECT count(*) FROM drives_frames", or --tables, which lists what it can name.')
    form = "json" if as_json else form
    if form == "parquet" and output is None:
        raise UsageError("Parquet is not text: name a file with -o FILE.")
    from tracecore_lineage.present.sql import ask, tables

    with tracecore_lineage.Record.open(workspace) as record:
        with record.database.read() as connection:
            known = tables(connection, build=build, as_of=as_of)
        if sql is None:
            _list(known, as_json=form == "json")
            return
        from tracecore.store import open_store

        store = open_store(record.workspace)

        def opened(artifact: Artifact) -> Any:
            erased = record.recorder.erased(artifact)
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
    from tracecore_lineage.present.words import count, short_ref

    for table in known:
        rows = "rows not counted" if table.artifact.rows is None else count(table.artifact.rows, "row")
        rejected = "   REJECTED" if table.rejected else ""
        short = f"{table.short}   " if table.short else ""
        click.echo(f'{short}"{table.name}"   {rows}   {short_ref(table.artifact.ref)}{rejected}')
        click.echo(f"  {', '.join(f'{name} {type_}' for name, type_ in table.columns)}")
    if not known:
        say("No table is recorded here yet.")


def _write(answer: Answer, form: str, output: Path | None) -> None:
    from tracecore_lineage.present import sql
    from tracecore_lineage.present.words import WHOLE, screen

    if output is None:
        if form == "json":
            emit_json(sql.as_json(answer))
        elif form == "csv":
            sql.write_csv(answer, sys.stdout)
        else:
            sql.write_table(answer, screen())
        return
    with writing("answer", output):
        if form == "parquet":
            sql.write_parquet(answer, output)
            return
        with output.open("w", encoding="utf-8", newline="") as target:
            if form == "json":
                sql.write_json(answer, target)
            elif form == "csv":
                sql.write_csv(answer, target)
            else:
                from rich.console import Console

                sql.write_table(answer, Console(file=target, width=WHOLE, highlight=False))
