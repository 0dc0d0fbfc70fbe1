"""The answer of `trace` and `impact` as GraphQL types: the lists of `tracecore trace --json`, names in camelCase."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, TypeVar

import strawberry

from tracecore_graphql.described import output_type
from tracecore_graphql.scalars import JSON, Long

__all__ = [
    "Claim",
    "Direction",
    "Gap",
    "Origin",
    "StaticEdge",
    "Trace",
    "TraceCheck",
    "TraceEdge",
    "TraceNode",
    "TraceRun",
    "UnknownFact",
    "trace_answer",
    "trace_run",
    "typed",
]


@strawberry.enum(description="Which way a graph is walked: to what something was made of, or to what it reached.")
class Direction(Enum):
    """Which way a graph is walked: to what something was made of, or to what it reached."""

    backward = "backward"
    forward = "forward"


@output_type
class Gap:
    """A break in the graph: an artifact with neither a recorded producing run nor a declared origin."""

    at: str
    missing: str
    why: str


@output_type
class UnknownFact:
    """A fact that nobody recorded or that could not be assessed."""

    at: str
    what: str
    why: str


@output_type
class Origin:
    """The workspace that something was imported from: id of its ledger, and its slug."""

    ledger_id: str
    slug: str


@output_type
class TraceNode:
    """One artifact version. `ref` is always whole; `digest` is null for datasets of other producers, bugs and labelers."""

    ref: str
    kind: str
    name: str
    digest: str | None
    created_at: str | None = strawberry.field(description="eventTime of the COMPLETE that made it: shown, never trusted")
    recorded_at: str | None = strawberry.field(description="when the ledger took that event")
    run: str | None = strawberry.field(description="id of the run that made it")
    size_bytes: Long | None
    rows: Long | None
    rejected: bool = strawberry.field(description="whether it failed a blocking check: nothing downstream may read it")
    facets: JSON
    origin: Origin | None = strawberry.field(default=None, description="where the run that made it was imported from; null for what was made here")


@output_type
class TraceCheck:
    """The outcome of one check of a run's outputs."""

    name: str
    success: bool
    severity: str


@output_type
class TraceRun:
    """One run; `params` as it ran, defaults filled in."""

    id: str
    job: str
    stage: str | None
    plugin: str | None
    plugin_version: str | None
    state: str
    started_at: str | None
    ended_at: str | None
    params: JSON
    checks: list[TraceCheck]
    origin: Origin | None = strawberry.field(default=None, description="where it was imported from; null for what ran here")


@output_type
class Claim:
    """What a producer says of a version that it has no say over; it adds no edge. `run` is empty for an event of no run."""

    at: str
    run: str
    job: str
    says: str


@output_type
class TraceEdge:
    """One version that one run read or wrote."""

    run: str
    ref: str
    direction: str = strawberry.field(description="`input` or `output`, seen from the run")
    role: str
    inferred: bool
    made_by: str | None = strawberry.field(default=None, description="of an input: the run that made what was read, where several made that label")
    use: str | None = strawberry.field(
        default=None, description="of an input: what the run did with it, `learn`, `select` or `measure`, where recorded"
    )


@output_type
class StaticEdge:
    """What a job is stated to read or write whenever it runs: no reading at a time, and no producer of a version."""

    job: str | None = strawberry.field(description="`namespace/name`; null where a dataset was described without a job")
    ref: str
    direction: str = strawberry.field(description="`input` or `output`, seen from the job")
    role: str
    stated_at: str = strawberry.field(description="eventTime of the last event that states it")


@output_type
class Trace:
    """A whole answer; nothing is left out without `truncated` saying so."""

    root: str
    direction: Direction
    position: int = strawberry.field(description="size of the ledger's prefix that the answer stands on: the build's, else the head")
    complete: bool
    truncated: bool
    gaps: list[Gap]
    unknowns: list[UnknownFact]
    claims: list[Claim]
    static: list[StaticEdge] = strawberry.field(description="what was stated of jobs without any run")
    nodes: list[TraceNode]
    runs: list[TraceRun]
    edges: list[TraceEdge]
    later: list[JSON] = strawberry.field(description="what became known after the position")
    note: str | None = None


T = TypeVar("T")


def typed(type_: type[T], item: Mapping[str, Any]) -> T:
    """Make one value from an answer's own keys; a key that the schema has no field for is left out."""
    fields = type_.__dataclass_fields__  # type: ignore[attr-defined]  # strawberry types are dataclasses
    return type_(**{name: value for name, value in item.items() if name in fields})


def trace_run(run: Mapping[str, Any]) -> TraceRun:
    """Give a run of an answer as its GraphQL type."""
    return typed(TraceRun, {**run, "checks": [typed(TraceCheck, check) for check in run["checks"]], "origin": _origin(run)})


def _origin(item: Mapping[str, Any]) -> Origin | None:
    return typed(Origin, item["origin"]) if "origin" in item else None


def trace_answer(answer: Mapping[str, Any]) -> Trace:
    """Give what `Record.trace` or `Record.impact` answered as its GraphQL type, list by list."""
    return typed(
        Trace,
        {
            **answer,
            "direction": Direction(answer["direction"]),
            "gaps": [typed(Gap, gap) for gap in answer["gaps"]],
            "unknowns": [typed(UnknownFact, unknown) for unknown in answer["unknowns"]],
            "claims": [typed(Claim, claim) for claim in answer["claims"]],
            "static": [typed(StaticEdge, edge) for edge in answer["static"]],
            "nodes": [typed(TraceNode, {**node, "origin": _origin(node)}) for node in answer["nodes"]],
            "runs": [trace_run(run) for run in answer["runs"]],
            "edges": [typed(TraceEdge, edge) for edge in answer["edges"]],
        },
    )
