"""What this plugin brings to tracecore: the stage `torch-detector`."""

from __future__ import annotations

import tracecore as tc
from tracecore_training.stage import TorchDetector

__all__ = ["tracecore_register_stages"]


@tc.hookimpl
def tracecore_register_stages() -> list[type[tc.Stage]]:
    """Give the training stage."""
    return [TorchDetector]
