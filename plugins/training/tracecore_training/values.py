"""Values that parameters of training stages share, and what they must be."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict

__all__ = ["Block", "Classes", "Distances", "Size", "States"]


class Block(BaseModel):
    """Base of a block of parameters inside others: frozen, and an unknown name is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _a_size_the_network_can_halve(size: tuple[int, int]) -> tuple[int, int]:
    if any(side % 16 or not 32 <= side <= 4096 for side in size):
        raise ValueError("size must be height and width in px, multiples of 16 from 32 to 4096")
    return size


def _each_class_once(classes: tuple[str, ...]) -> tuple[str, ...]:
    if twice := {name for name in classes if classes.count(name) > 1}:
        raise ValueError(f"class {min(twice)!r} is named twice")
    return classes


def _states_to_tell_apart(states: tuple[str, ...]) -> tuple[str, ...]:
    if len(states) < 2 or len(set(states)) != len(states):
        raise ValueError("states must be two or more different names")
    return states


def _distances_that_grow(distances: tuple[float, ...]) -> tuple[float, ...]:
    if not distances or list(distances) != sorted(set(distances)) or not 0 < distances[0] <= distances[-1] <= 1000:
        raise ValueError("ahead_m must be distances in m, above 0 up to 1000, each greater than the one before")
    return distances


Size = Annotated[tuple[int, int], AfterValidator(_a_size_the_network_can_halve)]
"""Height and width of an input, px."""

Classes = Annotated[tuple[str, ...], AfterValidator(_each_class_once)]
"""Names of classes, each once."""

States = Annotated[tuple[str, ...], AfterValidator(_states_to_tell_apart)]
"""Names of a light's states."""

Distances = Annotated[tuple[float, ...], AfterValidator(_distances_that_grow)]
"""Distances ahead, m."""
