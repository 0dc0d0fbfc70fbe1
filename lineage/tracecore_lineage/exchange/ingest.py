"""Taking events from other OpenLineage producers: checked, durable when answered, and the same answer for a duplicate."""

from __future__ import annotations

import codecs
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import rfc8785
from sqlalchemy import Table

from tracecore_lineage.catalog.projection import Row, project
from tracecore_lineage.events.parse import BadEvent, parse_event
from tracecore_lineage.ledger import ledger
from tracecore_lineage.ledger.sql_tables import table
from tracecore_lineage.model.ledger_name import LedgerName
from tracecore_schemas.canonical import jcs

_LONGEST = 2_500
"""Bytes of what one index entry of PostgreSQL may hold, less what else stands in it: 2,704 at a third of its pages."""

__all__ = ["Candidate", "Ingested", "Refused", "checked", "take"]


@dataclass(frozen=True, slots=True)
class Refused:
    """An event that was not taken: its place among those handed in, and why."""

    index: int
    reason: str


@dataclass(frozen=True, slots=True)
class Ingested:
    """What became of events handed in.

    Attributes:
        recorded: number of events that are new in the ledger.
        known: number of events that had been recorded before, byte for byte.
        refused: the others.
    """

    recorded: int
    known: int
    refused: tuple[Refused, ...]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A good event: its place among those handed in, its exact bytes, its run, and whether it carries the id of the workspace's own ledger."""

    index: int
    body: bytes
    run: str | None
    own: bool


def checked(events: Iterable[bytes | str | Mapping[str, Any]], own: LedgerName) -> tuple[list[Candidate], list[Refused]]:
    """Tell good events from bad ones.

    Args:
        events: exact bytes (or text) as they were received, or parsed objects, whose canonical JSON is then recorded.
        own: the workspace's own ledger.
    """
    good: list[Candidate] = []
    refused: list[Refused] = []
    for index, event in enumerate(events):
        try:
            body = _bytes(event)
            parsed = parse_event(body)
            _refuse_unkeepable(project(body, 0, own))
        except BadEvent as error:
            refused.append(Refused(index, str(error)))
        else:
            good.append(Candidate(index, body, parsed.run_id, parsed.members["producer"] == own.producer))
    return good, refused


def take(good: Sequence[Candidate], known: Mapping[str, int], believed: Collection[str]) -> tuple[list[bytes], list[Refused]]:
    """Choose what is appended: what carries this ledger's id, or is of a run of this workspace's, is taken only where it is recorded already."""
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
    """Refuse names that an index of PostgreSQL can't hold, whichever database this record is in: the same events are good in each."""
    for row in rows:
        for keys in _found_by(table(row.table)):
            sizes = {key: len(value.encode()) for key in keys if isinstance(value := row.values.get(key), str)}
            if sum(sizes.values()) > _LONGEST:
                longest = max(sizes, key=lambda key: sizes[key])
                raise BadEvent(f"{longest}: expected names of at most {_LONGEST} bytes in UTF-8, found one of {sizes[longest]}")


@cache
def _found_by(kept: Table) -> tuple[tuple[str, ...], ...]:
    """Return the columns of each index of a table."""
    return (tuple(column.name for column in kept.primary_key), *(tuple(column.name for column in index.columns) for index in kept.indexes))


def _bytes(event: bytes | str | Mapping[str, Any]) -> bytes:
    if isinstance(event, bytes):
        return event.removeprefix(codecs.BOM_UTF8)  # says how the text is encoded, and is no part of it
    try:
        if isinstance(event, str):
            return event.removeprefix("\ufeff").encode()
        return jcs(dict(event))
    except (rfc8785.CanonicalizationError, UnicodeEncodeError, TypeError, ValueError) as error:
        raise BadEvent(f"expected an event that JSON can hold ({error})") from None
