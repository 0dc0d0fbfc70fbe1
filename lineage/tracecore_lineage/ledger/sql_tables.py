"""The record's tables as SQLAlchemy `Table`s, whose columns type-check as columns (SQLModel attributes type-check as values), and query helpers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, Table, and_
from sqlmodel import SQLModel

from tracecore_lineage.model.ledger_name import LedgerName
from tracecore_schemas import sql_models

__all__ = [
    "BLOCKS",
    "BUILDS",
    "CHECKS",
    "CLAIMS",
    "EDGES",
    "EMPTY_HEAD",
    "EVENTS",
    "FACETS",
    "HEAD",
    "NAMES",
    "OUTBOX",
    "PERSONS",
    "PROJECTION",
    "RUN_EVENTS",
    "STALENESS",
    "recorded_by",
    "select_in",
    "table",
]


def table(model: type[SQLModel]) -> Table:
    """Return the SQLAlchemy table of an SQLModel class."""
    return SQLModel.metadata.tables[str(model.__tablename__)]


EVENTS = table(sql_models.LedgerEvent)
BLOCKS = table(sql_models.LedgerBlock)
HEAD = table(sql_models.LedgerHead)
OUTBOX = table(sql_models.OutboxItem)
PERSONS = table(sql_models.Person)
RUN_EVENTS = table(sql_models.RunEventRow)
EDGES = table(sql_models.EdgeRow)
NAMES = table(sql_models.NameRow)
FACETS = table(sql_models.FacetRow)
CLAIMS = table(sql_models.ClaimRow)
CHECKS = table(sql_models.CheckRow)
STALENESS = table(sql_models.StalenessRow)
BUILDS = table(sql_models.BuildRow)
PROJECTION = tuple(table(model) for model in sql_models.CATALOG_TABLES)
"""The catalog's tables, which replay rebuilds."""
EMPTY_HEAD = {
    "id": 1,
    "size": 0,
    "root": hashlib.sha256(b"").hexdigest(),
    "frontier": "[]",
    "checkpoint": "",
    "ledger_id": "",
    "slug": "",
}
"""The head's row before the first event."""
_CHUNK = 2_000  # bound parameters per IN: below SQLite's and PostgreSQL's limits


def recorded_by(ledger: LedgerName) -> ColumnElement[bool]:
    """Return the SQL condition that a run event is from a ledger, by both slug and producer, since other producers may use the slug."""
    return and_(RUN_EVENTS.c.job_namespace == ledger.slug, RUN_EVENTS.c.producer == ledger.producer)


def select_in(connection: Connection, query: Select[Any], column: ColumnElement[Any], values: Iterable[Any]) -> Iterator[Row[Any]]:
    """Yield the rows of `query` whose `column` has one of the values (any number of them, queried in sorted chunks)."""
    listed = sorted(set(values))
    for start in range(0, len(listed), _CHUNK):
        # fetched at once: fetching row by row is slower
        yield from connection.execute(query.where(column.in_(listed[start : start + _CHUNK]))).all()
