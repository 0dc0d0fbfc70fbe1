"""Verification of the ledger itself: every event's id, leaf hash and position recomputed from its bytes, and the resulting roots."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from tracecore_lineage.catalog.delegation import Import, read_import
from tracecore_lineage.catalog.projection import project
from tracecore_lineage.crypto import merkle
from tracecore_lineage.crypto.policy import FacetEvent
from tracecore_lineage.events.artifacts import bare
from tracecore_lineage.events.parse import BadEvent, strict_json
from tracecore_lineage.ledger import blocks, ledger
from tracecore_lineage.model.findings import Findings
from tracecore_lineage.model.ledger_name import LedgerName
from tracecore_lineage.seal.key_events import KEY_ADD, KEY_ROTATE
from tracecore_schemas.sql_models import BuildRow

__all__ = ["ErasureEvent", "History", "KeyChange", "SealEvent", "collect", "read_history"]


@dataclass(frozen=True, slots=True)
class SealEvent:
    """A release COMPLETE in the ledger: its position, its build row, and its bytes."""

    seq: int
    build: dict[str, Any]
    body: bytes

    @property
    def where(self) -> str:
        """Ref of the sealed build without its digest, `build/<name>`, as used in failures."""
        return f"build/{self.build['name']}"


@dataclass(frozen=True, slots=True)
class KeyChange:
    """A key named by the ledger: the first, a successor, or one of a further host; `signature` is base64 by the key `old`, None if unsigned."""

    verb: str
    old: str | None
    new: str
    public_key: str
    signature: str | None


@dataclass(frozen=True, slots=True)
class ErasureEvent:
    """The START (promise) or COMPLETE (result) of an erasure in the ledger."""

    seq: int
    run: str
    job: str
    type: str
    facet: dict[str, Any]


@dataclass(slots=True)
class History:
    """A ledger as recomputed by one pass over its events.

    Attributes:
        frontier: Merkle tree over all events.
        roots: Merkle root by number of events.
        begun: name of the ledger in its first event; None if that event is not an `init`.
        imports: every bundle import, also those recorded in other workspaces and imported here.
        problems: (position, what, expected, found) of each invalid event.
    """

    size: int = 0
    frontier: merkle.Frontier = field(default_factory=merkle.Frontier)
    roots: dict[int, bytes] = field(default_factory=lambda: {0: merkle.EMPTY_ROOT})
    seals: list[SealEvent] = field(default_factory=list)
    key_changes: list[KeyChange] = field(default_factory=list)
    policies: list[FacetEvent] = field(default_factory=list)
    cosignatures: list[FacetEvent] = field(default_factory=list)
    erasures: list[ErasureEvent] = field(default_factory=list)
    begun: LedgerName | None = None
    imports: list[Import] = field(default_factory=list)
    problems: list[tuple[int, str, str, str]] = field(default_factory=list)

    def report(self, findings: Findings, bound: int | None) -> None:
        """Add to `findings` the problems of events before position `bound` (None: all) as failures, and count these events as checked."""
        for position, what, expected, found in self.problems:
            if bound is None or position < bound:
                findings.fail(f"event/{position}", what, expected, found)
        findings.checked["events"] += self.size if bound is None else min(self.size, bound)


def read_history(connection: Connection, ledger_name: LedgerName, *, positions: Collection[int] = ()) -> History:
    """Return the ledger recomputed in one pass over its events, with Merkle roots for the sizes in `positions`, before each seal, and at the end."""
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
        collect(leaf, ledger_name, history)
        history.frontier.append(hashed)
        history.size += 1
        if history.size in positions:
            history.roots[history.size] = history.frontier.root()
    history.roots[history.size] = history.frontier.root()
    history.problems.extend(blocks.problems(connection))
    return history


def collect(leaf: ledger.Leaf, ledger_name: LedgerName, history: History) -> None:
    """Add to `history`, whose tree ends before this event, the import, seal, key, policy, cosignature or erasure that the event records."""
    brought = read_import(leaf.body, leaf.seq)
    if brought is not None:
        history.imports.append(brought)
    # All that match: a text in the event may equal the name of another facet.
    for member, keep in _KEPT.items():
        if member in leaf.body:
            keep(leaf, ledger_name, history)


def _collect_seal(leaf: ledger.Leaf, ledger_name: LedgerName, history: History) -> None:
    """Add to `history` the seal (a build's signed statement) in an event, if any, and the Merkle root before the event, for comparison."""
    try:
        rows = [row for row in project(leaf.body, leaf.seq, ledger_name) if row.table is BuildRow]
    except BadEvent:
        return  # reported when the catalog is compared
    if rows:
        history.roots[leaf.seq] = history.frontier.root()
        history.seals.extend(SealEvent(leaf.seq, dict(row.values), leaf.body) for row in rows)


def _collect_key(leaf: ledger.Leaf, ledger_name: LedgerName, history: History) -> None:
    for verb in (KEY_ROTATE, KEY_ADD):
        facet = _facet_of(leaf.body, ledger_name, verb, "tracecore_key")
        if facet is not None:
            old, new, public_key, signature = (facet.get(name) for name in ("old", "new", "public_key", "signature"))
            if isinstance(new, str) and isinstance(public_key, str) and all(each is None or isinstance(each, str) for each in (old, signature)):
                history.key_changes.append(KeyChange(verb, old, new, public_key, signature))


def _collect_erasure(leaf: ledger.Leaf, ledger_name: LedgerName, history: History) -> None:
    try:
        event = strict_json(leaf.body)
        run, job, facet = event["run"], event["job"], event["run"]["facets"]["tracecore_erasure"]
        if LedgerName.of_producer(job["namespace"], event["producer"]) == ledger_name and isinstance(facet, dict):
            history.erasures.append(ErasureEvent(leaf.seq, run["runId"], job["name"], event["eventType"], facet))
    except (BadEvent, KeyError, TypeError, AttributeError):
        return


def _collect_beginning(leaf: ledger.Leaf, ledger_name: LedgerName, history: History) -> None:
    facet = _facet_of(leaf.body, ledger_name, "init", "tracecore_ledger")
    if facet is not None and leaf.seq <= 1:  # START and COMPLETE of the init run
        history.begun = LedgerName(str(facet.get("slug")), str(facet.get("ledger_id")))
        history.key_changes.append(KeyChange("init", None, str(facet.get("key_id")), str(facet.get("public_key")), None))


def _collect_policy(leaf: ledger.Leaf, ledger_name: LedgerName, history: History) -> None:
    if (facet := _facet_of(leaf.body, ledger_name, "key_policy")) is not None:
        history.policies.append(FacetEvent(leaf.seq, facet))


def _collect_cosignature(leaf: ledger.Leaf, ledger_name: LedgerName, history: History) -> None:
    if (facet := _facet_of(leaf.body, ledger_name, "cosign")) is not None:
        history.cosignatures.append(FacetEvent(leaf.seq, facet))


def _facet_of(body: bytes, ledger_name: LedgerName, verb: str, name: str | None = None) -> dict[str, Any] | None:
    """Return a facet (by default `tracecore_<verb>`) of a COMPLETE event of this ledger's job `tracecore.<verb>`; None for any other event."""
    try:
        event = strict_json(body)
        job = event["job"]
        claimed = LedgerName.of_producer(job["namespace"], event["producer"])
        if event.get("eventType") != "COMPLETE" or claimed != ledger_name or job["name"] != f"tracecore.{verb}":
            return None
        facet = event["run"]["facets"][name or f"tracecore_{verb}"]
        return bare(facet) if isinstance(facet, dict) else None
    except (BadEvent, KeyError, TypeError, AttributeError):
        return None


_KEPT: dict[bytes, Callable[[ledger.Leaf, LedgerName, History], None]] = {
    b'"tracecore_ledger"': _collect_beginning,
    b'"tracecore_build"': _collect_seal,
    b'"tracecore_key"': _collect_key,
    b'"tracecore_key_policy"': _collect_policy,
    b'"tracecore_cosign"': _collect_cosignature,
    b'"tracecore_erasure"': _collect_erasure,
}
"""Collectors, by the quoted name of the facet that selects them."""
