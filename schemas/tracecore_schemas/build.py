"""A build: what is asked to be sealed, and what a sealed build says.

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
    """One gate of a build: `measured` against `required`, and what was found in one sentence; what it could not assess is unknown of the build."""

    name: str
    passed: bool
    waived: bool
    measured: JSON
    required: JSON
    message: str
    unknowns: tuple[Unknown, ...] = ()


@dataclass(frozen=True, slots=True)
class Waiver:
    """A failed gate let pass: named, reasoned, signed with the build, and only until a day."""

    gate: str
    reason: str
    until: date
    by: str


@dataclass(frozen=True, slots=True)
class SealRequest:
    """All that a build is to hold.

    Attributes:
        name: the build's name, written once.
        run: the release run (job `<program>.release`).
        program: the program artifact.
        artifacts: by role (`engine`, `training_set.train`): the version and the run that made it.
        gates: every gate of the program, passed or waived.
        waivers: of the failed gates.
        approver: who approved, by the name given; the record keeps a pseudonym.
        selection: roles of the KPI reports that were measured on frames that selected something.
        unknowns: of the build, beside those of its gates.
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
    """A sealed build as it stands in the record.

    Attributes:
        name: its name.
        ref: `build/<name>@<64 hex>`: the digest of its DSSE payload.
        position: the ledger's tree size before the release run's COMPLETE.
        content_digest: over program, artifacts, gates, waivers and approver.
        statement: the in-toto Statement, parsed.
        envelope: the DSSE envelope, parsed.
        new: False where the same content had been sealed under this name before.
    """

    name: str
    ref: str
    position: int
    content_digest: str
    statement: dict[str, Any]
    envelope: dict[str, Any]
    new: bool
