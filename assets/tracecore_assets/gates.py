"""Gates: judges what would be sealed against what the program's release asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tracecore.discovery import reason_of
from tracecore.errors import RunFailed, UsageProblem
from tracecore.gate import GateEvidence
from tracecore.host import PluginHost
from tracecore.suggest import suggestion
from tracecore_assets.program import GateSpec, Release
from tracecore_schemas.build import GateOutcome
from tracecore_schemas.run import Artifact

__all__ = ["collect_kpis", "evaluate_gates", "needs_unknowns"]

_SHOWN = 3  # offending things named in a sentence; all of them stand in the record


def needs_unknowns(release: Release) -> bool:
    """Say whether a release has a gate that looks at unknowns; collecting them costs a trace."""
    return any(gate.form in ("unknowns", "gate") for gate in release.gates)


def collect_kpis(artifacts: Mapping[str, Artifact]) -> dict[str, float]:
    """Collect the KPIs of all reports, by their names and by `<asset>.<name>`.

    A name to which two reports give different values stands only under the latter: a gate must not pass by the wrong one.
    """
    plain: dict[str, set[float]] = {}
    qualified: dict[str, float] = {}
    for role, artifact in artifacts.items():
        facet = artifact.facets.get("tracecore_kpis")
        values = facet.get("values") if isinstance(facet, Mapping) else None
        for name, value in (values if isinstance(values, Mapping) else {}).items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                plain.setdefault(name, set()).add(float(value))
                qualified[f"{role.partition('.')[0]}.{name}"] = float(value)
    return qualified | {name: next(iter(values)) for name, values in plain.items() if len(values) == 1}


def evaluate_gates(release: Release, evidence: GateEvidence, host: PluginHost) -> tuple[GateOutcome, ...]:
    """Judge every gate of a release, failed ones too: whoever repairs a build wants to see them all.

    Raises:
        RunFailed: a plugin's gate raised.
    """
    judge: dict[str, Callable[[GateSpec], GateOutcome]] = {
        "check": lambda gate: _check(gate, evidence),
        "kpi": lambda gate: _kpi(gate, evidence),
        "unknowns": lambda gate: _unknowns(gate, evidence),
        "gate": lambda gate: _plugin(gate, evidence, host),
    }
    return tuple(judge[gate.form](gate) for gate in release.gates)


def _check(gate: GateSpec, evidence: GateEvidence) -> GateOutcome:
    runs = [check for check in evidence.checks if check.name == gate.subject]
    failed = [check for check in runs if not check.success]
    passed = bool(runs) and not failed
    if not runs:
        message = f"the check {gate.subject} was not run"
    elif failed:
        message = " ".join(check.message for check in failed)
    else:
        message = runs[0].message
    return GateOutcome(
        gate.name, passed, waived=False, measured="passed" if passed else "failed" if runs else "not run", required="passed", message=message
    )


def _kpi(gate: GateSpec, evidence: GateEvidence) -> GateOutcome:
    least, most = gate.requirement.get("min"), gate.requirement.get("max")
    bounds = " and ".join(text for text in (f"at least {least}" if least is not None else "", f"at most {most}" if most is not None else "") if text)
    measured = evidence.kpis.get(gate.subject)
    required = dict(gate.requirement)
    if measured is None:
        offer = suggestion(gate.subject, evidence.kpis, none_known="There are no KPIs.")
        return GateOutcome(
            gate.name, passed=False, waived=False, measured=None, required=required, message=f"no report has the KPI {gate.subject}. {offer}"
        )
    passed = (least is None or measured >= least) and (most is None or measured <= most)
    message = f"{gate.subject} is {measured:.4g}; required: {bounds}"
    return GateOutcome(gate.name, passed, waived=False, measured=measured, required=required, message=message)


def _unknowns(gate: GateSpec, evidence: GateEvidence) -> GateOutcome:
    found = [f"{unknown.what} ({ref})" for ref, unknown in evidence.unknowns]
    rest = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    message = f"unknown: {', '.join(found[:_SHOWN])}{rest}" if found else "nothing is unknown"
    return GateOutcome(gate.name, not found, waived=False, measured=len(found), required=0, message=message)


def _plugin(gate: GateSpec, evidence: GateEvidence, host: PluginHost) -> GateOutcome:
    try:
        result = host.gate(gate.subject).evaluate(evidence, gate.requirement)
    except (KeyboardInterrupt, UsageProblem):
        raise
    except BaseException as error:  # a plugin may raise anything, SystemExit too; it must not break the build's record
        owner = host.gates[gate.subject].entry_point
        raise RunFailed(f"The gate '{gate.subject}' of plugin '{owner}' failed: {reason_of(error)}.") from error
    return GateOutcome(gate.name, result.passed, waived=False, measured=result.measured, required=result.required, message=result.message)
