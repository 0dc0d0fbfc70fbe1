"""One interface to both engine builders: `tensorrt`, for the local GPU, and `tensorrt-rtx`, which builds ahead of time for other GPUs."""

from __future__ import annotations

import importlib
import logging
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from tracecore import RunFailed, UsageError

__all__ = ["INSTALL", "VERBOSITY", "Builder", "Built", "build", "choose_builder", "run_logger"]

INSTALL = (
    'Install one: pip install "tensorrt-rtx" builds for GPUs that are not here; '
    "the data-centre builder comes from NVIDIA's own index: pip install tensorrt --extra-index-url https://pypi.nvidia.com."
)
VERBOSITY = "DETAILED"
"""Profiling verbosity of all engines. It changes the engine's bytes, so it is part of the recipe."""
_NARROW = {"fp4": "fp4", "int4": "int4", "fp8": "fp8", "int8": "int8", "bf16": "bf16", "half": "fp16"}
_NO_CAPABILITY = frozenset({"NONE", "CURRENT"})
_LEVELS = {"INTERNAL_ERROR": logging.ERROR, "ERROR": logging.ERROR, "WARNING": logging.WARNING, "VERBOSE": logging.DEBUG}
_HARMLESS_WARNINGS = ("Int64 binding",)  # irrelevant warnings: output types are read from the engine and recorded


@dataclass(frozen=True, slots=True)
class Builder:
    """An installed engine builder, `tensorrt` or `tensorrt-rtx`; `ahead` means that it builds ahead of time for GPUs of other machines."""

    name: str
    version: str
    module: ModuleType
    ahead: bool

    def targets(self) -> list[str]:
        """Return the compute capabilities, ascending (`SM89`), that can be built for ahead of time; empty if only the local GPU can be built for."""
        capability = getattr(self.module, "ComputeCapability", None)
        names = [name for name in getattr(capability, "__members__", {}) if name not in _NO_CAPABILITY]
        return sorted(names, key=lambda name: int(re.sub(r"\D", "", name))) if self.ahead else []


@dataclass(frozen=True, slots=True)
class Built:
    """A built engine, its layers before fusion (count, number by type and by output type), and the number of logged lines by severity."""

    engine: bytes
    layers: dict[str, Any]
    inputs: list[dict[str, Any]]
    outputs: list[dict[str, Any]]
    flags: list[str]
    messages: dict[str, int]

    @property
    def precision(self) -> str:
        """Narrowest number type among the outputs of the layers, such as `fp16`; for single precision `tf32` if TF32 is allowed, else `fp32`."""
        given = self.layers["output_types"]
        return next((name for kind, name in _NARROW.items() if kind in given), "tf32" if "TF32" in self.flags else "fp32")


def choose_builder(wanted: str, targets: Sequence[str], present: str | None, log: logging.Logger) -> Builder:
    """Return the engine builder to use: `tensorrt` if it is installed and the local GPU is the only target, else `tensorrt-rtx`.

    `wanted` is `auto` or the name of the only builder to try; `targets` and the local GPU `present` are compute capabilities (`SM89`).
    Raises UsageError if no builder is installed, or none can build for the targets.
    """
    reasons = []
    for name in ("tensorrt", "tensorrt-rtx") if wanted == "auto" else (wanted,):
        try:
            module = importlib.import_module(name.replace("-", "_"))
        except ImportError as error:
            reasons.append(f"{name} can't be imported ({error})")
            continue
        builder = Builder(name, str(module.__version__), module, ahead=name == "tensorrt-rtx")
        if not builder.ahead and list(targets) != [present]:
            reasons.append(f"{name} builds only for the GPU of its machine ({present or 'none here'}), not for {', '.join(targets)}")
            log.info("%s", reasons[-1])
            continue
        if builder.ahead and (unknown := [target for target in targets if target not in builder.targets()]):
            raise UsageError(f"{name} {builder.version} builds for {', '.join(builder.targets())}; found target {unknown[0]!r}. Choose one of those.")
        return builder
    raise UsageError(f"No engine can be built: {'; '.join(reasons)}. {INSTALL}")


def build(
    builder: Builder,
    graph: bytes,
    *,
    targets: Sequence[str],
    tf32: bool,
    batch: int,
    optimization: int,
    workspace_mib: int | None,
    log: logging.Logger,
) -> Built:
    """Return an engine built by TensorRT that computes in exactly the number types of the ONNX graph.

    Args:
        graph: serialized ONNX model.
        targets: compute capabilities, all served by one engine.
        tf32: whether single-precision factors may be rounded to TF32.
        batch: greatest batch size, if the graph leaves it open.
        optimization: builder level, 0 (quick) to 5 (thorough).
        workspace_mib: limit of scratch memory on the GPU; None for the builder's own.

    Raises RunFailed if the builder refuses the graph or returns no engine.
    """
    trt = builder.module
    logger = run_logger(trt, log)
    make = trt.Builder(logger)
    network = make.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(graph):
        errors = "; ".join(str(parser.get_error(number)) for number in range(parser.num_errors))
        raise RunFailed(f"{builder.name} {builder.version} can't read the ONNX graph: {errors or logger.last}.")
    config = make.create_builder_config()
    config.builder_optimization_level = optimization
    config.profiling_verbosity = getattr(trt.ProfilingVerbosity, VERBOSITY)
    if workspace_mib is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, workspace_mib << 20)
    (config.set_flag if tf32 else config.clear_flag)(trt.BuilderFlag.TF32)
    if builder.ahead:
        config.num_compute_capabilities = len(targets)
        for place, target in enumerate(targets):
            config.set_compute_capability(getattr(trt.ComputeCapability, target), place)
    inputs = _add_profile(make, config, network, batch)
    # layers are read from the network, since an engine can't be inspected without a GPU
    layers = _count_layers(network)
    outputs = [_describe_tensor(network.get_output(number)) for number in range(network.num_outputs)]
    serialized = make.build_serialized_network(network, config)
    if serialized is None:
        raise RunFailed(f"{builder.name} {builder.version} built no engine for {', '.join(targets)}: {logger.last or 'it gave no reason'}.")
    flags = sorted(name for name, flag in trt.BuilderFlag.__members__.items() if config.get_flag(flag))
    return Built(bytes(serialized), layers, inputs, outputs, flags, dict(logger.counts))


def _add_profile(make: Any, config: Any, network: Any, batch: int) -> list[dict[str, Any]]:
    """Let the engine take 1 to `batch` images if the graph leaves the batch size open. Return name, type and shape of each network input."""
    inputs = []
    profile = make.create_optimization_profile()
    open_ = False
    for number in range(network.num_inputs):
        tensor = network.get_input(number)
        shape = list(tensor.shape)
        described = _describe_tensor(tensor)
        if -1 in shape:
            if shape[0] != -1 or -1 in shape[1:]:
                raise RunFailed(f"Input {tensor.name!r} has shape {shape}; only the number of images may be left open.")
            least, most = (1, *shape[1:]), (batch, *shape[1:])
            profile.set_shape(tensor.name, least, least, most)
            described["built_for"] = {"min": list(least), "opt": list(least), "max": list(most)}
            open_ = True
        inputs.append(described)
    if open_:
        config.add_optimization_profile(profile)
    return inputs


def _describe_tensor(tensor: Any) -> dict[str, Any]:
    return {"name": tensor.name, "type": tensor.dtype.name.lower(), "shape": list(tensor.shape)}


def _count_layers(network: Any) -> dict[str, Any]:
    types: Counter[str] = Counter()
    gives: Counter[str] = Counter()
    for number in range(network.num_layers):
        layer = network.get_layer(number)
        types[layer.type.name.lower()] += 1
        if layer.num_outputs:
            gives[layer.get_output(0).dtype.name.lower()] += 1
    return {"count": network.num_layers, "types": dict(sorted(types.items())), "output_types": dict(sorted(gives.items()))}


def run_logger(trt: ModuleType, log: logging.Logger) -> Any:
    """Return a logger for the builder. It forwards lines to a child of `log`, counts them by level in `counts` and keeps the last error in `last`."""
    named = log.getChild(trt.__name__)

    class RunLogger(trt.ILogger):  # type: ignore[misc, name-defined]  # the base comes from whichever builder is installed
        """Forwards and counts lines, and keeps the last error for error messages."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.counts: Counter[str] = Counter()
            self.last = ""

        def log(self, severity: Any, message: str) -> None:
            level = _LEVELS.get(severity.name, logging.INFO)
            if level == logging.WARNING and any(each in message for each in _HARMLESS_WARNINGS):
                level = logging.INFO
            self.counts[logging.getLevelName(level).lower()] += 1
            if level == logging.ERROR:
                self.last = message.strip()
            named.log(level, "TensorRT: %s", message)

    return RunLogger()
