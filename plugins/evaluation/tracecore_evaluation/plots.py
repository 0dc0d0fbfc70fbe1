"""Plots of a KPI report, drawn without a display; the same KPIs give the same PNG bytes (no software version, no date inside)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tracecore_evaluation.kpis import Kpis

__all__ = ["plot_ap50", "plot_precision_recall"]

_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")  # Okabe and Ito: told apart by the color-blind too
_GRAY = "#b0b0b0"


def plot_precision_recall(path: Path, kpis: Kpis) -> None:
    """Plot precision over recall at an overlap of 0.5, a line a class."""
    figure, axes = _axes(5.5, 4.5)
    for number, (name, curve) in enumerate(kpis.curves.items()):
        if curve is not None:
            ap50 = kpis.values[f"ap50.{name}"]
            axes.plot(curve.recall, curve.precision, color=_COLORS[number % len(_COLORS)], label=f"{name} (AP50 {ap50:.3f})")
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02), title="Precision over recall, IoU 0.5")
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8)
    _save(figure, path)


def plot_ap50(path: Path, kpis: Kpis, baseline: Kpis) -> None:
    """Plot AP50 of each class beside the baseline's."""
    names = [name for name in kpis.curves if kpis.values[f"ap50.{name}"] is not None]
    figure, axes = _axes(max(4.0, 1.2 * len(names) + 1.5), 4.0)
    for offset, color, label, source in ((-0.2, _COLORS[0], "model", kpis), (0.2, _GRAY, "baseline: mean boxes", baseline)):
        heights = [source.values.get(f"ap50.{name}") or 0.0 for name in names]
        bars = axes.bar([place + offset for place in range(len(names))], heights, 0.4, color=color, label=label)
        axes.bar_label(bars, fmt="%.3f", fontsize=7)
    axes.set_xticks(range(len(names)), names)
    axes.set(ylabel="AP50", ylim=(0, 1.08), title="AP50 beside the baseline")
    axes.legend(fontsize=8)
    _save(figure, path)


def _axes(width: float, height: float) -> tuple[Any, Any]:
    # No pyplot: it keeps figures alive for the whole process and asks for a display.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=100, layout="tight")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def _save(figure: Any, path: Path) -> None:
    figure.savefig(path, format="png", metadata={"Software": None, "Creation Time": None})
