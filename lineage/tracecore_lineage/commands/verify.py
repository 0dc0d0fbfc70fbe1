"""`tracecore verify`, and `tracecore checkpoint`: the signed head of the ledger, and proofs against it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import tracecore_lineage
from tracecore.cli import emit_json, json_option, say, workspace_option
from tracecore.errors import NegativeVerdict, UsageError
from tracecore.workspace import NamedWorkspace
from tracecore_lineage.commands.options import FILE, deliver, key_option, output_option, progress, threshold_option

if TYPE_CHECKING:
    from tracecore_lineage import Record
    from tracecore_lineage.model.findings import Verdict

__all__ = ["checkpoint_command", "verify_command"]

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
@click.option("--checkpoint", type=FILE, metavar="FILE", help="Checkpoint kept elsewhere, which the ledger must extend.")
@click.option("--attestations", type=FILE, metavar="FILE", help="Attestations of BUILD, as written by 'tracecore export --format slsa'.")
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
    """Recompute all digests and signatures, and report every difference from the record (exit 1 if there is any).

    With BUILD, verify the bytes of its trace, its seal, and the part of the record that it depends on. Without an argument, verify the whole
    workspace, including the catalog's rows. With BUNDLE, verify that file only; this needs no workspace, and exits with 2 if the file can't be read.

    Verification needs no network and trusts no stored hash. Without --key it trusts the workspace's own keys, which gives no protection against
    anyone who holds these keys.
    """
    with progress("reading", "verified") as show:
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
    """Verify a workspace, or `ref` in it, and return the verdict; a catalog or store of another ledger is reported as a failure."""
    from tracecore.store.ledger_binding import WrongLedger
    from tracecore_lineage.model.findings import Findings

    if ref is not None and ref.endswith(_SUFFIX):
        raise UsageError(f"There is no file {ref}: expected a build of the workspace, or the file of a bundle ('tracecore export --format bundle').")
    try:
        record = tracecore_lineage.Record.open(workspace)
    except WrongLedger as refused:
        findings = Findings()
        findings.fail(refused.what, f"ledger in {refused.place}", refused.expected, refused.found)
        return findings.verdict(pinned=options["key"] is not None)
    with record:
        return record.verify(ref, **options)


_CHECKPOINT_EXAMPLES = """
\b
Examples:
  tracecore checkpoint -o today.checkpoint
  tracecore verify --checkpoint today.checkpoint                # later: check that nothing before it was rewritten
  tracecore checkpoint --consistent-with today.checkpoint       # check the ledger only, with a proof for others (--json)
  tracecore checkpoint --prove 41 -o event-41.tlog-proof        # prove to others that the ledger contains an event
"""


@click.command(name="checkpoint", epilog=_CHECKPOINT_EXAMPLES)
@output_option
@click.option("--prove", metavar="EVENT|POSITION", help="Prove that the ledger contains an event (given by id or position), as a C2SP tlog-proof.")
@click.option(
    "--consistent-with",
    "old",
    type=FILE,
    metavar="FILE",
    help="Check that the ledger extends an earlier checkpoint; exit 1 if it does not.",
)
@workspace_option
@json_option
def checkpoint_command(output: Path | None, prove: str | None, old: Path | None, workspace: NamedWorkspace, as_json: bool) -> None:
    """Print the signed head of the ledger: its size and Merkle root, as a C2SP signed note.

    A checkpoint kept elsewhere proves later that nothing recorded before it was changed or removed.
    """
    if prove is not None and old is not None:
        raise UsageError("Expected one of --prove and --consistent-with, found both.")
    with tracecore_lineage.Record.open(workspace) as record:
        if prove is not None:
            _prove(record, prove, output, as_json=as_json)
        elif old is not None:
            _compare(record, old, output, as_json=as_json)
        else:
            _head(record, output, as_json=as_json)


def _head(record: Record, output: Path | None, *, as_json: bool) -> None:
    from tracecore_lineage.crypto.notes import parse

    note = record.recorder.checkpoint()
    head = parse(note)
    answer = {"origin": head.origin, "size": head.size, "root": head.root.hex(), "note": note}
    deliver(note, output, f"checkpoint over {head.size} events", answer if as_json else None)


def _prove(record: Record, event: str, output: Path | None, *, as_json: bool) -> None:
    from tracecore_lineage.ledger.proofs import inclusion

    proof = record.query(inclusion, event)
    head = proof.head
    hashes, leaf = [value.hex() for value in proof.hashes], proof.leaf_data.decode()
    answer = {"index": proof.index, "leaf": leaf, "hashes": hashes, "size": head.size, "root": head.root.hex(), "proof": proof.text}
    deliver(proof.text, output, f"proof that event {proof.index} is one of {head.size}", answer if as_json else None)


def _compare(record: Record, path: Path, output: Path | None, *, as_json: bool) -> None:
    from tracecore_lineage.crypto.notes import read
    from tracecore_lineage.ledger.proofs import consistency

    if output is not None:
        raise UsageError("Expected -o with a checkpoint or a proof to write, found it with --consistent-with (--json gives the proof).")
    old = read(path)
    size = record.recorder.position()
    with record.recorder.database.read() as connection:
        keys = record.recorder.public_keys(connection)
    answer: dict[str, Any] = {
        "consistent": False,
        "old": {"size": old.size, "root": old.root.hex()},
        "new": {"size": size},
        "hashes": [],
        "why": None,
    }
    if old.origin != record.ledger.origin:
        answer["why"] = f"it is of another ledger: expected the origin {record.ledger.origin!r}, found {old.origin!r}"
    elif old.signed_by(keys) is None:
        answer["why"] = "no key of this workspace signed it"
    elif old.size > size:
        answer["why"] = f"the ledger was truncated, or {path} is of a fork of it: it holds {size} events, and held {old.size} then"
    else:
        proof = record.query(consistency, old.size)
        answer["new"] = {"size": proof.head.size, "root": proof.head.root.hex()}
        answer["hashes"] = [value.hex() for value in proof.hashes]
        if proof.old_root != old.root:
            answer["why"] = (
                f"its first {old.size} events are others (it was rewritten, or {path} is of a fork of it): "
                f"expected the root {old.root.hex()}, found {proof.old_root.hex()}"
            )
    answer["consistent"] = answer["why"] is None
    if as_json:
        emit_json(answer)
    if not answer["consistent"]:
        raise NegativeVerdict(f"The ledger is not what {path} says: {answer['why']}.")
    if not as_json:
        say(f"The ledger only grew since: its first {old.size} events of {answer['new']['size']} are those of {path}.")
