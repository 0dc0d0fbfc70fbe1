"""Members that every KPI report has, in report.json, report.md and the facet.

Reports contain no time and no path, so that equal KPIs give equal bytes.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tracecore as tc
from tracecore_evaluation.ground_truth import Review
from tracecore_evaluation.intervals import LEVEL
from tracecore_evaluation.kpi_specs import kpi_of, lower_is_better, parts_of
from tracecore_schemas.canonical import JSON

__all__ = ["EVENTS_FACET", "Findings", "cell", "cells", "closing", "events_facet", "facet", "headline_table", "interval_words", "write_report"]


def _mistakes(facet: Mapping[str, Any]) -> str:
    counts = facet["counts"]
    return tc.summarize(tc.count(sum(counts.values()), "mistake"), ", ".join(f"{name} {counts[name]:,}" for name in sorted(counts)))


EVENTS_FACET = tc.FacetSpec("tracecore_events", _mistakes, __package__)

Values = Mapping[str, float | None]
Intervals = Mapping[str, tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Findings:
    """Content of a KPI report; `values` and `baseline` are None for KPIs with nothing to count.

    Attributes:
        level: 1 for frame by frame, 2 for mistakes while driving.
        intervals: 95 % intervals by KPI.
        gains: 95 % intervals of how much lower errors and rates are than the baseline's, by KPI.
        slices: number of frames by slice; None for slices of objects.
        unknowns: (what, why) of what could not be evaluated.
    """

    level: int
    executed_with: str
    frames: int
    drives: int
    values: Values
    baseline: Values
    baseline_is: str
    headline: Sequence[str]
    intervals: Intervals
    gains: Intervals
    interval_by: str
    review: Review
    slices: Mapping[str, int | None]
    unknowns: Sequence[tuple[str, str]]


def write_report(folder: Path, findings: Findings, page: Sequence[str], **more: Any) -> None:
    """Write report.json and report.md (lines `page`). `more` has further members of report.json; a `baseline` in it extends that of `findings`."""
    of_baseline = {"what": findings.baseline_is, "values": findings.baseline} | dict(more.pop("baseline", {}))
    document = _shared(findings) | {
        "v": 1,
        "type": "tracecore.kpi_report",
        "drives": findings.drives,
        "values": findings.values,
        "lower_is_better": lower_is_better(findings.values),
        "slices": findings.slices,
        "baseline": of_baseline,
        "unknowns": [{"what": what, "why": why} for what, why in findings.unknowns],
    }
    text = json.dumps(document | more, indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False)
    (folder / "report.json").write_text(text + "\n", encoding="utf-8")
    (folder / "report.md").write_text("\n".join(page) + "\n", encoding="utf-8")


def facet(findings: Findings, classes: Sequence[str] = ()) -> dict[str, JSON]:
    """Return the members of the facet `tracecore_kpis`, without the KPIs' specs; `classes` are those that `map50` and `map` average over."""
    parts = {name: [*parts] for name, parts in parts_of(findings.values, classes).items()}
    return _shared(findings) | {"values": _known(findings.values), "baseline": _known(findings.baseline), "parts": parts}


def _shared(findings: Findings) -> dict[str, JSON]:
    """Return the members of both report.json and the facet on KPIs: frames, headline KPIs, intervals, gains and state of label review."""
    review = findings.review
    return {
        "executed_with": findings.executed_with,
        "frames": findings.frames,
        "level": findings.level,
        "headline": list(findings.headline),
        "intervals": {name: list(interval) for name, interval in findings.intervals.items()},
        "gains": {name: list(interval) for name, interval in findings.gains.items()},
        "interval_by": findings.interval_by,
        "interval_level": LEVEL,
        "label_review": {
            "frames": review.frames,
            "gold": review.gold / review.frames if review.frames else None,
            "unknown": review.unknown,
            "reviewed": review.reviewed,
            "changed": review.noise,
        },
    }


def events_facet(rows: Sequence[Mapping[str, Any]], score: float, iou: float) -> dict[str, JSON]:
    """Return the facet members that describe event rows (mistakes): their number by type, and the thresholds `score` and `iou`."""
    return {"counts": dict(sorted(Counter(row["type"] for row in rows).items())), "score": score, "iou": iou}


def _known(values: Values) -> dict[str, JSON]:
    return {name: value for name, value in sorted(values.items()) if value is not None}


def headline_table(findings: Findings) -> list[str]:
    """Return the first table of a report as Markdown lines: headline KPIs with value, interval, baseline, and interval of the gain over it."""
    lines = [f"| KPI | value | {interval_words(findings)} | baseline | better by | better is |", "|---|---|---|---|---|---|"]
    for name in findings.headline:
        figure = kpi_of(name)
        unit = "" if figure.unit == "share" else f" {figure.unit}"
        between, gained = (
            "-" if each is None else f"{each[0]:.3f} to {each[1]:.3f}" for each in (findings.intervals.get(name), findings.gains.get(name))
        )
        way = "less" if figure.less_is_better else "more"
        value, baseline = cell(findings.values.get(name)), cell(findings.baseline.get(name))
        lines.append(f"| **{name}** | {value}{unit} | {between} | {baseline} | {gained} | {way} |")
    better = "Better by: how much less than the baseline's an error or a rate is on the same drives or blocks, as an interval of the same kind."
    return [*lines, "", f"Baseline: {findings.baseline_is}", better, "", _review_words(findings.review), ""]


def interval_words(findings: Findings) -> str:
    """Return the heading of a report's interval column, which names the resampled unit: `95 % interval by drive`."""
    return f"{LEVEL:.0%} interval by {findings.interval_by}".replace("%", " %")


def _review_words(review: Review) -> str:
    noise = "none of their labels has a verdict of a review"
    if review.noise is not None:
        noise = f"a review changed {review.noise:.1%} of the {review.reviewed} labels that it judged"
    unknown = f"; of {review.unknown} nobody recorded a review" if review.unknown else ""
    return f"Labels: {review.gold} of {review.frames} frames are gold (reviewed whole){unknown}; {noise}."


def closing(findings: Findings, pictures: Mapping[str, str]) -> list[str]:
    """Return the last sections of a report as Markdown lines: what is not known and why, then pictures (`pictures` maps file to title)."""
    lines = ["", "## Unknown", "", *(f"- {what}: {why}" for what, why in findings.unknowns)] if findings.unknowns else []
    return [*lines, *(line for file, title in pictures.items() for line in ("", f"![{title}]({file})"))]


def cell(value: float | None, decimals: int = 3) -> str:
    """Return a value as text for a table cell, rounded to `decimals` decimals; `-` for None."""
    return "-" if value is None else f"{value:.{decimals}f}"


def cells(values: Sequence[float | None]) -> str:
    """Return values, with three decimals each, as adjacent cells of a Markdown table row; `-` for None."""
    return " | ".join(cell(value) for value in values)
