"""`tracecore doctor`: what is wrong here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tracecore.cli import emit_json, json_option, workspace_option
from tracecore.errors import TracecoreError
from tracecore.workspace import NamedWorkspace

if TYPE_CHECKING:
    from tracecore.system.settings import Settings
    from tracecore.workspace import Workspace

__all__ = ["command"]

_EXAMPLES = """
\b
Examples:
  tracecore doctor
  tracecore doctor --json
"""


@click.command(name="doctor", epilog=_EXAMPLES)
@workspace_option
@json_option
@click.pass_context
def command(ctx: click.Context, workspace: NamedWorkspace, as_json: bool) -> None:
    """Say what is wrong in this workspace and what to do; exit 1 where anything is. Nothing is changed.

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


def _examined(workspace: Workspace, settings: Settings) -> dict[str, Any]:
    """Examine a workspace; a record that is refused is a finding too."""
    from tracecore_lineage import Record
    from tracecore_lineage.doctor import unopened

    try:
        with Record.open(workspace) as record:
            return record.doctor(settings)
    except TracecoreError as refused:
        return unopened(refused)
