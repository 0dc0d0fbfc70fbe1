"""`tracecore recover`: close the runs of processes that are gone."""

from __future__ import annotations

from dataclasses import asdict

import click

from tracecore.cli import emit_json, json_option, workspace_option
from tracecore.workspace import NamedWorkspace

__all__ = ["command"]

_EXAMPLES = """
\b
Examples:
  tracecore recover
  tracecore recover --json
"""


@click.command(name="recover", epilog=_EXAMPLES)
@workspace_option
@json_option
def command(workspace: NamedWorkspace, as_json: bool) -> None:
    """Close the runs that a crash left open, as ABORT, and remove what they left in staging.

    A run whose process lives is left alone: it holds a lock that the operating system gives back when the process dies.
    """
    from tracecore_lineage import Record

    with Record.open(workspace) as record:
        done = record.recover()
    if as_json:
        emit_json({name: list(runs) for name, runs in asdict(done).items()})
        return
    for run in done.aborted:
        click.echo(f"run/{run}  closed as ABORT")
    for run in done.removed:
        click.echo(f"store/staging/{run}  removed")
    for run in done.live:
        click.echo(f"run/{run}  is alive: left alone")
    for run in done.finished:
        click.echo(f"run/{run}  an erasure that had been promised: finished")
    if not (done.aborted or done.removed or done.live or done.finished):
        click.echo("Nothing to recover: no run is open.")
