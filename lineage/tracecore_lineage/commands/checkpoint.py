"""`tracecore checkpoint`: the signed head of the ledger, and proofs against it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tracecore.cli import emit_json, json_option, say, workspace_option
from tracecore.errors import NegativeVerdict, UsageError
from tracecore.workspace import NamedWorkspace
from tracecore_lineage.commands.options import FILE, deliver, output_option

if TYPE_CHECKING:
    from tracecore_lineage import Record

__all__ = ["command"]

_EXAMPLES = """
\b
Examples:
  tracecore checkpoint -o today.checkpoint
  tracecore verify --checkpoint today.checkpoint                # later: nothing before it was rewritten
  tracecore checkpoint --consistent-with today.checkpoint       # the same of the ledger alone, with the proof for others (--json)
  tracecore checkpoint --prove 41 -o event-41.tlog-proof        # that the ledger holds an event, for users without the ledger
"""


@click.command(name="checkpoint", epilog=_EXAMPLES)
@output_option
@click.option("--prove", metavar="EVENT|POSITION", help="Prove that the ledger holds an event (its id or its position), as a C2SP tlog-proof.")
@click.option(
    "--consistent-with",
    "old",
    type=FILE,
    metavar="FILE",
    help="Check that the ledger only grew since an earlier checkpoint; exit 1 where it did not.",
)
@workspace_option
@json_option
def command(output: Path | None, prove: str | None, old: Path | None, workspace: NamedWorkspace, as_json: bool) -> None:
    """Print the signed head of the ledger: its size and Merkle root, as a C2SP signed note.

    Kept elsewhere, it proves later that nothing recorded before it was changed or taken out.
    """
    from tracecore_lineage import Record

    if prove is not None and old is not None:
        raise UsageError("Expected one of --prove and --consistent-with, found both.")
    with Record.open(workspace) as record:
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
    deliver(note, output, f"checkpoint over {head.size} events", as_json=as_json)
    if as_json:
        emit_json({"origin": head.origin, "size": head.size, "root": head.root.hex(), "note": note, "file": _named(output)})


def _prove(record: Record, event: str, output: Path | None, *, as_json: bool) -> None:
    from tracecore_lineage.ledger.proofs import inclusion

    proof = record.query(inclusion, event)
    head = proof.head
    deliver(proof.text, output, f"proof that event {proof.index} is one of {head.size}", as_json=as_json)
    if as_json:
        hashes, leaf = [value.hex() for value in proof.hashes], proof.leaf_data.decode()
        answer = {"index": proof.index, "leaf": leaf, "hashes": hashes, "size": head.size, "root": head.root.hex(), "proof": proof.text}
        emit_json({**answer, "file": _named(output)})


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
    elif answer["consistent"]:
        say(f"The ledger only grew since: its first {old.size} events of {answer['new']['size']} are those of {path}.")
    if not answer["consistent"]:
        raise NegativeVerdict(f"The ledger is not what {path} says: {answer['why']}.")


def _named(output: Path | None) -> str | None:
    return None if output is None else str(output)
