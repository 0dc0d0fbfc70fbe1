"""Slices: parts of the evaluated frames, or of their objects, that get KPIs of their own.

A program names the dimensions (`slices: [time_of_day, region, distance, size]`). Frames are sliced by `time_of_day`, `region`, `drive` or whatever
the labels say of frames (`frame_attributes`); objects by `distance` and `size`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tracecore.errors import UsageProblem
from tracecore.suggest import suggestion
from tracecore_evaluation.scene import SIZES, Frame, size_of

__all__ = ["FRAME_DIMENSIONS", "OBJECT_DIMENSIONS", "Slicing", "read_slicing", "slice_names"]

FRAME_DIMENSIONS = ("time_of_day", "region", "drive")
OBJECT_DIMENSIONS = ("distance", "size")


@dataclass(frozen=True, slots=True)
class Slicing:
    """How frames and objects are sliced.

    Attributes:
        frames: dimensions of frames.
        sizes: whether objects are sliced by COCO's sizes.
        bounds: where one range of distances ends and the next begins, m, ascending; empty for no slices by distance.
    """

    frames: tuple[str, ...] = ("time_of_day", "region", "drive")
    sizes: bool = True
    bounds: tuple[float, ...] = ()

    @property
    def distances(self) -> tuple[str, ...]:
        """Names of the ranges of distance, near first: `0-15m`, `15-30m`, `over-30m`."""
        return tuple(self.distance_of(low) for low in (0.0, *self.bounds)) if self.bounds else ()

    def distance_of(self, distance: float) -> str:
        """Give the name of a distance's range; a bound belongs to the farther one."""
        edges = (0.0, *self.bounds, math.inf)
        low, high = next((low, high) for low, high in pairwise(edges) if distance < high)
        return f"{low:g}-{high:g}m" if high < math.inf else f"over-{low:g}m"

    def conditions(self, frame: Frame, *, area: float | None = None, distance: float | None = None) -> dict[str, str]:
        """Give all that is known of where a mistake happened, by dimension, whichever dimensions are sliced by."""
        known = dict(frame.conditions)
        if area is not None:
            known["size"] = size_of(area)
        if distance is not None and self.bounds:
            known["distance"] = self.distance_of(distance)
        return known


def read_slicing(dimensions: Sequence[str], bounds: Sequence[float], attributes: Iterable[str]) -> Slicing:
    """Read a program's dimensions.

    Args:
        dimensions: their names.
        bounds: of the ranges of distance, m.
        attributes: what the labels say of frames, by name.

    Raises:
        UsageProblem: a dimension that nobody knows, or bounds that don't ascend.
    """
    known = {*FRAME_DIMENSIONS, *OBJECT_DIMENSIONS, *attributes}
    for name in dimensions:
        if name not in known:
            raise UsageProblem(f"There is no dimension '{name}' to slice by. {suggestion(name, known)}")
    if list(bounds) != sorted(set(bounds)) or not all(0 < bound < math.inf for bound in bounds):
        raise UsageProblem(f"The bounds of distances should be meters above 0 that ascend, as [15, 30]; found {list(bounds)}.")
    of_frames = tuple(dict.fromkeys(name for name in dimensions if name not in OBJECT_DIMENSIONS))
    return Slicing(of_frames, "size" in dimensions, tuple(bounds) if "distance" in dimensions else ())


def slice_names(frames: Sequence[Frame], reserved: Iterable[str] = SIZES) -> dict[str, list[Frame]]:
    """Give the frames of each slice by its name: the value itself (`night`), behind its dimension where two dimensions share a value.

    Args:
        frames: the frames.
        reserved: names of the slices by object.
    """
    found: dict[tuple[str, str], list[Frame]] = {}
    for frame in frames:
        for dimension, value in frame.slices.items():
            found.setdefault((dimension, value), []).append(frame)
    values = [value for _, value in found] + list(reserved)
    return {value if values.count(value) == 1 else f"{dimension}-{value}": members for (dimension, value), members in sorted(found.items())}
