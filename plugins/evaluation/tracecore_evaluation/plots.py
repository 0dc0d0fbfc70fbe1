"""Plots of KPI reports, drawn without a display; the same KPIs give the same PNG bytes (no software version, no date inside)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tracecore_evaluation.judge import Judged
from tracecore_evaluation.kpis import Kpis
from tracecore_evaluation.model_config import ModelConfig

__all__ = ["COLORS", "axes_of", "plot_level_1", "save"]

COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")  # Okabe and Ito: told apart by the color-blind too
_GRAY = "#b0b0b0"


def plot_level_1(folder: Path, judged: Judged, baseline: Judged, config: ModelConfig) -> dict[str, str]:
    """Plot what each head is worth; gives title by file."""
    made: dict[str, str] = {}
    if config.classes:
        _precision_recall(folder / "precision_recall.png", judged.obstacles)
        _ap50(folder / "ap50.png", judged.obstacles, baseline.obstacles)
        made |= {"precision_recall.png": "Precision over recall", "ap50.png": "AP50 beside the baseline"}
    if config.ahead:
        _path_error(folder / "path_error.png", judged.path.values, baseline.path.values, config.ahead)
        made["path_error.png"] = "Path error over distance"
    if config.states:
        _confusion(folder / "light.png", judged.light.confusion.tolist(), config.states)
        made["light.png"] = "States of the light"
    return made


def _precision_recall(path: Path, kpis: Kpis) -> None:
    figure, axes = axes_of(5.5, 4.5)
    for number, (name, curve) in enumerate(kpis.curves.items()):
        if curve is not None:
            ap50 = kpis.values[f"ap50.{name}"]
            axes.plot(curve.recall, curve.precision, color=COLORS[number % len(COLORS)], label=f"{name} (AP50 {ap50:.3f})")
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02), title="Precision over recall, IoU 0.5")
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8)
    save(figure, path)


def _ap50(path: Path, kpis: Kpis, baseline: Kpis) -> None:
    names = [name for name in kpis.curves if kpis.values[f"ap50.{name}"] is not None]
    figure, axes = axes_of(max(4.0, 1.2 * len(names) + 1.5), 4.0)
    for offset, color, label, source in ((-0.2, COLORS[0], "model", kpis), (0.2, _GRAY, "baseline: mean boxes", baseline)):
        heights = [source.values.get(f"ap50.{name}") or 0.0 for name in names]
        bars = axes.bar([place + offset for place in range(len(names))], heights, 0.4, color=color, label=label)
        axes.bar_label(bars, fmt="%.3f", fontsize=7)
    axes.set_xticks(range(len(names)), names)
    axes.set(ylabel="AP50", ylim=(0, 1.08), title="AP50 beside the baseline")
    axes.legend(fontsize=8)
    save(figure, path)


def _path_error(path: Path, values: Mapping[str, float | None], baseline: Mapping[str, float | None], ahead: Sequence[float]) -> None:
    figure, axes = axes_of(5.5, 4.0)
    for source, color, who in ((values, COLORS[0], "model"), (baseline, _GRAY, "straight ahead")):
        for kpi, style, what in (("mean", "-", "mean"), ("p95", "--", "95th percentile")):
            known = [(x, value) for x in ahead if (value := source.get(f"path_error.{kpi}.at_{x:g}m")) is not None]
            axes.plot([x for x, _ in known], [value for _, value in known], style, marker="o", markersize=3, color=color, label=f"{who}, {what}")
    axes.set(xlabel="ahead, m", ylabel="lateral error, m", title="Path error over distance")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    save(figure, path)


def _confusion(path: Path, counts: Sequence[Sequence[int]], states: Sequence[str]) -> None:
    figure, axes = axes_of(4.5, 4.0)
    shares = [[count / max(sum(row), 1) for count in row] for row in counts]
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, line in enumerate(counts):
        for column, count in enumerate(line):
            axes.text(column, row, str(count), ha="center", va="center", color="white" if shares[row][column] > 0.5 else "black")
    axes.set_xticks(range(len(states)), states)
    axes.set_yticks(range(len(states)), states)
    axes.set(xlabel="said", ylabel="true", title="States of the light, frames")
    save(figure, path)


def axes_of(width: float, height: float) -> tuple[Any, Any]:
    """Give a figure of a size in inches and its axes."""
    # No pyplot: it keeps figures alive for the whole process and asks for a display.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=100, layout="tight")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def save(figure: Any, path: Path) -> None:
    """Write a figure as PNG."""
    figure.savefig(path, format="png", metadata={"Software": None, "Creation Time": None})
