"""KPIs of the path: how far, sideways, the way that a model says lies from the one that was driven.

Names: `path_error.mean` and `path_error.p95` (mean and 95th percentile of the absolute lateral error in m, over all frames and distances),
`path_within` (share of those errors that are at most a limit), each with `.at_<distance>m` for one distance ahead or `.<slice>` for a part of the
frames.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tracecore_evaluation.scene import Frame
from tracecore_evaluation.slices import slice_names

__all__ = ["PathKpis", "path_errors", "path_kpis"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PathKpis:
    """The KPIs of one model's path.

    Attributes:
        values: by name; None where nothing is known.
        errors: by frame ref: absolute lateral error at each distance, m, NaN where the true path is not known so far.
        slices: frames by slice.
    """

    values: dict[str, float | None] = field(default_factory=dict)
    errors: dict[str, Floats] = field(default_factory=dict)
    slices: dict[str, int] = field(default_factory=dict)


def path_kpis(frames: Sequence[Frame], truth: Mapping[str, Floats], said: Mapping[str, Floats], ahead: Sequence[float], limit: float) -> PathKpis:
    """Compare the path that a model says with the one that was driven.

    Args:
        frames: evaluated frames with a true path.
        truth: y to the left at each distance by frame ref, m, NaN where not known.
        said: likewise.
        ahead: the distances, m.
        limit: what counts as within, m.
    """
    found = PathKpis(errors={frame.id: np.abs(said[frame.id] - truth[frame.id]) for frame in frames})
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
    """Sum absolute errors up; None where there are none."""
    known = errors[~np.isnan(errors)]
    if not len(known):
        return dict.fromkeys(("path_error.mean", "path_error.p95", "path_within"))
    return {
        "path_error.mean": float(known.mean()),
        "path_error.p95": float(np.quantile(known, 0.95)),
        "path_within": float((known <= limit).mean()),
    }
