"""Release gates: conditions that a build must meet before it is sealed."""

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
    """A KPI report among the artifacts to be sealed.

    Attributes:
        role: its role in the build (`kpis.report`).
        selection: whether it was measured on frames that were also used for selection; it is then marked, not a headline, and fails every gate.
        why: reason for `selection`, phrased to follow the report's name; empty if False.
    """

    role: str
    ref: str
    uses: KpiProvenance
    selection: bool = False
    why: str = ""


@dataclass(frozen=True, slots=True)
class PreviousBuild:
    """The last build sealed of the same program: its name, None if there is none, and its KPIs."""

    name: str | None = None
    kpis: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GateEvidence:
    """The evidence that a gate may read.

    Attributes:
        artifacts: the artifacts to be sealed, by `<asset>` or `<asset>.<port>`.
        kpis: values by name from all KPI reports (`recall.pedestrian.night`).
        unknowns: (ref, unknown) from the artifacts' whole traces.
        trace: returns the backward trace of a ref, as `tracecore trace --json` prints it.
        read: returns the content of a recorded version by ref, as a stage would read it; raises UsageError if its bytes are not kept or were erased.
        earlier: returns the last sealed build of the program.
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
        """The KPIs of all reports to be sealed, by `<name>` and `<asset>.<name>`, each with its baseline and confidence interval."""
        selection = [report.role for report in self.reports if report.selection]
        return read_kpis({role: artifact.facets for role, artifact in self.artifacts.items()}, selection)


@dataclass(frozen=True, slots=True)
class GateResult:
    """The result of a gate; `build --json` shows `measured` and `required`, the message names what failed, unknowns are recorded with the build."""

    passed: bool
    measured: JSON
    required: JSON
    message: str
    unknowns: tuple[Unknown, ...] = ()


class Gate(Described, ABC):
    """A condition for release, named in a program as `{gate: NAME, ...}`; `reads_unknowns` if it needs the unknowns of every artifact's trace."""

    name: ClassVar[str]
    reads_unknowns: ClassVar[bool] = True

    def check_requirement(self, requirement: Mapping[str, Any]) -> None:  # a gate without keys has nothing to check
        """Validate `requirement`, the gate's entry in the program without `gate` and `name`; raises UsageError for a wrong key or value."""

    def kpis(self, requirement: Mapping[str, Any]) -> Sequence[str]:  # noqa: ARG002  # for gates that read some
        """Return the names of the KPIs that the gate reads, given `requirement`, the gate's entry in the program; by default none."""
        return ()

    @abstractmethod
    def evaluate(self, evidence: GateEvidence, requirement: Mapping[str, Any]) -> GateResult:
        """Return whether the artifacts and KPIs to be sealed meet `requirement`, the gate's entry in the program, with measured values."""
