"""What a training looked like: each point of a curve is the mean over the steps since the one before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Curves"]


@dataclass(slots=True)
class Curves:
    """Losses over steps, as they are drawn.

    Attributes:
        step: of each point.
        learning_rate: at each point.
        losses: of each point, by term; `` is their weighted sum.
        sums: of the steps since the last point.
        since: how many those are.
    """

    step: list[int]
    learning_rate: list[float]
    losses: dict[str, list[float]]
    sums: dict[str, float]
    since: int = 0

    @classmethod
    def of(cls, terms: Iterable[str]) -> Curves:
        """Begin curves of the whole loss and of each term."""
        names = ["", *terms]
        return cls([], [], {name: [] for name in names}, dict.fromkeys(names, 0.0))

    def add(self, losses: Mapping[str, float]) -> None:
        """Add the losses of one step."""
        for name, value in losses.items():
            self.sums[name] += value
        self.since += 1

    def close(self, step: int, learning_rate: float) -> None:
        """Make a point of the steps since the last one."""
        self.step.append(step)
        self.learning_rate.append(learning_rate)
        for name, values in self.losses.items():
            values.append(self.sums[name] / self.since)
            self.sums[name] = 0.0
        self.since = 0

    def last(self, term: str) -> float:
        """Give the last point of a term."""
        return self.losses[term][-1]

    def document(self) -> dict[str, Any]:
        """Give what `curves.json` says."""
        series = [{"name": f"{name} loss".strip(), "values": values} for name, values in self.losses.items()]
        return {
            "v": 1,
            "type": "tracecore.curves",
            "x": {"name": "step", "values": self.step},
            "series": [*series, {"name": "learning rate", "values": self.learning_rate}],
        }
