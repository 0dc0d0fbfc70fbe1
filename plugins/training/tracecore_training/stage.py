"""The stage `torch-detector`: labeled frames in, a trained detector out."""

from __future__ import annotations

import tracecore as tc
from tracecore_training.learning import LearningStage
from tracecore_training.values import Classes, Size

__all__ = ["TorchDetector"]


class TorchDetector(LearningStage):
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
        """Read, train, write."""
        # torch takes seconds to import: only where it is used
        from tracecore_training.architecture import ENTRY_POINT, center_detector
        from tracecore_training.augmentation import Augmentation
        from tracecore_training.fitting import Obstacles, Settings
        from tracecore_training.loop import Schedule

        settings = Settings(
            entry_point=ENTRY_POINT,
            build=center_detector,
            size=params.size,
            width=params.width,
            schedule=Schedule(params.steps, params.batch, params.learning_rate, params.weight_decay, params.warm_up, params.ema),
            augmentation=Augmentation(flip=params.flip, zoom=params.zoom, jitter=params.jitter),
            checkpoint_every=params.checkpoint_every,
            obstacles=Obstacles(params.classes, params.detections),
        )
        self.learn(context, settings)
