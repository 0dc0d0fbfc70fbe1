"""The stages `torch-detector` and `torch-multitask`: their ports and parameters. Training code is imported when a stage runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import tracecore as tc
from tracecore_training.parameters import Augment, Classes, Heads, LearningSchedule, LightHead, ObstacleHead, PathHead, Size

if TYPE_CHECKING:
    from tracecore_training.fitting import Settings

__all__ = ["TRAINING_FACET", "TorchDetector", "TorchMultitask", "TrainingStage"]


def _facet_summary(facet: Mapping[str, Any]) -> str:
    length = tc.count(facet["steps"], "step") if "steps" in facet else tc.count(facet["epochs"], "epoch")
    return tc.summarize(length, facet.get("tool", ""))


TRAINING_FACET = tc.FacetSpec("tracecore_training", _facet_summary, __package__)


class TrainingStage(tc.Stage):
    """Base of stages that train a model on labeled frames."""

    kind = tc.StageKind.TRAIN
    frames = tc.Input(table=tc.FRAMES, description="frames to learn from, with their images")
    labels = tc.Input(table=tc.LABELS, description="their labels; labels of other frames are ignored and counted")
    model = tc.Output("model", description="model.safetensors, config.json and curves.json")

    def learn(self, context: tc.Context, settings: Settings) -> None:
        """Train a model with the given settings, write its files to the stage's output, and record the facet `tracecore_training`."""
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
        """Train a model with only the obstacle head, and write its files to the stage's output."""
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
        """Train a model with the heads (obstacles, path, light) that the parameters name, and write its files to the stage's output."""
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
