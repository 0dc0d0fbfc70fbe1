"""Verification of seals, checkpoints, the ledger's head and exported attestations against the recomputed ledger."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rfc8785
from sqlalchemy import Connection, select

from tracecore.errors import UsageError
from tracecore_lineage.catalog.projection import project
from tracecore_lineage.crypto.envelope import IN_TOTO, EnvelopeError, Opened, open_envelope
from tracecore_lineage.crypto.keys import short_id
from tracecore_lineage.crypto.notes import Checkpoint, CheckpointError, parse
from tracecore_lineage.events.parse import BadEvent, strict_json
from tracecore_lineage.ledger.sql_tables import HEAD
from tracecore_lineage.model.findings import Findings
from tracecore_lineage.model.ledger_name import LedgerName
from tracecore_lineage.seal import seal
from tracecore_lineage.seal.attestations import judge, statements
from tracecore_lineage.seal.seal import content_digest, predicate_content, statement
from tracecore_lineage.verify.history import History, SealEvent
from tracecore_lineage.verify.trust import Trust, read_file
from tracecore_schemas.canonical import digest_bytes, jcs
from tracecore_schemas.refs import artifact_ref, parse_ref
from tracecore_schemas.sql_models import EdgeRow
from tracecore_schemas.strict_json import StrictJSONError, loads_strict
from tracecore_schemas.trace import Trace

__all__ = ["LedgerVerifier", "StoredHead", "check_attestations", "read_attestations", "stored_head"]

_PLACE = ("run", "ledger", "checkpoint", "sealed_at", "key")
_WHERE = "ledger/head"


@dataclass(frozen=True, slots=True)
class StoredHead:
    """Stored head of the ledger, unverified: `ids` of all rows of its table, and the values of the first row."""

    ids: tuple[int, ...]
    size: int
    root: str
    frontier: str
    checkpoint: str
    name: LedgerName

    @property
    def note(self) -> Checkpoint | None:
        """The stored head's checkpoint, parsed; None if it is invalid."""
        try:
            return parse(self.checkpoint)
        except CheckpointError:
            return None


def stored_head(connection: Connection) -> StoredHead:
    """Return the stored head of the ledger (size, root, subtrees, checkpoint, name), unverified; empty values if its row is missing."""
    rows = connection.execute(select(HEAD).order_by(HEAD.c.id)).all()
    ids = tuple(row.id for row in rows)
    if not rows:
        return StoredHead(ids, 0, "", "", "", LedgerName("", ""))
    row = rows[0]
    return StoredHead(ids, row.size, row.root, row.frontier, row.checkpoint, LedgerName(row.slug, row.ledger_id))


@dataclass(frozen=True, slots=True)
class LedgerVerifier:
    """Compares seals, checkpoints and the head with a recomputed ledger, and reports each difference in `findings`."""

    history: History
    ledger_name: LedgerName
    trust: Trust
    findings: Findings

    def check_kept_checkpoint(self, note: Checkpoint) -> None:
        """Report where the ledger doesn't extend a checkpoint kept elsewhere (the same events up to its size), or its signature is invalid."""
        where = "checkpoint"
        self.findings.equal(where, "origin", note.origin, self.ledger_name.origin)
        if note.size > self.history.size:
            what = "number of events (the ledger was truncated, or the checkpoint is of a fork of it)"
            self.findings.fail(where, what, f"{note.size} or more", self.history.size)
        else:
            what = f"Merkle root over the first {note.size} events (the ledger was rewritten, or the checkpoint is of a fork of it)"
            self.findings.equal(where, what, note.root.hex(), _hex(self.history.roots.get(note.size)))
        self._check_signed(where, note)

    def check_seal(self, seal: SealEvent) -> None:
        """Verify a build's seal and its event, and report failures: statement, signature, ref, ledger position, Merkle root, inputs, output."""
        where = seal.where
        try:
            opened = open_envelope(json.loads(seal.build["envelope"]))
            content = _parsed(opened)
            predicate = content["predicate"]
            expected = statement(predicate["name"], predicate_content(predicate), {key: predicate[key] for key in _PLACE})
        except (EnvelopeError, BadEvent) as error:
            self.findings.fail(where, "seal", "a canonical DSSE envelope around an in-toto statement of a build", error)
            return
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            self.findings.fail(where, "seal", "an in-toto statement of a build", f"{type(error).__name__}: {error}")
            return
        try:
            self._check_statement(seal, opened, predicate, expected)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            self.findings.fail(where, "seal", "a statement whose members are what docs/formats/build.md says", f"{type(error).__name__}: {error}")

    def _check_statement(self, seal: SealEvent, opened: Opened, predicate: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
        """Report members of a seal's statement that differ from recomputed values; `expected` is the statement rebuilt from its own content."""
        where, row = seal.where, seal.build
        if jcs(dict(expected)) != opened.payload:
            found = "another (subjects, content digest or members differ)"
            self.findings.fail(where, "statement", "the statement that follows from its own content", found)
        self.findings.equal(where, "payload type", IN_TOTO, opened.payload_type)
        self._check_signature(where, opened, predicate)
        ref = artifact_ref("build", predicate["name"], digest_bytes(opened.payload))
        self.findings.equal(where, "ref", ref, row["ref"])
        self.findings.equal(where, "content digest", content_digest(predicate_content(predicate)), row["content_digest"])
        for member in ("name", "program", "approver"):
            self.findings.equal(where, member, predicate[member], row[member])
        self.findings.equal(where, "release run", predicate["run"], row["run_id"])
        self._check_versions(seal, predicate, ref)
        self._check_place(seal, predicate)

    def _check_signature(self, where: str, opened: Opened, predicate: Mapping[str, Any]) -> None:
        self.findings.checked["signatures"] += 1
        signer = opened.signed_by(self.trust.keys)
        if signer is None:
            names = ", ".join(short_id(key) for key, _ in opened.signatures)
            self.findings.fail(where, "signature", self.trust.expected, f"none that is valid (it names {names})")
        else:
            self.findings.equal(where, "key named in the statement", signer.id, predicate["key"])

    def _check_versions(self, seal: SealEvent, predicate: Mapping[str, Any], ref: str) -> None:
        """Report sealed artifacts that differ from the release event's inputs, and a build that differs from the event's output."""
        where = seal.where
        edges = [row.values for row in project(seal.body, seal.seq, self.ledger_name) if row.table is EdgeRow]
        inputs = [edge for edge in edges if edge["direction"] == "input" and edge["role"] != "program"]
        read = sorted((edge["role"], edge["ref"], edge["producer_run"]) for edge in inputs)
        sealed = sorted((entry["role"], entry["ref"], entry["run"]) for entry in predicate["artifacts"])
        for role, version, run in [entry for entry in sealed if entry not in read]:
            self.findings.fail(where, f"artifact {role} in the release event", f"{version} of run/{run}", "not what the event says")
        for role, version, run in [entry for entry in read if entry not in sealed]:
            self.findings.fail(where, f"artifact {role} in the seal", f"{version} of run/{run}", "not what the seal says")
        self.findings.equal(where, "output of the release event", [ref], [edge["ref"] for edge in edges if edge["direction"] == "output"])

    def _check_place(self, seal: SealEvent, predicate: Mapping[str, Any]) -> None:
        """Report where a seal's ledger name, position, Merkle root or checkpoint differs from the recomputed ledger."""
        where, place = seal.where, predicate["ledger"]
        self.findings.equal(where, "ledger", self.ledger_name.origin, place["origin"])
        self.findings.equal(where, "position", place["position"], seal.seq)
        self.findings.equal(where, "position in the event", place["position"], seal.build["position"])
        root = self.history.roots.get(seal.seq)
        self.findings.equal(where, f"Merkle root over the first {place['position']} events", place["root"], _hex(root))
        self._check_note(where, predicate["checkpoint"], seal.seq)

    def _check_note(self, where: str, text: str, size: int) -> None:
        """Report if a stored checkpoint (`text`) differs from the recomputed ledger at `size` events or has no valid signature."""
        try:
            note = parse(text)
        except CheckpointError as error:
            self.findings.fail(where, "checkpoint", "a canonical signed note", error)
            return
        self.findings.equal(where, "origin of the checkpoint", self.ledger_name.origin, note.origin)
        if self.findings.equal(where, "number of events in the checkpoint", size, note.size):
            self.findings.equal(where, "Merkle root in the checkpoint", note.root.hex(), _hex(self.history.roots.get(size)))
        self._check_signed(where, note)

    def _check_signed(self, where: str, note: Checkpoint) -> None:
        self.findings.checked["signatures"] += 1
        if note.signed_by(self.trust.keys) is None:
            self.findings.fail(where, "signature of the checkpoint", self.trust.expected, "none that is valid")

    def check_head(self, head: StoredHead) -> None:
        """Report where the stored head differs from the recomputed ledger: name, number of events, Merkle root, subtrees and checkpoint."""
        rows = ", ".join(f"row {each}" for each in head.ids) or "none"
        self.findings.equal(_WHERE, "rows of the head", "row 1", rows)
        self.findings.equal(_WHERE, "ledger", self.ledger_name, head.name)
        self.findings.equal("event/0", "the ledger that the first event begins", self.ledger_name, self.history.begun)
        self.findings.equal(_WHERE, "number of events", head.size, self.history.size)
        if self.findings.equal(_WHERE, "Merkle root", head.root, self.history.frontier.root().hex()):
            subtrees = json.dumps([subtree.hex() for subtree in self.history.frontier.hashes])
            if head.frontier != subtrees:
                self.findings.fail(_WHERE, "stored subtrees", "those of the recomputed tree", "others")
        self._check_note(_WHERE, head.checkpoint, self.history.size)


def _parsed(opened: Opened) -> Mapping[str, Any]:
    content = strict_json(opened.payload)
    try:
        if not isinstance(content, dict) or jcs(content) != opened.payload:
            raise EnvelopeError("Expected a statement in canonical JSON (RFC 8785), found another text.")
    except (rfc8785.CanonicalizationError, TypeError) as error:
        raise EnvelopeError(f"Expected a statement in canonical JSON ({error}).") from None
    return content


def _hex(root: bytes | None) -> str:
    return "none: an event is missing" if root is None else root.hex()


def read_attestations(path: Path) -> list[dict[str, Any]]:
    """Return the envelopes in a file of attestations, one JSON object per line; UsageError if it can't be read or a line is not an object."""
    found: list[dict[str, Any]] = []
    for number, line in enumerate(read_file(path, "attestations").splitlines(), start=1):
        try:
            envelope = loads_strict(line)
        except StrictJSONError as error:
            raise UsageError(f"{path}:{number} is not JSON: {error}") from None
        if not isinstance(envelope, dict):
            raise UsageError(f"{path}:{number} is not an envelope: expected what 'tracecore export BUILD --format slsa' writes, one a line.")
        found.append(envelope)
    return found


def check_attestations(envelopes: list[dict[str, Any]], connection: Connection, trace: Trace, trust: Trust, findings: Findings) -> None:
    """Report how attestations in DSSE envelopes differ from those recomputed for the traced build; UsageError if the trace is not a build's."""
    root = trace["root"]
    sealed = seal.sealed_build(connection, parse_ref(root).segments[0]) if root.startswith("build/") else None
    if sealed is None:
        raise UsageError(f"{root} is not a build: name the build that the attestations are about.")
    findings.checked["signatures"] += len(envelopes)
    for problem in judge(envelopes, statements(connection, sealed, trace), trust.keys):
        findings.fail(root.partition("@")[0], problem.what, problem.expected, problem.found)
