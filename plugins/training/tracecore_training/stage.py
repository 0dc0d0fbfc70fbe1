"""The stage `torch-detector`: labeled frames in, a trained detector out."""

from __future__ import annotations

from typing import Any

from pydantic import field_validator

import tracecore as tc

__all__ = ["TorchDetector"]


class TorchDetector(tc.Stage):
    """Train an anchor-free detector on labeled frames.

    The same frames, labels, parameters, seed and thread count give the same bytes.
    """

    kind = tc.StageKind.TRAIN
    frames = tc.Input("dataset", description="frames to learn from, with their images")
    labels = tc.Input("label_batch", description="their labels; labels of other frames are ignored and counted")
    model = tc.Output("model", description="model.safetensors, config.json and curves.json")

    class Params(tc.Params):
        """How to train."""

        steps: int = tc.Field(1500, ge=1, le=10_000_000, description="batches to train on; a count, never a time, so that a run can be made again")
        batch: int = tc.Field(8, ge=1, le=1024, description="images per step")
        size: tuple[int, int] = tc.Field((176, 240), description="height and width of the input in px, multiples of 16")
        learning_rate: float = tc.Field(4e-3, gt=0, allow_inf_nan=False, description="at its highest, after the warm-up")
        weight_decay: float = tc.Field(1e-2, ge=0, le=1, description="of convolution weights (AdamW)")
        warm_up: float = tc.Field(0.05, ge=0, le=1, description="share of the steps in which the learning rate rises")
        width: float = tc.Field(1.0, ge=0.25, le=8, description="multiplies every channel count of the network")
        classes: tuple[str, ...] = tc.Field((), description="categories to learn; all that the labels hold, sorted, where empty")
        ema: float = tc.Field(0.998, ge=0, lt=1, description="how much of the averaged weights each step keeps; 0 takes the last weights")
        flip: float = tc.Field(0.5, ge=0, le=1, description="share of images that are mirrored")
        zoom: float = tc.Field(1.6, ge=1, le=4, description="greatest factor by which images are enlarged")
        jitter: float = tc.Field(0.4, ge=0, le=1, description="how far gamma, contrast and color are changed")
        detections: int = tc.Field(100, ge=1, le=3840, description="boxes that the detector gives per image, best first")

        @field_validator("size")
        @classmethod
        def _a_size_the_network_can_halve(cls, size: tuple[int, int]) -> tuple[int, int]:
            if any(side % 16 or not 32 <= side <= 4096 for side in size):
                raise ValueError("size must be height and width in px, multiples of 16 from 32 to 4096")
            return size

        @field_validator("classes")
        @classmethod
        def _each_class_once(cls, classes: tuple[str, ...]) -> tuple[str, ...]:
            if twice := {name for name in classes if classes.count(name) > 1}:
                raise ValueError(f"class {min(twice)!r} is named twice")
            return classes

    def run(self, context: tc.Context, params: Params) -> None:
        """Read, train, write."""
        # torch takes seconds to import: only where it is used
        from tracecore_training.architecture import ENTRY_POINT, center_detector
        from tracecore_training.augmentation import Augmentation
        from tracecore_training.examples import read_examples, read_labels
        from tracecore_training.files import model_config, write_model
        from tracecore_training.loop import Schedule, train
        from tracecore_training.reproducible import reproducible

        height, width = params.size
        labels = read_labels(context.read(self.labels), params.classes)
        examples = read_examples(context.read(self.frames), labels, height=height, width=width)
        context.log.info("%d labeled frames, %d boxes of %s", len(examples.images), examples.objects, ", ".join(examples.classes))
        for reason, count in examples.ignored.items():
            if count:
                context.log.info("left out: %d %s", count, reason.replace("_", " "))
        config = model_config(
            ENTRY_POINT, classes=examples.classes, height=height, width=width, multiplier=params.width, detections=params.detections
        )
        with reproducible(seed=context.seed, threads=context.threads) as generator:
            detector = center_detector(config)
            schedule = Schedule(params.steps, params.batch, params.learning_rate, params.weight_decay, params.warm_up, params.ema)
            how = Augmentation(flip=params.flip, zoom=params.zoom, jitter=params.jitter)
            detector, curves = train(detector, examples, schedule, how, generator, context.progress)
        write_model(context.path(self.model), detector, config, curves)
        facet: dict[str, Any] = {
            "steps": params.steps,
            "batch": params.batch,
            "seed": str(context.seed),
            "threads": context.threads,
            "parameters": sum(parameter.numel() for parameter in detector.parameters()),
            "classes": list(examples.classes),
            "frames": len(examples.images),
            "boxes": examples.objects,
            "ignored": dict(examples.ignored),
            "losses": {"center": curves.center[-1], "box": curves.sides[-1], "total": curves.total[-1]},
        }
        context.describe(self.model, "tracecore_training", facet)
