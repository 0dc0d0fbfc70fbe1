"""`tracecore replay`, `tracecore recover` and `tracecore doctor`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from tracecore.cli import emit_json, json_option, say, workspace_option
from tracecore.errors import TracecoreError
from tracecore.workspace import NamedWorkspace

if TYPE_CHECKING:
    from tracecore.system.settings import Settings
    from tracecore.workspace import Workspace
    from tracecore_lineage.verify.doctor import Examination

__all__ = ["doctor_command", "recover_command", "replay_command"]

_REPLAY_EXAMPLES = """
\b
Examples:
  tracecore replay --check    # exit 1 and the rows that differ
  tracecore replay            # make the catalog again
"""


@click.command(name="replay", epilog=_REPLAY_EXAMPLES)
@click.option("--check", is_flag=True, help="Only compare: name every row in which the catalog is not what the ledger says.")
@workspace_option
@json_option
@click.pass_context
def replay_command(context: click.Context, check: bool, workspace: NamedWorkspace, as_json: bool) -> None:
    """Make the catalog again from the ledger's events, or compare them."""
    from tracecore_lineage import Record
    from tracecore_lineage.catalog.replay import catalog_differences, rebuild_catalog

    with Record.open(workspace) as record:
        if not check:
            rebuild_catalog(record.database, record.ledger)
        differences = record.query(catalog_differences, record.ledger) if check else []
        events = record.recorder.position()
    if as_json:
        emit_json({"ok": not differences, "events": events, "differences": [asdict(difference) for difference in differences]})
    else:
        for difference in differences:
            click.echo(str(difference))
        rows = [difference for difference in differences if difference.what != "false name"]
        if len(rows) < len(differences):
            say("A name is not the one that its pseudonym stands for: 'tracecore doctor' says what to do.")
        if rows:
            say(f"{len(rows)} differences between the catalog and {events} events: 'tracecore replay' makes the catalog again.")
        else:
            say(f"The catalog is what the ledger's {events} events say." if check else f"Made the catalog again from {events} events.")
    if differences:
        context.exit(1)


_RECOVER_EXAMPLES = """
\b
Examples:
  tracecore recover
  tracecore recover --json
"""


@click.command(name="recover", epilog=_RECOVER_EXAMPLES)
@workspace_option
@json_option
def recover_command(workspace: NamedWorkspace, as_json: bool) -> None:
    """Close the runs that a crash left open, as ABORT, and remove what they left in staging.

    A run whose process lives is left alone: it holds a lock that the operating system gives back when the process dies.
    """
    from tracecore_lineage import Record
    from tracecore_lineage.retention.recover import recover

    with Record.open(workspace) as record:
        done = recover(record.recorder)
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


_DOCTOR_EXAMPLES = """
\b
Examples:
  tracecore doctor
  tracecore doctor --json
"""


@click.command(name="doctor", epilog=_DOCTOR_EXAMPLES)
@workspace_option
@json_option
@click.pass_context
def doctor_command(ctx: click.Context, workspace: NamedWorkspace, as_json: bool) -> None:
    """Report what is wrong in this workspace and what to do; exit 1 where anything is. Nothing is changed.

    Looked at: whether catalog and store hold this workspace's ledger, runs that a crash left open, what lies in the store and is not in the record,
    what the record names and the store lacks, the database, the signing keys, the plugins. Whether bytes are as recorded is the question of
    'tracecore verify'.
    """
    from tracecore.workspace import Workspace

    found = _examined(Workspace.open(workspace), workspace.settings)
    if as_json:
        emit_json(found)
    else:
        for run in found["open_runs"]:
            fate = "its process is alive" if run["live"] else "its process is gone: run 'tracecore recover'"
            click.echo(f"open: run/{run['run']} of {run['job']}, started {run['started_at']}; {fate}")
        for orphan in found["orphans"]:
            click.echo(f"orphan: {orphan['path']}; {orphan['why']}")
        for dangling in found["dangling"]:
            click.echo(f"dangling: {dangling['ref']} at {dangling['location']}; {dangling['why']}")
        for problem in found["problems"]:
            click.echo(f"problem: {problem}")
        click.echo("All is well." if found["ok"] else "Something is wrong here.")
    if not found["ok"]:
        ctx.exit(1)


def _examined(workspace: Workspace, settings: Settings) -> Examination:
    """Examine a workspace; a record that can't be opened is reported as a problem."""
    from tracecore_lineage import Record
    from tracecore_lineage.verify.doctor import examine, unopened

    try:
        with Record.open(workspace) as record:
            return examine(record.recorder, settings)
    except TracecoreError as refused:
        return unopened(refused)
