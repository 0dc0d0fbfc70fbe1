"""The stage `template`: a model in another format."""

from __future__ import annotations

import shutil

import numpy as np
from safetensors.numpy import load_file

import tracecore as tc

__all__ = ["Template"]


class Template(tc.Stage):
    """Write a model's tensors as NumPy files, one a tensor."""

    kind = tc.StageKind.EXPORT
    name = "template"
    model = tc.Input("model", description="a folder with model.safetensors and config.json")
    exported = tc.Output("model", description="one .npy file a tensor, and the config.json")

    class Params(tc.Params):
        """What to write."""

        prefix: str = tc.Field("", description="write only tensors whose name begins so; all where empty")

    def run(self, context: tc.Context, params: Params) -> None:
        """Write each tensor under its name."""
        folder, target = context.read(self.model), context.path(self.exported)
        shutil.copyfile(folder / "config.json", target / "config.json")
        for name, tensor in sorted(load_file(folder / "model.safetensors").items()):
            if name.startswith(params.prefix):
                np.save(target / f"{name}.npy", tensor)
