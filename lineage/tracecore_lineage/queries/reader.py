"""Batched reads of the catalog within one prefix; conflicts between events are resolved here, by (eventTime, event digest).

Terminal events of one run: the smallest wins, so that a run that ended is never reopened. Facets and check verdicts: the greatest wins.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, select

from tracecore_lineage.ledger_name import LedgerName
from tracecore_lineage.queries.prefix import Prefix, chunks
from tracecore_lineage.tables import CHECKS, EDGES, FACETS, NAMES, RUN_EVENTS
from tracecore_schemas.kinds import RunState

__all__ = ["CheckVerdict", "Facet", "Link", "Reader", "RunFacts"]

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

    @property
    def is_fact(self) -> bool:
        """Whether it stands for something that happened in the record itself (a bug, a change of keys), in which no code of a stage ran."""
        return self.job.startswith("tracecore.") and bool(LedgerName.speaking(self.namespace, self.producer).ledger_id)


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

    @property
    def order(self) -> tuple[str, str, int]:
        """What links are sorted by: independent of the order in which events arrived."""
        return (self.event_time, self.event_id, self.ordinal)


@dataclass(frozen=True, slots=True)
class Facet:
    """One facet's winning value."""

    name: str
    text: str
    seq: int
    event_time: str
    event_id: str

    @property
    def value(self) -> Any:
        """The parsed value, without the envelope that OpenLineage puts around every facet (`_producer`, `_schemaURL`)."""
        value = json.loads(self.text)
        return {name: member for name, member in value.items() if name not in _ENVELOPE} if isinstance(value, dict) else value


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


def _resolve_run(rows: list[Row[Any]]) -> RunFacts:
    ordered = sorted(rows, key=lambda row: (row.event_time, row.event_id))
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
        seq=terminal.seq if terminal else min(row.seq for row in rows),
        ends=tuple(row.event_type for row in ordered if row.event_type in _TERMINAL),
        jobs=tuple(sorted({f"{row.job_namespace}/{row.job_name}" for row in ordered})),
        times=tuple((row.event_time, row.seq) for row in ordered),
    )


def _verdict(row: Row[Any]) -> CheckVerdict:
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


class Reader:
    """Reads one prefix of the catalog.

    Args:
        connection: to the record's database; all reads of one answer go through one transaction.
        prefix: which part of the ledger.
    """

    def __init__(self, connection: Connection, prefix: Prefix) -> None:
        self.connection = connection
        self.prefix = prefix
        self._runs: dict[str, RunFacts] = {}

    def runs(self, ids: Iterable[str]) -> dict[str, RunFacts]:
        """Give the runs with these ids that the prefix knows."""
        wanted = set(ids)
        rows: dict[str, list[Row[Any]]] = {}
        for chunk in chunks(sorted(wanted - self._runs.keys())):
            for row in self.connection.execute(select(RUN_EVENTS).where(RUN_EVENTS.c.run_id.in_(chunk), RUN_EVENTS.c.seq < self.prefix.bound)):
                rows.setdefault(row.run_id, []).append(row)
        self._runs.update((run, _resolve_run(found)) for run, found in rows.items())
        return {run: self._runs[run] for run in wanted if run in self._runs}

    def links_of(self, runs: Iterable[str]) -> list[Link]:
        """Return what runs read and wrote, as all of their events say together; each (run, direction, ref, role) once."""
        known = self.runs(runs)
        links = [link for link in self._links("run_id", known) if link.direction != "claim"]
        terminal = {run.terminal for run in known.values()}
        # What the terminal event says of an edge (the run it was taken from) goes before what START could know.
        links.sort(key=lambda link: (link.event_id not in terminal, link.order))
        found: dict[tuple[str, str, str, str], Link] = {}
        for link in links:
            found.setdefault((link.run, link.direction, link.ref, link.role), link)
        versioned = {(link.run, link.direction, _dataset(link.ref)) for link in found.values() if not _unversioned(link.ref)}
        kept = [link for link in found.values() if not _unversioned(link.ref) or (link.run, link.direction, _dataset(link.ref)) not in versioned]
        return sorted(kept, key=lambda link: (link.run, link.direction, link.role, link.ref))

    def outputs_like(self, refs: Iterable[str]) -> list[Link]:
        """Return every output of these refs, whatever its run's state, once a run and role, earliest first."""
        return self._once(self._links("ref", refs, "output"))

    def outputs_of(self, kind: str, names: Iterable[str]) -> list[Link]:
        """Return every output of these names, in any version and whatever its run's state, earliest first."""
        return sorted(self._links("name", names, "output", kind=kind), key=lambda link: link.order)

    def inputs_like(self, refs: Iterable[str]) -> list[Link]:
        """Return every reading of these refs by any run, whatever its state, once a run and role, earliest first."""
        return self._once(self._links("ref", refs, "input"))

    def names(self, names: Iterable[str]) -> list[Row[Any]]:
        """Return what joins any of these names, or names that any of these had before, to others."""
        found: dict[tuple[str, int], Row[Any]] = {}
        for chunk in chunks(sorted(set(names))):
            for column in (NAMES.c.name, NAMES.c.other):
                rows = self.connection.execute(select(NAMES).where(column.in_(chunk), NAMES.c.seq < self.prefix.bound))
                found.update(((row.event_id, row.ordinal), row) for row in rows)
        return list(found.values())

    def claims_of(self, refs: Iterable[str]) -> list[Link]:
        """Return what other producers say of having made versions of ours, earliest first."""
        return sorted(self._links("ref", refs, "claim"), key=lambda link: link.order)

    def outputs_named(self, kind: str, names: Iterable[str]) -> list[Link]:
        """Return every completed output of these names, in any version, earliest first."""
        links = self.outputs_of(kind, names)
        known = self.runs({link.run for link in links})
        return [link for link in links if known[link.run].state is RunState.COMPLETE]

    def facets(self, subjects: Iterable[str], *, since: int = 0) -> dict[str, dict[str, Facet]]:
        """Give the winning facets by subject and name.

        Args:
            subjects: `run:<uuid>` or whole refs.
            since: only what events from this position on say.
        """
        found: dict[str, dict[str, Facet]] = {}
        for chunk in chunks(sorted(set(subjects))):
            query = select(FACETS).where(FACETS.c.subject.in_(chunk), FACETS.c.seq < self.prefix.bound)
            for row in self.connection.execute(query.where(FACETS.c.seq >= since) if since else query).all():
                of_subject = found.setdefault(row.subject, {})
                standing = of_subject.get(row.name)
                if standing is None or (row.event_time, row.event_id) > (standing.event_time, standing.event_id):
                    of_subject[row.name] = Facet(row.name, row.value, row.seq, row.event_time, row.event_id)
        return found

    def checks(self, *, of_runs: Iterable[str] = (), targets: Iterable[str] = ()) -> list[CheckVerdict]:
        """Give the newest verdict of each check on outputs of runs, or on outputs themselves; sorted by name, target and run."""
        newest: dict[tuple[str, str, str], CheckVerdict] = {}
        for column, values in (("of_run", of_runs), ("target", targets)):
            for chunk in chunks(sorted(set(values))):
                for row in self.connection.execute(select(CHECKS).where(CHECKS.c[column].in_(chunk), CHECKS.c.seq < self.prefix.bound)):
                    key = (row.of_run, row.target, row.name)
                    standing = newest.get(key)
                    if standing is None or (row.event_time, row.event_id) > (standing.event_time, standing.event_id):
                        newest[key] = _verdict(row)
        return sorted(newest.values(), key=lambda check: (check.name, check.target, check.of_run))

    def check_runs(self, runs: Iterable[str]) -> set[str]:
        """Say which of these runs are checks: runs that read an output to judge it, and make nothing."""
        found: set[str] = set()
        for chunk in chunks(sorted(set(runs))):
            subjects = [f"run:{run}" for run in chunk]
            query = select(FACETS.c.subject).where(
                FACETS.c.subject.in_(subjects), FACETS.c.name == "tracecore_check", FACETS.c.seq < self.prefix.bound
            )
            found.update(row.subject.removeprefix("run:") for row in self.connection.execute(query))
        return found

    def _once(self, links: list[Link]) -> list[Link]:
        """Keep one edge of each (run, ref, role): what the terminal event says of it goes before what others say."""
        terminal = {run.terminal for run in self.runs({link.run for link in links}).values()}
        kept: dict[tuple[str, str, str], Link] = {}
        for link in sorted(links, key=lambda link: (link.event_id not in terminal, link.order)):
            kept.setdefault((link.run, link.ref, link.role), link)
        return sorted(kept.values(), key=lambda link: link.order)

    def _links(self, column: str, values: Iterable[str], direction: str | None = None, *, kind: str | None = None) -> list[Link]:
        found: list[Link] = []
        for chunk in chunks(sorted(set(values))):
            query = select(EDGES).where(EDGES.c[column].in_(chunk), EDGES.c.seq < self.prefix.bound)
            if direction is not None:
                query = query.where(EDGES.c.direction == direction)
            if kind is not None:
                query = query.where(EDGES.c.kind == kind)
            found.extend(
                Link(row.run_id, row.ref, row.direction, row.role, row.producer_run, row.event_id, row.event_time, row.seq, row.ordinal, row.change)
                for row in self.connection.execute(query).all()  # at once: a fetch a row costs more than the rows
            )
        return found


def _dataset(ref: str) -> str:
    return ref.partition("@")[0]


def _unversioned(ref: str) -> bool:
    return ref.endswith("@unversioned")
