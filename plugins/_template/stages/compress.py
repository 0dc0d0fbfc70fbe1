"""The stage `template`: a smaller model."""

from __future__ import annotations

import shutil

import numpy as np
from safetensors.numpy import load_file, save_file

import tracecore as tc

__all__ = ["Template"]

_WEIGHTS = "model.safetensors"


class Template(tc.Stage):
    """Round a model's weights to fewer bits."""

    kind = tc.StageKind.COMPRESS
    name = "template"
    model = tc.Input("model", description="a folder with model.safetensors and config.json")
    smaller = tc.Output("model", description="the same folder with smaller weights")

    class Params(tc.Params):
        """How far to go."""

        half: bool = tc.Field(True, description="write half precision; else the weights stay as they are")

    def run(self, context: tc.Context, params: Params) -> None:
        """Copy what is not a weight, and round what is."""
        folder, target = context.read(self.model), context.path(self.smaller)
        for file in sorted(folder.iterdir()):
            if file.is_file() and file.name != _WEIGHTS:
                shutil.copyfile(file, target / file.name)
        weights = load_file(folder / _WEIGHTS)
        rounded = {name: each.astype(np.float16) if params.half and each.dtype == np.float32 else each for name, each in sorted(weights.items())}
        save_file(rounded, target / _WEIGHTS)
