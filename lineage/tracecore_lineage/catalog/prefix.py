"""Prefixes of the ledger, from which questions are answered, and shared query helpers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, select

from tracecore.errors import UsageError
from tracecore_lineage.ledger import ledger
from tracecore_lineage.ledger.sql_tables import EVENTS
from tracecore_schemas.refs import RefError

__all__ = ["Prefix", "head", "prefix_at", "readable_catalog", "recorded_at", "select_in"]

_CHUNK = 2_000  # bound parameters per IN: below SQLite's and PostgreSQL's limits


@dataclass(frozen=True, slots=True)
class Prefix:
    """A prefix of the ledger: the events with `seq` < `bound`.

    Answers show `position`: the ledger's size or, for a build, the size before its release run's COMPLETE, which the prefix includes.
    """

    bound: int
    position: int


def select_in(connection: Connection, query: Select[Any], column: ColumnElement[Any], values: Iterable[Any]) -> Iterator[Row[Any]]:
    """Yield the rows of a query whose column has one of these values. Any number of values: they are sorted and queried in chunks."""
    listed = sorted(set(values))
    for start in range(0, len(listed), _CHUNK):
        # fetched at once: fetching row by row is slower
        yield from connection.execute(query.where(column.in_(listed[start : start + _CHUNK]))).all()


@contextmanager
def readable_catalog() -> Iterator[None]:
    """Convert errors from damaged catalog rows, which were changed outside the record, to `UsageError`."""
    try:
        yield
    except (RefError, json.JSONDecodeError) as error:
        raise UsageError(f"The catalog holds what no event says ({error}): run 'tracecore verify'; 'tracecore replay' makes it again.") from error


def head(connection: Connection) -> Prefix:
    """Return the whole ledger as a prefix."""
    size = ledger.head(connection).size
    return Prefix(size, size)


def prefix_at(connection: Connection, time: str) -> Prefix:
    """Return the prefix of everything recorded at or before a time (RFC 3339 in UTC with six decimals)."""
    size = ledger.position_at(connection, time)
    return Prefix(size, size)


def recorded_at(connection: Connection, positions: Iterable[int]) -> dict[int, str]:
    """Return the recorded times of events by their `seq`; unknown positions are left out."""
    return {row.seq: row.recorded_at for row in select_in(connection, select(EVENTS.c.seq, EVENTS.c.recorded_at), EVENTS.c.seq, positions)}
