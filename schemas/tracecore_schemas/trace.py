"""The answer shape of `trace` and `impact`, shared by the CLI, Python and GraphQL (public contract, version 2), and reported bugs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import (
    Any,
    NotRequired,  # pydantic reads them on Python 3.11 only from here
)

from typing_extensions import TypedDict

__all__ = ["Bug", "BugSeverity", "Check", "Claim", "Edge", "Gap", "Node", "Origin", "RunNode", "StaticEdge", "Trace", "UnknownFact"]


class BugSeverity(StrEnum):
    """Severity of a bug, in the reporter's judgment."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class Bug:
    """A reported bug.

    Attributes:
        id: first 12 hex digits of the SHA-256 of its content, so an identical report gives the same bug.
        frames: refs of the frames that show it, as reported; `build` is the full ref of the build that showed it.
        reporter: pseudonym.
        reported_at: eventTime of the report, RFC 3339 in UTC.
        run: id of the run that recorded it.
    """

    id: str
    text: str
    build: str | None
    frames: tuple[str, ...]
    severity: BugSeverity | None
    reporter: str | None
    reported_at: str
    run: str

    @property
    def ref(self) -> str:
        """The bug's ref, `bug/<id>`."""
        return f"bug/{self.id}"


class Gap(TypedDict):
    """A break in the graph."""

    at: str
    missing: str
    why: str


class UnknownFact(TypedDict):
    """A fact that was not recorded or could not be assessed."""

    at: str
    what: str
    why: str


class Origin(TypedDict):
    """The workspace that something was imported from."""

    ledger_id: str
    slug: str


class Node(TypedDict):
    """One artifact version; `ref` is always whole, `digest` is null for externals, bugs and labelers; `origin` is set where it was imported."""

    ref: str
    kind: str
    name: str
    digest: str | None
    created_at: str | None
    recorded_at: str | None
    run: str | None
    size_bytes: int | None
    rows: int | None
    rejected: bool
    facets: dict[str, Any]
    origin: NotRequired[Origin]


class Check(TypedDict):
    """The outcome of one check of a run's outputs."""

    name: str
    success: bool
    severity: str


class RunNode(TypedDict):
    """One run; `params` as it ran, defaults filled in; `origin` is set where it was imported."""

    id: str
    job: str
    stage: str | None
    plugin: str | None
    plugin_version: str | None
    state: str
    started_at: str | None
    ended_at: str | None
    params: dict[str, Any]
    checks: list[Check]
    origin: NotRequired[Origin]


class Claim(TypedDict):
    """A statement of a producer about a version of another workspace; `run` is empty for an event without a run."""

    at: str
    run: str
    job: str
    says: str


class Edge(TypedDict):
    """One version that one run read or wrote.

    `made_by` names the run that made what was read, where several made that version label; `use` is what the run did with what it read (`learn`,
    `select`, `measure`), where that is recorded.
    """

    run: str
    ref: str
    direction: str
    role: str
    inferred: bool
    made_by: NotRequired[str]
    use: NotRequired[str]


class StaticEdge(TypedDict):
    """A dataset that a job is declared to read or write whenever it runs, without a run or version.

    `job` is `namespace/name`, null where a dataset was described without a job; `stated_at` the eventTime of the last event that states it.
    """

    job: str | None
    ref: str
    direction: str
    role: str
    stated_at: str


class Trace(TypedDict):
    """A whole answer.

    `static` holds what was stated without any run, `later` what became known after the asked position: facets, filled gaps, tombstones.
    """

    root: str
    direction: str
    position: int
    complete: bool
    truncated: bool
    gaps: list[Gap]
    unknowns: list[UnknownFact]
    nodes: list[Node]
    runs: list[RunNode]
    edges: list[Edge]
    later: list[dict[str, Any]]
    claims: list[Claim]
    static: list[StaticEdge]
    note: NotRequired[str]
