"""The stages `onnx` (trained model to ONNX file) and `tensorrt` (ONNX model to engine), each compared with its source."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import field_validator

import tracecore as tc
from tracecore.engines import rename_inner
from tracecore.parity import ParityParams, compare, pictures, run_onnx
from tracecore_schemas.canonical import digest_bytes, digest_json
from tracecore_schemas.facets import ENGINE_FACET, PARITY_FACET

if TYPE_CHECKING:
    from tracecore_tensorrt.engine_builder import Builder, Built

__all__ = ["Onnx", "TensorRT", "recipe_digest"]

ONNX_FACET = tc.FacetSpec("tracecore_onnx", lambda value: f"opset {value['opset']}", __package__)


class Onnx(tc.Stage):
    """Export a model to one ONNX file with its decoding inside, compared with torch.

    The same model gives the same bytes wherever it is exported.
    """

    kind = tc.StageKind.EXPORT
    name = "onnx"
    model = tc.Input("model", description="a torch model: model.safetensors and config.json")
    frames = tc.Input(table=tc.FRAMES, use="measure", optional=True, description="recorded frames on which both are compared; nothing is learned")
    onnx = tc.Output("model", checks=["parity"], description="model.onnx and config.json")

    class Params(ParityParams):
        """How to export."""

        opset: int = tc.Field(20, ge=18, le=22, description="ONNX operator set")

    def run(self, context: tc.Context, params: Params) -> None:
        """Export the trained model to ONNX, compare its outputs with torch's, and write the ONNX model with its facets."""
        # torch takes seconds to import: only where it is used
        import torch

        from tracecore.parity import Answers, outputs_of, reach_of
        from tracecore_tensorrt.onnx_graph import describe, export_graph
        from tracecore_tensorrt.trained_model import load_detector

        detector = load_detector(context.read(self.model))
        height, width = detector.config["input"]["height"], detector.config["input"]["width"]
        outputs = outputs_of(detector.config)
        if detector.doubt is not None:
            context.unknown("architecture source", detector.doubt)
        context.progress(0, 3, "exporting")
        graph = export_graph(detector.module, outputs=outputs, height=height, width=width, opset=params.opset)
        data = graph.SerializeToString(deterministic=True)
        context.progress(1, 3, "comparing with torch")
        sample = pictures(context, self.frames, self.onnx, params, detector.config)
        with torch.no_grad():
            answers = [value.numpy() for value in detector.module(torch.from_numpy(sample.images))]
        by_torch = Answers.named(dict(zip(outputs, answers, strict=True)))
        by_onnx = run_onnx(data, sample.images, threads=context.threads)
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
        context.describe(self.onnx, ONNX_FACET, {**facts, "bytes": len(data)})
        tolerances = params.tolerances(narrow=False)
        facet = parity.facet(against=f"torch {torch.__version__}", what=sample.what, tolerances=tolerances)
        context.describe(self.onnx, PARITY_FACET, facet)
        context.progress(3, 3)


class TensorRT(tc.Stage):
    """Build a TensorRT engine for named GPUs, and run it where there is one.

    The network is strongly typed: it computes in the types that the graph names, and nothing is converted here. Engine bytes are not
    reproducible; engines with the same recipe digest are equivalent.
    """

    kind = tc.StageKind.COMPILE
    name = "tensorrt"
    model = tc.Input("model", description="model.onnx and config.json")
    frames = tc.Input(
        table=tc.FRAMES,
        use="measure",
        optional=True,
        description="recorded frames on which the engine is compared where it can run; nothing is learned",
    )
    engine = tc.Output("engine", description="model.engine, native code for the GPUs it names; inspector.json, where it could be opened")

    class Params(ParityParams):
        """What to build."""

        target: str | tuple[str, ...] = tc.Field("SM89", description="compute capability of the GPU, or several for one engine: SM86, SM89")
        tf32: bool = tc.Field(False, description="whether the GPU may round the factors of single precision products to TF32")
        builder: Literal["auto", "tensorrt", "tensorrt-rtx"] = tc.Field(
            "auto", description="auto takes tensorrt where it is installed and the target is the GPU that is here, else tensorrt-rtx"
        )
        batch: int = tc.Field(8, ge=1, le=1024, description="most images at once")
        optimization: int = tc.Field(3, ge=0, le=5, description="the builder's optimization level")
        workspace_mib: int | None = tc.Field(None, ge=1, le=1 << 20, description="most scratch memory on the GPU; where not given, the builder's own")

        @field_validator("target")
        @classmethod
        def _compute_capabilities(cls, target: str | tuple[str, ...]) -> str | tuple[str, ...]:
            named = (target,) if isinstance(target, str) else target
            if not named or len(set(named)) != len(named) or not all(re.fullmatch(r"SM\d{2,3}", each) for each in named):
                raise ValueError("target must be one compute capability or several different ones, written SM89")
            return target

        @property
        def targets(self) -> list[str]:
            """The compute capabilities to build for, in ascending order whatever their order in the program."""
            return [self.target] if isinstance(self.target, str) else sorted(self.target, key=lambda target: int(target[2:]))

        @property
        def settings(self) -> dict[str, Any]:
            """The builder's settings by name, in the form from which the engine's recipe digest is computed."""
            return {**self.model_dump(include={"tf32", "batch", "optimization", "workspace_mib"}), "strongly_typed": True}

    def run(self, context: tc.Context, params: Params) -> None:
        """Build an engine from the ONNX model; on a target GPU, run it and compare its outputs with the model's. Record the engine's facets."""
        # the builder and onnx take long to import: only where they are used
        import onnx

        from tracecore_tensorrt.engine_builder import VERBOSITY, build, choose_builder
        from tracecore_tensorrt.engine_runtime import present_capability
        from tracecore_tensorrt.onnx_graph import describe
        from tracecore_tensorrt.trained_model import read_config

        folder = context.read(self.model)
        config = read_config(folder)
        network = _read_onnx(folder)
        targets, present = params.targets, present_capability()
        builder = choose_builder(params.builder, targets, present, context.log)
        context.progress(0, 2, f"building for {', '.join(targets)} with {builder.name} {builder.version}")
        built = build(
            builder,
            network,
            targets=targets,
            tf32=params.tf32,
            batch=params.batch,
            optimization=params.optimization,
            workspace_mib=params.workspace_mib,
            log=context.log,
        )
        (context.path(self.engine) / "model.engine").write_bytes(built.engine)
        context.progress(1, 2, "built")
        executed = self._execute(context, params, builder, built, network, config, present)
        artifact = context.artifact(self.model)
        if artifact is None or PARITY_FACET.name not in artifact.facets:
            context.unknown("parity of the compiled graph", "Nobody compared the model with the one that it was made from.", port=self.engine)
        context.describe(
            self.engine,
            ENGINE_FACET,
            {
                "builder": builder.name,
                "builder_version": builder.version,
                "compute_capability": ", ".join(targets),
                "precision": built.precision,
                "engine_bytes": len(built.engine),
                "recipe_digest": recipe_digest(network, params.settings, builder.name, builder.version, targets, VERBOSITY),
                "config": params.settings,
                "inspector": VERBOSITY,
                "onnx": {
                    "ref": artifact.ref if artifact else None,
                    "digest": digest_bytes(network),
                    "opset": describe(onnx.load_model_from_string(network))["opset"],
                },
                "inputs": built.inputs,
                "outputs": built.outputs,
                "layers": built.layers,
                "flags": built.flags,
                "messages": built.messages,
                **executed,
            },
        )
        context.progress(2, 2)

    def _execute(
        self, context: tc.Context, params: Params, builder: Builder, built: Built, network: bytes, config: dict[str, Any], present: str | None
    ) -> dict[str, Any]:
        """Run the engine and compare it with its ONNX model if `present` is a target GPU; else record in the trace that it was not executed, and why.

        Returns the members for the engine's facet: `executed`, with `why` or `executed_on`. Raises RunFailed if the outputs differ beyond tolerance.
        """
        from tracecore.parity import judge, reach_of
        from tracecore_tensorrt.engine_runtime import inspect_engine, run_engine, why_not_executed

        why = why_not_executed(params.targets, present)
        if why is not None:
            context.unknown("not executed", why, port=self.engine)
            context.log.info("engine not executed: %s", why)
            return {"executed": False, "why": why}
        sample = pictures(context, self.frames, self.engine, params, config)
        reference = run_onnx(network, sample.images, threads=context.threads)
        answers = run_engine(builder, built.engine, sample.images, log=context.log)
        parity = compare(reference, answers, height=config["input"]["height"], width=config["input"]["width"], reach=reach_of(config))
        tolerances = params.tolerances(narrow=built.precision != "fp32")
        facet = parity.facet(against="ONNX by onnxruntime", what=sample.what, tolerances=tolerances)
        judged = judge(facet)
        if not judged.success:
            raise tc.RunFailed(f"{judged.message} Choose a higher precision, or set its tolerance.")
        context.describe(self.engine, PARITY_FACET, facet)
        inspection = rename_inner(inspect_engine(builder, built.engine, log=context.log).encode())
        (context.path(self.engine) / "inspector.json").write_bytes(inspection)
        return {"executed": True, "executed_on": present}


def _read_onnx(folder: Path) -> bytes:
    try:
        return (folder / "model.onnx").read_bytes()
    except FileNotFoundError:
        found = ", ".join(sorted(each.name for each in folder.iterdir()))
        raise tc.UsageError(
            f"An engine is built from model.onnx, which the model lacks; it holds {found}. Export it first with stage 'onnx'."
        ) from None


def recipe_digest(network: bytes, config: dict[str, Any], builder: str, version: str, targets: list[str], inspector: str) -> str:
    """Return the digest of all that an engine is built from (`targets` ascending). Engines of equal digests are equivalent, even if bytes differ."""
    return digest_json(
        {
            "v": 1,
            "type": "tracecore.engine_recipe",
            "network": digest_bytes(network),
            "config": config,
            "builder": {"name": builder, "version": version},
            "target": list(targets),
            "inspector": inspector,
        }
    )
