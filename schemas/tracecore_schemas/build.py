"""The request to seal a build, and the sealed build: an in-toto Statement v1 in a DSSE envelope (predicate in docs/formats/build.md)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

from tracecore_schemas.canonical import JSON
from tracecore_schemas.run import Artifact, Run, Unknown

__all__ = ["BUILD_PREDICATE", "GateOutcome", "SealRequest", "SealedBuild", "Waiver"]

BUILD_PREDICATE = "urn:tracecore:build:1"


@dataclass(frozen=True, slots=True)
class GateOutcome:
    """The outcome of one release gate: the measured value against the required one, with unknowns to record with the build."""

    name: str
    passed: bool
    waived: bool
    measured: JSON
    required: JSON
    message: str
    unknowns: tuple[Unknown, ...] = ()


@dataclass(frozen=True, slots=True)
class Waiver:
    """Permission to release despite a failed gate until a date, with a reason; signed with the build."""

    gate: str
    reason: str
    until: date
    by: str


@dataclass(frozen=True, slots=True)
class SealRequest:
    """The content of a build to be sealed.

    Attributes:
        run: the release run (job `<program>.release`).
        artifacts: role (`engine`, `training_set.train`), version, and id of the run that produced it.
        approver: name; only a pseudonym is recorded.
        selection: roles of the KPI reports measured on frames that were also used for selection.
        unknowns: unknowns of the build, except those of its gates.
    """

    name: str
    run: Run
    program: Artifact
    artifacts: tuple[tuple[str, Artifact, str], ...]
    gates: tuple[GateOutcome, ...]
    waivers: tuple[Waiver, ...]
    approver: str | None
    selection: tuple[str, ...] = ()
    unknowns: tuple[Unknown, ...] = ()


@dataclass(frozen=True, slots=True)
class SealedBuild:
    """A sealed build. `ref` has the digest of the DSSE payload, `content_digest` covers program, artifacts, gates, waivers and approver.

    `position` is the size of the ledger before the release run's COMPLETE; `new` is False if the same content was sealed under this name before.
    """

    name: str
    ref: str
    position: int
    content_digest: str
    statement: dict[str, Any]
    envelope: dict[str, Any]
    new: bool
