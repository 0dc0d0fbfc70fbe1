"""Hook implementations of this plugin: its two evaluation stages, checks, facets and KPIs."""

from __future__ import annotations

import tracecore as tc
from tracecore_evaluation.checks import KpisAboveBaseline, KpisFinite
from tracecore_evaluation.detection_kpis import DetectionKpis
from tracecore_evaluation.kpi_specs import KPIS
from tracecore_evaluation.mistakes_per_hour import MistakesPerHour
from tracecore_evaluation.predictions import DETECTIONS_FACET
from tracecore_evaluation.report import EVENTS_FACET

__all__ = ["tracecore_register_checks", "tracecore_register_facets", "tracecore_register_kpis", "tracecore_register_stages"]


@tc.hookimpl
def tracecore_register_stages() -> list[type[tc.Stage]]:
    """Return the stages `detection-kpis` and `mistakes-per-hour`."""
    return [DetectionKpis, MistakesPerHour]


@tc.hookimpl
def tracecore_register_checks() -> list[tc.Check]:
    """Return the checks `kpis_finite` and `kpis_above_baseline`."""
    return [KpisFinite(), KpisAboveBaseline()]


@tc.hookimpl
def tracecore_register_facets() -> list[tc.FacetSpec]:
    """Return the specs of the facets that describe detection tables and event tables."""
    return [DETECTIONS_FACET, EVENTS_FACET]


@tc.hookimpl
def tracecore_register_kpis() -> list[tc.KpiSpec]:
    """Return the specs of all KPIs of level 1 (frame by frame) and level 2 (mistakes while driving)."""
    return list(KPIS.values())
