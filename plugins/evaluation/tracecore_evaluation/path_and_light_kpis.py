"""KPIs of the heads `path` and `light`.

Path: `path_error.mean` and `path_error.p95` (mean and 95th percentile of the absolute lateral error in m, over all frames and distances) and
`path_within` (share of errors up to a limit), each with `.at_<distance>m` for one distance ahead or `.<slice>` for a subset of frames. Labels have a
path as points; `lateral` converts them to lateral offsets at given distances, the form that models predict.

Light: `light.accuracy`, `light.precision.<state>`, `light.recall.<state>`, `light.f1.<state>`, each with `.<slice>` for a subset of frames.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tracecore_evaluation.detections import SIZES, Frame
from tracecore_evaluation.slices import endings, slice_names

__all__ = ["LightKpis", "PathKpis", "lateral", "light_kpis", "path_errors", "path_kpis"]

_DRAWN_ON = 0.1  # share of a distance by which a path may be extrapolated


def lateral(path: Sequence[float], ahead: Sequence[float]) -> NDArray[np.float64]:
    """Return the lateral offset y (to the left) of a path at each distance x in `ahead` (ascending), in m; NaN beyond the path's end.

    `path` alternates x and y in the vehicle's frame, starts at its origin, and is cut before the first point that is not finite or not farther ahead.
    Unless it turns back, its last segment is extrapolated by up to a tenth of the distance.
    """
    points = np.asarray(path[: len(path) // 2 * 2], dtype=np.float64).reshape(-1, 2)
    broken = np.flatnonzero(~np.isfinite(points).all(axis=1))
    points = points[: broken[0]] if len(broken) else points
    if not (len(points) and (points[0] == 0).all()):
        points = np.concatenate([[[0.0, 0.0]], points])
    back = np.flatnonzero(np.diff(points[:, 0]) <= 0)
    turns_back = len(back) > 0
    points = points[: back[0] + 1] if turns_back else points
    x = np.asarray(ahead, dtype=np.float64)
    if len(points) < 2:
        return np.full(len(x), np.nan)
    y = np.interp(x, points[:, 0], points[:, 1])
    (near_x, near_y), (last_x, last_y) = points[-2], points[-1]
    beyond = x > last_x
    y[beyond] = last_y + (x[beyond] - last_x) * (last_y - near_y) / (last_x - near_x)
    y[x * (1 if turns_back else 1 - _DRAWN_ON) > last_x] = np.nan
    return y


Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PathKpis:
    """Path KPIs by name (None without known errors), absolute errors in m by frame ref (NaN if unknown), and number of frames by slice."""

    values: dict[str, float | None] = field(default_factory=dict)
    errors: dict[str, Floats] = field(default_factory=dict)
    slices: dict[str, int] = field(default_factory=dict)


def path_kpis(
    frames: Sequence[Frame], truth: Mapping[str, Floats], predicted: Mapping[str, Floats], ahead: Sequence[float], limit: float
) -> PathKpis:
    """Return path KPIs of true and predicted lateral offsets (m) at `ahead` (m), by frame ref; `path_within` is the share of errors up to `limit`."""
    found = PathKpis(errors={frame.id: np.abs(predicted[frame.id] - truth[frame.id]) for frame in frames})
    for name, members in {"": frames, **slice_names(frames)}.items():
        errors = np.stack([found.errors[frame.id] for frame in members]) if members else np.empty((0, len(ahead)))
        parts = {f".{name}" if name else "": errors.ravel()}
        if not name:
            parts |= {f".at_{x:g}m": errors[:, column] for column, x in enumerate(ahead)}
        for suffix, part in parts.items():
            found.values.update({f"{kpi}{suffix}": value for kpi, value in path_errors(part, limit).items()})
        if name:
            found.slices[name] = len(members)
    return found


def path_errors(errors: Floats, limit: float) -> dict[str, float | None]:
    """Return KPIs of absolute errors (m) by name: mean, 95th percentile, share of errors up to `limit`. NaN is skipped; None if all are NaN."""
    known = errors[~np.isnan(errors)]
    if not len(known):
        return dict.fromkeys(("path_error.mean", "path_error.p95", "path_within"))
    return {
        "path_error.mean": float(known.mean()),
        "path_error.p95": float(np.quantile(known, 0.95)),
        "path_within": float((known <= limit).mean()),
    }


@dataclass(frozen=True, slots=True)
class LightKpis:
    """Light KPIs by name (None if there is nothing to count), number of frames by [true state, predicted state], and number of frames by slice."""

    values: dict[str, float | None] = field(default_factory=dict)
    confusion: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 0), dtype=np.int64))
    slices: dict[str, int] = field(default_factory=dict)


def light_kpis(frames: Sequence[Frame], truth: Mapping[str, int], predicted: Mapping[str, int], states: Sequence[str]) -> LightKpis:
    """Return accuracy, precision, recall and F1 of predicted against true light states, both given as indices of `states` by frame ref."""
    found = LightKpis(confusion=_confusion(frames, truth, predicted, len(states)))
    for name, members in {"": frames, **slice_names(frames, (*SIZES, *endings(states)))}.items():
        suffix = f".{name}" if name else ""
        table = _confusion(members, truth, predicted, len(states))
        right, true, given = np.diag(table), table.sum(axis=1), table.sum(axis=0)
        found.values[f"light.accuracy{suffix}"] = _share(right.sum(), table.sum())
        for row, state in enumerate(states):
            found.values[f"light.precision.{state}{suffix}"] = _share(right[row], given[row])
            found.values[f"light.recall.{state}{suffix}"] = _share(right[row], true[row])
            found.values[f"light.f1.{state}{suffix}"] = _share(2 * right[row], true[row] + given[row])
        if name:
            found.slices[name] = len(members)
    return found


def _confusion(frames: Sequence[Frame], truth: Mapping[str, int], predicted: Mapping[str, int], states: int) -> NDArray[np.int64]:
    table = np.zeros((states, states), dtype=np.int64)
    for frame in frames:
        table[truth[frame.id], predicted[frame.id]] += 1
    return table


def _share(part: np.int64, whole: np.int64) -> float | None:
    return float(part / whole) if whole else None
