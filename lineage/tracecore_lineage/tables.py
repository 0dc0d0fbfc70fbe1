"""The record's SQL tables as SQLAlchemy sees them, whose columns are typed as columns (a SQLModel class types them as their values)."""

from __future__ import annotations

from sqlalchemy import Table
from sqlmodel import SQLModel

from tracecore_schemas import catalog

__all__ = ["BLOCKS", "BUILDS", "CHECKS", "EDGES", "EVENTS", "FACETS", "HEAD", "OUTBOX", "PERSONS", "PROJECTION", "RUN_EVENTS", "STALENESS", "table"]


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
FACETS = table(catalog.FacetRow)
CHECKS = table(catalog.CheckRow)
STALENESS = table(catalog.StalenessRow)
BUILDS = table(catalog.BuildRow)
PROJECTION = tuple(table(model) for model in catalog.CATALOG_TABLES)
"""The tables of the catalog, which replay makes again."""
