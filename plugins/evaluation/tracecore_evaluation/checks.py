"""Checks of a KPI report."""

from __future__ import annotations

import math
from typing import Any

import tracecore as tc
from tracecore_schemas.kinds import Severity
from tracecore_schemas.run import ExpectationOutcome
from tracecore_schemas.strict_json import StrictJSONError, loads_strict

__all__ = ["KpisAboveBaseline", "KpisFinite"]


class KpisFinite(tc.Check):
    """Every KPI of a report is a number from 0 to 1."""

    name = "kpis_finite"
    description = "The report has KPIs, and each is a number from 0 to 1."

    def run(self, context: tc.CheckContext) -> tc.CheckResult:
        """Read `report.json` strictly: NaN is refused by the reader itself."""
        try:
            values = _report(context)["values"]
        except (StrictJSONError, OSError, KeyError) as error:
            return tc.CheckResult(False, f"report.json can't be read as a KPI report: {error}.")
        known = {name: value for name, value in values.items() if value is not None}
        bad = sorted(name for name, value in known.items() if not isinstance(value, (int, float)) or not math.isfinite(value) or not 0 <= value <= 1)
        found = f"{len(known)} KPIs, {len(bad)} of them not from 0 to 1" + (f": {', '.join(bad[:5])}" if bad else "")
        good = bool(known) and not bad
        outcome = ExpectationOutcome("kpis_are_shares", good, expected="at least one KPI, each from 0 to 1", actual=found)
        return tc.CheckResult(good, f"The report has {found}.", (outcome,), {"kpis": len(known), "bad": list(bad)})


class KpisAboveBaseline(tc.Check):
    """The detector beats the trivial baseline."""

    name = "kpis_above_baseline"
    description = "The mean average precision is above that of the baseline, which has never looked at a picture."
    severity = Severity.WARN

    def run(self, context: tc.CheckContext) -> tc.CheckResult:
        """Compare `map50`, and name the classes that are not above the baseline."""
        report = _report(context)
        values, baseline = report["values"], report["baseline"]["values"]
        mean, trivial = values.get("map50"), baseline.get("map50")
        if mean is None or trivial is None:
            return tc.CheckResult(False, "The report has no mean average precision to compare with a baseline's.")
        known = [name for name in report["classes"] if values[f"ap50.{name}"] is not None]
        behind = [name for name in known if values[f"ap50.{name}"] <= (baseline.get(f"ap50.{name}") or 0)]
        message = f"The mean AP50 is {mean:.3f}, the baseline's {trivial:.3f}"
        message += f"; not above it: {', '.join(behind)}." if behind else "; every class is above it."
        outcome = ExpectationOutcome("map50_above_baseline", mean > trivial, expected=f"more than {trivial:.3f}", actual=f"{mean:.3f}")
        return tc.CheckResult(mean > trivial, message, (outcome,), {"map50": mean, "baseline": trivial, "not_above": behind})


def _report(context: tc.CheckContext) -> Any:
    return loads_strict((context.read() / "report.json").read_bytes())
