"""Slices: subsets of the evaluated frames or objects that get their own KPIs.

A program names the dimensions (`slices: [time_of_day, region, distance, size]`). Frames are sliced by `drive` or by any condition from the drive's
metadata or the labels (`time_of_day`, `region`, `weather`, ...); objects by `distance` and `size`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from tracecore.errors import UsageError, suggestion
from tracecore_evaluation.detections import SIZES, Frame, size_of
from tracecore_schemas.conditions import OF_OBJECTS

__all__ = ["Slicing", "endings", "read_slicing", "slice_names", "sliced"]

_OF_FRAMES = ("time_of_day", "region", "drive")  # accepted even if no frame has a value; the report then states an unknown


@dataclass(frozen=True, slots=True)
class Slicing:
    """Dimensions of frames to slice by, whether to slice objects by COCO's sizes, and ascending boundaries of distance ranges, m (may be empty)."""

    frames: tuple[str, ...] = ("time_of_day", "region", "drive")
    sizes: bool = True
    bounds: tuple[float, ...] = ()

    @property
    def distances(self) -> tuple[str, ...]:
        """Names of the distance ranges, nearest first (`0-15m`, `15-30m`, `over-30m`); empty without boundaries."""
        return tuple(self.distance_of(low) for low in (0.0, *self.bounds)) if self.bounds else ()

    def distance_of(self, distance: float) -> str:
        """Return the name of the range that a distance in m falls in; a boundary belongs to the farther range."""
        edges = (0.0, *self.bounds, math.inf)
        low, high = next((low, high) for low, high in pairwise(edges) if distance < high)
        return f"{low:g}-{high:g}m" if high < math.inf else f"over-{low:g}m"

    def conditions(self, frame: Frame, *, area: float | None = None, distance: float | None = None) -> dict[str, str]:
        """Return the frame's conditions and the object's `size` (from `area`, px^2) and `distance` range (from `distance`, m), if these are given."""
        known = dict(frame.conditions)
        if area is not None:
            known["size"] = size_of(area)
        if distance is not None and self.bounds:
            known["distance"] = self.distance_of(distance)
        return known


def read_slicing(dimensions: Sequence[str], bounds: Sequence[float], frames: Sequence[Frame]) -> Slicing:
    """Return the slicing by dimensions (conditions, `size`, `distance`); raises UsageError if one is unknown or `bounds` don't ascend above 0."""
    known = {*_OF_FRAMES, *OF_OBJECTS, *(name for frame in frames for name in frame.conditions)}
    for name in dimensions:
        if name not in known:
            raise UsageError(f"There is no dimension '{name}' to slice by. {suggestion(name, known)}")
    if list(bounds) != sorted(set(bounds)) or not all(0 < bound < math.inf for bound in bounds):
        raise UsageError(f"The bounds of distances should be meters above 0 that ascend, as [15, 30]; found {list(bounds)}.")
    of_frames = tuple(dict.fromkeys(name for name in dimensions if name not in OF_OBJECTS))
    return Slicing(of_frames, "size" in dimensions, tuple(bounds) if "distance" in dimensions else ())


def sliced(frames: Sequence[Frame], dimensions: Sequence[str]) -> list[Frame]:
    """Return copies of the frames with `slices` set to the frame's values of `dimensions` (conditions or `drive`), as far as the frame has them."""
    values = [{**frame.conditions, "drive": frame.drive} for frame in frames]
    return [replace(frame, slices={name: known[name] for name in dimensions if name in known}) for frame, known in zip(frames, values, strict=True)]


def slice_names(frames: Sequence[Frame], reserved: Iterable[str] = SIZES) -> dict[str, list[Frame]]:
    """Group frames by slice name: the value (`night`), or `<dimension>-<value>` if two dimensions have that value or it is in `reserved`."""
    found: dict[tuple[str, str], list[Frame]] = {}
    for frame in frames:
        for dimension, value in frame.slices.items():
            found.setdefault((dimension, value), []).append(frame)
    values = [value for _, value in found] + list(reserved)
    return {value if values.count(value) == 1 else f"{dimension}-{value}": members for (dimension, value), members in sorted(found.items())}


def endings(names: Collection[str]) -> set[str]:
    """Return what follows the dot in each name that extends another (`night` for `car` and `car.night`); as slice names these would be ambiguous."""
    return {longer.removeprefix(f"{name}.") for name in names for longer in names if longer.startswith(f"{name}.")}
