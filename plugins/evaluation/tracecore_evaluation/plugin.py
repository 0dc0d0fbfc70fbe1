"""What this plugin brings: a stage for each level of evaluation, and the checks of their reports."""

from __future__ import annotations

import tracecore as tc
from tracecore_evaluation.checks import KpisAboveBaseline, KpisFinite
from tracecore_evaluation.detection_kpis import DetectionKpis
from tracecore_evaluation.mistakes_per_hour import MistakesPerHour

__all__ = ["tracecore_register_checks", "tracecore_register_stages"]


@tc.hookimpl
def tracecore_register_stages() -> list[type[tc.Stage]]:
    """Return the stages `detection-kpis` and `mistakes-per-hour`."""
    return [DetectionKpis, MistakesPerHour]


@tc.hookimpl
def tracecore_register_checks() -> list[tc.Check]:
    """Return the checks `kpis_finite` and `kpis_above_baseline`."""
    return [KpisFinite(), KpisAboveBaseline()]
