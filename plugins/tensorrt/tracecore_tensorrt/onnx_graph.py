"""The ONNX graph of a model, exported by torch without file paths, so that different checkouts give the same bytes."""

from __future__ import annotations

import logging
import math
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import onnx
from google.protobuf.message import Message

__all__ = ["INPUT", "describe", "export_graph", "strip"]

INPUT = "image"
_BATCH = "N"


def export_graph(module: Any, *, outputs: Sequence[str], height: int, width: int, opset: int) -> onnx.ModelProto:
    """Export a torch module to ONNX with an open batch size; return the checked graph with its weights, without file paths."""
    import torch

    # a batch of two, since the exporter treats a size of 1 as constant
    example = torch.zeros(2, 3, height, width)
    with _quiet_exporter(), torch.no_grad():
        program = torch.onnx.export(
            module,
            (example,),
            dynamo=True,
            external_data=False,
            opset_version=opset,
            input_names=[INPUT],
            output_names=list(outputs),
            dynamic_shapes={INPUT: {0: torch.export.Dim(_BATCH, min=1, max=4096)}},
            verbose=False,
        )
    if program is None:
        raise RuntimeError("torch.onnx.export gave no program.")
    model = strip(program.model_proto)
    onnx.checker.check_model(model, full_check=True)
    return model


def strip(model: onnx.ModelProto) -> onnx.ModelProto:
    """Remove documentation and metadata, such as stack traces with absolute paths, from an ONNX model in place, and return the model."""
    _clear_metadata(model)
    # drop the local version: '2.13.0+cpu' and '2.13.0+cu130' export the same graph
    model.producer_version = model.producer_version.partition("+")[0]
    return model


def _clear_metadata(message: Message) -> None:
    for field, value in message.ListFields():
        if field.name in ("metadata_props", "doc_string"):
            message.ClearField(field.name)
        elif field.message_type is not None:
            for each in value if field.is_repeated else (value,):
                _clear_metadata(each)


def describe(model: onnx.ModelProto) -> dict[str, Any]:
    """Return facts about an ONNX model by name: versions, producer, operator counts, number of weight values, and its inputs and outputs."""
    operators = Counter(node.op_type for node in model.graph.node)
    return {
        "opset": next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")),
        "ir_version": model.ir_version,
        "producer": f"{model.producer_name} {model.producer_version}".strip(),
        "nodes": len(model.graph.node),
        "operators": dict(sorted(operators.items())),
        "weights": sum(math.prod(tensor.dims) for tensor in model.graph.initializer),
        "inputs": [_describe_value(value) for value in model.graph.input],
        "outputs": [_describe_value(value) for value in model.graph.output],
    }


def _describe_value(value: onnx.ValueInfoProto) -> dict[str, Any]:
    kind = value.type.tensor_type
    shape = [dimension.dim_param if dimension.HasField("dim_param") else dimension.dim_value for dimension in kind.shape.dim]
    return {"name": value.name, "type": cast("str", onnx.TensorProto.DataType.Name(kind.elem_type)).lower(), "shape": shape}


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Suppress log messages below errors, and deprecation warnings, of torch's ONNX exporter within the block."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
