"""The stage `precision`: converts an ONNX model to another precision and compares both."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import tracecore as tc
from tracecore.parity import ParityParams, compare, pictures, run_onnx
from tracecore_schemas.canonical import digest_bytes
from tracecore_schemas.facets import PARITY_FACET

__all__ = ["Precision"]

PRECISION_FACET = tc.FacetSpec("tracecore_precision", lambda value: str(value["to"]), __package__)


class Precision(tc.Stage):
    """Convert an ONNX model to another precision.

    Engines compute in the types that their graph names: what this writes into the graph is what an engine computes.
    """

    kind = tc.StageKind.COMPRESS
    name = "precision"
    model = tc.Input("model", description="model.onnx in single precision, and config.json")
    frames = tc.Input(
        table=tc.FRAMES, use="measure", optional=True, description="recorded frames on which both models are compared; nothing is learned"
    )
    converted = tc.Output("model", checks=["parity"], description="model.onnx and config.json")

    class Params(ParityParams):
        """What to convert to."""

        to: Literal["fp16", "fp32"] = tc.Field(
            "fp16", description="fp16: everything between the first and the last convolutions; fp32: the graph is handed on as it is"
        )

    def run(self, context: tc.Context, params: Params) -> None:
        """Convert the ONNX model to the precision `params.to`, compare its outputs with the original's, and write it with its config."""
        # onnx is slow to import
        import onnx

        from tracecore.parity import reach_of
        from tracecore_compression.half_precision import computes_in_half, to_half

        folder = context.read(self.model)
        source, config = _read_model(folder)
        graph = onnx.load_model_from_string(source)
        if computes_in_half(graph):
            raise tc.UsageError("The model already computes in half precision: convert the single precision model that it was made from.")
        converted = to_half(graph).SerializeToString(deterministic=True) if params.to == "fp16" else source
        sample = pictures(context, self.frames, self.converted, params, config)
        one, other = (run_onnx(data, sample.images, threads=context.threads) for data in (source, converted))
        parity = compare(one, other, height=config["input"]["height"], width=config["input"]["width"], reach=reach_of(config))
        written = context.path(self.converted)
        (written / "model.onnx").write_bytes(converted)
        (written / "config.json").write_bytes((folder / "config.json").read_bytes())
        sizes = {"bytes": len(converted), "source_bytes": len(source)}
        context.describe(self.converted, PRECISION_FACET, {"to": params.to, "source": digest_bytes(source), **sizes})
        tolerances = params.tolerances(narrow=params.to != "fp32")
        facet = parity.facet(against="single precision by onnxruntime", what=sample.what, tolerances=tolerances)
        context.describe(self.converted, PARITY_FACET, facet)


def _read_model(folder: Path) -> tuple[bytes, dict[str, Any]]:
    try:
        return (folder / "model.onnx").read_bytes(), json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        found = ", ".join(sorted(each.name for each in folder.iterdir()))
        raise tc.UsageError(
            f"The model lacks {Path(str(error.filename)).name}; it holds {found}. Precision is that of an ONNX model: export it with stage 'onnx'."
        ) from None
