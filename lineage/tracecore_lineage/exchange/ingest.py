"""Ingestion of other producers' OpenLineage events: validated, and durable on return; duplicates are not recorded again."""

from __future__ import annotations

import codecs
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import rfc8785
from sqlalchemy import Connection, Table

from tracecore_lineage.catalog.current_state import believed_runs
from tracecore_lineage.catalog.projection import Row, project
from tracecore_lineage.catalog.recorder import RecordWriter
from tracecore_lineage.events.parse import BadEvent, parse_event
from tracecore_lineage.ledger import ledger
from tracecore_lineage.ledger.sql_tables import table
from tracecore_lineage.model.ledger_name import LedgerName
from tracecore_schemas.canonical import jcs

_LONGEST = 2_500
"""Maximum bytes of text in one PostgreSQL index entry (limit 2,704, a third of a page, minus overhead)."""

__all__ = ["Ingested", "Refused", "checked", "ingest"]


@dataclass(frozen=True, slots=True)
class Refused:
    """A refused event: its index among the given events, and the reason."""

    index: int
    reason: str


@dataclass(frozen=True, slots=True)
class Ingested:
    """Result of an ingestion: `recorded` and `known` count events new to the ledger and already in it, byte for byte."""

    recorded: int
    known: int
    refused: tuple[Refused, ...]


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A valid event: its index among the given events, exact bytes, run id, and whether its producer is the workspace's own ledger."""

    index: int
    body: bytes
    run: str | None
    own: bool


def ingest(recorder: RecordWriter, events: Iterable[bytes | str | Mapping[str, Any]], *, whole: bool = False) -> Ingested:
    """Record OpenLineage events of other producers durably; return counts and refused events. With `whole`, record none if one is refused."""
    good, refused = checked(events, recorder.ledger)
    if not good or (whole and refused):
        return Ingested(0, 0, tuple(refused))

    def work(connection: Connection) -> tuple[list[ledger.Appended], list[Refused]]:
        known = ledger.places(connection, [ledger.event_id(candidate.body) for candidate in good])
        believed = believed_runs(connection, {candidate.run for candidate in good if candidate.run is not None})
        bodies, strangers = _accepted(good, known, believed)
        return recorder.append(connection, [] if whole and strangers else bodies), strangers

    appended, strangers = recorder.commit(work)
    new = sum(place.new for place in appended)
    return Ingested(new, len(appended) - new, tuple(sorted((*refused, *strangers), key=lambda refusal: refusal.index)))


def checked(events: Iterable[bytes | str | Mapping[str, Any]], own: LedgerName) -> tuple[list[_Candidate], list[Refused]]:
    """Validate events of other producers; return (valid events, refused events with reasons). `own` is the workspace's ledger."""
    good: list[_Candidate] = []
    refused: list[Refused] = []
    for index, event in enumerate(events):
        try:
            body = _bytes(event)
            parsed = parse_event(body)
            _refuse_unkeepable(project(body, 0, own))
        except BadEvent as error:
            refused.append(Refused(index, str(error)))
        else:
            good.append(_Candidate(index, body, parsed.run_id, parsed.members["producer"] == own.producer))
    return good, refused


def _accepted(good: Sequence[_Candidate], known: Mapping[str, int], believed: Collection[str]) -> tuple[list[bytes], list[Refused]]:
    """Return (bodies to append, refused events). An event that is not in the ledger is refused if it claims this ledger or a run in `believed`.

    `known` has the ids of events already in the ledger, `believed` the ids of own and imported runs.
    """
    bodies: list[bytes] = []
    refused: list[Refused] = []
    for candidate in good:
        if ledger.event_id(candidate.body) in known:
            bodies.append(candidate.body)
        elif candidate.own:
            reason = "producer: expected one that is not this ledger: its events are recorded by tracecore itself, and this one never was"
            refused.append(Refused(candidate.index, reason))
        elif candidate.run in believed:
            reason = f"run.runId: {candidate.run} is a run of this workspace's own, or one that it imported, which only tracecore itself can end"
            refused.append(Refused(candidate.index, reason))
        else:
            bodies.append(candidate.body)
    return bodies, refused


def _refuse_unkeepable(rows: Iterable[Row]) -> None:
    """Raise BadEvent if names in a catalog row are too long for a PostgreSQL index; also on SQLite, so that all databases accept the same events."""
    for row in rows:
        for keys in _found_by(table(row.table)):
            sizes = {key: len(value.encode()) for key in keys if isinstance(value := row.values.get(key), str)}
            if sum(sizes.values()) > _LONGEST:
                longest = max(sizes, key=lambda key: sizes[key])
                raise BadEvent(f"{longest}: expected names of at most {_LONGEST} bytes in UTF-8, found one of {sizes[longest]}")


@cache
def _found_by(kept: Table) -> tuple[tuple[str, ...], ...]:
    """Return the column names of each index of a table, one tuple per index, the primary key's first."""
    return (tuple(column.name for column in kept.primary_key), *(tuple(column.name for column in index.columns) for index in kept.indexes))


def _bytes(event: bytes | str | Mapping[str, Any]) -> bytes:
    if isinstance(event, bytes):
        return event.removeprefix(codecs.BOM_UTF8)  # an encoding marker, not part of the text
    try:
        if isinstance(event, str):
            return event.removeprefix("\ufeff").encode()
        return jcs(dict(event))
    except (rfc8785.CanonicalizationError, UnicodeEncodeError, TypeError, ValueError) as error:
        raise BadEvent(f"expected an event that JSON can hold ({error})") from None
