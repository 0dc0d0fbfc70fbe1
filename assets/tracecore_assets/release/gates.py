"""Evaluation of a release's gates, and the previous build for comparison of KPIs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tracecore.errors import RunFailed, UsageError
from tracecore.gate import GateEvidence, GateResult, PreviousBuild
from tracecore.kpis import kpi_values
from tracecore.plugins.host import PluginHost
from tracecore.plugins.objects import CORE
from tracecore.plugins.release_gates import NO_LEAK, CheckPassed
from tracecore.system.failures import reason_of, recordable, tellable
from tracecore_assets.load.program import Release
from tracecore_lineage.seal.seal import sealed_builds
from tracecore_schemas.build import GateOutcome
from tracecore_schemas.kinds import ArtifactKind
from tracecore_schemas.refs import parse_ref
from tracecore_schemas.run import Unknown

if TYPE_CHECKING:
    from tracecore_lineage import Record

__all__ = ["evaluate_gates", "needs_unknowns", "previous_build"]


def previous_build(record: Record, program: str, name: str) -> PreviousBuild:
    """Return the last build of a program sealed before build `name`, or the last of all if `name` is not sealed; empty if there is none."""
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


def needs_unknowns(release: Release, host: PluginHost) -> bool:
    """Whether a gate of the release reads unknowns, which require a trace of each artifact."""
    return any(host.gate(entry.gate).item.reads_unknowns for entry in release.gates)


def evaluate_gates(release: Release, evidence: GateEvidence, host: PluginHost) -> tuple[GateOutcome, ...]:
    """Return the outcomes of all gates of a release, even after one failed; raise RunFailed if a gate raises."""
    outcomes = []
    for entry in release.gates:
        outcome = _judge(entry.name, entry.gate, entry.asked, evidence, host)
        if entry.form == CheckPassed.name and entry.subject.rpartition("/")[2] == NO_LEAK:
            outcome = _over_the_build(outcome, entry.requirement, evidence, host)
        outcomes.append(outcome)
    return tuple(outcomes)


def _judge(called: str, gate: str, requirement: Mapping[str, Any], evidence: GateEvidence, host: PluginHost) -> GateOutcome:
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


def _over_the_build(checked: GateOutcome, requirement: Mapping[str, Any], evidence: GateEvidence, host: PluginHost) -> GateOutcome:
    """Combine the `no_leak` check with the gate `no_leak` over the whole build (failed if not installed); only the gate if the check was not run."""
    if NO_LEAK not in host.gates:
        missing = "leaks over the build can't be judged: no installed plugin brings the gate 'no_leak' (pip install tracecore-curation)"
        return replace(checked, passed=False, measured="not judged", message=missing)
    judged = _judge(checked.name, NO_LEAK, requirement, evidence, host)
    if checked.measured == "not run":
        if not evidence.reports:
            return checked
        return replace(judged, measured="passed" if judged.passed else "failed", required="passed")
    messages = [outcome.message for outcome in (checked, judged) if not outcome.passed] or [checked.message, judged.message]
    passed = checked.passed and judged.passed
    return replace(checked, passed=passed, measured="passed" if passed else "failed", message=" ".join(messages), unknowns=judged.unknowns)
