"""The stage `onnx`: a trained model in, one ONNX file out, and how far it answers like its source."""

from __future__ import annotations

import json
from typing import Any

import tracecore as tc
from tracecore.parity import ParityParams, compare, pictures, run_onnx

__all__ = ["Onnx"]


class Onnx(tc.Stage):
    """Export a model to one ONNX file with its decoding inside, compared with torch.

    The same model gives the same bytes wherever it is exported.
    """

    kind = tc.StageKind.EXPORT
    name = "onnx"
    model = tc.Input("model", description="a torch model: model.safetensors and config.json")
    frames = tc.Input("dataset", use="measure", optional=True, description="recorded frames on which both are compared; nothing is learned")
    onnx = tc.Output("model", checks=["parity"], description="model.onnx and config.json")

    class Params(ParityParams):
        """How to export."""

        opset: int = tc.Field(20, ge=18, le=22, description="ONNX operator set")

    def run(self, context: tc.Context, params: Params) -> None:
        """Export, check, compare, write."""
        # torch takes seconds to import: only where it is used
        import torch

        from tracecore.parity import Answers, outputs_of, reach_of
        from tracecore_tensorrt.graph import describe, export_graph
        from tracecore_tensorrt.models import load_detector

        detector = load_detector(context.read(self.model))
        height, width = detector.config["input"]["height"], detector.config["input"]["width"]
        outputs = outputs_of(detector.config)
        if detector.doubt is not None:
            context.unknown("architecture source", detector.doubt)
        context.progress(0, 3, "exporting")
        graph = export_graph(detector.module, outputs=outputs, height=height, width=width, opset=params.opset)
        data = graph.SerializeToString(deterministic=True)
        context.progress(1, 3, "comparing with torch")
        looked_at = pictures(context, self.frames, self.onnx, params, detector.config)
        with torch.no_grad():
            answers = [value.numpy() for value in detector.module(torch.from_numpy(looked_at.images))]
        by_torch = Answers.named(dict(zip(outputs, answers, strict=True)))
        by_onnx = run_onnx(data, looked_at.images, threads=context.threads)
        parity = compare(by_torch, by_onnx, height=height, width=width, reach=reach_of(detector.config))
        context.log.info("greatest difference from torch: %.3g (outputs %s)", parity.max_abs_difference, ", ".join(outputs))
        context.progress(2, 3, "writing")
        folder = context.path(self.onnx)
        (folder / "model.onnx").write_bytes(data)
        facts = describe(graph)
        config: dict[str, Any] = {
            **detector.config,
            "outputs": list(outputs),
            "onnx": {"file": "model.onnx", "opset": facts["opset"], "inputs": facts["inputs"], "outputs": facts["outputs"]},
        }
        (folder / "config.json").write_text(
            json.dumps(config, indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n", encoding="utf-8"
        )
        context.describe(self.onnx, "tracecore_onnx", {"summary": f"opset {facts['opset']}", **facts, "bytes": len(data)})
        tolerances = params.tolerances(narrow=False)
        facet = parity.facet(against=f"torch {torch.__version__}", what=looked_at.what, tolerances=tolerances)
        context.describe(self.onnx, "tracecore_parity", facet)
        context.progress(3, 3)
