"""Gates: what a build must pass before it is sealed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from tracecore.errors import UsageError
from tracecore.kpi_provenance import KpiProvenance
from tracecore_schemas.canonical import JSON
from tracecore_schemas.run import Artifact, CheckRun, Unknown

__all__ = ["Gate", "GateEvidence", "GateResult", "KpiReport"]


def _nothing_kept(ref: str) -> Any:
    raise UsageError(f"The bytes of {ref} are not at hand.")


@dataclass(frozen=True, slots=True)
class KpiReport:
    """One KPI report among what would be sealed.

    Attributes:
        role: its role in the build (`kpis.report`).
        ref: whole.
        uses: the frames behind it.
        gated: whether a gate of the program reads it.
        selection: whether it was measured on frames that selected something: it is shown as such, no headline, and passes no gate.
        why: it is of selection, in words that follow its name; empty where it is not.
    """

    role: str
    ref: str
    uses: KpiProvenance
    gated: bool = False
    selection: bool = False
    why: str = ""


@dataclass(frozen=True, slots=True)
class GateEvidence:
    """All a gate may look at.

    Attributes:
        artifacts: what would be sealed, by `<asset>` or `<asset>.<port>`.
        checks: every check of theirs.
        kpis: values by name, of all KPI reports (`recall.pedestrian.night`).
        unknowns: (ref, unknown) of the whole trace behind them.
        reports: the KPI reports that hold figures.
        trace: gives the backward trace of a ref, as `tracecore trace --json` does.
        read: gives a recorded version by its ref, as a stage would read it; raises UsageError where its bytes are not kept or were erased.
    """

    artifacts: Mapping[str, Artifact]
    checks: Sequence[CheckRun]
    kpis: Mapping[str, float]
    unknowns: Sequence[tuple[str, Unknown]]
    reports: Sequence[KpiReport] = ()
    trace: Callable[[str], Mapping[str, Any]] = _nothing_kept
    read: Callable[[str], Any] = _nothing_kept


@dataclass(frozen=True, slots=True)
class GateResult:
    """A gate's answer: `measured` and `required` are what `build --json` shows; the message names what failed.

    What it could not assess becomes an unknown of the build, where that is sealed.
    """

    passed: bool
    measured: JSON
    required: JSON
    message: str
    unknowns: tuple[Unknown, ...] = ()


class Gate(ABC):
    """A condition for release, registered by a plugin and named in a program as `{gate: NAME, ...}`.

    Attributes:
        name: what programs call it by.
        description: one sentence for people.
    """

    name: ClassVar[str]
    description: ClassVar[str] = ""

    @abstractmethod
    def evaluate(self, evidence: GateEvidence, requirement: Mapping[str, Any]) -> GateResult:
        """Judge the evidence against what the program requires (its entry, the key `gate` left out)."""
