"""What is gone on purpose: tombstones recomputed from the ledger, their signatures judged, and only then taken as an excuse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection

from tracecore_lineage.ledger_name import LedgerName
from tracecore_lineage.retention.tombstones import JOBS, Erasure, Tombstones, read_erasure, remade, statement
from tracecore_lineage.sealing.envelope import IN_TOTO, EnvelopeError, open_envelope
from tracecore_lineage.sealing.keys import short_id
from tracecore_lineage.verification.findings import Findings
from tracecore_lineage.verification.history import ErasureEvent, History
from tracecore_lineage.verification.trust import Trust
from tracecore_schemas.canonical import jcs
from tracecore_schemas.run import Artifact

__all__ = ["erased_on_purpose", "tell_erased"]

_FORM = "a tombstone as docs/formats/tombstone.md says"


def erased_on_purpose(connection: Connection, own: LedgerName, history: History, trust: Trust, findings: Findings) -> Tombstones:
    """Give the tombstones that excuse what is gone; a tombstone that isn't what it should be is a failure and excuses nothing.

    Args:
        connection: to a catalog that says what the ledger says.
        own: the workspace's own ledger.
        history: the ledger, recomputed.
        trust: the keys that are believed.
        findings: gets what is wrong.
    """
    promised: dict[str, int] = {}
    done: dict[str, Erasure] = {}
    for event in history.erasures:
        erasure = _judged(event, trust, findings)
        if erasure is None:
            continue
        if erasure.done:
            done.setdefault(erasure.run, erasure)
        else:
            promised.setdefault(erasure.run, event.seq)
    found = tuple(replace(erasure, seq=min(promised.get(run, erasure.seq), erasure.seq)) for run, erasure in done.items())
    for run in promised.keys() - done.keys():
        findings.fail(f"run/{run}", "erasure", "an end: 'tracecore recover' carries it out", "a promise that was not kept yet")
    return Tombstones(found, remade(connection, own, found))


def _judged(event: ErasureEvent, trust: Trust, findings: Findings) -> Erasure | None:
    where = f"run/{event.run}"
    try:
        erasure = read_erasure(event.facet, event.seq)
        said = (erasure.run, f"tracecore.{erasure.what}", "COMPLETE" if erasure.done else "START")
        if event.job not in JOBS or not findings.equal(where, "tombstone's run, job and event", (event.run, event.job, event.type), said):
            return None
        if erasure.done and not _signed(where, erasure, event.facet["envelope"], trust, findings):
            return None
    except (EnvelopeError, ValueError, KeyError, TypeError, AttributeError) as error:
        findings.fail(where, "tombstone", _FORM, f"{type(error).__name__}: {error}")
        return None
    return erasure


def _signed(where: str, erasure: Erasure, envelope: dict[str, Any], trust: Trust, findings: Findings) -> bool:
    opened = open_envelope(envelope)
    findings.checked["signatures"] += 1
    signer = opened.signed_by(trust.keys)
    if signer is None:
        findings.fail(
            where,
            "tombstone's signature",
            trust.expected,
            f"none that is valid (it names {', '.join(short_id(key) for key, _ in opened.signatures)})",
        )
        return False
    return findings.equal(where, "tombstone's payload type", IN_TOTO, opened.payload_type) and findings.equal(
        where, "tombstone", "the statement that follows from its own members", _same(jcs(statement(erasure, signer.id)) == opened.payload)
    )


def _same(agrees: bool) -> str:  # the one thing it turns into words
    return "the statement that follows from its own members" if agrees else "another"


def tell_erased(artifacts: Sequence[Artifact], known: Tombstones, findings: Findings) -> None:
    """List what is gone of the verified versions, with why and by which run."""
    for artifact in artifacts:
        for erasure, erased in known.of(artifact):
            what = f"{len(erased.files)} file{'' if len(erased.files) == 1 else 's'}, {erased.size_bytes} bytes"
            findings.erased.append({"ref": artifact.ref, "what": what, "why": erasure.why, "by": f"run/{erasure.run}"})
