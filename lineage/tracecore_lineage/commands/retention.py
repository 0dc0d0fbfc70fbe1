"""`tracecore consent` and `tracecore prune`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

import tracecore_lineage
from tracecore.cli import emit_json, json_option, say, workspace_option
from tracecore.workspace import NamedWorkspace

if TYPE_CHECKING:
    from tracecore_lineage.retention.consent import Withdrawal

__all__ = ["consent_command", "prune_command"]

_CONSENT_EXAMPLES = """
\b
Examples:
  tracecore consent withdraw drive_log/0016E5 --reason "the driver withdrew consent" --dry-run
"""
_WITHDRAW = """
\b
Examples:
  tracecore consent withdraw 0016E5 --reason "the driver withdrew consent"
  tracecore consent withdraw "vehicle 7" --reason "request 2026-118" --dry-run --json
  tracecore consent withdraw labeler/person-5f0c9be21a47c1d2b7a4c1e09f3d6e58 --reason "left the project"
"""


@click.group(name="consent", epilog=_CONSENT_EXAMPLES)
def consent_command() -> None:
    """Erase drives and forget people whose consent was withdrawn."""


@consent_command.command(name="withdraw", epilog=_WITHDRAW)
@click.argument("target", metavar="DRIVE|SUBJECT")
@click.option("--reason", required=True, metavar="TEXT", help="Reason; it stays in the record, so it should not name a person.")
@click.option("--dry-run", is_flag=True, help="Only list what would be erased, and what was made from it.")
@workspace_option
@json_option
def withdraw(target: str, reason: str, dry_run: bool, workspace: NamedWorkspace, as_json: bool) -> None:
    """Erase a drive, or all drives of a SUBJECT, everywhere in the workspace.

    SUBJECT is a value in the metadata of drives (a driver, a vehicle), or a person behind a pseudonym. The command erases logs, table rows, pictures
    and copies, leaves a signed tombstone in the record, and lists what was made from the data; sealed builds keep their traces. Later builds skip
    files with the same bytes, so the data can't be ingested again. If the command was interrupted, run it again to complete it.
    """
    from tracecore_lineage.retention.consent import withdraw as withdraw_consent

    with tracecore_lineage.Record.open(workspace) as record:
        done = withdraw_consent(record.recorder, target, reason, dry_run=dry_run)
    if as_json:
        emit_json(done.document(dry_run=dry_run))
        return
    _print_withdrawal(done, dry_run=dry_run)


def _print_withdrawal(done: Withdrawal, *, dry_run: bool) -> None:
    verb = "would go" if dry_run else "erased"
    erasure = done.erasure
    for run in done.finished:
        say(f"run/{run} had been promised and is finished now.")
    if erasure is None:
        click.echo(f"Nothing of {', '.join(done.subject.drives) or 'them'} is left to erase.")
        return
    for version in erasure.versions:
        what = f"{version.rows:,} rows, " if version.rows else ""
        click.echo(f"{version.ref}  {what}{version.size_bytes:,} bytes  {verb}")
    for gone in erasure.commits:
        click.echo(f"{gone.path}  {'would be ' if dry_run else ''}rewritten without its statistics")
    for pseudonym, name in done.subject.people:
        click.echo(f"{pseudonym}  {'who it is was known' if name else 'who it is was not known'}  {verb}")
    for build in erasure.builds:
        click.echo(f"reached {build}")
    for vehicle in done.vehicles:
        click.echo(f"reached {vehicle}")
    for what, why in done.kept:
        if not what.startswith("build/"):
            click.echo(f"stays   {what}: {why}")
    size = sum(version.size_bytes for version in erasure.versions)
    click.echo(f"{', '.join(done.subject.drives) or 'no drive'} · {size:,} bytes {verb} · reached {len(erasure.builds)} sealed build(s)")


_PRUNE_EXAMPLES = """
\b
Examples:
  tracecore prune --dry-run
  tracecore prune --older-than 30
  tracecore prune model/reference.model@41aa9e
"""


@click.command(name="prune", epilog=_PRUNE_EXAMPLES)
@click.argument("refs", nargs=-1, metavar="[REF]...")
@click.option("--older-than", type=float, metavar="DAYS", help="Only versions recorded at least this many days ago.")
@click.option("--dry-run", is_flag=True, help="Only list what would be removed.")
@workspace_option
@json_option
def prune_command(refs: tuple[str, ...], older_than: float | None, dry_run: bool, workspace: NamedWorkspace, as_json: bool) -> None:
    """Remove the bytes of versions that no sealed build depends on, and leftovers of crashed runs.

    A sealed build holds every version in its trace: a REF that is held is refused (exit 1), and the error names the build. The record of a pruned
    version stays, and the next build that needs the version makes it again. Nothing is pruned while a run is live.
    """
    from tracecore_lineage.retention.prune import prune

    with tracecore_lineage.Record.open(workspace) as record:
        done = prune(record.recorder, refs, older_than=older_than, dry_run=dry_run)
    if as_json:
        emit_json(done.document(dry_run=dry_run))
        return
    verb = "would go" if dry_run else "erased"
    for version in () if done.erasure is None else done.erasure.versions:
        click.echo(f"{version.ref}  {version.size_bytes:,} bytes  {verb}")
    for path, size in done.orphans:
        click.echo(f"store/{path}  {size:,} bytes  {verb}: no event names it")
    for name in done.scratch:
        click.echo(f"scratch/{name}  {verb}")
    for run in done.staged:
        click.echo(f"store/staging/{run}  {verb}")
    for ref, why in done.skipped:
        say(f"{ref} stays: {why}.")
    for run in done.finished:
        say(f"run/{run} had been promised and is finished now.")
    if done.erasure is None and not (done.orphans or done.scratch or done.staged):
        click.echo(f"Nothing to prune: sealed builds hold {done.held} version{'' if done.held == 1 else 's'}.")
        return
    click.echo(f"{done.size_bytes:,} bytes {verb} · {done.held} version{'' if done.held == 1 else 's'} held by sealed builds")
