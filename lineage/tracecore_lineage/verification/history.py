"""The ledger against itself: every event's id, leaf hash and place recomputed from its bytes, and the roots that follow from them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from tracecore_lineage import ledger, merkle
from tracecore_lineage.projection import project
from tracecore_lineage.reading import BadEvent, strict_json
from tracecore_lineage.verification.findings import Findings
from tracecore_schemas.catalog import BuildRow

__all__ = ["History", "KeyChange", "SealEvent", "read_history"]


@dataclass(frozen=True, slots=True)
class SealEvent:
    """A release COMPLETE as the ledger holds it: where it stands, what it says of the build, and its bytes."""

    seq: int
    build: dict[str, Any]
    body: bytes


@dataclass(frozen=True, slots=True)
class KeyChange:
    """A change of the signing key as the ledger holds it."""

    old: str | None
    new: str
    public_key: str
    signature: str | None


@dataclass(slots=True)
class History:
    """What one pass over the ledger gives.

    Attributes:
        size: number of events read.
        frontier: the tree over them.
        roots: the recomputed root at each position that was asked for.
        seals: every build that its events seal.
        key_changes: every change of the signing key.
        problems: (position, what to tell of it) of every event that is not what was recorded.
    """

    size: int = 0
    frontier: merkle.Frontier = field(default_factory=merkle.Frontier)
    roots: dict[int, bytes] = field(default_factory=lambda: {0: merkle.EMPTY_ROOT})
    seals: list[SealEvent] = field(default_factory=list)
    key_changes: list[KeyChange] = field(default_factory=list)
    problems: list[tuple[int, str, str, str]] = field(default_factory=list)

    def tell(self, findings: Findings, bound: int | None) -> None:
        """Report the problems of the events below a position, and how many were looked at."""
        for position, what, expected, found in self.problems:
            if bound is None or position < bound:
                findings.fail(f"event/{position}", what, expected, found)
        findings.checked["events"] += self.size if bound is None else min(self.size, bound)


def read_history(connection: Connection, namespace: str, *, positions: Collection[int] = ()) -> History:
    """Read the whole ledger once, and note every event that is not what was recorded.

    Args:
        connection: to the record's database.
        namespace: the workspace's own.
        positions: sizes whose root is wanted, beside those of the builds met.
    """
    history = History()
    previous = ""
    for leaf in ledger.read(connection):
        if leaf.seq != history.size:
            history.problems.append((history.size, "event missing from the ledger", f"an event at every position up to {leaf.seq}", "none"))
            history.size = leaf.seq
        hashed = ledger.leaf_hash(leaf.recorded_at, leaf.body)
        identity = ledger.event_id(leaf.body)
        if identity != leaf.event_id:
            history.problems.append((leaf.seq, "bytes of the event", leaf.event_id, identity))
        elif hashed.hex() != leaf.leaf_hash:
            history.problems.append((leaf.seq, "leaf hash (event and recorded time)", leaf.leaf_hash, hashed.hex()))
        if leaf.recorded_at < previous:
            history.problems.append((leaf.seq, "recorded time", f"{previous} or later", leaf.recorded_at))
        previous = leaf.recorded_at
        _collect(leaf, namespace, history)
        history.frontier.append(hashed)
        history.size += 1
        if history.size in positions:
            history.roots[history.size] = history.frontier.root()
    history.roots[history.size] = history.frontier.root()
    return history


def _collect(leaf: ledger.Leaf, namespace: str, history: History) -> None:
    """Keep what seals a build or changes the key; the root before a seal is what the seal has to name."""
    if b'"tracecore_build"' in leaf.body:
        try:
            rows = [row for row in project(leaf.body, leaf.seq, namespace) if row.table is BuildRow]
        except BadEvent:
            return  # named where the catalog is compared
        if rows:
            history.roots[leaf.seq] = history.frontier.root()
            history.seals.extend(SealEvent(leaf.seq, dict(row.values), leaf.body) for row in rows)
    elif b'"tracecore_key"' in leaf.body:
        try:
            event = strict_json(leaf.body)
            facet = event["run"]["facets"]["tracecore_key"]
            if event["job"]["namespace"] == namespace:
                history.key_changes.append(KeyChange(facet.get("old"), facet["new"], facet["public_key"], facet.get("signature")))
        except (BadEvent, KeyError, TypeError):
            return
