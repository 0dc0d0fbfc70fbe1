"""`tracecore verify`: every byte, event, row and signature recomputed, offline."""

from __future__ import annotations

from pathlib import Path

import click

from tracecore.options import emit_json, json_option, progress_bar, workspace_option

__all__ = ["command"]

_EXAMPLES = """
\b
Examples:
  tracecore verify
  tracecore verify build/demo --key build-key.pub
  tracecore verify --checkpoint kept-elsewhere.checkpoint
"""


@click.command(name="verify", epilog=_EXAMPLES)
@click.argument("ref", required=False, metavar="[BUILD]")
@click.option("--key", type=click.Path(path_type=Path, dir_okay=False), metavar="PUB", help="The public key that must have signed ('key export').")
@click.option("--checkpoint", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="A checkpoint kept elsewhere.")
@workspace_option
@json_option
@click.pass_context
def command(ctx: click.Context, ref: str | None, key: Path | None, checkpoint: Path | None, workspace: Path | None, as_json: bool) -> None:
    """Recompute every byte and name what is not as recorded; exit 1 where anything is not.

    With a build: the bytes of its trace, its seal, and the record as far as it stands on it. Without: the whole workspace, catalog rows included.
    Needs no network and believes no stored hash. Without --key the workspace's own keys are taken, which proves nothing against who holds them.
    """
    from tracecore_lineage import Record

    with Record.open(workspace) as record, progress_bar() as bar:
        task = bar.add_task("reading the ledger", total=None)

        def show(done: int, total: int, last: str) -> None:
            bar.update(task, completed=done, total=total, description=f"verified {last.partition('@')[0]}")

        verdict = record.verify(ref, key=key, checkpoint=checkpoint, progress=show)
    if as_json:
        emit_json(verdict)
    else:
        for failure in verdict["failures"]:
            click.echo(f"{failure['ref']}: {failure['what']}: expected {failure['expected']}, found {failure['found']}.")
        checked = verdict["checked"]
        amount = f"{checked['artifacts']} artifacts ({checked['bytes']:,} bytes), {checked['events']} events, {checked['signatures']} signatures"
        failed = len(verdict["failures"])
        outcome = "verified" if verdict["ok"] else f"NOT verified, {failed} failure{'' if failed == 1 else 's'}"
        click.echo(f"{ref or 'the whole workspace'}: {outcome}: {amount} · key: {verdict['key']}")
    if not verdict["ok"]:
        ctx.exit(1)
