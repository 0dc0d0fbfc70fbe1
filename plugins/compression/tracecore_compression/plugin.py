"""What this plugin brings to tracecore: the stage `precision`."""

from __future__ import annotations

import tracecore as tc
from tracecore_compression.precision_stage import PRECISION_FACET, Precision

__all__ = ["tracecore_register_facets", "tracecore_register_stages"]


@tc.hookimpl
def tracecore_register_stages() -> list[type[tc.Stage]]:
    """Return the stages that make a model smaller."""
    return [Precision]


@tc.hookimpl
def tracecore_register_facets() -> list[tc.FacetSpec]:
    """Return the facet of a model's precision."""
    return [PRECISION_FACET]
