"""Checks of a KPI report."""

from __future__ import annotations

import math
from typing import Any

import tracecore as tc
from tracecore_evaluation.kpi_specs import better, kpi_of
from tracecore_schemas.kinds import Severity
from tracecore_schemas.run import ExpectationOutcome
from tracecore_schemas.strict_json import StrictJSONError, loads_strict

__all__ = ["KpisAboveBaseline", "KpisFinite"]


class KpisFinite(tc.Check):
    """Check that a report has at least one KPI and that each is a finite number within its range."""

    name = "kpis_finite"
    description = "The report has KPIs, and each is a number that it can be: a share from 0 to 1, an error or a rate from 0 on."

    def run(self, context: tc.CheckContext) -> tc.CheckResult:
        """Return a failed result if `report.json` is not strict JSON, has no KPI, or has one that is not finite or outside its range."""
        try:
            values = loads_strict((context.read() / "report.json").read_bytes())["values"]
        except (StrictJSONError, OSError, KeyError) as error:
            return tc.CheckResult(False, f"report.json can't be read as a KPI report: {error}.")
        known = {name: value for name, value in values.items() if value is not None}
        bad = sorted(name for name, value in known.items() if not _possible(name, value))
        found = f"{len(known)} KPIs, {len(bad)} of them not what they can be" + (f": {', '.join(bad[:5])}" if bad else "")
        if not known:
            found = "no KPI: there was nothing to measure, and its unknowns say why"
        good = bool(known) and not bad
        expected = "at least one KPI, shares from 0 to 1, errors and rates from 0 on"
        outcome = ExpectationOutcome("kpis_are_possible", good, expected=expected, actual=found)
        return tc.CheckResult(good, f"The report has {found}.", (outcome,), {"kpis": len(known), "bad": list(bad)})


def _possible(name: str, value: Any) -> bool:
    """Whether a KPI's value is a finite number within the range of its spec."""
    figure = kpi_of(name)
    return isinstance(value, (int, float)) and math.isfinite(value) and figure.least <= value <= figure.most


class KpisAboveBaseline(tc.Check):
    """Check that every headline KPI is better than the trivial baseline's."""

    name = "kpis_above_baseline"
    description = "Each headline KPI is better than the baseline's, which has never looked at a picture."
    severity = Severity.WARN

    def run(self, context: tc.CheckContext) -> tc.CheckResult:
        """Return a failed result if a headline KPI is not better than the baseline's; its message also lists classes whose AP50 is not better."""
        report = loads_strict((context.read() / "report.json").read_bytes())
        values, baseline = report["values"], report["baseline"]["values"]
        compared = {
            name: (values[name], baseline[name]) for name in report["headline"] if values.get(name) is not None and baseline.get(name) is not None
        }
        if not compared:
            return tc.CheckResult(False, "The report has no headline KPI to compare with a baseline's.")
        outcomes = tuple(_outcome(name, value, trivial) for name, (value, trivial) in compared.items())
        known = [name for name in report.get("classes", []) if values[f"ap50.{name}"] is not None]
        behind = [name for name in known if values[f"ap50.{name}"] <= (baseline.get(f"ap50.{name}") or 0)]
        message = "; ".join(f"{name} is {value:.3f}, the baseline's {trivial:.3f}" for name, (value, trivial) in compared.items())
        message += f"; classes not above it: {', '.join(behind)}." if behind else "."
        details = {name: {"value": value, "baseline": trivial} for name, (value, trivial) in compared.items()}
        return tc.CheckResult(all(outcome.success for outcome in outcomes), message, outcomes, {"headline": details, "not_above": behind})


def _outcome(name: str, value: float, trivial: float) -> ExpectationOutcome:
    """Return the check's outcome for one KPI: success if `value` is better than the baseline's (`trivial`), and both values in words."""
    way = "less" if kpi_of(name).less_is_better else "more"
    return ExpectationOutcome(
        f"{name.replace('.', '_')}_above_baseline", better(name, value, trivial), expected=f"{way} than {trivial:.3f}", actual=f"{value:.3f}"
    )
