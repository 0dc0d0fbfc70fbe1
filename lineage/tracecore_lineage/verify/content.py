"""Verification of stored bytes by digest, and of the tombstones that excuse missing bytes."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection

from tracecore.errors import TracecoreError
from tracecore.store import Store, StoreFailure
from tracecore.store.protocol import ErasedFile
from tracecore_lineage.catalog.tombstones import Tombstones, read_erasure, remade, statement
from tracecore_lineage.crypto.envelope import IN_TOTO, EnvelopeError, open_envelope
from tracecore_lineage.crypto.keys import short_id
from tracecore_lineage.model.erasure import JOBS, Erasure
from tracecore_lineage.model.findings import Findings, Progress
from tracecore_lineage.model.ledger_name import LedgerName
from tracecore_lineage.verify.history import ErasureEvent, History
from tracecore_lineage.verify.trust import Trust
from tracecore_schemas.canonical import jcs
from tracecore_schemas.run import Artifact, DeltaVersion

__all__ = ["check_content", "check_sources", "erased_on_purpose", "report_erased"]

_FORM = "a tombstone as docs/formats/tombstone.md says"


def erased_on_purpose(connection: Connection, own: LedgerName, history: History, trust: Trust, findings: Findings) -> Tombstones:
    """Return the valid tombstones (erasures that excuse missing bytes), and report invalid and unfinished ones. Verify the catalog first."""
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
    """Return the erasure that an event of the ledger records, or None after reporting that it is invalid."""
    where = f"run/{event.run}"
    try:
        erasure = read_erasure(event.facet, event.seq)
        declared = (erasure.run, f"tracecore.{erasure.what}", "COMPLETE" if erasure.done else "START")
        if event.job not in JOBS or not findings.equal(where, "tombstone's run, job and event", (event.run, event.job, event.type), declared):
            return None
        if erasure.done and not _signed(where, erasure, event.facet["envelope"], trust, findings):
            return None
    except (EnvelopeError, ValueError, KeyError, TypeError, AttributeError) as error:
        findings.fail(where, "tombstone", _FORM, f"{type(error).__name__}: {error}")
        return None
    return erasure


def _signed(where: str, erasure: Erasure, envelope: dict[str, Any], trust: Trust, findings: Findings) -> bool:
    """Whether an envelope has a trusted key's signature over an erasure's tombstone statement; if not, the difference is reported."""
    opened = open_envelope(envelope)
    findings.checked["signatures"] += 1
    signer = opened.signed_by(trust.keys)
    if signer is None:
        names = ", ".join(short_id(key) for key, _ in opened.signatures)
        findings.fail(where, "tombstone's signature", trust.expected, f"none that is valid (it names {names})")
        return False
    if not findings.equal(where, "tombstone's payload type", IN_TOTO, opened.payload_type):
        return False
    if jcs(statement(erasure, signer.id)) != opened.payload:
        findings.fail(where, "tombstone", "the statement that follows from its own members", "another")
        return False
    return True


def report_erased(artifacts: Sequence[Artifact], known: Tombstones, findings: Findings) -> None:
    """Add the erased files of these versions to `findings.erased`, with the reason and the run of each erasure."""
    for artifact in artifacts:
        for erasure, erased in known.of(artifact):
            what = f"{len(erased.files)} file{'' if len(erased.files) == 1 else 's'}, {erased.size_bytes} bytes"
            findings.erased.append({"ref": artifact.ref, "what": what, "why": erasure.why, "by": f"run/{erasure.run}"})


def check_content(store: Store, artifacts: Sequence[Artifact], findings: Findings, progress: Progress | None, known: Tombstones) -> None:
    """Verify the digests of stored versions in parallel, and report each differing file in the order of `artifacts`.

    A version stored at two places is listed twice. Files in the tombstones `known` may be missing.
    """
    failures: dict[int, list[StoreFailure]] = {}
    tables: dict[str, set[DeltaVersion]] = {}
    for artifact in artifacts:
        if artifact.delta is not None:
            tables.setdefault(str(artifact.location), set()).add(artifact.delta)
    # Hashing releases the GIL, so threads run in parallel.
    with ThreadPoolExecutor(max_workers=min(8, (os.cpu_count() or 1) + 1)) as pool:
        logs = dict(zip(tables, pool.map(lambda table: _verify_log(store, table, tables[table], known.commits(table)), tables), strict=True))
        running = {
            pool.submit(
                _verify, store, artifact, known.gone(artifact), logs[str(artifact.location)][artifact.delta] if artifact.delta else None
            ): place
            for place, artifact in enumerate(artifacts)
        }
        for done, future in enumerate(as_completed(running), start=1):
            place = running[future]
            failures[place] = future.result()
            if progress is not None:
                progress(done, len(artifacts), artifacts[place].ref)
    findings.checked["artifacts"] += len({artifact.ref for artifact in artifacts})
    for place, artifact in enumerate(artifacts):
        for failure in failures[place]:
            findings.fail(artifact.ref, failure.what, failure.expected, failure.found)
        erased_files = {gone.path: gone.size_bytes for gone in known.gone(artifact) if gone.left is None}  # each file once
        findings.checked["bytes"] += (artifact.size_bytes or 0) - sum(erased_files.values())
    report_erased(artifacts, known, findings)


def check_sources(store: Store, sources: Sequence[Artifact], findings: Findings) -> None:
    """Verify the digests of plugins' source files, and report those that differ; they are not counted as versions or bytes checked."""
    for source in sources:
        for failure in _verify(store, source, (), None):
            findings.fail(source.ref, failure.what, failure.expected, failure.found)


def _verify_log(
    store: Store, table: str, versions: Collection[DeltaVersion], gone: Sequence[ErasedFile]
) -> Mapping[DeltaVersion, Sequence[StoreFailure] | None]:
    """Verify a Delta table's log once for all its versions; return {version: failures}, with None as values if the log can't be read."""
    try:
        return store.verify_log(table, versions, gone)
    except (TracecoreError, OSError, ValueError, KeyError):
        return dict.fromkeys(versions)


def _verify(store: Store, artifact: Artifact, gone: Sequence[ErasedFile], log: Sequence[StoreFailure] | None) -> list[StoreFailure]:
    try:
        return store.verify(artifact, gone, log=log)
    except (TracecoreError, OSError, ValueError, KeyError) as error:
        return [StoreFailure(str(artifact.location), "bytes that can be read", f"{type(error).__name__}: {error}")]
