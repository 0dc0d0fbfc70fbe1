"""Catalog rows as typed values: runs, edges, facets, verdicts of checks, and refs of other producers' datasets."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row

from tracecore_lineage.catalog.projection import UNVERSIONED
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
    "verdict",
]


def is_external(ref: str) -> bool:
    """Whether a ref names another producer's dataset."""
    return ref.startswith("external/")


def is_unversioned(ref: str) -> bool:
    """Whether a ref names another producer's dataset without a version."""
    return ref.endswith(f"@{UNVERSIONED}")


def dataset_of(ref: str) -> str:
    """Return the ref without its version."""
    return ref.partition("@")[0]


def label_of(ref: str) -> str:
    """Return the version that a ref names, as another producer's dataset would carry it."""
    name, _, version = ref.partition("@")
    return version if is_external(name) else f"sha256:{version}"


_ENVELOPE = frozenset({"_producer", "_schemaURL"})
_TERMINAL = frozenset({RunState.COMPLETE.value, RunState.FAIL.value, RunState.ABORT.value})


@dataclass(frozen=True, slots=True)
class RunFacts:
    """One run, resolved.

    Attributes:
        id: its UUID.
        namespace: of its job.
        job: its job's name.
        state: OPEN, or what its terminal event says.
        started_at: eventTime of its START, of its first event where none is recorded.
        ended_at: eventTime of its terminal event.
        parent: the run that started it.
        producer: URI of the software that sent its events.
        terminal: id of its terminal event.
        seq: ledger position of its terminal event, of its first event while it is open.
        ends: states that its terminal events give, in order: more than one where they disagree or repeat.
        jobs: `namespace/name` of each job that used its id.
        times: (eventTime, ledger position) of each of its events, in order.
        speaker: id of the ledger that recorded it; empty for another producer's.
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
        """Whether it stands for something that happened in the record itself (a bug, a change of keys), in which no code of a stage ran."""
        return self.job.startswith("tracecore.") and bool(self.speaker)


@dataclass(frozen=True, slots=True)
class Link:
    """One version that a run read or wrote, with the event that says so."""

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
        """Read a row of the catalog."""
        told = (row.run_id, row.ref, row.direction, row.role, row.producer_run, row.event_id, row.event_time, row.seq, row.ordinal)
        return cls(*told, row.change, row.speaker, row.use)

    @property
    def order(self) -> tuple[str, str, int]:
        """What links are sorted by: independent of the order in which events arrived."""
        return (self.event_time, self.event_id, self.ordinal)


@dataclass(frozen=True, slots=True)
class Naming:
    """One further name of a dataset, as an event says; or the artifact that is kept at the place which a name stands for."""

    event_id: str
    ordinal: int
    event_time: str
    name: str
    what: str
    other: str


@dataclass(frozen=True, slots=True)
class Facet:
    """One facet's winning value; `rank` is 2 for the workspace's own word, 1 for an imported workspace's, 0 for another producer's."""

    name: str
    rank: int
    text: str
    seq: int
    event_time: str
    event_id: str

    @property
    def order(self) -> tuple[int, str, str]:
        """The greatest of several counts."""
        return (self.rank, self.event_time, self.event_id)

    @property
    def value(self) -> Any:
        """The parsed value, without the envelope that OpenLineage puts around every facet (`_producer`, `_schemaURL`)."""
        value = json.loads(self.text)
        return {name: member for name, member in value.items() if name not in _ENVELOPE} if isinstance(value, dict) else value

    @property
    def is_deleted(self) -> bool:
        """Whether it is stated to be gone."""
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


def resolve_run(rows: list[Row[Any]], rank: Callable[[str], int]) -> RunFacts:
    """Return what the events of one run say together.

    Args:
        rows: of `run_event`, at least one.
        rank: how far a speaker is from this workspace; the greatest is heard.
    """
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


def verdict(row: Row[Any]) -> CheckVerdict:
    """Return what a row of `catalog_check` says."""
    return CheckVerdict(
        run=row.run_id,
        of_run=row.of_run,
        target=row.target,
        name=row.name,
        success=row.success,
        severity=row.severity,
        message=row.message,
        seq=row.seq,
        event_time=row.event_time,
        event_id=row.event_id,
    )
