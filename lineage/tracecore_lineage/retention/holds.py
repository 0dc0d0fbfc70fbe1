"""What a sealed build holds: every version in its trace stays, for as long as the build does."""

from __future__ import annotations

from sqlalchemy import Connection, select

from tracecore_lineage.queries.question import trace
from tracecore_lineage.tables import BUILDS

__all__ = ["Holds", "holds"]

Holds = dict[str, list[str]]
"""Refs of the builds that hold a version, by the version's whole ref; in the order they were sealed."""


def holds(connection: Connection) -> Holds:
    """Give every version that a sealed build stands on, with the builds."""
    found: Holds = {}
    for build in connection.execute(select(BUILDS.c.ref).order_by(BUILDS.c.seq)).scalars().all():
        for node in trace(connection, build)["nodes"]:
            found.setdefault(node["ref"], []).append(build)
    return found
