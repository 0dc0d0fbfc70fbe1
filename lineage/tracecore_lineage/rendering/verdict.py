"""What the first line of a build says of it: failed checks, and KPIs with what its gates ask of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tracecore_lineage.kpis import Kpi
from tracecore_schemas.facet_summary import count

__all__ = ["BAD", "Words", "checks_in_words", "kpis_in_words", "training_in_words"]

Words = tuple[str, str]
"""A few words and the style that a terminal draws them in."""

BAD = "bold red"
_NAMED = 3
_DIGEST = re.compile(r"(@[0-9a-f]{6})[0-9a-f]{58}")
_BOUNDS = ("min", "max", "above_baseline", "max_drop")


def checks_in_words(failed: Sequence[str]) -> list[Words]:
    """Return how many checks failed, by name; nothing where none did."""
    if not failed:
        return []
    names = list(dict.fromkeys(failed))
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return [(f"{count(len(failed), 'check')} failed: {', '.join(names[:_NAMED])}{more}", BAD)]


def training_in_words(unknowns: Iterable[tuple[str, str]]) -> list[str]:
    """Return of a build's unknowns (what, why) the training data that the gate `no_leak` let pass unknown, by the models' names."""
    told = (_DIGEST.sub(r"\1", why.partition(":")[0]) for what, why in unknowns if what == "training data")
    return [f"unknown: {words[:1].lower()}{words[1:]}" for words in told]


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
        if kpi is not None and kpi.value == gate["measured"]:
            told.add(kpi)
        else:  # the gate has a name of its own, or none that it may be judged by
            kpi = None
        required = gate["required"] if isinstance(gate["required"], Mapping) else {}
        bounds = {key: required[key] for key in _BOUNDS if _number(required.get(key))}
        if bounds and _number(gate["measured"]):
            words.append(_with_gate(gate, bounds, required.get("baseline"), kpi))
        elif not gate["passed"]:
            words.append((f"{gate['name']} {_verdict(gate)}", BAD))
    names: dict[Kpi, str] = {}
    for name, kpi in kpis.items():
        names[kpi] = min(names.get(kpi, name), name, key=len)
    for kpi, name in names.items():
        if kpi.headline and not kpi.selection and kpi not in told:
            baseline = "" if kpi.baseline is None else f" (baseline {_figure(kpi.baseline)})"
            words.append((f"{name} {_figure(kpi.value)}{baseline}", ""))
    return words


def _verdict(gate: Mapping[str, Any]) -> str:
    return "WAIVED" if gate["waived"] else "FAILED"


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _with_gate(gate: Mapping[str, Any], bounds: Mapping[str, float], baseline: Any, kpi: Kpi | None) -> Words:
    asked = [f"{sign} {_figure(bounds[key])}" for key, sign in (("min", "≥"), ("max", "≤")) if key in bounds]
    compared = ""
    if "above_baseline" in bounds:
        compared, above = _above(bounds["above_baseline"], baseline, kpi)
        asked.append(above)
    if "max_drop" in bounds:
        asked.append(f"at most {_figure(bounds['max_drop'])} worse than before")
    value = _figure(gate["measured"])
    if any(value == _figure(bounds[key]) and gate["measured"] != bounds[key] for key in ("min", "max") if key in bounds):
        value = f"{gate['measured']:.4g}"  # rounded, it would look as if it met the bound, or did not
    text = " ".join([f"{gate['name']} {value}{compared}", *asked])
    return (text, "") if gate["passed"] else (f"{text} {_verdict(gate)}", BAD)


def _above(margin: float, baseline: Any, kpi: Kpi | None) -> tuple[str, str]:
    """Return what a gate above the baseline compares, and what it asks; as good as the baseline is not better, so that 0 is asked for strictly."""
    than = _figure(baseline) if _number(baseline) else "its baseline"
    if kpi is None:
        return "", f"better than {than}{f' by {_figure(margin)}' if margin else ''}"
    compared, words = (kpi.interval, "") if kpi.gain is None else (kpi.gain, "less by " if kpi.less_is_better else "more by ")
    between = "" if compared is None else f" ({words}{_figure(compared[0])} to {_figure(compared[1])})"
    if not margin:
        return between, f"{'<' if kpi.less_is_better else '>'} {than}"
    return between, f"≤ {than} − {_figure(margin)}" if kpi.less_is_better else f"≥ {than} + {_figure(margin)}"  # noqa: RUF001


def _figure(value: float) -> str:
    """Write a figure as a glance needs it."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
