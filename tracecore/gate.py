"""Gates: what a build must pass before it is sealed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from tracecore.check import Described
from tracecore.errors import UsageError
from tracecore.kpi_provenance import KpiProvenance
from tracecore.kpis import Kpi, read_kpis
from tracecore_schemas.canonical import JSON
from tracecore_schemas.run import Artifact, CheckRun, Unknown

__all__ = ["Gate", "GateEvidence", "GateResult", "KpiReport", "PreviousBuild"]


def _nothing_kept(ref: str) -> Any:
    raise UsageError(f"The bytes of {ref} are not at hand.")


@dataclass(frozen=True, slots=True)
class KpiReport:
    """One KPI report among what would be sealed.

    Attributes:
        role: its role in the build (`kpis.report`).
        ref: whole.
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
class PreviousBuild:
    """The build of the same program that was sealed last before."""

    name: str | None = None
    kpis: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GateEvidence:
    """All a gate may look at.

    Attributes:
        artifacts: what would be sealed, by `<asset>` or `<asset>.<port>`.
        kpis: values by name, of all KPI reports (`recall.pedestrian.night`).
        unknowns: (ref, unknown) of the whole trace behind them.
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
    earlier: Callable[[], PreviousBuild] = PreviousBuild

    @property
    def figures(self) -> dict[str, Kpi]:
        """KPIs by name, each with its baseline and interval; those of selection too."""
        selection = [report.role for report in self.reports if report.selection]
        return read_kpis({role: artifact.facets for role, artifact in self.artifacts.items()}, selection)


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


class Gate(Described, ABC):
    """A condition for release; a program names it as `{gate: NAME, ...}`.

    Attributes:
        reads_unknowns: whether it looks at the unknowns of the evidence, whose collection takes a trace of each artifact.
    """

    name: ClassVar[str]
    reads_unknowns: ClassVar[bool] = True

    def check_requirement(self, requirement: Mapping[str, Any]) -> None:  # a gate without keys has nothing to check
        """Check the program's entry when the program is loaded.

        Args:
            requirement: the entry, without the keys `gate` and `name`.

        Raises:
            UsageError: an unknown key or a wrong value.
        """

    def kpis(self, requirement: Mapping[str, Any]) -> Sequence[str]:  # noqa: ARG002  # for gates that read some
        """Return the KPIs that it reads: their report is the one that the release is judged by."""
        return ()

    @abstractmethod
    def evaluate(self, evidence: GateEvidence, requirement: Mapping[str, Any]) -> GateResult:
        """Judge the evidence against what the program requires."""
