"""Gates: what a build must pass before it is sealed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from tracecore_schemas.canonical import JSON
from tracecore_schemas.run import Artifact, CheckRun, Unknown

__all__ = ["Gate", "GateEvidence", "GateResult"]


@dataclass(frozen=True, slots=True)
class GateEvidence:
    """All a gate may look at.

    Attributes:
        artifacts: what would be sealed, by `<asset>` or `<asset>.<port>`.
        checks: every check of theirs.
        kpis: values by name, of all KPI reports (`recall.pedestrian.night`).
        unknowns: (ref, unknown) of the whole trace behind them.
    """

    artifacts: Mapping[str, Artifact]
    checks: Sequence[CheckRun]
    kpis: Mapping[str, float]
    unknowns: Sequence[tuple[str, Unknown]]


@dataclass(frozen=True, slots=True)
class GateResult:
    """A gate's answer: `measured` and `required` are what `build --json` shows; the message names what failed."""

    passed: bool
    measured: JSON
    required: JSON
    message: str


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
