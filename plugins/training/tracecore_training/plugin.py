"""What this plugin brings to tracecore: three training stages and the check `losses_finite`."""

from __future__ import annotations

import tracecore as tc
from tracecore_training.checks import LossesFinite
from tracecore_training.torch_stages import TRAINING_FACET, TorchDetector, TorchMultitask
from tracecore_training.ultralytics_run import UltralyticsRun

__all__ = ["tracecore_register_checks", "tracecore_register_facets", "tracecore_register_stages"]


@tc.hookimpl
def tracecore_register_stages() -> list[type[tc.Stage]]:
    """Return the training stages, and the one that takes a finished training over."""
    return [TorchDetector, TorchMultitask, UltralyticsRun]


@tc.hookimpl
def tracecore_register_checks() -> list[tc.Check]:
    """Return the check that a training taken over has losses that are numbers."""
    return [LossesFinite()]


@tc.hookimpl
def tracecore_register_facets() -> list[tc.FacetSpec]:
    """Return the facet of a training."""
    return [TRAINING_FACET]
