"""KPIs of the light's state: how often it is right, and what is taken for what.

Names: `light.accuracy`, `light.precision.<state>`, `light.recall.<state>`, `light.f1.<state>`, each with `.<slice>` for a part of the frames.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tracecore_evaluation.scene import SIZES, Frame
from tracecore_evaluation.slices import endings, slice_names

__all__ = ["LightKpis", "light_kpis"]


@dataclass(frozen=True, slots=True)
class LightKpis:
    """The KPIs of one model's light state.

    Attributes:
        values: by name; None where there is nothing to count.
        confusion: [true state, state said], over all frames.
        slices: frames by slice.
    """

    values: dict[str, float | None] = field(default_factory=dict)
    confusion: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 0), dtype=np.int64))
    slices: dict[str, int] = field(default_factory=dict)


def light_kpis(frames: Sequence[Frame], truth: Mapping[str, int], said: Mapping[str, int], states: Sequence[str]) -> LightKpis:
    """Compare the state that a model says with the true one.

    Args:
        frames: evaluated frames with a true state.
        truth: index of the state by frame ref.
        said: likewise.
        states: names by index.
    """
    found = LightKpis(confusion=_confusion(frames, truth, said, len(states)))
    for name, members in {"": frames, **slice_names(frames, (*SIZES, *endings(states)))}.items():
        suffix = f".{name}" if name else ""
        table = _confusion(members, truth, said, len(states))
        right, true, given = np.diag(table), table.sum(axis=1), table.sum(axis=0)
        found.values[f"light.accuracy{suffix}"] = _share(right.sum(), table.sum())
        for row, state in enumerate(states):
            found.values[f"light.precision.{state}{suffix}"] = _share(right[row], given[row])
            found.values[f"light.recall.{state}{suffix}"] = _share(right[row], true[row])
            found.values[f"light.f1.{state}{suffix}"] = _share(2 * right[row], true[row] + given[row])
        if name:
            found.slices[name] = len(members)
    return found


def _confusion(frames: Sequence[Frame], truth: Mapping[str, int], said: Mapping[str, int], states: int) -> NDArray[np.int64]:
    table = np.zeros((states, states), dtype=np.int64)
    for frame in frames:
        table[truth[frame.id], said[frame.id]] += 1
    return table


def _share(part: np.int64, whole: np.int64) -> float | None:
    return float(part / whole) if whole else None
