"""Scalars and object types of the schema: builds, plugins, bugs, and the result of `trace` and `impact`."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, NewType, TypeVar

import strawberry
from strawberry.types.scalar import ScalarDefinition

from tracecore_graphql.fields import output_type

__all__ = [
    "JSON",
    "SCALARS",
    "Bug",
    "Build",
    "Claim",
    "Direction",
    "Gap",
    "Long",
    "Origin",
    "Plugin",
    "StaticEdge",
    "Trace",
    "TraceCheck",
    "TraceEdge",
    "TraceNode",
    "TraceRun",
    "UnknownFact",
    "from_record",
    "trace_answer",
]

Long = NewType("Long", int)
JSON = NewType("JSON", object)


def _check_integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"Expected an integer, found {value!r}.")
    return value


SCALARS: dict[object, ScalarDefinition] = {
    Long: strawberry.scalar(
        name="Long",
        description="A whole number of up to 53 bits: sizes in bytes, counts of rows.",
        serialize=_check_integer,
        parse_value=_check_integer,
    ),
    JSON: strawberry.scalar(
        name="JSON",
        description="A JSON value exactly as recorded: facets, parameters. Its keys are not renamed.",
        serialize=lambda value: value,
        parse_value=lambda value: value,
    ),
}
"""Definition of each scalar, for `StrawberryConfig.scalar_map`."""


@output_type
class Build:
    """A sealed build: written once, signed, and naming the prefix of the ledger that it is based on."""

    name: str
    ref: str = strawberry.field(description="`build/<name>@` and the digest of its DSSE payload")
    position: int = strawberry.field(description="size of the ledger before the release run's COMPLETE")
    content_digest: str = strawberry.field(description="over program, artifacts, gates, waivers and approver")
    statement: JSON = strawberry.field(description="the in-toto Statement v1; its predicate holds artifacts, gates, waivers and approver")
    envelope: JSON = strawberry.field(description="the DSSE envelope as it was signed")


@output_type
class Plugin:
    """The code of a plugin as recorded runs ran it: one version with one source digest."""

    ref: str = strawberry.field(description="`plugin/<entry point>@<version>`")
    name: str = strawberry.field(description="entry point")
    distribution: str
    version: str
    source_digest: str
    stages: list[str]
    runs: int = strawberry.field(description="how many recorded runs ran it")


@output_type
class Bug:
    """A perception bug, as it was reported: a node of the record like the build and the frames it is about."""

    id: strawberry.ID = strawberry.field(description="12 hex digits of its content's SHA-256")
    ref: str = strawberry.field(description="`bug/<id>`, for `trace` and `impact`")
    text: str
    build: str | None = strawberry.field(description="whole ref of the build it was seen in")
    frames: list[str] = strawberry.field(description="refs of the frames that show it")
    severity: str | None = strawberry.field(description="`low`, `medium`, `high` or `critical`, as its reporter judges it")
    reporter: str | None = strawberry.field(description="pseudonym of the reporter")
    reported_at: str = strawberry.field(description="eventTime of the report: shown, never trusted")
    run: str = strawberry.field(description="id of the run that recorded it")


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
    """A fact that is not recorded or could not be assessed."""

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
    """A producer's statement about a version that it has no authority over; it adds no edge. `run` is empty if the event belongs to no run."""

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
    """A dataset that a job is stated to read or write whenever it runs; neither a read at a time nor the producer of a version."""

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
    position: int = strawberry.field(description="size of the ledger's prefix that the answer is based on: the build's, else the head")
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


def from_record(type_: type[T], item: object) -> T:
    """Return an object of a GraphQL type whose fields are copied from the keys (of a mapping) or attributes of `item` with the same names."""
    fields = type_.__dataclass_fields__  # type: ignore[attr-defined]  # strawberry types are dataclasses
    if isinstance(item, Mapping):
        return type_(**{name: value for name, value in item.items() if name in fields})
    return type_(**{name: getattr(item, name) for name in fields})


def _with_origin(item: Mapping[str, Any]) -> dict[str, Any]:
    return {**item, "origin": from_record(Origin, item["origin"]) if "origin" in item else None}


def trace_answer(answer: Mapping[str, Any]) -> Trace:
    """Return the result of `Record.trace` or `Record.impact` converted to the GraphQL type `Trace`."""
    types: dict[str, type] = {"gaps": Gap, "unknowns": UnknownFact, "claims": Claim, "static": StaticEdge, "edges": TraceEdge}
    lists: dict[str, list[Any]] = {name: [from_record(type_, item) for item in answer[name]] for name, type_ in types.items()}
    nodes = [from_record(TraceNode, _with_origin(node)) for node in answer["nodes"]]
    runs = [
        from_record(TraceRun, {**_with_origin(run), "checks": [from_record(TraceCheck, check) for check in run["checks"]]}) for run in answer["runs"]
    ]
    return from_record(Trace, {**answer, **lists, "direction": Direction(answer["direction"]), "nodes": nodes, "runs": runs})
