"""What a model answers about images: boxes, the path, the light's state, as far as it has heads for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracecore.errors import UsageProblem
from tracecore.suggest import suggestion

__all__ = ["OUTPUTS", "Answers", "outputs_of", "reach_of"]

OUTPUTS = ("boxes", "scores", "classes", "path", "light")
"""Every output that a graph may have, in order; those of absent heads are left out."""

_OBSTACLES = OUTPUTS[:3]
_TYPES: dict[str, type[np.generic]] = {"classes": np.int64}


@dataclass(frozen=True, slots=True)
class Answers:
    """What a model answered about N images; None of what it has no head for.

    Attributes:
        boxes: [N, K, 4] in input pixels.
        scores: [N, K].
        classes: [N, K].
        path: [N, P] m to the left.
        light: [N, S] probabilities.
    """

    boxes: NDArray[np.float32] | None = None
    scores: NDArray[np.float32] | None = None
    classes: NDArray[np.int64] | None = None
    path: NDArray[np.float32] | None = None
    light: NDArray[np.float32] | None = None

    @classmethod
    def named(cls, values: Mapping[str, NDArray[Any]]) -> Answers:
        """Take outputs by name; any other name is none of ours."""
        return cls(**{name: values[name].astype(_TYPES.get(name, np.float32), copy=False) for name in OUTPUTS if name in values})

    @property
    def names(self) -> tuple[str, ...]:
        """Which outputs there are."""
        return tuple(field.name for field in fields(self) if getattr(self, field.name) is not None)


def outputs_of(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Give the outputs of a model in order, as its `config.json` says; models of before there were heads have an obstacle head alone.

    Raises:
        UsageProblem: it names an output that nobody knows, leaves out part of a head, or has another order.
    """
    named: Sequence[str] = config.get("outputs", _OBSTACLES)
    unknown = next((name for name in named if name not in OUTPUTS), None)
    if unknown is not None:
        raise UsageProblem(f"The model's config.json names the output {unknown!r}. {suggestion(str(unknown), OUTPUTS)}")
    if not named or list(named) != [name for name in OUTPUTS if name in named] or 0 < len(set(named) & set(_OBSTACLES)) < len(_OBSTACLES):
        raise UsageProblem(
            f"The model's config.json names the outputs {', '.join(named) or 'none'}; expected one or more of {', '.join(OUTPUTS)} in this order, "
            "the first three together or not at all."
        )
    return tuple(named)


def reach_of(config: Mapping[str, Any]) -> float:
    """Give the farthest distance at which a model says the path, m; 1 for a model that doesn't."""
    distances = config.get("heads", {}).get("path", {}).get("ahead_m", ())
    return max((float(each) for each in distances), default=1.0)
