"""The page and the specific JSON members of a level 1 report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tracecore_evaluation.evaluate import FrameEvaluation, Limits
from tracecore_evaluation.model_config import ModelConfig
from tracecore_evaluation.obstacle_kpis import Kpis
from tracecore_evaluation.report import Findings, cell, cells, closing, headline_table
from tracecore_schemas.canonical import JSON

__all__ = ["details", "page"]


def page(
    findings: Findings, judged: FrameEvaluation, baseline: FrameEvaluation, config: ModelConfig, limits: Limits, pictures: Mapping[str, str]
) -> list[str]:
    """Return the lines of report.md."""
    lines = ["# KPIs, frame by frame", "", f"{findings.frames} frames of {findings.drives} drives, executed with {findings.executed_with}.", ""]
    lines += headline_table(findings)
    if config.classes:
        lines += _obstacles(judged, baseline, config, limits)
    if config.ahead:
        lines += _path(judged, baseline, config, limits)
    if config.states:
        lines += _light(judged, config)
    return [*lines, *_slices(judged, config), *closing(findings, pictures)]


def details(judged: FrameEvaluation, baseline: FrameEvaluation, mean_path: FrameEvaluation, config: ModelConfig, limits: Limits) -> dict[str, Any]:
    """Return the members of report.json that only level 1 has."""
    return {
        "classes": list(config.classes),
        "thresholds": {
            "score": limits.thresholds.score,
            "iou": limits.thresholds.iou,
            "chosen": _chosen(limits),
            "path_within": limits.path_within,
            "off_path": limits.off_path,
        },
        "counts": _counts(judged.obstacles),
        "curves": {
            name: None if curve is None else {"recall": curve.recall, "precision": curve.precision} for name, curve in judged.obstacles.curves.items()
        },
        "confusion": {"states": list(config.states), "rows_are": "true", "counts": judged.light.confusion.tolist()},
        "baseline": {"counts": _counts(baseline.obstacles), "mean_path": mean_path.path.values},
    }


def _chosen(limits: Limits) -> str:
    return f"score {limits.thresholds.score:g} is the program's parameter 'score'; it was not tuned on these frames"


def _counts(kpis: Kpis) -> JSON:
    return {name: {"hits": count.hits, "false_positives": count.false_positives, "misses": count.misses} for name, count in kpis.counts.items()}


def _obstacles(judged: FrameEvaluation, baseline: FrameEvaluation, config: ModelConfig, limits: Limits) -> list[str]:
    values, trivial = judged.obstacles.values, baseline.obstacles.values
    counted = (
        f"Precision and recall count detections of score {limits.thresholds.score:g} and more that overlap an object by "
        f"{limits.thresholds.iou:g} and more; {_chosen(limits)}. AP is COCO's, over all scores."
    )
    lines = [
        "## Obstacles",
        "",
        counted,
        "",
        "| class | objects | AP50 | baseline | AP | baseline | precision | recall | false positives | misses |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name in config.classes:
        count = judged.obstacles.counts[name]
        row = [values[f"ap50.{name}"], trivial[f"ap50.{name}"], values[f"ap.{name}"], trivial[f"ap.{name}"]]
        row += [values[f"precision.{name}"], values[f"recall.{name}"]]
        lines.append(f"| {name} | {count.hits + count.misses} | {cells(row)} | {count.false_positives} | {count.misses} |")
    return [*lines, f"| mean | | {cells([values['map50'], trivial['map50'], values['map'], trivial['map']])} | | | | |", ""]


def _path(judged: FrameEvaluation, baseline: FrameEvaluation, config: ModelConfig, limits: Limits) -> list[str]:
    values, trivial = judged.path.values, baseline.path.values
    lines = [
        "## Path",
        "",
        f"Lateral distance of the way said from the one driven, m, on {len(judged.path.errors)} frames; within: {limits.path_within:g} m or less.",
        "",
        "| ahead | mean | straight ahead | 95th percentile | straight ahead | within | straight ahead |",
        "|---|---|---|---|---|---|---|",
    ]
    for title, suffix in [*((f"{x:g} m", f".at_{x:g}m") for x in config.ahead), ("all", "")]:
        row = [source.get(f"{kpi}{suffix}") for kpi in ("path_error.mean", "path_error.p95", "path_within") for source in (values, trivial)]
        lines.append(f"| {title} | {cells(row)} |")
    return [*lines, ""]


def _light(judged: FrameEvaluation, config: ModelConfig) -> list[str]:
    values = judged.light.values
    lines = [
        "## Light",
        "",
        "| state | frames | precision | recall | F1 | " + " | ".join(f"said {state}" for state in config.states) + " |",
        "|---|---|---|---|---|" + "---|" * len(config.states),
    ]
    for row, state in enumerate(config.states):
        counts = judged.light.confusion[row].tolist()
        shares = cells([values[f"light.{kpi}.{state}"] for kpi in ("precision", "recall", "f1")])
        lines.append(f"| {state} | {sum(counts)} | {shares} | {' | '.join(str(count) for count in counts)} |")
    return [*lines, ""]


def _slices(judged: FrameEvaluation, config: ModelConfig) -> list[str]:
    kpis = [f"{kpi}.{name}" for name in config.classes for kpi in ("ap50", "recall")]
    kpis += (["path_error.mean"] if config.ahead else []) + (["light.accuracy"] if config.states else [])
    lines = ["## Slices", "", "| slice | frames | " + " | ".join(kpis) + " |", "|---|---|" + "---|" * len(kpis)]
    for name, frames in judged.slices.items():
        row = " | ".join(cell(judged.values.get(f"{kpi}.{name}")) for kpi in kpis)
        lines.append(f"| {name} | {'by object' if frames is None else frames} | {row} |")
    return lines
