"""Hook implementations of this plugin: its three training stages, the check `losses_finite`, and the training facet."""

from __future__ import annotations

import tracecore as tc
from tracecore_training.torch_stages import TRAINING_FACET, TorchDetector, TorchMultitask
from tracecore_training.ultralytics_run import LossesFinite, UltralyticsRun

__all__ = ["tracecore_register_checks", "tracecore_register_facets", "tracecore_register_stages"]


@tc.hookimpl
def tracecore_register_stages() -> list[type[tc.Stage]]:
    """Return the stages `TorchDetector` and `TorchMultitask`, which train models, and `UltralyticsRun`, which imports a finished training."""
    return [TorchDetector, TorchMultitask, UltralyticsRun]


@tc.hookimpl
def tracecore_register_checks() -> list[tc.Check]:
    """Return the check `losses_finite`."""
    return [LossesFinite()]


@tc.hookimpl
def tracecore_register_facets() -> list[tc.FacetSpec]:
    """Return the facet `tracecore_training`."""
    return [TRAINING_FACET]
