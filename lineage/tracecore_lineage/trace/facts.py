"""Typed catalog rows (runs, edges, facets, check verdicts) and helpers for refs of external datasets."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row

from tracecore_lineage.catalog.projection import UNVERSIONED
from tracecore_lineage.events.artifacts import bare
from tracecore_lineage.events.parse import is_deleted
from tracecore_schemas.kinds import RunState

__all__ = [
    "UNVERSIONED",
    "CheckVerdict",
    "Facet",
    "Link",
    "Naming",
    "RunFacts",
    "dataset_of",
    "is_external",
    "is_unversioned",
    "label_of",
    "resolve_run",
]


def is_external(ref: str) -> bool:
    """Whether a ref names a dataset of another producer (`external/…`) rather than an artifact of tracecore."""
    return ref.startswith("external/")


def is_unversioned(ref: str) -> bool:
    """Whether a ref has the mark of another producer's dataset that was read or written without naming a version."""
    return ref.endswith(f"@{UNVERSIONED}")


def dataset_of(ref: str) -> str:
    """Return a ref without its version (the part from `@` on)."""
    return ref.partition("@")[0]


def label_of(ref: str) -> str:
    """Return the version label of a ref: as its producer wrote it for an external dataset, `sha256:<hex>` for an artifact."""
    name, _, version = ref.partition("@")
    return version if is_external(name) else f"sha256:{version}"


_TERMINAL = frozenset({RunState.COMPLETE.value, RunState.FAIL.value, RunState.ABORT.value})


@dataclass(frozen=True, slots=True)
class RunFacts:
    """One run, merged from its events; `terminal` is the id of the terminal event.

    Attributes:
        producer: URI of the software that sent its events.
        seq: ledger position of the terminal event, or of the first event while the run is open.
        ends: states of all terminal events, in order; more than one if they are repeated or disagree.
        jobs: `namespace/name` of each job that used its id.
        times: (eventTime, ledger position) of each event, in order.
        speaker: id of the ledger that recorded it; empty for another producer.
    """

    id: str
    namespace: str
    job: str
    state: RunState
    started_at: str
    ended_at: str | None
    parent: str | None
    producer: str
    terminal: str | None
    seq: int
    ends: tuple[str, ...]
    jobs: tuple[str, ...]
    times: tuple[tuple[str, int], ...]
    speaker: str

    @property
    def is_fact(self) -> bool:
        """Whether tracecore itself recorded this run to state a fact (such as a bug or a key change), and not to run a stage."""
        return self.job.startswith("tracecore.") and bool(self.speaker)


@dataclass(frozen=True, slots=True)
class Link:
    """One edge: a version that a run read or wrote, with the event that states it."""

    run: str
    ref: str
    direction: str
    role: str
    producer_run: str | None
    event_id: str
    event_time: str
    seq: int
    ordinal: int
    change: str = ""
    speaker: str = ""
    use: str | None = None

    @classmethod
    def of(cls, row: Row[Any]) -> Link:
        """Return the lineage edge (version that a run read or wrote) that a row of `catalog_edge` records."""
        edge = (row.run_id, row.ref, row.direction, row.role, row.producer_run, row.event_id, row.event_time, row.seq, row.ordinal)
        return cls(*edge, row.change, row.speaker, row.use)

    @property
    def order(self) -> tuple[str, str, int]:
        """Sort key of this edge, (event time, event id, ordinal), which is independent of the order in which events arrived."""
        return (self.event_time, self.event_id, self.ordinal)


@dataclass(frozen=True, slots=True)
class Naming:
    """An alias or rename of a dataset as stated by an event, or the artifact kept at the store path that a name denotes."""

    event_id: str
    ordinal: int
    event_time: str
    name: str
    what: str
    other: str


@dataclass(frozen=True, slots=True)
class Facet:
    """The winning value of a facet; `rank` is that of its ledger (`Reader.rank`), `text` its JSON."""

    name: str
    rank: int
    text: str
    seq: int
    event_time: str
    event_id: str

    @property
    def order(self) -> tuple[int, str, str]:
        """(rank of its ledger, event time, event id): among values of the same facet, the greatest of these keys wins."""
        return (self.rank, self.event_time, self.event_id)

    @property
    def value(self) -> Any:
        """The facet's JSON, parsed; an object without its members `_producer` and `_schemaURL`."""
        value = json.loads(self.text)
        return bare(value) if isinstance(value, dict) else value

    @property
    def is_deleted(self) -> bool:
        """Whether this facet value marks the facet as deleted."""
        return is_deleted(json.loads(self.text))


@dataclass(frozen=True, slots=True)
class CheckVerdict:
    """The newest outcome of one check of one output of one run."""

    run: str
    of_run: str
    target: str
    name: str
    success: bool
    severity: str
    message: str
    seq: int
    event_time: str
    event_id: str

    @classmethod
    def of(cls, row: Row[Any]) -> CheckVerdict:
        """Return the check verdict that a row of `catalog_check` records."""
        check = (row.run_id, row.of_run, row.target, row.name, row.success, row.severity, row.message)
        return cls(*check, row.seq, row.event_time, row.event_id)


def resolve_run(rows: list[Row[Any]], rank: Callable[[str], int]) -> RunFacts:
    """Merge the events of one run (rows of `run_event`, at least one) into its facts; only events of the ledger with the highest `rank` count."""
    best = max(rank(row.speaker) for row in rows)
    ordered = sorted((row for row in rows if rank(row.speaker) == best), key=lambda row: (row.event_time, row.event_id))
    terminal = next((row for row in ordered if row.event_type in _TERMINAL), None)
    first = ordered[0]
    start = next((row for row in ordered if row.event_type == "START"), first)
    named = terminal or start
    return RunFacts(
        id=first.run_id,
        namespace=named.job_namespace,
        job=named.job_name,
        state=RunState(terminal.event_type) if terminal else RunState.OPEN,
        started_at=start.event_time,
        ended_at=terminal.event_time if terminal else None,
        parent=next((row.parent_run_id for row in reversed(ordered) if row.parent_run_id), None),
        producer=named.producer,
        terminal=terminal.event_id if terminal else None,
        seq=terminal.seq if terminal else min(row.seq for row in ordered),
        ends=tuple(row.event_type for row in ordered if row.event_type in _TERMINAL),
        jobs=tuple(sorted({f"{row.job_namespace}/{row.job_name}" for row in ordered})),
        times=tuple((row.event_time, row.seq) for row in ordered),
        speaker=named.speaker,
    )
