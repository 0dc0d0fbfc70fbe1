"""The record's SQL tables as SQLAlchemy sees them, whose columns are typed as columns (a SQLModel class types them as their values)."""

from __future__ import annotations

import hashlib

from sqlalchemy import ColumnElement, Table, and_
from sqlmodel import SQLModel

from tracecore_lineage.ledger_name import LedgerName
from tracecore_schemas import catalog

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
    "table",
]


def table(model: type[SQLModel]) -> Table:
    """Give the SQL table of a model."""
    return SQLModel.metadata.tables[str(model.__tablename__)]


EVENTS = table(catalog.LedgerEvent)
BLOCKS = table(catalog.LedgerBlock)
HEAD = table(catalog.LedgerHead)
OUTBOX = table(catalog.OutboxItem)
PERSONS = table(catalog.Person)
RUN_EVENTS = table(catalog.RunEventRow)
EDGES = table(catalog.EdgeRow)
NAMES = table(catalog.NameRow)
FACETS = table(catalog.FacetRow)
CLAIMS = table(catalog.ClaimRow)
CHECKS = table(catalog.CheckRow)
STALENESS = table(catalog.StalenessRow)
BUILDS = table(catalog.BuildRow)
PROJECTION = tuple(table(model) for model in catalog.CATALOG_TABLES)
"""The tables of the catalog, which replay makes again."""
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


def recorded_by(ledger: LedgerName) -> ColumnElement[bool]:
    """Return the condition that a run event was written by a ledger's own recorder, not by another producer that uses its slug."""
    return and_(RUN_EVENTS.c.job_namespace == ledger.slug, RUN_EVENTS.c.producer == ledger.producer)
