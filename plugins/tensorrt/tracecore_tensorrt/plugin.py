"""Hook implementations of this plugin: the stages `onnx` and `tensorrt`, and the facet of an exported graph."""

from __future__ import annotations

import tracecore as tc
from tracecore_tensorrt.stages import ONNX_FACET, Onnx, TensorRT

__all__ = ["tracecore_register_facets", "tracecore_register_stages"]


@tc.hookimpl
def tracecore_register_stages() -> list[type[tc.Stage]]:
    """Return the plugin's stages: `onnx` (export of a model to ONNX) and `tensorrt` (build of an engine from ONNX)."""
    return [Onnx, TensorRT]


@tc.hookimpl
def tracecore_register_facets() -> list[tc.FacetSpec]:
    """Return the plugin's facet `tracecore_onnx`, which describes an exported ONNX model."""
    return [ONNX_FACET]
