"""Hook implementations of this plugin: the stage `precision` and its facet."""

from __future__ import annotations

import tracecore as tc
from tracecore_compression.precision_stage import PRECISION_FACET, Precision

__all__ = ["tracecore_register_facets", "tracecore_register_stages"]


@tc.hookimpl
def tracecore_register_stages() -> list[type[tc.Stage]]:
    """Return the stage `precision`."""
    return [Precision]


@tc.hookimpl
def tracecore_register_facets() -> list[tc.FacetSpec]:
    """Return the facet `tracecore_precision`."""
    return [PRECISION_FACET]
