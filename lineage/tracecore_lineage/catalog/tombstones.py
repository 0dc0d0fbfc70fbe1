"""Tombstones: what was deliberately erased and why, read from the workspace's own events.

An erasure is a run of job `tracecore.consent_withdraw` or `tracecore.prune`. Its START lists what will be erased; from then on none of it can be
read. Its COMPLETE lists what was erased, in a signed statement (docs/formats/tombstone.md); only that excuses missing bytes.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from sqlalchemy import Connection, select

from tracecore.running.erasure_filter import ErasureFilter
from tracecore.store.protocol import ErasedFile
from tracecore_lineage.crypto.envelope import EnvelopeError, open_envelope, statement_about
from tracecore_lineage.ledger.sql_tables import FACETS, RUN_EVENTS, recorded_by, select_in
from tracecore_lineage.model.erasure import JOBS, PREDICATE, WITHDRAWAL, Erased, Erasure
from tracecore_lineage.model.ledger_name import LedgerName
from tracecore_schemas.kinds import Media
from tracecore_schemas.run import Artifact

__all__ = ["Tombstones", "made_since", "read_erasure", "readable", "remade", "statement", "tombstones", "withdrawn"]

FACET = "tracecore_erasure"


def statement(erasure: Erasure, key: str) -> dict[str, Any]:
    """Return the in-toto Statement of a completed erasure about the erased versions; `key` is the id of the key that will sign it."""
    return statement_about((version.ref for version in erasure.versions), PREDICATE, {**erasure.document(), "key": key})


def read_erasure(facet: Mapping[str, Any], seq: int) -> Erasure:
    """Parse an erasure from the run facet of its START (a plan) or COMPLETE (a signed envelope) at position `seq`, without verifying signatures.

    Raises EnvelopeError if the envelope can't be read; ValueError, KeyError or TypeError if a member is missing or of another type.
    """
    envelope = facet.get("envelope")
    content = json.loads(open_envelope(envelope).payload)["predicate"] if envelope is not None else facet["plan"]
    return Erasure(
        run=str(content["run"]),
        what=str(content["what"]),
        reason=str(content["reason"]),
        at=str(content["at"]),
        seq=seq,
        done=envelope is not None,
        drives=tuple(map(str, content["drives"])),
        withdrawn=tuple(map(str, content["withdrawn"])),
        people=tuple(map(str, content["people"])),
        builds=tuple(map(str, content["builds"])),
        versions=tuple(_version(each) for each in content["versions"]),
        commits=tuple(ErasedFile(str(each["path"]), str(each["digest"]), int(each["size_bytes"]), None, each["left"]) for each in content["commits"]),
        envelope=envelope,
    )


def _version(part: Mapping[str, Any]) -> Erased:
    """Return the erased version (ref, location, files) that the JSON object `part` of an erasure describes."""
    files = tuple(ErasedFile(str(file["path"]), str(file["digest"]), int(file["size_bytes"]), file["rows"], file["left"]) for file in part["files"])
    return Erased(str(part["ref"]), str(part["location"]), part["version"], files)


@dataclass(frozen=True)
class Tombstones:
    """The workspace's erasures, planned and done, oldest first.

    Attributes:
        erasures: one per run.
        remade: by (ref, location), the last position at which an event states that the bytes are there.
        brought: Delta commits that other workspaces rewrote before the table was imported, by their paths here.
    """

    erasures: tuple[Erasure, ...] = ()
    remade: Mapping[tuple[str, str], int] = field(default_factory=dict)
    brought: tuple[ErasedFile, ...] = ()

    @cached_property
    def _by_place(self) -> Mapping[tuple[str, str, int | None], list[tuple[Erasure, Erased]]]:
        found: dict[tuple[str, str, int | None], list[tuple[Erasure, Erased]]] = {}
        for erasure in self.erasures:
            for erased in erasure.versions:
                found.setdefault((erased.ref, erased.location, erased.version), []).append((erasure, erased))
        return found

    @cached_property
    def _by_table(self) -> Mapping[str, list[ErasedFile]]:
        found: dict[str, list[ErasedFile]] = {}
        for commit in (*self.brought, *(commit for erasure in self.erasures if erasure.done for commit in erasure.commits)):
            found.setdefault(commit.table, []).append(commit)
        return found

    def of(self, artifact: Artifact) -> list[tuple[Erasure, Erased]]:
        """Return (erasure, the version's erased files) of each erasure of a version that was not stored at its location again since, oldest first."""
        version = None if artifact.delta is None else artifact.delta.version
        erasures = self._by_place.get((artifact.ref, str(artifact.location), version), ())
        # A Delta version is never written again: a new write gets another number.
        remade = -1 if artifact.media is Media.DELTA else self.remade.get((artifact.ref, str(artifact.location)), -1)
        return [(erasure, erased) for erasure, erased in erasures if remade <= erasure.seq]

    def gone(self, artifact: Artifact) -> tuple[ErasedFile, ...]:
        """Return the files of a version that completed erasures removed and that were not written again."""
        return tuple(file for erasure, erased in self.of(artifact) if erasure.done for file in erased.files)

    def commits(self, table: str) -> Sequence[ErasedFile]:
        """Return the commits of a Delta table (store path) that completed erasures rewrote, oldest first."""
        return self._by_table.get(table, ())

    def unreadable(self, artifact: Artifact) -> Erasure | None:
        """Return the latest erasure, planned or completed, that makes a version unreadable; None if the version is readable."""
        erasures = self.of(artifact)
        return erasures[-1][0] if erasures else None

    def sentence(self, artifact: Artifact) -> str | None:
        """Return a sentence that states when and why a version was erased; None if the version is readable."""
        erasure = self.unreadable(artifact)
        return None if erasure is None else f"{artifact.ref} was erased on {erasure.day}: {erasure.why}."

    @property
    def unfinished(self) -> list[Erasure]:
        """Erasures that are planned (their START is recorded) but have not completed."""
        return [erasure for erasure in self.erasures if not erasure.done]

    def withdrawn(self) -> ErasureFilter:
        """Return the files and drives whose consent was withdrawn; they must not be ingested again."""
        files: dict[str, str] = {}
        drives: dict[str, str] = {}
        for erasure in self.erasures:
            if erasure.what == WITHDRAWAL:
                why = f"consent was withdrawn on {erasure.day}: {erasure.reason}."
                files |= dict.fromkeys(erasure.withdrawn, why)
                drives |= dict.fromkeys(erasure.drives, why)
        return ErasureFilter(files, drives)


def tombstones(connection: Connection, own: LedgerName, *, refs: Iterable[str] | None = None) -> Tombstones:
    """Return the erasures in the workspace's own ledger; with `refs`, only those that affect these versions."""
    wanted = None if refs is None else set(refs)
    listed = _erasures(connection, own, JOBS, wanted)
    return Tombstones(listed, remade(connection, own, listed, wanted))


def withdrawn(connection: Connection, own: LedgerName) -> ErasureFilter:
    """Return files and drives whose consent was withdrawn, which must not be ingested again; files erased by pruning are not included."""
    return Tombstones(_erasures(connection, own, {f"tracecore.{WITHDRAWAL}"}, None)).withdrawn()


def _erasures(connection: Connection, own: LedgerName, jobs: Collection[str], wanted: Collection[str] | None) -> tuple[Erasure, ...]:
    """Return the erasures recorded by runs of `jobs`, oldest first, without invalid ones; only those that affect versions in `wanted`, if given."""
    query = (
        select(FACETS.c.subject, FACETS.c.value, FACETS.c.seq, RUN_EVENTS.c.event_type)
        .join(RUN_EVENTS, RUN_EVENTS.c.event_id == FACETS.c.event_id)
        .where(FACETS.c.name == FACET, recorded_by(own), RUN_EVENTS.c.job_name.in_(sorted(jobs)))
        .order_by(FACETS.c.seq)
    )
    if wanted is None:
        rows: list[Any] = list(connection.execute(query))
    else:  # an erasure adds a tombstone facet to each affected version
        erasing = select(RUN_EVENTS.c.run_id).join(FACETS, FACETS.c.event_id == RUN_EVENTS.c.event_id).where(FACETS.c.name == "tracecore_tombstone")
        subjects = {f"run:{row.run_id}" for row in select_in(connection, erasing, FACETS.c.subject, wanted)}
        rows = sorted(select_in(connection, query, FACETS.c.subject, subjects), key=lambda row: int(row.seq))
    found: dict[str, Erasure] = {}
    for row in rows:
        try:
            erasure = read_erasure(json.loads(row.value), row.seq)
        except (EnvelopeError, ValueError, KeyError, TypeError):
            continue  # `verify` reports it; it excuses nothing
        if row.subject == f"run:{erasure.run}" and (row.event_type == "COMPLETE") == erasure.done:
            previous = found.get(erasure.run)
            found[erasure.run] = erasure if previous is None else _joined(previous, erasure)
    return tuple(found.values())


def _joined(promised: Erasure, done: Erasure) -> Erasure:
    """Return the completed erasure `done` with the position of its START (`promised`), so that versions recorded after it count as rewritten."""
    if promised.done or not done.done:
        return promised
    return replace(done, seq=min(promised.seq, done.seq))


def remade(connection: Connection, own: LedgerName, erasures: Sequence[Erasure], refs: Iterable[str] | None = None) -> dict[tuple[str, str], int]:
    """Return, by (ref, location) of erased versions (only `refs`, if given), the position of the last event of this ledger with that location."""
    erased = {version.ref for erasure in erasures for version in erasure.versions}
    found: dict[tuple[str, str], int] = {}
    query = (
        select(FACETS.c.subject, FACETS.c.value, FACETS.c.seq)
        .join(RUN_EVENTS, RUN_EVENTS.c.event_id == FACETS.c.event_id)
        .where(FACETS.c.name == "tracecore_artifact", recorded_by(own))
    )
    for row in select_in(connection, query, FACETS.c.subject, erased if refs is None else erased.intersection(refs)):
        place = (row.subject, str(json.loads(row.value).get("location")))
        found[place] = max(found.get(place, -1), row.seq)
    return found


def made_since(connection: Connection, own: LedgerName, seq: int) -> set[str]:
    """Return the store paths of the artifacts, except Delta tables, that this workspace's events after ledger position `seq` record."""
    query = (
        select(FACETS.c.value)
        .join(RUN_EVENTS, RUN_EVENTS.c.event_id == FACETS.c.event_id)
        .where(FACETS.c.name == "tracecore_artifact", FACETS.c.seq > seq, recorded_by(own))
    )
    artifacts = [json.loads(value) for value in connection.execute(query).scalars()]
    return {str(each["location"]) for each in artifacts if each.get("location") is not None and each.get("media") != Media.DELTA.value}


def readable(connection: Connection, own: LedgerName, artifacts: Sequence[Artifact]) -> list[Artifact]:
    """Return those of `artifacts` that no erasure, planned or completed, makes unreadable."""
    known = tombstones(connection, own, refs=[artifact.ref for artifact in artifacts])
    return [artifact for artifact in artifacts if known.unreadable(artifact) is None] if known.erasures else list(artifacts)
