"""Gates: evaluates what would be sealed against the program's release, KPIs against the previous build's too."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from tracecore.errors import RunFailed, UsageError, suggestion
from tracecore.gate import GateEvidence
from tracecore.plugins.host import PluginHost
from tracecore.system.failures import reason_of, recordable, tellable
from tracecore_assets.load.program import NO_LEAK, GateSpec, Release
from tracecore_lineage.model.kpis import Kpi, kpi_values, read_kpis
from tracecore_schemas.build import GateOutcome
from tracecore_schemas.canonical import JSON
from tracecore_schemas.kinds import ArtifactKind
from tracecore_schemas.refs import parse_ref
from tracecore_schemas.run import Artifact, Unknown

if TYPE_CHECKING:
    from tracecore_lineage import Record

__all__ = ["PreviousBuild", "collect_kpis", "evaluate_gates", "needs_unknowns", "previous_build"]


@dataclass(frozen=True, slots=True)
class PreviousBuild:
    """The build of the same program that was sealed last before.

    Attributes:
        name: its name; None where there is none.
        kpis: its KPIs by name, as `kpi_values` names them.
    """

    name: str | None = None
    kpis: Mapping[str, float] = field(default_factory=dict)


def previous_build(record: Record, program: str, name: str) -> PreviousBuild:
    """Find the build before.

    A name that is sealed already is compared with what was sealed before it: made again, it has to come out the same.

    Args:
        record: of the workspace.
        program: the program's name.
        name: of the build that is to be sealed.
    """
    before: PreviousBuild = PreviousBuild()
    for build in record.builds():
        if build.name == name:
            break
        predicate = build.statement["predicate"]
        if parse_ref(predicate["program"]).segments[0] == program:
            selection: Any = record.facets(build.ref).get("tracecore_selection") or {}
            apart = {report["role"] for report in selection.get("reports", ())}  # what selected is no figure to compare with
            reports = {
                entry["role"]: record.facets(entry["ref"])
                for entry in predicate["artifacts"]
                if parse_ref(entry["ref"]).kind == ArtifactKind.KPI_REPORT
            }
            before = PreviousBuild(build.name, kpi_values(reports, apart))
    return before


_SHOWN = 3  # offending things named in a sentence; all of them stand in the record
_SAME = 1e-12  # 0.60 - 0.58 is a little more than 0.02 in binary figures


def needs_unknowns(release: Release) -> bool:
    """Whether a gate of the release reads the unknowns; collecting them takes a trace of each artifact."""
    return any(gate.form in ("unknowns", "gate") for gate in release.gates)


def collect_kpis(artifacts: Mapping[str, Artifact]) -> dict[str, float]:
    """Collect the KPIs of all reports among artifacts by role; see `kpi_values`."""
    return kpi_values({role: artifact.facets for role, artifact in artifacts.items()})


def evaluate_gates(
    release: Release, evidence: GateEvidence, host: PluginHost, earlier: Callable[[], PreviousBuild] = PreviousBuild
) -> tuple[GateOutcome, ...]:
    """Judge every gate of a release, failed ones too: whoever repairs a build wants to see them all.

    Args:
        release: the gates.
        evidence: all they may look at.
        host: knows the plugins' gates.
        earlier: gives the build before; asked where a gate compares with it.

    Raises:
        RunFailed: a plugin's gate raised.
    """
    judge: dict[str, Callable[[GateSpec], GateOutcome]] = {
        "check": lambda gate: _check(gate, evidence, host),
        "kpi": lambda gate: _kpi(gate, evidence, earlier),
        "unknowns": lambda gate: _unknowns(gate, evidence),
        "gate": lambda gate: _plugin(gate, evidence, host),
    }
    return tuple(judge[gate.form](gate) for gate in release.gates)


def _check(gate: GateSpec, evidence: GateEvidence, host: PluginHost) -> GateOutcome:
    name = gate.subject.rpartition("/")[2]
    runs = [check for check in evidence.checks if check.name == name]
    failed = [check for check in runs if not check.success]
    passed = bool(runs) and not failed
    if not runs:
        message = f"the check {gate.subject} was not run: no asset of the program has it"
    elif failed:
        message = " ".join(check.message for check in failed)
    else:
        message = runs[0].message
    measured = "passed" if passed else "failed" if runs else "not run"
    outcome = GateOutcome(gate.name, passed, waived=False, measured=measured, required="passed", message=message)
    return _over_the_build(gate, outcome, evidence, host) if name == NO_LEAK else outcome


def _over_the_build(gate: GateSpec, checked: GateOutcome, evidence: GateEvidence, host: PluginHost) -> GateOutcome:
    """Judge the whole build by the gate of the check's name too; where no such check was run, by that alone."""
    if NO_LEAK not in host.gates:
        missing = "leaks over the build can't be judged: no installed plugin brings the gate 'no_leak' (pip install tracecore-curation)"
        return replace(checked, passed=False, measured="not judged", message=missing)
    judged = _plugin(gate.model_copy(update={"form": "gate", "subject": NO_LEAK}), evidence, host)
    if checked.measured == "not run":
        if not evidence.reports:
            return checked
        return replace(judged, measured="passed" if judged.passed else "failed", required="passed")
    said = [outcome.message for outcome in (checked, judged) if not outcome.passed] or [checked.message, judged.message]
    passed = checked.passed and judged.passed
    return replace(checked, passed=passed, measured="passed" if passed else "failed", message=" ".join(said), unknowns=judged.unknowns)


def _kpi(gate: GateSpec, evidence: GateEvidence, earlier: Callable[[], PreviousBuild]) -> GateOutcome:
    selection = {report.role: report.why for report in evidence.reports if report.selection}
    known = read_kpis({role: artifact.facets for role, artifact in evidence.artifacts.items()}, selection)
    kpi = known.get(gate.subject)
    required: dict[str, JSON] = dict(gate.requirement)
    if kpi is not None and kpi.selection:
        message = f"{gate.subject} is of {kpi.role}, which {selection[kpi.role]}: frames that select give no figure to release by"
        return GateOutcome(gate.name, passed=False, waived=False, measured=None, required=required, message=message)
    if kpi is None:
        offer = suggestion(gate.subject, known, none_known="There are no KPIs.")
        return GateOutcome(
            gate.name, passed=False, waived=False, measured=None, required=required, message=f"no report has the KPI {gate.subject}. {offer}"
        )
    judged = [_bounded(kpi, gate.requirement.get("min"), gate.requirement.get("max"))]
    if (margin := gate.requirement.get("above_baseline")) is not None:
        required["baseline"] = kpi.baseline
        judged.append(_above_baseline(kpi, margin, evidence.artifacts[kpi.role].unknowns))
    if (most := gate.requirement.get("max_drop")) is not None:
        judged.append(_compared(gate.subject, kpi, most, earlier()))
    words = "; ".join(text for _, text in judged if text)
    message = f"{gate.subject} is {kpi.value:.4g}; {words}"
    return GateOutcome(gate.name, all(good for good, _ in judged), waived=False, measured=kpi.value, required=required, message=message)


def _bounded(kpi: Kpi, least: float | None, most: float | None) -> tuple[bool, str]:
    passed = (least is None or kpi.value >= least) and (most is None or kpi.value <= most)
    bounds = " and ".join(text for text in (f"at least {least}" if least is not None else "", f"at most {most}" if most is not None else "") if text)
    return passed, f"required: {bounds}" if bounds else ""


def _above_baseline(kpi: Kpi, margin: float, unknowns: Sequence[Unknown]) -> tuple[bool, str]:
    """Compare by the interval of how much better it is on the same frames; without, by the end of its own interval that is nearer to the baseline.

    What can't be compared is not met.
    """
    if kpi.baseline is None:
        return False, "its report has no baseline for it, so nobody can tell whether it is better"
    behind = f"; not above their own baseline: {', '.join(kpi.behind)}" if kpi.behind else ""
    if kpi.gain is not None:
        low, high = kpi.gain
        asked = f"at least {margin:g}" if margin else "more than 0"
        gained = f"better than the baseline's {kpi.baseline:.4g} by {low:.4g} to {high:.4g} ({kpi.interval_by}); required: {asked}"
        return _beyond(low, margin), gained + behind
    if kpi.interval is None:
        why = "".join(f" ({unknown.why.rstrip('.')})" for unknown in unknowns if unknown.what == "confidence interval")
        return False, f"its report has no interval for it{why}, so nobody can tell whether it is better than the baseline by more than chance"
    low, high = kpi.interval
    above = kpi.baseline - high if kpi.less_is_better else low - kpi.baseline
    end, least, beyond, sign = ("upper", "at most", "below", "less") if kpi.less_is_better else ("lower", "at least", "above", "and")
    asked = f"{least} the baseline's {kpi.baseline:.4g} {sign} {margin:g}" if margin else f"{beyond} the baseline's {kpi.baseline:.4g}"
    interval = f"between {low:.4g} and {high:.4g} ({kpi.interval_by})"
    return _beyond(above, margin), f"{interval}; required: the {end} end {asked}{behind}"


def _beyond(gain: float, margin: float) -> bool:
    """Whether something is better by a margin; as good as the baseline is not better, with a margin of 0 neither."""
    return gain > 0 and gain >= margin - _SAME


def _compared(subject: str, kpi: Kpi, most: float, earlier: PreviousBuild) -> tuple[bool, str]:
    """Compare a KPI with the build before; where there is nothing to compare with, that is said, and nothing is worse."""
    if earlier.name is None:
        return True, "there is no earlier build of this program to compare with"
    before = earlier.kpis.get(f"{kpi.asset}.{kpi.name}", earlier.kpis.get(subject))
    if before is None:
        return True, f"build/{earlier.name} before has no {subject} to compare with"
    worse = kpi.value - before if kpi.less_is_better else before - kpi.value
    by = f"{abs(worse):.4g} {'worse' if worse > 0 else 'better'} than" if worse else "the same as"
    return worse <= most + _SAME, f"{by} in build/{earlier.name} before ({before:.4g}); required: at most {most:g} worse"


def _unknowns(gate: GateSpec, evidence: GateEvidence) -> GateOutcome:
    found = [f"{unknown.what} ({ref})" for ref, unknown in evidence.unknowns]
    rest = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    message = f"unknown: {', '.join(found[:_SHOWN])}{rest}" if found else "nothing is unknown"
    return GateOutcome(gate.name, not found, waived=False, measured=len(found), required=0, message=message)


def _plugin(gate: GateSpec, evidence: GateEvidence, host: PluginHost) -> GateOutcome:
    found = host.gate(gate.subject)
    try:
        result = found.item.evaluate(evidence, gate.requirement)
    except (KeyboardInterrupt, UsageError):
        raise
    except BaseException as error:  # a plugin may raise anything, SystemExit too; it must not break the build's record
        raise RunFailed(f"The gate '{gate.subject}' of plugin '{found.entry_point}' failed: {reason_of(error)}.") from error
    measured, required = recordable(result.measured), recordable(result.required)
    unknowns = tuple(Unknown(tellable(unknown.what), tellable(unknown.why)) for unknown in result.unknowns)
    message = tellable(result.message)
    return GateOutcome(gate.name, result.passed, waived=False, measured=measured, required=required, message=message, unknowns=unknowns)
