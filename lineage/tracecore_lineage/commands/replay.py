"""`tracecore replay`: the catalog from the ledger."""

from __future__ import annotations

from dataclasses import asdict

import click

from tracecore.cli import emit_json, json_option, say, workspace_option
from tracecore.workspace import NamedWorkspace

__all__ = ["command"]

_EXAMPLES = """
\b
Examples:
  tracecore replay --check    # exit 1 and the rows that differ
  tracecore replay            # make the catalog again
"""


@click.command(name="replay", epilog=_EXAMPLES)
@click.option("--check", is_flag=True, help="Only compare: name every row in which the catalog is not what the ledger says.")
@workspace_option
@json_option
@click.pass_context
def command(context: click.Context, check: bool, workspace: NamedWorkspace, as_json: bool) -> None:
    """Make the catalog again from the ledger's events, or compare them."""
    from tracecore_lineage import Record

    with Record.open(workspace) as record:
        differences = record.replay(check=check)
        events = record.position()
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
