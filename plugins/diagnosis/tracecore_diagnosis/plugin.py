"""Hook implementations of this plugin: the stage `event-clusters`, the check `request_usable`, two facets and a table type."""

from __future__ import annotations

import tracecore as tc
from tracecore_diagnosis.data_request import RequestUsable
from tracecore_diagnosis.event_clusters import CLUSTERS, CLUSTERS_FACET, REQUEST_FACET, EventClusters

__all__ = ["tracecore_register_checks", "tracecore_register_facets", "tracecore_register_stages", "tracecore_register_tables"]


@tc.hookimpl
def tracecore_register_stages() -> list[type[tc.Stage]]:
    """Return the stage `event-clusters`."""
    return [EventClusters]


@tc.hookimpl
def tracecore_register_checks() -> list[tc.Check]:
    """Return the check `request_usable`."""
    return [RequestUsable()]


@tc.hookimpl
def tracecore_register_facets() -> list[tc.FacetSpec]:
    """Return the specs of the facets that describe clusters and data requests."""
    return [CLUSTERS_FACET, REQUEST_FACET]


@tc.hookimpl
def tracecore_register_tables() -> list[tc.TableType]:
    """Return the table type `clusters`, which has mistakes with the cluster of each."""
    return [CLUSTERS]
