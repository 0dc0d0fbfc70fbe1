"""The stage `torch-multitask`: labeled frames in, one body with up to three heads out."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

import tracecore as tc
from tracecore_training.learning import LearningStage
from tracecore_training.values import Block, Classes, Distances, Size, States

__all__ = ["TorchMultitask"]


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

    ahead_m: Distances = Field((5, 10, 15, 20, 25, 30), description="distances ahead, m, at which it says how far to the left the path lies")
    weight: float = Field(0.5, gt=0, le=1000, description="how much its loss counts")


class LightHead(Block):
    """What the light shows that counts for the vehicle's lane."""

    states: States = Field(("none", "red", "yellow", "green"), description="values of the tag light_state to tell apart")
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
    zoomed: float = Field(0.3, ge=0, le=1, description="share of images that are zoomed; they teach boxes alone")
    jitter: float = Field(0.3, ge=0, le=1, description="how far gamma, contrast and color are changed")


class TorchMultitask(LearningStage):
    """Train one body with heads for obstacles, the path and the light's state.

    The same frames, labels, parameters, seed and thread count give the same bytes, though the run was killed and taken up again.
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
        """Read, train, write."""
        # torch takes seconds to import: only where it is used
        from tracecore_training.architecture import MULTITASK, multitask
        from tracecore_training.augmentation import Augmentation
        from tracecore_training.fitting import Lights, Obstacles, Paths, Settings
        from tracecore_training.loop import Schedule

        heads, rate, how = params.heads, params.schedule, params.augmentation
        obstacles = heads.obstacles
        settings = Settings(
            entry_point=MULTITASK,
            build=multitask,
            size=params.size,
            width=params.width,
            schedule=Schedule(params.steps, params.batch, rate.learning_rate, rate.weight_decay, rate.warm_up, params.ema, rate.decay),
            augmentation=Augmentation(flip=how.flip, zoom=how.zoom, jitter=how.jitter, zoomed=how.zoomed),
            checkpoint_every=params.checkpoint_every,
            obstacles=Obstacles(obstacles.classes, obstacles.detections, obstacles.loss.center, obstacles.loss.box) if obstacles else None,
            path=Paths(heads.path.ahead_m, heads.path.weight) if heads.path else None,
            light=Lights(heads.light.states, heads.light.weight, heads.light.object, heads.light.focus) if heads.light else None,
        )
        self.learn(context, settings)
