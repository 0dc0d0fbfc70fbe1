"""The evidence that gates judge: the KPI reports of a build with the frames behind each, and which of them are of selection, and no headline."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tracecore.errors import TracecoreError
from tracecore.gate import GateEvidence, Report
from tracecore.uses import Reading, Uses, uses_behind
from tracecore_assets.gates import collect_kpis
from tracecore_assets.program import Release
from tracecore_lineage.kpis import kpi_values
from tracecore_schemas.canonical import JSON
from tracecore_schemas.kinds import ArtifactKind
from tracecore_schemas.run import Artifact, CheckRun, Unknown

if TYPE_CHECKING:
    from tracecore.store import Store
    from tracecore_lineage import Record

__all__ = ["evidence_of"]

Trace = Callable[[str], Mapping[str, Any]]
Facets = Callable[[str], Mapping[str, JSON]]
Read = Callable[[str], Any]


def evidence_of(
    artifacts: Mapping[str, tuple[Artifact, str]],
    checks: Sequence[CheckRun],
    unknowns: Sequence[tuple[str, Unknown]],
    release: Release,
    record: Record,
    store: Store,
) -> GateEvidence:
    """Collect all that gates may look at; the KPIs of reports of selection are left out, so that no gate passes by them.

    Args:
        artifacts: what would be sealed, by role, each with the run that made it.
        checks: every check of theirs.
        unknowns: of the traces behind them.
        release: the gates.
        record: asked for traces and facets.
        store: asked for tables.
    """

    def read(ref: str) -> Any:
        return store.open(record.artifact(ref))

    only = {role: artifact for role, (artifact, _) in artifacts.items()}
    reports = _reports(artifacts, release, record.trace, record.facets, read)
    selection = {report.role for report in reports if report.selection}
    kpis = collect_kpis({role: artifact for role, artifact in only.items() if role not in selection})
    return GateEvidence(only, checks, kpis, unknowns, reports, record.trace, read)


def _reports(artifacts: Mapping[str, tuple[Artifact, str]], release: Release, trace: Trace, facets: Facets, read: Read) -> tuple[Report, ...]:
    """Collect the KPI reports that hold figures.

    A report is of selection where frames that it was measured on selected something in its own trace. So is one that no gate reads and that was
    measured on the validation side of a split, where another report is measured on the test side of that split.
    """
    values = {
        role: kpi_values({role: artifact.facets}) for role, (artifact, _) in artifacts.items() if artifact.kind == ArtifactKind.KPI_REPORT.value
    }
    behind = {role: uses_behind(trace(artifacts[role][0].ref), artifacts[role][1]) for role, known in values.items() if known}
    frames = _Frames(read)
    overlapping = {role for role, uses in behind.items() if any(frames.share(a.ref, b.ref) for a in uses.measured for b in uses.selected)}
    sides = {role: _sides(uses, facets) for role, uses in behind.items()}
    tested = {run for found in sides.values() for run, side in found if side == "test"}
    validating = {role for role, found in sides.items() if found and all(side == "validation" and run in tested for run, side in found)}
    kpis = [gate.subject for gate in release.gates if gate.form == "kpi"]
    gated = {role for kpi in kpis for role in _readers(kpi, values, overlapping, validating)}
    return tuple(
        Report(role, artifacts[role][0].ref, uses, role in gated, role in overlapping or (role in validating and role not in gated))
        for role, uses in behind.items()
    )


def _readers(kpi: str, values: Mapping[str, Mapping[str, float]], overlapping: set[str], validating: set[str]) -> list[str]:
    """Return the reports that a gate on a KPI reads: of those that have it, the ones least of selection."""
    having = [role for role, known in values.items() if kpi in known]
    for apart in (overlapping | validating, overlapping):
        if chosen := [role for role in having if role not in apart]:
            return chosen
    return having


def _sides(uses: Uses, facets: Facets) -> set[tuple[str, str]]:
    """Return of which sides of which splits a report's frames are: (run of the split, side)."""
    return {(reading.made_by, _side(reading, facets)) for reading in uses.measured}


def _side(reading: Reading, facets: Facets) -> str:
    split = facets(reading.ref).get("tracecore_split")
    return str(split.get("side", "")) if isinstance(split, Mapping) else ""


class _Frames:
    """The frames that tables name; each table is read once."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._known: dict[str, frozenset[str]] = {}

    def share(self, a: str, b: str) -> bool:
        """Whether two tables name a frame in common; of what can't be read the ref alone is compared."""
        return a == b or not self._of(a).isdisjoint(self._of(b))

    def _of(self, ref: str) -> frozenset[str]:
        import pyarrow as pa

        if ref not in self._known:
            try:
                self._known[ref] = frozenset(self._read(ref).to_table(columns=["frame_id"])["frame_id"].to_pylist())
            except (TracecoreError, OSError, pa.ArrowException):  # the gate names what can't be read
                self._known[ref] = frozenset()
        return self._known[ref]
