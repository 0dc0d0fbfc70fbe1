"""The page and the specific JSON members of a level 2 report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from tracecore_evaluation.driving_time import Time
from tracecore_evaluation.mistakes import Episode
from tracecore_evaluation.model_config import ModelConfig
from tracecore_evaluation.online_metrics import KINDS, Driving, tracking_kpis
from tracecore_evaluation.operating_score import CRITERION, OperatingScores
from tracecore_evaluation.report import Findings, cell, closing, headline_table, interval_words
from tracecore_evaluation.tracking_metrics import COUNTS
from tracecore_schemas.canonical import JSON

__all__ = ["details", "operating_facet", "page"]

_LISTED = 20  # mistakes listed on the page; the table has all


def page(findings: Findings, driving: Driving, time: Time, config: ModelConfig, operating: OperatingScores, pictures: Mapping[str, str]) -> list[str]:
    """Return the lines of report.md."""
    seconds = sum(time.drives.values())
    lines = [
        "# Mistakes per hour of driving",
        "",
        (
            f"{findings.frames} frames of {findings.drives} drives, {seconds:.1f} s of driving, tracked from what {findings.executed_with} saw. "
            "Something wrong for some time without a break is one mistake, however long it lasts; an object that is lost is one, however often. "
            "Rates of so little driving are rough: see the intervals."
        ),
        "",
        *(_operating(operating) if config.classes else ()),
        *headline_table(findings),
        "## Mistakes",
        "",
        f"| what | count | per hour | {interval_words(findings)} | baseline per hour |",
        "|---|---|---|---|---|",
    ]
    by_name = Counter(name for each in driving.episodes for name in {each.type, each.category, "total"})
    for name in ("total", *KINDS, *config.classes):
        kpi = f"mistakes_per_hour.{name}"
        if kpi in findings.values:
            interval = findings.intervals.get(kpi)
            between = "-" if interval is None else f"{interval[0]:.1f} to {interval[1]:.1f}"
            lines.append(f"| {name} | {by_name[name]} | {_rate(findings.values[kpi])} | {between} | {_rate(findings.baseline.get(kpi))} |")
    lines += ["", "## Slices", "", "| slice | frames | mistakes per hour | baseline |", "|---|---|---|---|"]
    for name, frames in findings.slices.items():
        kpi = f"mistakes_per_hour.total.{name}"
        lines.append(f"| {name} | {frames} | {_rate(findings.values.get(kpi))} | {_rate(findings.baseline.get(kpi))} |")
    if driving.followed:
        lines += ["", "## Tracking", "", "| drive | objects | misses | false boxes | switches | MOTA |", "|---|---|---|---|---|---|"]
        for name, counts in driving.by_drive().items():
            objects, _, misses, false_boxes, switches, _ = counts.tolist()
            lines.append(f"| {name} | {objects} | {misses} | {false_boxes} | {switches} | {cell(tracking_kpis(counts)['mota'])} |")
    return [*lines, *_longest(driving.episodes), *closing(findings, pictures)]


def _operating(operating: OperatingScores) -> list[str]:
    scores = ", ".join(f"{name} {score:g}" for name, score in operating.by_class.items())
    if not operating.frames:
        return [f"Tracked from score: {scores}; it is the program's parameter 'score', chosen on no frames.", ""]
    mota = "" if operating.mota is None else f" (MOTA {operating.mota:.3f} on them)"
    return [f"Tracked from score: {scores}; chosen on {operating.frames} selection frames{mota}: {CRITERION}.", ""]


def details(driving: Driving, time: Time, operating: OperatingScores) -> dict[str, Any]:
    """Return the members of report.json that only level 2 has."""
    counts = Counter(each.type for each in driving.episodes)
    return {
        "counts": {kind: counts[kind] for kind in KINDS},
        "driving_seconds": dict(sorted(time.drives.items())),
        "tracking": {name: dict(zip(COUNTS, counts.tolist(), strict=True)) for name, counts in driving.by_drive().items()},
        "operating_score": operating_facet(operating),
    }


def operating_facet(operating: OperatingScores) -> dict[str, JSON]:
    """Return the operating scores and how they were chosen, for report.json and the facet."""
    chosen_by = CRITERION if operating.frames else "the parameter 'score'"
    return {"by_class": dict(operating.by_class), "chosen_by": chosen_by, "selection_frames": operating.frames, "selection_mota": operating.mota}


def _rate(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _longest(episodes: Sequence[Episode]) -> list[str]:
    if not episodes:
        return []
    longest = sorted(episodes, key=lambda each: -(each.seconds or 0.0))[:_LISTED]
    rest = f", the longest {_LISTED}" if len(episodes) > _LISTED else ""
    lines = ["", f"## The mistakes{rest}", "", "| drive | frame | what | of | for | expected | found |", "|---|---|---|---|---|---|---|"]
    for each in longest:
        lasting = "-" if each.seconds is None else f"{each.seconds:.1f} s"
        said = f"{each.row.get('expected') or '-'} | {each.row.get('found') or '-'}"
        lines.append(f"| {each.first.drive} | {each.first.timestamp_ns} | {each.type} | {each.category} | {lasting} | {said} |")
    return lines
