"""Plugins used by recorded runs, whether or not they are installed now."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, select

from tracecore_lineage.ledger.sql_tables import FACETS

__all__ = ["recorded_plugins"]

_IDENTITY = ("entry_point", "distribution", "version", "source_digest")


def recorded_plugins(connection: Connection) -> list[dict[str, Any]]:
    """Return every plugin version that a recorded run used, sorted.

    Each is a dict with `entry_point`, `distribution`, `version`, `source_digest`, `stages` (sorted names) and `runs` (their number).
    """
    query = select(FACETS.c.subject, FACETS.c.value).where(FACETS.c.name == "tracecore_execution").order_by(FACETS.c.event_time, FACETS.c.event_id)
    # START and COMPLETE both carry the facet; the latest wins, as with every facet.
    latest = {row.subject: row.value for row in connection.execute(query)}
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for text in latest.values():
        plugin = json.loads(text).get("plugin")
        if not isinstance(plugin, Mapping):
            continue  # runs recorded by tracecore itself have no plugin
        identity = tuple(str(plugin.get(name, "")) for name in _IDENTITY)
        entry = found.setdefault(identity, {**dict(zip(_IDENTITY, identity, strict=True)), "stages": set(), "runs": 0})
        entry["stages"].add(str(plugin.get("stage", "")))
        entry["runs"] += 1
    return [{**entry, "stages": sorted(entry["stages"])} for _, entry in sorted(found.items())]
