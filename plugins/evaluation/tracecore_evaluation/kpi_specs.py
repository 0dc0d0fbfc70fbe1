"""What the name of a KPI tells of its values: unit, which direction is better, and the range they can have."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

__all__ = ["Figure", "better", "figure_of", "lower_is_better", "parts_of"]


@dataclass(frozen=True, slots=True)
class Figure:
    """A sort of figure.

    Attributes:
        unit: in words.
        lower_is_better: whether less of it is better.
        least: no value is below.
        most: no value is above.
    """

    unit: str
    lower_is_better: bool = False
    least: float = 0.0
    most: float = 1.0


_SHARE = Figure("share")
_FAMILIES = {
    "path_error": Figure("m", lower_is_better=True, most=math.inf),
    "mistakes_per_hour": Figure("1/h", lower_is_better=True, most=math.inf),
    # 1 less misses, false boxes and switches by object: more mistakes than objects make it negative (Bernardin and Stiefelhagen 2008).
    "mota": Figure("share", least=-math.inf),
}


def figure_of(name: str) -> Figure:
    """Return the sort of a KPI's figure by the first part of its name (`path_error.mean.night`); a share where nothing else is known of it."""
    return _FAMILIES.get(name.partition(".")[0], _SHARE)


def better(name: str, value: float, other: float) -> bool:
    """Return whether one value of a KPI is better than another."""
    return value < other if figure_of(name).lower_is_better else value > other


def lower_is_better(names: Iterable[str]) -> list[str]:
    """Return the families (first parts of names) of which less is better, for readers that know nothing of these figures."""
    return sorted({name.partition(".")[0] for name in names if figure_of(name).lower_is_better})


def parts_of(names: Collection[str], classes: Sequence[str]) -> dict[str, list[str]]:
    """Return, for each KPI over all frames that is the mean of one KPI a class, the names of those."""
    return {mean: [f"{part}.{name}" for name in classes] for mean, part in {"map50": "ap50", "map": "ap"}.items() if mean in names}
