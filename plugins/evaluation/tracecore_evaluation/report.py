"""The KPI report: report.json for programs, report.md for people. Neither holds a time or a path, so that the same KPIs give the same bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracecore_evaluation.kpis import Kpis, Thresholds
from tracecore_evaluation.model_config import ModelConfig
from tracecore_schemas.canonical import JSON

__all__ = ["Report", "write_report"]

_BASELINE = (
    "On every frame each class's mean box over the {frames} labeled frames that are not evaluated, scored by the share of those frames that "
    "hold the class."
)


@dataclass(frozen=True, slots=True)
class Report:
    """All that a report says."""

    config: ModelConfig
    executed_with: str
    thresholds: Thresholds
    frames: int
    frames_elsewhere: int
    kpis: Kpis
    baseline: Kpis
    unknowns: Sequence[tuple[str, str]]


def write_report(folder: Path, report: Report) -> None:
    """Write report.json and report.md."""
    text = json.dumps(_document(report), indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False)
    (folder / "report.json").write_text(text + "\n", encoding="utf-8")
    (folder / "report.md").write_text(_page(report), encoding="utf-8")


def _document(report: Report) -> Mapping[str, Any]:
    return {
        "v": 1,
        "type": "tracecore.kpi_report",
        "classes": list(report.config.classes),
        "executed_with": report.executed_with,
        "frames": report.frames,
        "thresholds": {"score": report.thresholds.score, "iou": report.thresholds.iou, "chosen": _chosen(report)},
        "values": report.kpis.values,
        "counts": _counts(report.kpis),
        "slices": report.kpis.slices,
        "curves": {
            name: None if curve is None else {"recall": curve.recall, "precision": curve.precision} for name, curve in report.kpis.curves.items()
        },
        "baseline": {
            "what": _BASELINE.format(frames=report.frames_elsewhere),
            "values": report.baseline.values,
            "counts": _counts(report.baseline),
        },
        "unknowns": [{"what": what, "why": why} for what, why in report.unknowns],
    }


def _chosen(report: Report) -> str:
    return f"score {report.thresholds.score:g} is the program's parameter 'score'; it was not tuned on these frames"


def _counts(kpis: Kpis) -> JSON:
    return {name: {"hits": count.hits, "false_positives": count.false_positives, "misses": count.misses} for name, count in kpis.counts.items()}


def _page(report: Report) -> str:
    values, baseline = report.kpis.values, report.baseline.values
    how = (
        f"{report.frames} frames, executed with {report.executed_with}. Precision and recall count detections of score "
        f"{report.thresholds.score:g} and more that overlap an object by {report.thresholds.iou:g} and more; {_chosen(report)}. "
        "AP is COCO's, over all scores."
    )
    lines = [
        "# Detection KPIs",
        "",
        how,
        "",
        "| class | objects | AP50 | baseline | AP | baseline | precision | recall | false positives | misses |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name in report.config.classes:
        count = report.kpis.counts[name]
        cells = [values[f"ap50.{name}"], baseline[f"ap50.{name}"], values[f"ap.{name}"], baseline[f"ap.{name}"]]
        cells += [values[f"precision.{name}"], values[f"recall.{name}"]]
        lines.append(f"| {name} | {count.hits + count.misses} | {_cells(cells)} | {count.false_positives} | {count.misses} |")
    means = _cells([values["map50"], baseline["map50"], values["map"], baseline["map"]])
    lines += [f"| mean | | {means} | | | | |", "", f"Baseline: {_BASELINE.format(frames=report.frames_elsewhere)}", ""]
    lines += ["## Slices", "", "| slice | frames | " + " | ".join(f"AP50 {name} | recall {name}" for name in report.config.classes) + " |"]
    lines += ["|---|---|" + "---|---|" * len(report.config.classes)]
    for slice_, frames in report.kpis.slices.items():
        cells = [values[f"{kpi}.{name}.{slice_}"] for name in report.config.classes for kpi in ("ap50", "recall")]
        lines.append(f"| {slice_} | {'by size of object' if frames is None else frames} | {_cells(cells)} |")
    if report.unknowns:
        lines += ["", "## Unknown", "", *(f"- {what}: {why}" for what, why in report.unknowns)]
    lines += ["", "![Precision over recall](precision_recall.png)", "", "![AP50 beside the baseline](ap50.png)", "", "![Samples](samples.png)", ""]
    return "\n".join(lines)


def _cells(values: Sequence[float | None]) -> str:
    return " | ".join("-" if value is None else f"{value:.3f}" for value in values)
