"""An intruder who has the database and the workspace's keys: rewrites the whole ledger, every hash, seal and signature over it, and the catalog."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import delete, insert, update

from tracecore_lineage import Record
from tracecore_lineage.catalog.replay import rebuild_catalog
from tracecore_lineage.crypto import merkle, notes
from tracecore_lineage.crypto.envelope import open_envelope, seal_payload
from tracecore_lineage.ledger import ledger
from tracecore_lineage.ledger.sql_tables import BLOCKS, EVENTS, HEAD
from tracecore_schemas.canonical import digest_bytes, jcs
from tracecore_schemas.refs import artifact_ref

__all__ = ["Told", "forge", "reordered", "swapped"]

Told = list[tuple[str, bytes]]
"""(recorded_at, exact bytes) of every event, in order."""


def forge(record: Record, change: Callable[[Told], Told]) -> None:
    """Change the history and make everything fit that can be computed from it.

    Args:
        record: whose database and keys are at hand.
        change: returns the forged history.
    """
    key = record.recorder.keys.private()
    origin = record.ledger.origin
    with record.database.write() as connection:
        told = change([(leaf.recorded_at, leaf.body) for leaf in ledger.read(connection)])
        frontier = merkle.Frontier()
        rows: list[dict[str, Any]] = []
        for recorded_at, given in told:
            root = frontier.root()
            body = _sealed_again(given, frontier.size, root, notes.sign(key, origin, frontier.size, root), key)
            hashed = ledger.leaf_hash(recorded_at, body)
            identity = ledger.event_id(body)
            row = {"seq": frontier.size, "event_id": identity, "recorded_at": recorded_at, "leaf_hash": hashed.hex(), "body": body, "block": None}
            rows.append(row)
            frontier.append(hashed)
        connection.execute(delete(EVENTS))
        connection.execute(delete(BLOCKS))
        if rows:
            connection.execute(insert(EVENTS), rows)
        stored = json.dumps([subtree.hex() for subtree in frontier.hashes])
        note = notes.sign(key, origin, frontier.size, frontier.root()) if rows else ""
        connection.execute(update(HEAD).values(size=frontier.size, root=frontier.root().hex(), frontier=stored, checkpoint=note))
    rebuild_catalog(record.database, record.ledger)


def _sealed_again(body: bytes, position: int, root: bytes, note: str, key: Any) -> bytes:
    """Make a build's seal anew for the place that its event now has; other events stay as they are."""
    event = json.loads(body)
    facet = event.get("run", {}).get("facets", {}).get("tracecore_build")
    if facet is None:
        return body
    statement = json.loads(open_envelope(facet["envelope"]).payload)
    predicate = statement["predicate"]
    predicate["ledger"] |= {"position": position, "root": root.hex()}
    predicate["checkpoint"] = note
    payload = jcs(statement)
    digest = digest_bytes(payload)
    facet |= {"envelope": seal_payload(payload, key), "position": position, "ref": artifact_ref("build", predicate["name"], digest)}
    [build] = event["outputs"]
    build["facets"]["version"]["datasetVersion"] = digest
    return jcs(event)


def swapped(told: Told, one: int, other: int) -> Told:
    """Let two events change places; the times of the places stay, which never fall."""
    return reordered(told, [other if place == one else one if place == other else place for place in range(len(told))])


def reordered(told: Told, order: Sequence[int]) -> Told:
    """Return the events in another order, at the times at which others were."""
    return [(at, told[place][1]) for (at, _), place in zip(told, order, strict=True)]
