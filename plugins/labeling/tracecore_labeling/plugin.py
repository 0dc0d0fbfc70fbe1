"""What this plugin brings: the label stages."""

from __future__ import annotations

import tracecore as tc
from tracecore_labeling.coco import Coco

__all__ = ["tracecore_register_stages"]


@tc.hookimpl
def tracecore_register_stages() -> list[type[tc.Stage]]:
    """Give the stage `coco`."""
    return [Coco]
