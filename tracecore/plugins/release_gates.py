"""The built-in gates `check`, `kpi` and `unknowns`, which a program names by a key of their own: `{kpi: map50, min: 0.4}`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from tracecore.errors import UsageError, suggestion
from tracecore.gate import Gate, GateEvidence, GateResult, PreviousBuild
from tracecore.kpis import Kpi
from tracecore_schemas.canonical import JSON
from tracecore_schemas.run import Unknown

__all__ = ["GATES", "NO_LEAK", "BuiltInGate", "CheckPassed", "KpiWithinBounds", "NothingUnknown"]

NO_LEAK = "no_leak"
"""The check that its gate also evaluates over the whole build."""

_BOUNDS = ("min", "max", "above_baseline", "max_drop")
_SHOWN = 3  # offending things named in a sentence; all of them are in the record
_SAME = 1e-12  # 0.60 - 0.58 is a little more than 0.02 in binary figures
_NAME: dict[str, Any] = {"type": "string", "minLength": 1}
_MARGIN: dict[str, Any] = {"type": "number", "minimum": 0}


class BuiltInGate(Gate):
    """A gate that a program names by its own key instead of `gate`; `entries` are the JSON Schemas of its entry, without `name`."""

    entries: ClassVar[tuple[Mapping[str, Any], ...]]


class CheckPassed(BuiltInGate):
    """Gate `check`: passes if a check was run and every one of its runs succeeded."""

    name = "check"
    description = "A check was run on the outputs, and it passed."
    reads_unknowns = False
    entries = (
        {"properties": {"check": _NAME}},
        {
            "properties": {"check": {"type": "string", "pattern": f"^([^/]+/)?{NO_LEAK}$"}, "unknown_training": {"type": "array", "items": _NAME}},
            "required": ["check", "unknown_training"],
        },
    )

    def check_requirement(self, requirement: Mapping[str, Any]) -> None:
        """Raise UsageError if a `check` gate's entry in the program has an invalid key or value; only the check `no_leak` has `unknown_training`."""
        rest = _without_key(self.name, requirement)
        if _required_name(self.name, requirement).rpartition("/")[2] == NO_LEAK and "unknown_training" in rest:
            refs = rest.pop("unknown_training")
            if not isinstance(refs, list) or not all(isinstance(ref, str) and "/" in ref for ref in refs):
                raise UsageError(f"'unknown_training' takes a list of refs, such as [model/NAME]; found {refs!r}")
        _refuse_other_keys(self.name, rest, ())

    def evaluate(self, evidence: GateEvidence, requirement: Mapping[str, Any]) -> GateResult:
        """Return the gate's result: passed if the check that `requirement` names was run and all its runs succeeded."""
        subject = requirement[self.name]
        runs = [check for check in evidence.checks if check.name == subject.rpartition("/")[2]]
        failed = [check for check in runs if not check.success]
        passed = bool(runs) and not failed
        if not runs:
            message = f"the check {subject} was not run: no asset of the program has it"
        elif failed:
            message = " ".join(check.message for check in failed)
        else:
            message = runs[0].message
        return GateResult(passed, "passed" if passed else "failed" if runs else "not run", "passed", message)


class KpiWithinBounds(BuiltInGate):
    """Gate `kpi`: passes if a KPI is within its bounds, above its baseline, and not much worse than in the previous build, as far as required."""

    name = "kpi"
    description = "A KPI is within its bounds, above its baseline by a margin, or not much worse than in the build before."
    reads_unknowns = False
    entries = (
        {
            "properties": {"kpi": _NAME, "min": {"type": "number"}, "max": {"type": "number"}, "above_baseline": _MARGIN, "max_drop": _MARGIN},
            "anyOf": [{"required": [bound]} for bound in _BOUNDS],
        },
    )

    def kpis(self, requirement: Mapping[str, Any]) -> Sequence[str]:
        """Return the name of the KPI that the gate's entry in the program, `requirement`, is about, as a tuple of one."""
        return (requirement[self.name],)

    def check_requirement(self, requirement: Mapping[str, Any]) -> None:
        """Raise UsageError if a `kpi` gate's entry in the program has an invalid key, an invalid bound, or no bound."""
        _required_name(self.name, requirement)
        rest = _without_key(self.name, requirement)
        _refuse_other_keys(self.name, rest, _BOUNDS)
        if not rest:
            raise UsageError("a KPI gate needs min, max, above_baseline or max_drop")
        for key, bound in rest.items():
            if isinstance(bound, bool) or not isinstance(bound, int | float):
                raise UsageError(f"'{key}' takes a number; found {bound!r}")
            if key == "max_drop" and bound < 0:
                raise UsageError(f"'max_drop' takes how much worse than in the build before a KPI may be, 0 or more; found {bound!r}")
            if key == "above_baseline" and bound < 0:
                raise UsageError(f"'above_baseline' takes by how much a KPI has to be better than the baseline, 0 or more; found {bound!r}")

    def evaluate(self, evidence: GateEvidence, requirement: Mapping[str, Any]) -> GateResult:
        """Return the gate's result: passed if the KPI is within every bound of `requirement`, and not measured on data used for model selection."""
        subject = requirement[self.name]
        bounds = _without_key(self.name, requirement)
        required: dict[str, JSON] = dict(bounds)
        known = evidence.figures
        kpi = known.get(subject)
        if kpi is None:
            message = f"no report has the KPI {subject}. {suggestion(subject, known, none_known='There are no KPIs.')}"
            return GateResult(passed=False, measured=None, required=required, message=message)
        if kpi.selection:
            why = next(report.why for report in evidence.reports if report.role == kpi.role)
            message = f"{subject} is of {kpi.role}, which {why}: frames that select give no figure to release by"
            return GateResult(passed=False, measured=None, required=required, message=message)
        judged = [_within_bounds(kpi, bounds.get("min"), bounds.get("max"))]
        if (margin := bounds.get("above_baseline")) is not None:
            required["baseline"] = kpi.baseline
            judged.append(_above_baseline(kpi, margin, evidence.artifacts[kpi.role].unknowns))
        if (most := bounds.get("max_drop")) is not None:
            judged.append(_no_worse_than_before(subject, kpi, most, evidence.earlier()))
        words = "; ".join(text for _, text in judged if text)
        return GateResult(all(good for good, _ in judged), kpi.value, required, f"{subject} is {kpi.value:.4g}; {words}")


class NothingUnknown(BuiltInGate):
    """Gate `unknowns`: passes if the traces of the build's artifacts have no unknowns."""

    name = "unknowns"
    description = "No fact behind the build is unknown."
    entries = ({"properties": {"unknowns": {"const": "none"}}},)

    def check_requirement(self, requirement: Mapping[str, Any]) -> None:
        """Raise UsageError if the entry of the gate `unknowns` in the program is not exactly `unknowns: none`."""
        if (subject := _required_name(self.name, requirement)) != "none":
            raise UsageError(f"'unknowns' takes only 'none'; found {subject!r}")
        _refuse_other_keys(self.name, _without_key(self.name, requirement), ())

    def evaluate(self, evidence: GateEvidence, requirement: Mapping[str, Any]) -> GateResult:  # noqa: ARG002  # takes only 'none'
        """Return the gate's result: passed if the artifacts' traces have no unknowns (facts recorded as not known); `measured` is their number."""
        found = [f"{unknown.what} ({ref})" for ref, unknown in evidence.unknowns]
        rest = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        message = f"unknown: {', '.join(found[:_SHOWN])}{rest}" if found else "nothing is unknown"
        return GateResult(not found, measured=len(found), required=0, message=message)


GATES: dict[str, BuiltInGate] = {gate.name: gate for gate in (CheckPassed(), KpiWithinBounds(), NothingUnknown())}
"""Built-in gates by their key in a program."""


def _required_name(key: str, requirement: Mapping[str, Any]) -> str:
    """Return the value of `key` in a gate's entry of the program, such as a KPI's name; raises UsageError if it is not a text."""
    subject = requirement.get(key)
    if not isinstance(subject, str):
        raise UsageError(f"'{key}' takes a name; found {subject!r}")
    return subject


def _without_key(key: str, requirement: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in requirement.items() if name != key}


def _refuse_other_keys(key: str, rest: Mapping[str, Any], allowed: Sequence[str]) -> None:
    other = next((name for name in rest if name not in allowed), None)
    if other is not None:
        raise UsageError(f"a gate of form '{key}' has no key '{other}'" + (" (only min, max, above_baseline and max_drop)" if allowed else ""))


def _within_bounds(kpi: Kpi, least: float | None, most: float | None) -> tuple[bool, str]:
    """Return whether a KPI is within its bounds (None sets no bound), and the bounds in words, empty without bounds."""
    passed = (least is None or kpi.value >= least) and (most is None or kpi.value <= most)
    bounds = " and ".join(text for text in (f"at least {least}" if least is not None else "", f"at most {most}" if most is not None else "") if text)
    return passed, f"required: {bounds}" if bounds else ""


def _above_baseline(kpi: Kpi, margin: float, unknowns: Sequence[Unknown]) -> tuple[bool, str]:
    """Return whether a KPI beats its baseline by a margin, and a sentence that explains the result.

    The low end of the gain's confidence interval is compared with the margin; if only the KPI has a confidence interval, the difference between
    the baseline and the KPI's worse end is. The bool is False if there is no baseline or no interval.
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
    """Whether a KPI's gain over its baseline is positive and at least the margin."""
    return gain > 0 and gain >= margin - _SAME


def _no_worse_than_before(subject: str, kpi: Kpi, most: float, earlier: PreviousBuild) -> tuple[bool, str]:
    """Return whether a KPI is at most `most` worse than in the build `earlier` (True if there is none or it lacks the KPI), and a sentence."""
    if earlier.name is None:
        return True, "there is no earlier build of this program to compare with"
    before = earlier.kpis.get(f"{kpi.asset}.{kpi.name}", earlier.kpis.get(subject))
    if before is None:
        return True, f"build/{earlier.name} before has no {subject} to compare with"
    worse = kpi.value - before if kpi.less_is_better else before - kpi.value
    by = f"{abs(worse):.4g} {'worse' if worse > 0 else 'better'} than" if worse else "the same as"
    return worse <= most + _SAME, f"{by} in build/{earlier.name} before ({before:.4g}); required: at most {most:g} worse"
