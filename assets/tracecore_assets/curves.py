"""Training curves for the Dagster UI: `curves.json` of a model as a picture, and its last values as numbers that Dagster draws over time."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracecore_schemas.strict_json import loads_strict

__all__ = ["FILE", "Curves", "curves_picture", "read_curves"]

FILE = "curves.json"
_TYPE = "tracecore.curves"
_LINES = 12


@dataclass(frozen=True, slots=True)
class Curves:
    """What training looked like.

    Attributes:
        x: name of the axis (`step`).
        steps: its values.
        series: (name, a value a step) in the order of the file; NaN where the file holds no number.
    """

    x: str
    steps: Sequence[float]
    series: Sequence[tuple[str, Sequence[float]]]

    @property
    def last(self) -> dict[str, float]:
        """The last number of each series that has one."""
        found = {name: next((value for value in reversed(values) if math.isfinite(value)), None) for name, values in self.series}
        return {name: value for name, value in found.items() if value is not None}


def read_curves(folder: Path) -> Curves | None:
    """Read a model's curves; None where it has none, or in a shape that is not ours."""
    try:
        said: Any = loads_strict((folder / FILE).read_bytes())
        if said["type"] != _TYPE:
            return None
        series = [(str(each["name"]), _numbers(each["values"])) for each in said["series"]]
        return Curves(str(said["x"]["name"]), _numbers(said["x"]["values"]), series)
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return None


def _numbers(values: Sequence[Any]) -> list[float]:
    return [float(value) if isinstance(value, int | float) else math.nan for value in values]


def curves_picture(curves: Curves) -> bytes | None:
    """Draw the curves as a PNG, each in a small plot of its own: their scales differ by orders of magnitude."""
    from matplotlib.figure import Figure

    shown = [(name, values) for name, values in curves.series if len(values) == len(curves.steps)][:_LINES]
    if not shown:
        return None
    columns = min(3, len(shown))
    rows = -(-len(shown) // columns)
    figure = Figure(figsize=(4 * columns, 2.4 * rows), layout="constrained")
    for place, (name, values) in enumerate(shown, start=1):
        axes = figure.add_subplot(rows, columns, place)
        axes.plot(curves.steps, values, linewidth=1)
        axes.set_title(name, fontsize=9)
        axes.set_xlabel(curves.x, fontsize=8)
        axes.tick_params(labelsize=7)
        axes.grid(alpha=0.3)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=80)
    return buffer.getvalue()
