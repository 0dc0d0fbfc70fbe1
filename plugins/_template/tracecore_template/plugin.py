"""What this plugin brings: the stage `template`."""

from __future__ import annotations

import tracecore as tc
from tracecore_template.stage import Template

__all__ = ["tracecore_register_stages"]


@tc.hookimpl
def tracecore_register_stages() -> list[type[tc.Stage]]:
    """Return the stage `template`."""
    return [Template]
