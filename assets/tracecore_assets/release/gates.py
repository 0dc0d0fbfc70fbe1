"""Evaluation of a release's gates: their evidence, KPI reports measured on frames used to select a model or threshold, and the previous build."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tracecore.errors import RunFailed, TracecoreError, UsageError
from tracecore.gate import GateEvidence, GateResult, KpiReport, PreviousBuild
from tracecore.kpi_provenance import KpiProvenance, read_kpi_provenance
from tracecore.kpis import kpi_values
from tracecore.plugins.host import PluginHost
from tracecore.plugins.objects import CORE
from tracecore.plugins.release_gates import NO_LEAK, CheckPassed
from tracecore.system.failures import reason_of, recordable, tellable
from tracecore_assets.load.program import Release
from tracecore_lineage.seal.seal import sealed_builds
from tracecore_schemas.build import GateOutcome
from tracecore_schemas.facets import count
from tracecore_schemas.kinds import ArtifactKind
from tracecore_schemas.refs import parse_ref
from tracecore_schemas.run import Artifact, CheckRun, Unknown

if TYPE_CHECKING:
    from tracecore.store import Store
    from tracecore_lineage import Record

__all__ = ["evaluate_gates", "evidence_of", "previous_build", "unknowns_of_other_models"]

Trace = Callable[[str], Mapping[str, Any]]
Read = Callable[[str], Any]


def evidence_of(
    artifacts: Mapping[str, tuple[Artifact, str]],
    checks: Sequence[CheckRun],
    unknowns: Sequence[tuple[str, Unknown]],
    release: Release,
    record: Record,
    store: Store,
    host: PluginHost,
    earlier: Callable[[], PreviousBuild] = PreviousBuild,
) -> GateEvidence:
    """Return the evidence for a release's gates. KPIs measured on selection frames (by which the model was chosen) are left out.

    Args:
        artifacts: (artifact, id of the run that made it) by role, the output's name in the build.
        unknowns: (ref, fact that is not known) from the artifacts' traces.
        earlier: returns the previous build of the program.
    """

    def read(ref: str) -> Any:
        return store.open(record.artifact(ref))

    only = {role: artifact for role, (artifact, _) in artifacts.items()}
    read_by_gates = [kpi for entry in release.gates for kpi in host.gate(entry.gate).item.kpis(entry.asked)]
    reports = _kpi_reports(artifacts, read_by_gates, record.trace, read)
    selection = {report.role for report in reports if report.selection}
    kpis = kpi_values({role: artifact.facets for role, artifact in only.items() if role not in selection})
    return GateEvidence(only, checks, kpis, unknowns, reports, record.trace, read, earlier)


def unknowns_of_other_models(reports: Sequence[KpiReport], engines: Mapping[str, Collection[str]]) -> tuple[Unknown, ...]:
    """Return an unknown (fact recorded as not known) for each KPI report (not on selection frames) of neither an engine nor a model in one.

    `engines` are the refs of the models that each engine of the build was compiled from, by the engine's ref.
    """
    known = {ref for engine, models in engines.items() for ref in (engine, *models)}
    return tuple(
        Unknown("KPIs of the engine", f"{report.role} is of {models}, no engine of the build and no model that one was compiled from.")
        for report in reports
        for models in [" and ".join(sorted(_artifact_name(ref) for ref in report.uses.models)) or "no recorded model"]
        if engines and not report.selection and known.isdisjoint(report.uses.models)
    )


def _kpi_reports(artifacts: Mapping[str, tuple[Artifact, str]], kpis: Sequence[str], trace: Trace, read: Read) -> tuple[KpiReport, ...]:
    """Return the KPI reports with values; `selection` is set for reports measured on selection frames (used to select the model).

    A report is on selection frames if an asset in its trace was selected by frames on which the report was measured. So is a report that no gate
    reads, if it was measured on the validation side of a split and another report on the test side.
    """
    values = {role: kpi_values({role: artifact.facets}) for role, (artifact, _) in artifacts.items() if artifact.kind == ArtifactKind.KPI_REPORT}
    behind = {role: read_kpi_provenance(trace(artifacts[role][0].ref), artifacts[role][1]) for role, known in values.items() if known}
    frames = _Frames(read)
    overlapping = {role: why for role, uses in behind.items() if (why := frames.overlap(uses))}
    sides = {role: {(each.split, each.side) for each in uses.measured} for role, uses in behind.items()}
    tested = {run for found in sides.values() for run, side in found if side == "test"}
    validating = {role for role, found in sides.items() if found and all(side == "validation" and run in tested for run, side in found)}
    gated = {role for kpi in kpis for role in _roles_read(kpi, values, set(overlapping), validating)}
    apart = dict.fromkeys(validating - gated, "is measured on the validation side of a split, and another report on its test side") | overlapping
    return tuple(KpiReport(role, artifacts[role][0].ref, uses, role in apart, apart.get(role, "")) for role, uses in behind.items())


def _roles_read(kpi: str, values: Mapping[str, Mapping[str, float]], overlapping: set[str], validating: set[str]) -> list[str]:
    """Return the roles (names in the build) of the reports on `kpi` that a gate reads: if possible, only those not measured on selection frames."""
    having = [role for role, known in values.items() if kpi in known or kpi.removeprefix(f"{role}.") in known]
    for apart in (overlapping | validating, overlapping):
        if chosen := [role for role in having if role not in apart]:
            return chosen
    return having


class _Frames:
    """Reader of the frame ids in tables, each table read once."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._known: dict[str, frozenset[str]] = {}

    def overlap(self, uses: KpiProvenance) -> str:
        """Return a clause naming the frames (or table) on which a report was measured and by which an asset in its trace was selected; else empty."""
        for measured in uses.measured:
            for selected in uses.selected:
                shared = self._frame_ids(measured.ref) & self._frame_ids(selected.ref)
                if shared or measured.ref == selected.ref:
                    frames = f" ({count(len(shared), 'frame')} in both, such as {min(shared)})" if shared else ""
                    return f"is measured on {_artifact_name(measured.ref)}, and {selected.job} was selected by {_artifact_name(selected.ref)}{frames}"
        return ""

    def _frame_ids(self, ref: str) -> frozenset[str]:
        """Return the ids in the column `frame_id` of a table; empty if the table has no such column or can't be read."""
        import pyarrow as pa
        import pyarrow.dataset as ds

        if ref not in self._known:
            named: list[Any] = []
            try:
                table = self._read(ref)
                if isinstance(table, ds.Dataset) and "frame_id" in table.schema.names:
                    named = table.to_table(columns=["frame_id"])["frame_id"].to_pylist()
            except (TracecoreError, OSError, pa.ArrowException):
                pass  # the gate reports tables that can't be read
            self._known[ref] = frozenset(str(each) for each in named if each is not None)
        return self._known[ref]


def _artifact_name(ref: str) -> str:
    return ref.partition("@")[0].partition("/")[2]


def previous_build(record: Record, program: str, name: str) -> PreviousBuild:
    """Return a program's last build sealed before build `name`, or its last build if `name` is not sealed; an empty PreviousBuild without one."""
    before = PreviousBuild()
    for build in record.query(sealed_builds):
        if build.name == name:
            break
        predicate = build.statement["predicate"]
        if parse_ref(predicate["program"]).segments[0] == program:
            selection: Any = record.recorder.facets(build.ref).get("tracecore_selection") or {}
            apart = {report["role"] for report in selection.get("reports", ())}  # KPIs on selection frames are not comparable
            reports = {
                entry["role"]: record.recorder.facets(entry["ref"])
                for entry in predicate["artifacts"]
                if parse_ref(entry["ref"]).kind == ArtifactKind.KPI_REPORT
            }
            before = PreviousBuild(build.name, kpi_values(reports, apart))
    return before


def evaluate_gates(release: Release, evidence: GateEvidence, host: PluginHost) -> tuple[GateOutcome, ...]:
    """Return the outcome of each gate of a release, also after one failed. Raises RunFailed if a gate raises an unexpected error."""
    outcomes = []
    for entry in release.gates:
        outcome = _evaluate_gate(entry.name, entry.gate, entry.asked, evidence, host)
        if entry.form == CheckPassed.name and entry.subject.rpartition("/")[2] == NO_LEAK:
            outcome = _combine_no_leak(outcome, entry.requirement, evidence, host)
        outcomes.append(outcome)
    return tuple(outcomes)


def _evaluate_gate(called: str, gate: str, requirement: Mapping[str, Any], evidence: GateEvidence, host: PluginHost) -> GateOutcome:
    """Return the outcome of a gate, recorded under the name `called`. Raises RunFailed or UsageError if the gate raises or its result is invalid."""
    found = host.gate(gate)
    try:
        result = found.item.evaluate(evidence, requirement)
    except KeyboardInterrupt:
        raise
    except UsageError as error:
        if found.entry_point == CORE:
            raise
        raise UsageError(f"The gate '{gate}' of plugin '{found.entry_point}' refused to judge: {error}") from error
    except BaseException as error:  # a plugin may raise anything, SystemExit too; it must not break the build's record
        raise RunFailed(f"The gate '{gate}' of plugin '{found.entry_point}' failed: {reason_of(error)}.") from error
    if not isinstance(result, GateResult) or not isinstance(result.passed, bool) or not isinstance(result.message, str):
        raise RunFailed(
            f"The gate '{gate}' of plugin '{found.entry_point}' must return a GateResult whose 'passed' is a bool and whose 'message' is a text; "
            f"it returned {tellable(repr(result))}."
        )
    measured, required = recordable(result.measured), recordable(result.required)
    unknowns = tuple(Unknown(tellable(unknown.what), tellable(unknown.why)) for unknown in result.unknowns)
    message = tellable(result.message)
    return GateOutcome(called, result.passed, waived=False, measured=measured, required=required, message=message, unknowns=unknowns)


def _combine_no_leak(checked: GateOutcome, requirement: Mapping[str, Any], evidence: GateEvidence, host: PluginHost) -> GateOutcome:
    """Return the outcome of the check `no_leak`, combined with the gate `no_leak` over the whole build; failed if that gate is not installed."""
    if NO_LEAK not in host.gates:
        missing = "leaks over the build can't be judged: no installed plugin brings the gate 'no_leak' (pip install tracecore-curation)"
        return replace(checked, passed=False, measured="not judged", message=missing)
    judged = _evaluate_gate(checked.name, NO_LEAK, requirement, evidence, host)
    if checked.measured == "not run":
        if not evidence.reports:
            return checked
        return replace(judged, measured="passed" if judged.passed else "failed", required="passed")
    messages = [outcome.message for outcome in (checked, judged) if not outcome.passed] or [checked.message, judged.message]
    passed = checked.passed and judged.passed
    return replace(checked, passed=passed, measured="passed" if passed else "failed", message=" ".join(messages), unknowns=judged.unknowns)
