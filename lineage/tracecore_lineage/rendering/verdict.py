"""What the first line of a build says of it: failed checks, and KPIs with what its gates ask of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tracecore_lineage.kpis import Kpi
from tracecore_schemas.summary import count

__all__ = ["BAD", "Words", "checks_in_words", "kpis_in_words"]

Words = tuple[str, str]
"""A few words and the style that a terminal draws them in."""

BAD = "bold red"
_NAMED = 3


def checks_in_words(failed: Sequence[str]) -> list[Words]:
    """Return how many checks failed, by name; nothing where none did."""
    if not failed:
        return []
    names = list(dict.fromkeys(failed))
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return [(f"{count(len(failed), 'check')} failed: {', '.join(names[:_NAMED])}{more}", BAD)]


def kpis_in_words(gates: Sequence[Mapping[str, Any]], kpis: Mapping[str, Kpi]) -> list[Words]:
    """Return each KPI that a gate asks for with what it asks, other gates that did not pass, and the other headline KPIs with their baselines.

    Args:
        gates: outcomes of the release's gates, as the seal names them.
        kpis: of the build's reports, by the names that gates find them by.
    """
    words: list[Words] = []
    told: set[Kpi] = set()
    for gate in gates:
        kpi = kpis.get(gate["name"])
        if kpi is not None:
            told.add(kpi)
            words.append(_with_gate(kpi, gate))
        elif not gate["passed"]:
            words.append((f"{gate['name']} {_verdict(gate)}", BAD))
    for kpi in dict.fromkeys(kpis.values()):
        if kpi.headline and not kpi.selection and kpi not in told:
            name = kpi.name if kpis.get(kpi.name) == kpi else f"{kpi.asset}.{kpi.name}"
            baseline = "" if kpi.baseline is None else f" (baseline {_figure(kpi.baseline)})"
            words.append((f"{name} {_figure(kpi.value)}{baseline}", ""))
    return words


def _verdict(gate: Mapping[str, Any]) -> str:
    return "WAIVED" if gate["waived"] else "FAILED"


def _with_gate(kpi: Kpi, gate: Mapping[str, Any]) -> Words:
    required = gate["required"] if isinstance(gate["required"], Mapping) else {}
    bounds = [f"{sign} {_figure(required[key])}" for key, sign in (("min", "≥"), ("max", "≤")) if isinstance(required.get(key), int | float)]
    between = ""
    margin = required.get("above_baseline")
    if isinstance(margin, int | float) and kpi.gain is not None and kpi.baseline is not None:
        low, high = map(_figure, kpi.gain)
        between = f" (baseline {_figure(kpi.baseline)}, better by {low} to {high})"
        bounds.append(f"by {f'≥ {_figure(margin)}' if margin else '> 0'}")
    elif isinstance(margin, int | float):
        between = "" if kpi.interval is None else f" ({_figure(kpi.interval[0])} to {_figure(kpi.interval[1])})"
        baseline = "its baseline" if kpi.baseline is None else _figure(kpi.baseline)
        bounds.append(f"≤ {baseline} − {_figure(margin)}" if kpi.less_is_better else f"≥ {baseline} + {_figure(margin)}")  # noqa: RUF001
    text = " ".join([f"{gate['name']} {_figure(kpi.value)}{between}", *bounds])
    return (text, "") if gate["passed"] else (f"{text} {_verdict(gate)}", BAD)


def _figure(value: float) -> str:
    """Write a figure as a glance needs it."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
