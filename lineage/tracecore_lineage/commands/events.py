"""`tracecore events`: OpenLineage events in and out, as lines."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import BinaryIO

import click

from tracecore.cli import emit_json, json_option, say, workspace_option
from tracecore.errors import UsageError
from tracecore.workspace import NamedWorkspace

__all__ = ["command"]

_EXAMPLES = """
\b
Examples:
  tracecore events export -o events.ndjson
  tracecore events export --exact -o exact.ndjson    # byte for byte, in base64
  tracecore events import from-airflow.ndjson
  tracecore events import folder-of-events --skip-invalid
"""


@click.group(name="events", epilog=_EXAMPLES)
def command() -> None:
    """Take OpenLineage events of other producers into the record, or write the record's own out, one a line."""


@command.command(name="import", epilog="\b\nExample:\n  tracecore events import from-airflow.ndjson --json")
@click.argument("source", type=click.Path(path_type=Path, exists=True), metavar="FILE|DIR")
@click.option("--skip-invalid", is_flag=True, help="Leave bad lines out and name them, instead of refusing the file.")
@workspace_option
@json_option
def import_(source: Path, skip_invalid: bool, workspace: NamedWorkspace, as_json: bool) -> None:
    """Record the events of a file (one a line) or of a folder of .json and .ndjson files.

    One bad line refuses everything, with its number and what is wrong. What is recorded already is recognized byte for byte and not recorded twice.
    """
    from tracecore_lineage import Record
    from tracecore_lineage.interchange import read_events, take_events

    events = read_events(source)
    with Record.open(workspace) as record:
        done, refused = take_events(record, events, skip_invalid=skip_invalid)
    if as_json:
        emit_json({"recorded": done.recorded, "known": done.known, "refused": refused})
        return
    for each in refused:
        say(f"left out {each}")
    click.echo(f"{done.recorded} events recorded, {done.known} known before, {len(refused)} left out")


@command.command(name="export", epilog="\b\nExample:\n  tracecore events export -o events.ndjson")
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write to a file instead of stdout.")
@click.option("--exact", is_flag=True, help="Wrap each event's exact bytes in base64, with its digest and when it was recorded.")
@workspace_option
def export(output: Path | None, exact: bool, workspace: NamedWorkspace) -> None:
    """Write every event of the ledger, in its order, one a line."""
    from tracecore_lineage import Record

    with Record.open(workspace) as record:
        if output is None:
            _write(record, sys.stdout.buffer, exact=exact)
            return
        try:
            with output.open("wb") as stream:
                count = _write(record, stream, exact=exact)
        except OSError as error:
            raise UsageError(f"The events can't be written to {output}: {error.strerror or error}.") from error
    say(f"Wrote {count} events to {output}.")


def _write(record: object, stream: BinaryIO, *, exact: bool) -> int:
    from tracecore_lineage import Record, ledger
    from tracecore_lineage.interchange import exact_line, line_of

    assert isinstance(record, Record)
    count = 0
    with record.database.read() as connection:
        for leaf in ledger.read(connection):
            stream.write((exact_line(leaf) if exact else line_of(leaf.body)) + b"\n")
            count += 1
    return count
