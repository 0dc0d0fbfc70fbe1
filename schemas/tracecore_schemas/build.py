"""A build: the request to seal it, and the sealed form.

The sealed form is an in-toto Statement v1 in a DSSE envelope; docs/formats/build.md describes its predicate (`urn:tracecore:build:1`).
"""

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
    """The outcome of one gate: `measured` against `required`; its unknowns are recorded with the build."""

    name: str
    passed: bool
    waived: bool
    measured: JSON
    required: JSON
    message: str
    unknowns: tuple[Unknown, ...] = ()


@dataclass(frozen=True, slots=True)
class Waiver:
    """A failed gate that is let pass until a day, with its reason; signed with the build."""

    gate: str
    reason: str
    until: date
    by: str


@dataclass(frozen=True, slots=True)
class SealRequest:
    """The content of a build to be sealed.

    Attributes:
        run: the release run (job `<program>.release`).
        artifacts: role (`engine`, `training_set.train`), version, and id of the run that made it.
        gates: every gate of the program, passed or waived.
        approver: name; the record keeps a pseudonym.
        selection: roles of the KPI reports that were measured on frames that selected something.
        unknowns: of the build, without those of its gates.
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
    """A sealed build of the record.

    Attributes:
        ref: `build/<name>@<64 hex>`: the digest of its DSSE payload.
        position: the ledger's tree size before the release run's COMPLETE.
        content_digest: over program, artifacts, gates, waivers and approver.
        new: False where the same content had been sealed under this name before.
    """

    name: str
    ref: str
    position: int
    content_digest: str
    statement: dict[str, Any]
    envelope: dict[str, Any]
    new: bool
