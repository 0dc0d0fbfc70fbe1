"""Queries of the record's current state that recording needs: ends of runs, reusable runs, versions of a name."""

from __future__ import annotations

import json
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import Any

from sqlalchemy import Connection, Row, Select, case, select

from tracecore.errors import NegativeVerdict
from tracecore_lineage.events.artifacts import artifact_from, bare
from tracecore_lineage.ledger import ledger
from tracecore_lineage.ledger.sql_tables import CHECKS, EDGES, FACETS, RUN_EVENTS, STALENESS, select_in
from tracecore_lineage.model.ledger_name import LedgerName
from tracecore_schemas.canonical import JSON, jcs
from tracecore_schemas.kinds import Severity
from tracecore_schemas.refs import Ref
from tracecore_schemas.run import Artifact, CheckRun, CompletedRun, DeltaVersion, Dependencies, ExpectationOutcome, RunInput, Unknown

__all__ = [
    "TERMINAL",
    "Ending",
    "believed_runs",
    "dependencies_from",
    "ending",
    "environment_run",
    "environment_runs",
    "facets",
    "newest_table",
    "reusable",
    "start_event",
    "versions",
]

_CANDIDATES = 8
"""Maximum number of completed runs returned for one staleness key; they differ in code."""
TERMINAL = ("COMPLETE", "FAIL", "ABORT")


@dataclass(frozen=True, slots=True)
class Ending:
    """A run's terminal event; if there are several, the smallest by (UTC instant, event digest)."""

    event_id: str
    event_type: str
    event_time: str


def ending(connection: Connection, run_id: str) -> Ending | None:
    """Return the run's terminal event (COMPLETE, FAIL or ABORT), the earliest if it has several; None if it has none."""
    query = (
        select(RUN_EVENTS.c.event_id, RUN_EVENTS.c.event_type, RUN_EVENTS.c.event_time)
        .where(RUN_EVENTS.c.run_id == run_id, RUN_EVENTS.c.event_type.in_(TERMINAL))
        .order_by(RUN_EVENTS.c.event_time, RUN_EVENTS.c.event_id)
        .limit(1)
    )
    row = connection.execute(query).one_or_none()
    return None if row is None else Ending(row.event_id, row.event_type, row.event_time)


def believed_runs(connection: Connection, run_ids: Iterable[str]) -> set[str]:
    """Return those of `run_ids` that this workspace ran or imported from another workspace; other producers may not add events to them."""
    query = select(RUN_EVENTS.c.run_id).where(RUN_EVENTS.c.speaker != "")
    return {row.run_id for row in select_in(connection, query, RUN_EVENTS.c.run_id, run_ids)}


def start_event(connection: Connection, run_id: str) -> dict[str, Any] | None:
    """Return a run's first recorded START event, parsed; None if there is none. Raises NegativeVerdict if it was changed."""
    query = select(RUN_EVENTS.c.event_id).where(RUN_EVENTS.c.run_id == run_id, RUN_EVENTS.c.event_type == "START").order_by(RUN_EVENTS.c.seq).limit(1)
    identity = connection.execute(query).scalar_one_or_none()
    return None if identity is None else _event(connection, identity)


def reusable(connection: Connection, own: LedgerName, key: str) -> list[CompletedRun]:
    """Return up to 8 completed runs with a staleness key, newest first. Raises NegativeVerdict if an event is missing or was changed."""
    query = (
        select(STALENESS.c.event_id, STALENESS.c.run_id)
        .where(STALENESS.c.key == key)
        .order_by(STALENESS.c.event_time.desc(), STALENESS.c.event_id.desc())
    )
    found: list[CompletedRun] = []
    for row in connection.execute(query):
        ended = ending(connection, row.run_id)
        if ended is not None and ended.event_id == row.event_id:
            event = _event(connection, row.event_id)
            checks = _checks(connection, own, row.run_id)
            rejected = frozenset(check.target for check in checks if not check.success and check.severity is Severity.BLOCKING)
            outputs = dict(_outputs(own, event))
            facet = event["run"].get("facets", {}).get("tracecore_dependencies")
            dependencies = None if facet is None else dependencies_from(facet)
            found.append(CompletedRun(row.run_id, event["job"]["name"], outputs, tuple(checks), rejected, dependencies))
        if len(found) == _CANDIDATES:
            break
    return found


def dependencies_from(facet: Mapping[str, Any]) -> Dependencies:
    """Return the code and packages that a run depended on, parsed from its facet `tracecore_dependencies`."""
    return Dependencies(
        tuple((each["name"], each["version"], each["record_sha256"]) for each in facet["distributions"]),
        tuple((each["file"], each["sha256"], each["size_bytes"]) for each in facet["sources"]),
        tuple((each["file"], each["sha256"]) for each in facet["natives"]),
        tuple(facet["absent"]),
        facet["data_format"],
    )


def versions(connection: Connection, own: LedgerName, kind: str, name: str) -> Iterator[Artifact]:
    """Yield every version of the artifact `name` that a completed run of this workspace made, newest first by (eventTime, event digest)."""
    query = _completed_outputs(own, kind, name).order_by(EDGES.c.event_time.desc(), EDGES.c.event_id.desc(), EDGES.c.ordinal)
    for row in connection.execute(query).all():
        yield from _made(connection, own, row)


def newest_table(connection: Connection, own: LedgerName, kind: str, name: str) -> DeltaVersion | None:
    """Return the Delta version that a completed run of this workspace recorded last for the artifact `name`; None if there is none."""
    query = _completed_outputs(own, kind, name).order_by(EDGES.c.seq.desc(), EDGES.c.ordinal.desc()).limit(1)
    for offset in count():  # row by row: usually the first one decides
        row = connection.execute(query.offset(offset)).one_or_none()
        if row is None:
            break
        for artifact in _made(connection, own, row):
            if artifact.delta is not None:
                return artifact.delta
    return None


def _completed_outputs(own: LedgerName, kind: str, name: str) -> Select[Any]:
    """Return the SQL query for the outputs named `name` in COMPLETE events of this workspace, unsorted: event id, run id and ref of each."""
    return select(EDGES.c.event_id, EDGES.c.run_id, EDGES.c.ref).where(
        EDGES.c.kind == kind,
        EDGES.c.name == Ref(kind, (name,)).name,
        EDGES.c.direction == "output",
        EDGES.c.event_type == "COMPLETE",
        EDGES.c.speaker == own.ledger_id,
    )


def _made(connection: Connection, own: LedgerName, row: Row[Any]) -> Iterator[Artifact]:
    """Yield the artifact of an output (`row`: event, run, ref), read from its event; nothing unless that event is the run's terminal event."""
    ended = ending(connection, row.run_id)
    if ended is not None and ended.event_id == row.event_id:
        yield from (artifact for _, artifact in _outputs(own, _event(connection, row.event_id)) if artifact.ref == row.ref)


def facets(connection: Connection, own: LedgerName, ref: str) -> dict[str, JSON]:
    """Return the facets of `ref` by name, except deleted ones: this workspace's latest value, else the latest imported, else any latest."""
    ours = case((FACETS.c.speaker == own.ledger_id, 2), (FACETS.c.speaker != "", 1), else_=0)
    query = select(FACETS.c.name, FACETS.c.value).where(FACETS.c.subject == ref).order_by(ours, FACETS.c.event_time, FACETS.c.event_id)
    newest = {row.name: json.loads(row.value) for row in connection.execute(query)}
    return {name: bare(value) for name, value in newest.items() if not value.get("_deleted")}


def _event(connection: Connection, identity: str) -> dict[str, Any]:
    """Return the parsed ledger event with the id `identity`. Raises NegativeVerdict if the event is missing or was changed."""
    leaf = ledger.read_event(connection, identity)
    if leaf is None:
        raise NegativeVerdict(f"The catalog names the event {identity[:12]}, which the ledger doesn't hold: run 'tracecore verify'.")
    if ledger.event_id(leaf.body) != identity:
        raise NegativeVerdict(f"Event {leaf.seq} of the ledger is not what was recorded, so nothing is built on it: run 'tracecore verify'.")
    event: dict[str, Any] = json.loads(leaf.body)
    return event


def _outputs(own: LedgerName, event: Mapping[str, Any]) -> Iterable[tuple[str, Artifact]]:
    """Yield (port, artifact) for each output of an event; outputs without a port (name in the stage's signature) or a digest are left out."""
    for dataset in event.get("outputs", ()):
        artifact = artifact_from(own.slug, dataset)
        port = ((dataset.get("outputFacets") or {}).get("tracecore_port") or {}).get("role")
        if artifact is not None and port is not None:
            yield port, artifact


def _checks(connection: Connection, own: LedgerName, run_id: str) -> list[CheckRun]:
    """Return the newest result that this workspace recorded of each check on each output of a run, sorted by check and output."""
    query = (
        select(CHECKS.c.event_id, CHECKS.c.name, CHECKS.c.target)
        .where(CHECKS.c.of_run == run_id, CHECKS.c.speaker == own.ledger_id)
        .order_by(CHECKS.c.event_time, CHECKS.c.event_id)
    )
    newest = {(row.name, row.target): row.event_id for row in connection.execute(query)}
    return [_check(connection, own, _event(connection, identity)) for _, identity in sorted(newest.items())]


def _check(connection: Connection, own: LedgerName, event: Mapping[str, Any]) -> CheckRun:
    """Return the finished check that a COMPLETE event with the facet `tracecore_check` records, with inputs, outcomes and times."""
    run_id = event["run"]["runId"]
    found = event["run"]["facets"]["tracecore_check"]
    inputs: list[RunInput] = []
    outcomes: list[ExpectationOutcome] = []
    for dataset in event.get("inputs", ()):
        read = dataset.get("inputFacets") or {}
        port = read.get("tracecore_port") or {}
        artifact = artifact_from(own.slug, dataset)
        if artifact is not None:
            inputs.append(RunInput(port.get("role", ""), artifact, port.get("producer_run")))
        if not outcomes:
            outcomes = [
                ExpectationOutcome(entry["assertion"], entry["success"], entry.get("column"), entry.get("expected"), entry.get("actual"))
                for entry in (read.get("dataQualityAssertions") or {}).get("assertions", ())
            ]
    started = start_event(connection, run_id) or event
    return CheckRun(
        id=run_id,
        job=event["job"]["name"],
        name=found["name"],
        of_run=found["of_run"],
        target=found["target"],
        inputs=tuple(inputs),
        success=found["success"],
        severity=Severity(found["severity"]),
        outcomes=tuple(outcomes),
        message=found["message"],
        started_at=datetime.fromisoformat(started["eventTime"]),
        ended_at=datetime.fromisoformat(event["eventTime"]),
        details=found.get("details", {}),
        unknowns=tuple(Unknown(entry["what"], entry["why"]) for entry in found.get("unknowns", ())),
    )


_ENVIRONMENTS = uuid.UUID("6f0b8f0e-6a1f-5d0e-9a59-4d2d6c0f5a11")
"""UUID namespace of the runs that record environments."""


def environment_run(ledger: LedgerName, digest: str) -> str:
    """Return the id of the run that records an environment (installed distributions) in a workspace's ledger, from the environment's digest.

    The id depends on the ledger, so that two workspaces with the same environment have different runs even after one imports the other's build.
    """
    return str(uuid.uuid5(_ENVIRONMENTS, jcs([ledger.ledger_id, digest]).decode()))


def environment_runs(connection: Connection, digest: str, runs: Collection[str]) -> list[str]:
    """Return, sorted, an environment's run id in each ledger of the runs `runs`, whether or not that ledger recorded the environment."""
    sent = select(RUN_EVENTS.c.job_namespace, RUN_EVENTS.c.producer).distinct()
    ledgers = {LedgerName.of_producer(row.job_namespace, row.producer) for row in select_in(connection, sent, RUN_EVENTS.c.run_id, runs)}
    return sorted({environment_run(ledger, digest) for ledger in ledgers})
