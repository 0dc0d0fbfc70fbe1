"""What every training stage of this plugin shares: its ports, and how a model is fitted to what comes in by them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import tracecore as tc

if TYPE_CHECKING:
    from tracecore_training.fitting import Settings

__all__ = ["LearningStage"]


class LearningStage(tc.Stage):
    """A stage that learns from labeled frames; what is learned is its own."""

    kind = tc.StageKind.TRAIN
    frames = tc.Input("dataset", description="frames to learn from, with their images")
    labels = tc.Input("label_batch", description="their labels; labels of other frames are ignored and counted")
    model = tc.Output("model", description="model.safetensors, config.json and curves.json")

    def learn(self, context: tc.Context, settings: Settings) -> None:
        """Fit a model, write it, and say how it was trained."""
        # torch takes seconds to import: only where it is used
        from tracecore_training.fitting import fit

        facet = fit(
            settings,
            context.read(self.frames),
            context.read(self.labels),
            folder=context.path(self.model),
            scratch=context.scratch(),
            seed=context.seed,
            threads=context.threads,
            log=context.log,
            progress=context.progress,
        )
        context.describe(self.model, "tracecore_training", facet)
