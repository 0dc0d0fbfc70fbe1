"""What this plugin brings to tracecore: the stages `onnx` and `tensorrt`."""

from __future__ import annotations

import tracecore as tc
from tracecore_tensorrt.stages import ONNX_FACET, Onnx, TensorRT

__all__ = ["tracecore_register_facets", "tracecore_register_stages"]


@tc.hookimpl
def tracecore_register_stages() -> list[type[tc.Stage]]:
    """Return the export and the compile stage."""
    return [Onnx, TensorRT]


@tc.hookimpl
def tracecore_register_facets() -> list[tc.FacetSpec]:
    """Return the facet of an exported graph."""
    return [ONNX_FACET]
