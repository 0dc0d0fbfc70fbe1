"""`tracecore bug`: report and list perception bugs."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

import tracecore_lineage
from tracecore.cli import emit_json, json_option, say, workspace_option
from tracecore.workspace import NamedWorkspace

if TYPE_CHECKING:
    from tracecore_schemas.trace import Bug

__all__ = ["command"]

_EXAMPLES = """
\b
Examples:
  tracecore bug report "cyclist from the left missed at dusk" --build demo
  tracecore bug list
  tracecore bug show 5f0c9be21a47
"""
_REPORT = """
\b
Examples:
  tracecore bug report "cyclist from the left missed at dusk" --build demo --severity high
  tracecore bug report "ghost brake under the bridge" --frame frame/0016E5/%2Fcamera%2Ffront%2Fimage/1700000000000000000
"""
_LIST = """
\b
Examples:
  tracecore bug list
  tracecore bug list --build demo --json
"""
_SHOW = """
\b
Examples:
  tracecore bug show 5f0c9be21a47
  tracecore bug show 5f0c9be21a47 --json
"""


@click.group(name="bug", epilog=_EXAMPLES)
def command() -> None:
    """Report perception bugs, and list and show reported ones.

    A bug is a node of the record: 'tracecore trace bug/ID' leads back through the build and the drives that it is about, and 'tracecore impact' of a
    build or drive reaches it.
    """


@command.command(name="report", epilog=_REPORT)
@click.argument("text")
@click.option("--build", metavar="BUILD", help="Build in which the bug was seen.")
@click.option("--frame", "frames", multiple=True, metavar="REF", help="Frame that shows the bug: frame/DRIVE/SENSOR/TIMESTAMP_NS; repeatable.")
@click.option("--severity", type=click.Choice(["low", "medium", "high", "critical"]), help="Severity, as you judge it.")
@click.option("--by", "reporter", metavar="WHO", help="Person who reports the bug; the ledger contains only a pseudonym.")
@workspace_option
@json_option
def report(
    text: str, build: str | None, frames: tuple[str, ...], severity: str | None, reporter: str | None, workspace: NamedWorkspace, as_json: bool
) -> None:
    """Record a bug that TEXT describes in one sentence. Repeating a report does not record a second bug."""
    from tracecore_lineage.exchange.bug_reports import report_bug

    with tracecore_lineage.Record.open(workspace) as record:
        done = report_bug(record.recorder, text, build=build, frames=frames, severity=severity, reporter=reporter)
    if as_json:
        emit_json({**_members(done.bug), "new": done.new})
        return
    click.echo(done.bug.ref)
    if not done.new:
        say(f"The same was reported before, {done.bug.reported_at}.")


@command.command(name="list", epilog=_LIST)
@click.option("--build", metavar="BUILD", help="Only bugs that were seen in this build.")
@workspace_option
@json_option
def list_(build: str | None, workspace: NamedWorkspace, as_json: bool) -> None:
    """List the reported bugs, newest first."""
    from tracecore_lineage.trace.bugs import reported_bugs

    with tracecore_lineage.Record.open(workspace) as record:
        found = record.query(reported_bugs, build=build)
    if as_json:
        emit_json({"bugs": [_members(bug) for bug in found]})
        return
    for bug in found:
        click.echo(f"{bug.ref}  {bug.reported_at}  {bug.severity or '-':8}  {(bug.build or '-').partition('@')[0]}  {bug.text}")
    if not found:
        say("No bug was reported yet." if build is None else f"No bug was reported in {build}.")


@command.command(name="show", epilog=_SHOW)
@click.argument("bug_id", metavar="ID")
@workspace_option
@json_option
def show(bug_id: str, workspace: NamedWorkspace, as_json: bool) -> None:
    """Show one bug: its description, build and frames, and the runs that have used it since."""
    from tracecore_lineage.catalog.pseudonyms import display_name
    from tracecore_lineage.present.page import page
    from tracecore_lineage.trace.show import show as show_ref

    with tracecore_lineage.Record.open(workspace) as record:
        answer = record.query(show_ref, bug_id if bug_id.startswith("bug/") else f"bug/{bug_id}", workspace=record.workspace)
        if as_json:
            emit_json(answer)
        else:
            click.echo("\n".join(page(answer, lambda pseudonym: record.query(display_name, pseudonym))))


def _members(bug: Bug) -> dict[str, Any]:
    return {"ref": bug.ref, **asdict(bug)}
