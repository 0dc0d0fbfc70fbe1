"""What this plugin brings: a stage for detection KPIs and the checks of its report."""

from __future__ import annotations

import tracecore as tc
from tracecore_evaluation.checks import KpisAboveBaseline, KpisFinite
from tracecore_evaluation.detection_kpis import DetectionKpis

__all__ = ["tracecore_register_checks", "tracecore_register_stages"]


@tc.hookimpl
def tracecore_register_stages() -> list[type[tc.Stage]]:
    """Give the stage `detection-kpis`."""
    return [DetectionKpis]


@tc.hookimpl
def tracecore_register_checks() -> list[tc.Check]:
    """Give the checks `kpis_finite` and `kpis_above_baseline`."""
    return [KpisFinite(), KpisAboveBaseline()]
