"""`tracecore verify`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tracecore.cli import emit_json, json_option, progress_bar, workspace_option
from tracecore.errors import UsageError
from tracecore.workspace import NamedWorkspace
from tracecore_lineage.commands.options import FILE, key_option, threshold_option

if TYPE_CHECKING:
    from tracecore_lineage.model.findings import Verdict

__all__ = ["verify_command"]

_SUFFIX = ".bundle"

_EXAMPLES = """
\b
Examples:
  tracecore verify
  tracecore verify build/demo --key build-key.pub
  tracecore verify build/demo --key ada.pub --key bo.pub --key cy.pub --threshold 2
  tracecore verify --checkpoint kept-elsewhere.checkpoint
  tracecore verify demo.bundle --key build-key.pub    # one file, no workspace needed
"""


@click.command(name="verify", epilog=_EXAMPLES)
@click.argument("ref", required=False, metavar="[BUILD|BUNDLE]")
@key_option
@threshold_option
@click.option("--checkpoint", type=FILE, metavar="FILE", help="A checkpoint kept elsewhere.")
@click.option("--attestations", type=FILE, metavar="FILE", help="What 'export --format slsa' wrote of BUILD.")
@workspace_option
@json_option
@click.pass_context
def verify_command(
    ctx: click.Context,
    ref: str | None,
    keys: tuple[Path, ...],
    threshold: int | None,
    checkpoint: Path | None,
    attestations: Path | None,
    workspace: NamedWorkspace,
    as_json: bool,
) -> None:
    """Recompute every byte and name what is not as recorded; exit 1 where anything is not.

    With a build: the bytes of its trace, its seal, and the record as far as it depends on it. Without: the whole workspace, catalog rows included.
    With the file of a bundle: only that file; no workspace is needed, and one that can't be read is exit 2.
    Needs no network and believes no stored hash. Without --key the workspace's own keys are taken, which proves nothing against who holds them.
    """
    with progress_bar() as bar:
        task = bar.add_task("reading", total=None)

        def show(done: int, total: int, last: str) -> None:
            bar.update(task, completed=done, total=total, description=f"verified {last.partition('@')[0]}")

        options: dict[str, Any] = {"key": keys or None, "threshold": threshold, "progress": show}
        if ref is not None and Path(ref).is_file():
            from tracecore_lineage.verify.bundle import verify_bundle

            for option, given in (("--checkpoint", checkpoint), ("--attestations", attestations)):
                if given is not None:
                    raise UsageError(f"{option} is for a workspace's record, and {ref} is a bundle: leave it out, or import the bundle first.")
            verdict = verify_bundle(ref, **options)
        else:
            verdict = _verify_record(ref, workspace, {**options, "checkpoint": checkpoint, "attestations": attestations})
    if as_json:
        emit_json(verdict)
    else:
        for failure in verdict["failures"]:
            click.echo(f"{failure['ref']}: {failure['what']}: expected {failure['expected']}, found {failure['found']}.")
        for part in verdict["erased"]:
            click.echo(f"{part['ref'].partition('@')[0]}: erased: {part['what']} ({part['why']}; {part['by']})")
        checked = verdict["checked"]
        amount = f"{checked['artifacts']} artifacts ({checked['bytes']:,} bytes), {checked['events']} events, {checked['signatures']} signatures"
        failed = len(verdict["failures"])
        outcome = "verified" if verdict["ok"] else f"NOT verified, {failed} failure{'' if failed == 1 else 's'}"
        click.echo(f"{ref or 'the whole workspace'}: {outcome}: {amount} · key: {verdict['key']}")
    if not verdict["ok"]:
        ctx.exit(1)


def _verify_record(ref: str | None, workspace: NamedWorkspace, options: Mapping[str, Any]) -> Verdict:
    """Verify a workspace; a catalog or store of another ledger is reported as a failure."""
    from tracecore.store.ledger_binding import WrongLedger
    from tracecore_lineage import Record
    from tracecore_lineage.model.findings import Findings

    if ref is not None and ref.endswith(_SUFFIX):
        raise UsageError(f"There is no file {ref}: expected a build of the workspace, or the file of a bundle ('tracecore export --format bundle').")
    try:
        record = Record.open(workspace)
    except WrongLedger as refused:
        findings = Findings()
        findings.fail(refused.what, f"ledger in {refused.place}", refused.expected, refused.found)
        return findings.verdict(pinned=options["key"] is not None)
    with record:
        return record.verify(ref, **options)
