"""What this plugin brings to tracecore: the stage `precision`."""

from __future__ import annotations

import tracecore as tc
from tracecore_compression.precision_stage import Precision

__all__ = ["tracecore_register_stages"]


@tc.hookimpl
def tracecore_register_stages() -> list[type[tc.Stage]]:
    """Return the stages that make a model smaller."""
    return [Precision]
