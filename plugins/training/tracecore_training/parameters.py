"""Parameter blocks of the training stages: heads, their losses, the learning rate's course and augmentation."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

__all__ = ["Augment", "Block", "Classes", "Distances", "Heads", "LearningSchedule", "LightHead", "ObstacleHead", "PathHead", "Size", "States"]


class Block(BaseModel):
    """Base of a block of parameters inside others: frozen, and an unknown name is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _checked_size(size: tuple[int, int]) -> tuple[int, int]:
    if any(side % 16 or not 32 <= side <= 4096 for side in size):
        raise ValueError("size must be height and width in px, multiples of 16 from 32 to 4096")
    return size


def _distinct_classes(classes: tuple[str, ...]) -> tuple[str, ...]:
    if twice := {name for name in classes if classes.count(name) > 1}:
        raise ValueError(f"class {min(twice)!r} is named twice")
    return classes


def _distinct_states(states: tuple[str, ...]) -> tuple[str, ...]:
    if len(states) < 2 or len(set(states)) != len(states):
        raise ValueError("states must be two or more different names")
    return states


def _ascending_distances(distances: tuple[float, ...]) -> tuple[float, ...]:
    if not distances or list(distances) != sorted(set(distances)) or not 0 < distances[0] <= distances[-1] <= 1000:
        raise ValueError("ahead_m must be distances in m, above 0 up to 1000, each greater than the one before")
    return distances


Size = Annotated[tuple[int, int], AfterValidator(_checked_size)]
"""Height and width of an input, px."""

Classes = Annotated[tuple[str, ...], AfterValidator(_distinct_classes)]
"""Names of classes, each once."""

States = Annotated[tuple[str, ...], AfterValidator(_distinct_states)]
"""Names of a light's states."""

Distances = Annotated[tuple[float, ...], AfterValidator(_ascending_distances)]
"""Distances ahead, m."""


class ObstacleLoss(Block):
    """How much each term of the obstacle head's loss counts."""

    center: float = Field(1.0, ge=0, le=1000, description="of where centers are")
    box: float = Field(2.0, ge=0, le=1000, description="of how far the sides are")


class ObstacleHead(Block):
    """Boxes around obstacles."""

    classes: Classes = Field((), description="categories to learn; all that the labels hold, sorted, where empty")
    loss: ObstacleLoss = Field(ObstacleLoss(), description="weights of its terms")
    detections: int = Field(100, ge=1, le=3840, description="boxes that the model gives per image, best first")


class PathHead(Block):
    """Where the vehicle drives next."""

    ahead_m: Distances = Field((5, 10, 15, 20, 25, 30), description="distances ahead, m, at which the path's lateral offset is predicted")
    weight: float = Field(0.5, gt=0, le=1000, description="how much its loss counts")


class LightHead(Block):
    """What the light shows that counts for the vehicle's lane."""

    states: States = Field(("none", "red", "yellow", "green"), description="values of the tag light_state to distinguish")
    weight: float = Field(0.5, gt=0, le=1000, description="how much its loss counts")
    object: str = Field(
        "traffic_light", description="class of obstacles whose boxes teach the head where to look; without such boxes it must find out"
    )
    focus: float = Field(0.25, ge=0, le=1000, description="how much that teaching counts")


class Heads(Block):
    """Which heads are built: those that are named, though with nothing but `{}`."""

    obstacles: ObstacleHead | None = Field(None, description="boxes, from labels of geometry box2d")
    path: PathHead | None = Field(None, description="the path, from labels of geometry path")
    light: LightHead | None = Field(None, description="the light's state, from labels of geometry tag and category light_state")

    @model_validator(mode="after")
    def _one_at_least(self) -> Heads:
        if self.obstacles is None and self.path is None and self.light is None:
            raise ValueError("heads must name one or more of obstacles, path, light, as in {obstacles: {}, light: {}}")
        return self


class LearningSchedule(Block):
    """How fast it learns, when."""

    learning_rate: float = Field(2.5e-3, gt=0, allow_inf_nan=False, description="at its highest, after the warm-up")
    warm_up: float = Field(0.05, ge=0, le=1, description="share of the steps in which the learning rate rises")
    decay: Literal["cosine", "constant", "step"] = Field(
        "cosine", description="how it falls then: in a cosine to 0, not at all, or to a tenth after each third"
    )
    weight_decay: float = Field(1e-2, ge=0, le=1, description="of convolution weights (AdamW)")


class Augment(Block):
    """How images are changed, so that fewer of them teach more."""

    flip: float = Field(0.5, ge=0, le=1, description="share of images that are mirrored, their path with them")
    zoom: float = Field(1.6, ge=1, le=4, description="greatest factor by which images are enlarged")
    zoomed: float = Field(0.3, ge=0, le=1, description="share of images that are zoomed; they teach only boxes")
    jitter: float = Field(0.3, ge=0, le=1, description="how far gamma, contrast and color are changed")
