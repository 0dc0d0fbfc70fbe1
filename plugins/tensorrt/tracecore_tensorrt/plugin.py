"""What this plugin brings to tracecore: the stages `onnx` and `tensorrt`."""

from __future__ import annotations

import tracecore as tc
from tracecore_tensorrt.stages import Onnx, TensorRT

__all__ = ["tracecore_register_stages"]


@tc.hookimpl
def tracecore_register_stages() -> list[type[tc.Stage]]:
    """Return the export and the compile stage."""
    return [Onnx, TensorRT]
