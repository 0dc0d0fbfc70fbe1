"""Seals and checkpoints: what they say is recomputed from the ledger and compared, and only then are their signatures looked at."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import rfc8785

from tracecore_lineage import checkpoint
from tracecore_lineage.checkpoint import Checkpoint, CheckpointError
from tracecore_lineage.ledger_name import LedgerName
from tracecore_lineage.projection import project
from tracecore_lineage.reading import BadEvent, strict_json
from tracecore_lineage.sealing.envelope import IN_TOTO, EnvelopeError, Opened, open_envelope
from tracecore_lineage.sealing.keys import short_id
from tracecore_lineage.sealing.statement import content_digest, predicate_content, statement
from tracecore_lineage.verification.findings import Findings
from tracecore_lineage.verification.history import History, SealEvent
from tracecore_lineage.verification.trust import Trust
from tracecore_schemas.canonical import digest_bytes, jcs
from tracecore_schemas.refs import artifact_ref
from tracecore_schemas.sql_models import EdgeRow

__all__ = ["check_kept_checkpoint", "check_note", "check_seal"]

_PLACE = ("run", "ledger", "checkpoint", "sealed_at", "key")


def check_kept_checkpoint(note: Checkpoint, history: History, origin: str, trust: Trust, findings: Findings) -> None:
    """Compare the ledger with a checkpoint that was kept elsewhere: it must hold the same events, and may only have grown."""
    where = "checkpoint"
    findings.equal(where, "origin", note.origin, origin)
    if note.size > history.size:
        findings.fail(
            where, "number of events (the ledger was truncated, or the checkpoint is of a fork of it)", f"{note.size} or more", history.size
        )
    else:
        what = f"Merkle root over the first {note.size} events (the ledger was rewritten, or the checkpoint is of a fork of it)"
        findings.equal(where, what, note.root.hex(), _hex(history.roots.get(note.size)))
    _check_signed(where, note, trust, findings)


def check_seal(seal: SealEvent, history: History, ledger_name: LedgerName, trust: Trust, findings: Findings) -> None:
    """Recompute everything that a build's seal says: content, ref, position, root, and the event it came in."""
    row = seal.build
    where = f"build/{row['name']}"
    try:
        opened = open_envelope(json.loads(row["envelope"]))
        said = _parsed(opened)
        predicate = said["predicate"]
        expected = statement(predicate["name"], predicate_content(predicate), {key: predicate[key] for key in _PLACE})
    except (EnvelopeError, BadEvent) as error:
        findings.fail(where, "seal", "a canonical DSSE envelope around an in-toto statement of a build", error)
        return
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        findings.fail(where, "seal", "an in-toto statement of a build", f"{type(error).__name__}: {error}")
        return
    try:
        _check_statement(where, seal, opened, predicate, expected, history, ledger_name, trust, findings)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        findings.fail(where, "seal", "a statement whose members are what docs/formats/build.md says", f"{type(error).__name__}: {error}")


def _check_statement(
    where: str,
    seal: SealEvent,
    opened: Opened,
    predicate: Mapping[str, Any],
    expected: Mapping[str, Any],
    history: History,
    ledger_name: LedgerName,
    trust: Trust,
    findings: Findings,
) -> None:
    """Compare each thing that a statement says with what is recomputed."""
    row = seal.build
    if jcs(dict(expected)) != opened.payload:
        findings.fail(where, "statement", "the statement that follows from its own content", "another (subjects, content digest or members differ)")
    findings.equal(where, "payload type", IN_TOTO, opened.payload_type)
    _check_signature(where, opened, predicate, trust, findings)
    ref = artifact_ref("build", predicate["name"], digest_bytes(opened.payload))
    findings.equal(where, "ref", ref, row["ref"])
    findings.equal(where, "content digest", content_digest(predicate_content(predicate)), row["content_digest"])
    for member in ("name", "program", "approver"):
        findings.equal(where, member, predicate[member], row[member])
    findings.equal(where, "release run", predicate["run"], row["run_id"])
    _check_versions(where, seal, predicate, ref, ledger_name, findings)
    _check_place(where, seal, predicate, history, ledger_name, trust, findings)


def _parsed(opened: Opened) -> Mapping[str, Any]:
    said = strict_json(opened.payload)
    try:
        if not isinstance(said, dict) or jcs(said) != opened.payload:
            raise EnvelopeError("Expected a statement in canonical JSON (RFC 8785), found another text.")
    except (rfc8785.CanonicalizationError, TypeError) as error:
        raise EnvelopeError(f"Expected a statement in canonical JSON ({error}).") from None
    return said


def _check_signature(where: str, opened: Opened, predicate: Mapping[str, Any], trust: Trust, findings: Findings) -> None:
    findings.checked["signatures"] += 1
    signer = opened.signed_by(trust.keys)
    if signer is None:
        names = ", ".join(short_id(key) for key, _ in opened.signatures)
        findings.fail(where, "signature", trust.expected, f"none that is valid (it names {names})")
    else:
        findings.equal(where, "key named in the statement", signer.id, predicate["key"])


def _check_versions(where: str, seal: SealEvent, predicate: Mapping[str, Any], ref: str, ledger_name: LedgerName, findings: Findings) -> None:
    """Compare the manifest with what the release run's event says it read and made."""
    edges = [row.values for row in project(seal.body, seal.seq, ledger_name) if row.table is EdgeRow]
    read = sorted((edge["role"], edge["ref"], edge["producer_run"]) for edge in edges if edge["direction"] == "input" and edge["role"] != "program")
    sealed = sorted((entry["role"], entry["ref"], entry["run"]) for entry in predicate["artifacts"])
    for role, version, run in [entry for entry in sealed if entry not in read]:
        findings.fail(where, f"artifact {role} in the release event", f"{version} of run/{run}", "not what the event says")
    for role, version, run in [entry for entry in read if entry not in sealed]:
        findings.fail(where, f"artifact {role} in the seal", f"{version} of run/{run}", "not what the seal says")
    findings.equal(where, "output of the release event", [ref], [edge["ref"] for edge in edges if edge["direction"] == "output"])


def _check_place(
    where: str, seal: SealEvent, predicate: Mapping[str, Any], history: History, ledger_name: LedgerName, trust: Trust, findings: Findings
) -> None:
    """Compare the place that a seal names with where its event stands, and the root there with the recomputed one."""
    place = predicate["ledger"]
    origin = ledger_name.origin
    findings.equal(where, "ledger", origin, place["origin"])
    findings.equal(where, "position", place["position"], seal.seq)
    findings.equal(where, "position in the event", place["position"], seal.build["position"])
    root = history.roots.get(seal.seq)
    findings.equal(where, f"Merkle root over the first {place['position']} events", place["root"], _hex(root))
    check_note(where, predicate["checkpoint"], history, origin, trust, findings, size=seal.seq)


def check_note(where: str, text: str, history: History, origin: str, trust: Trust, findings: Findings, *, size: int) -> None:
    """Compare a stored signed note with the ledger of a size, and look at its signature."""
    try:
        note = checkpoint.parse(text)
    except CheckpointError as error:
        findings.fail(where, "checkpoint", "a canonical signed note", error)
        return
    findings.equal(where, "origin of the checkpoint", origin, note.origin)
    if findings.equal(where, "number of events in the checkpoint", size, note.size):
        findings.equal(where, "Merkle root in the checkpoint", note.root.hex(), _hex(history.roots.get(size)))
    _check_signed(where, note, trust, findings)


def _check_signed(where: str, note: Checkpoint, trust: Trust, findings: Findings) -> None:
    findings.checked["signatures"] += 1
    if note.signed_by(trust.keys) is None:
        findings.fail(where, "signature of the checkpoint", trust.expected, "none that is valid")


def _hex(root: bytes | None) -> str:
    return "none: an event is missing" if root is None else root.hex()
