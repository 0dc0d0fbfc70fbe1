"""What this plugin brings to tracecore: the stages `onnx` and `tensorrt`, and the check `parity`."""

from __future__ import annotations

import tracecore as tc
from tracecore_tensorrt.check import ParityCheck
from tracecore_tensorrt.compile import TensorRT
from tracecore_tensorrt.export import Onnx

__all__ = ["tracecore_register_checks", "tracecore_register_stages"]


@tc.hookimpl
def tracecore_register_stages() -> list[type[tc.Stage]]:
    """Give the export and the compile stage."""
    return [Onnx, TensorRT]


@tc.hookimpl
def tracecore_register_checks() -> list[tc.Check]:
    """Give the check that an exported model answers as its source does."""
    return [ParityCheck()]
