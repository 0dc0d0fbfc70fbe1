"""The stages `torch-detector` and `torch-multitask`: their ports and parameters. Training code is imported when a stage runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

import tracecore as tc

if TYPE_CHECKING:
    from tracecore_training.fitting import Settings

__all__ = ["Block", "Classes", "Distances", "Size", "States", "TorchDetector", "TorchMultitask", "TrainingStage"]


def _facet_summary(facet: Mapping[str, Any]) -> str:
    length = tc.count(facet["steps"], "step") if "steps" in facet else tc.count(facet["epochs"], "epoch")
    return tc.summarize(length, facet.get("tool", ""))


TRAINING_FACET = tc.FacetSpec("tracecore_training", _facet_summary, __package__)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON file of a model, indented and with sorted keys, so that equal values give equal bytes."""
    path.write_text(json.dumps(value, indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n", encoding="utf-8")


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


class TrainingStage(tc.Stage):
    """Base of stages that train a model on labeled frames."""

    kind = tc.StageKind.TRAIN
    frames = tc.Input(table=tc.FRAMES, description="frames to learn from, with their images")
    labels = tc.Input(table=tc.LABELS, description="their labels; labels of other frames are ignored and counted")
    model = tc.Output("model", description="model.safetensors, config.json and curves.json")

    def learn(self, context: tc.Context, settings: Settings) -> None:
        """Train a model with the given settings, write its files to the output, and record the facet `tracecore_training`."""
        # torch takes seconds to import: only where it is used
        from tracecore_training.fitting import fit

        facet = fit(settings, context, context.read(self.frames), context.read(self.labels), context.path(self.model))
        context.describe(self.model, TRAINING_FACET, facet)


class TorchDetector(TrainingStage):
    """Train an anchor-free detector on labeled frames.

    The same frames, labels, parameters, seed and thread count give the same bytes.
    """

    class Params(tc.Params):
        """How to train."""

        steps: int = tc.Field(1500, ge=1, le=10_000_000, description="batches to train on; a count, never a time, so that a run can be made again")
        batch: int = tc.Field(8, ge=1, le=1024, description="images per step")
        size: Size = tc.Field((176, 240), description="height and width of the input in px, multiples of 16")
        learning_rate: float = tc.Field(4e-3, gt=0, allow_inf_nan=False, description="at its highest, after the warm-up")
        weight_decay: float = tc.Field(1e-2, ge=0, le=1, description="of convolution weights (AdamW)")
        warm_up: float = tc.Field(0.05, ge=0, le=1, description="share of the steps in which the learning rate rises")
        width: float = tc.Field(1.0, ge=0.25, le=8, description="multiplies every channel count of the network")
        classes: Classes = tc.Field((), description="categories to learn; all that the labels hold, sorted, where empty")
        ema: float = tc.Field(0.998, ge=0, lt=1, description="how much of the averaged weights each step keeps; 0 takes the last weights")
        flip: float = tc.Field(0.5, ge=0, le=1, description="share of images that are mirrored")
        zoom: float = tc.Field(1.6, ge=1, le=4, description="greatest factor by which images are enlarged")
        jitter: float = tc.Field(0.4, ge=0, le=1, description="how far gamma, contrast and color are changed")
        detections: int = tc.Field(100, ge=1, le=3840, description="boxes that the detector gives per image, best first")
        checkpoint_every: int = tc.Field(100, ge=0, description="steps after which the state is kept against a kill; 0 keeps none")

    def run(self, context: tc.Context, params: Params) -> None:
        """Train a model with the obstacle head only."""
        # torch takes seconds to import: only where it is used
        from tracecore_training.architecture import ENTRY_POINT, center_detector
        from tracecore_training.fitting import Settings
        from tracecore_training.training_loop import Schedule

        rate = LearningSchedule(learning_rate=params.learning_rate, warm_up=params.warm_up, weight_decay=params.weight_decay)
        settings = Settings(
            entry_point=ENTRY_POINT,
            build=center_detector,
            size=params.size,
            width=params.width,
            schedule=Schedule(params.steps, params.batch, params.ema, rate),
            augmentation=Augment(flip=params.flip, zoom=params.zoom, zoomed=1, jitter=params.jitter),
            checkpoint_every=params.checkpoint_every,
            heads=Heads(obstacles=ObstacleHead(classes=params.classes, detections=params.detections)),
        )
        self.learn(context, settings)


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


class TorchMultitask(TrainingStage):
    """Train one body with heads for obstacles, the path and the light's state.

    The same frames, labels, parameters, seed and thread count give the same bytes, even if the run is killed and resumed.
    """

    class Params(tc.Params):
        """What to learn and how."""

        heads: Heads = tc.Field(
            Heads(obstacles=ObstacleHead(), path=PathHead(), light=LightHead()), description="what the model answers; a head left out is not built"
        )
        steps: int = tc.Field(600, ge=1, le=10_000_000, description="batches to train on; a count, never a time, so that a run can be made again")
        batch: int = tc.Field(4, ge=1, le=1024, description="images per step: few images teach more in many small steps than in few large ones")
        size: Size = tc.Field((176, 240), description="height and width of the input in px, multiples of 16")
        width: float = tc.Field(1.0, ge=0.25, le=8, description="multiplies every channel count of the network")
        schedule: LearningSchedule = tc.Field(LearningSchedule(), description="how fast it learns, when")
        ema: float = tc.Field(0.99, ge=0, lt=1, description="how much of the averaged weights each step keeps; 0 takes the last weights")
        augmentation: Augment = tc.Field(Augment(), description="how images are changed")
        checkpoint_every: int = tc.Field(100, ge=0, description="steps after which the state is kept against a kill; 0 keeps none")

    def run(self, context: tc.Context, params: Params) -> None:
        """Train a model with the heads that the parameters name."""
        # torch takes seconds to import: only where it is used
        from tracecore_training.architecture import MULTITASK, multitask
        from tracecore_training.fitting import Settings
        from tracecore_training.training_loop import Schedule

        settings = Settings(
            entry_point=MULTITASK,
            build=multitask,
            size=params.size,
            width=params.width,
            schedule=Schedule(params.steps, params.batch, params.ema, params.schedule),
            augmentation=params.augmentation,
            checkpoint_every=params.checkpoint_every,
            heads=params.heads,
        )
        self.learn(context, settings)
