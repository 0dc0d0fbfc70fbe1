"""Running an engine on this machine's GPU."""

from __future__ import annotations

import logging
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracecore import RunFailed
from tracecore.environment import accelerator
from tracecore.parity import Answers
from tracecore_tensorrt.engine_builder import Builder, run_logger

__all__ = ["inspect_engine", "present_capability", "run_engine", "why_not_executed"]


def present_capability() -> str | None:
    """Return the compute capability of this machine's GPU in the builders' notation (`SM89`); None without a GPU."""
    found = accelerator()
    number = re.search(r"(\d+)\.(\d+)$", found) if found else None
    return f"SM{number[1]}{number[2]}" if number else None


def why_not_executed(targets: list[str], present: str | None) -> str | None:
    """Return a sentence with the reason why an engine for `targets` can't run on the GPU `present`; None if it can. Both are compute capabilities."""
    if present is None:
        return f"There is no GPU of {', '.join(targets)} on this machine: it has none."
    if present not in targets:
        return f"There is no GPU of {', '.join(targets)} on this machine: its GPU is of {present}."
    import torch

    if not torch.cuda.is_available():
        return f"The GPU of {present} can't be reached: the installed torch {torch.__version__} has no CUDA, which holds the engine's memory."
    return None


def run_engine(builder: Builder, engine: bytes, images: NDArray[np.float32], *, log: logging.Logger) -> Answers:
    """Return an engine's outputs for images (N, 3, H, W), run one by one on the GPU. Raises RunFailed if it can't be opened or fails.

    Engines are native code: never pass bytes that this process did not build.
    """
    import torch

    trt = builder.module
    logger = run_logger(trt, log)
    opened = _open_engine(builder, engine, logger)
    context = opened.create_execution_context()
    names = [opened.get_tensor_name(number) for number in range(opened.num_io_tensors)]
    source = next(name for name in names if opened.get_tensor_mode(name) == trt.TensorIOMode.INPUT)
    types = {
        trt.DataType.FLOAT: torch.float32, trt.DataType.HALF: torch.float16, trt.DataType.INT64: torch.int64, trt.DataType.INT32: torch.int32
    }  # fmt: skip
    answers: dict[str, list[NDArray[np.generic]]] = {name: [] for name in names if name != source}
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    for image in images:
        given = torch.from_numpy(image[None].copy()).to(types[opened.get_tensor_dtype(source)]).cuda()
        context.set_input_shape(source, tuple(given.shape))
        context.set_tensor_address(source, given.data_ptr())
        results = {}
        for name in answers:
            results[name] = torch.empty(tuple(context.get_tensor_shape(name)), dtype=types[opened.get_tensor_dtype(name)], device="cuda")
            context.set_tensor_address(name, results[name].data_ptr())
        torch.cuda.synchronize()  # the copies above ran on another stream
        if not context.execute_async_v3(stream.cuda_stream):
            raise RunFailed(f"The engine failed on the GPU: {logger.last or 'it gave no reason'}.")
        stream.synchronize()
        for name, result in results.items():
            answers[name].append(result.cpu().numpy())
    return Answers.named({name: np.concatenate(values) for name, values in answers.items()})


def inspect_engine(builder: Builder, engine: bytes, *, log: logging.Logger) -> str:
    """Return the layers of an engine as JSON text; raises RunFailed if it can't be opened. Never pass bytes that this process did not build."""
    trt = builder.module
    inspector = _open_engine(builder, engine, run_logger(trt, log)).create_engine_inspector()
    return str(inspector.get_engine_information(trt.LayerInformationFormat.JSON))


def _open_engine(builder: Builder, engine: bytes, logger: Any) -> Any:
    opened = builder.module.Runtime(logger).deserialize_cuda_engine(engine)
    if opened is None:
        raise RunFailed(f"The engine built just now can't be opened by {builder.name} {builder.version}: {logger.last or 'it gave no reason'}.")
    return opened
