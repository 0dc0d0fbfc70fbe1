"""`tracecore prune`: the bytes of what nothing released stands on."""

from __future__ import annotations

import click

from tracecore.cli import emit_json, json_option, say, workspace_option
from tracecore.workspace import NamedWorkspace

__all__ = ["command"]

_EXAMPLES = """
\b
Examples:
  tracecore prune --dry-run
  tracecore prune --older-than 30
  tracecore prune model/reference.model@41aa9e
"""


@click.command(name="prune", epilog=_EXAMPLES)
@click.argument("refs", nargs=-1, metavar="[REF]...")
@click.option("--older-than", type=float, metavar="DAYS", help="Only what was recorded at least so many days ago.")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@workspace_option
@json_option
def command(refs: tuple[str, ...], older_than: float | None, dry_run: bool, workspace: NamedWorkspace, as_json: bool) -> None:
    """Remove the bytes of what no sealed build stands on, and what crashes left.

    A sealed build holds every version in its trace: such a REF is refused (exit 1), naming the build. What was recorded of a pruned version stays;
    the next build makes it again where it needs it. While a run is live nothing is pruned.
    """
    from tracecore_lineage import Record

    with Record.open(workspace) as record:
        done = record.prune(refs, older_than=older_than, dry_run=dry_run)
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
