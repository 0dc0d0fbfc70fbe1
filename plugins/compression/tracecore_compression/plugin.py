"""Hook implementations of this plugin: the stage `precision` and its facet."""

from __future__ import annotations

import tracecore as tc
from tracecore_compression.precision_stage import PRECISION_FACET, Precision

__all__ = ["tracecore_register_facets", "tracecore_register_stages"]


@tc.hookimpl
def tracecore_register_stages() -> list[type[tc.Stage]]:
    """Return the plugin's stage `precision`, which converts an ONNX model to half or single precision."""
    return [Precision]


@tc.hookimpl
def tracecore_register_facets() -> list[tc.FacetSpec]:
    """Return the plugin's facet `tracecore_precision`, which describes the conversion of a model to another precision."""
    return [PRECISION_FACET]
