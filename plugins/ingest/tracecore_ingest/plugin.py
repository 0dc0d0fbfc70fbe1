"""Hooks of the ingest plugin."""

from __future__ import annotations

import tracecore as tc
from tracecore_ingest.checks import FramesPresent, MessagesLeftOut
from tracecore_ingest.image_folders import Images
from tracecore_ingest.kitti_stage import Kitti
from tracecore_ingest.mcap_stage import Mcap
from tracecore_ingest.report import CALIBRATIONS_FACET, SIGNALS_FACET, SWEEPS_FACET

__all__ = ["tracecore_register_checks", "tracecore_register_facets", "tracecore_register_stages"]


@tc.hookimpl
def tracecore_register_stages() -> list[type[tc.Stage]]:
    """Return the stages `mcap`, `kitti` and `images`."""
    return [Mcap, Kitti, Images]


@tc.hookimpl
def tracecore_register_checks() -> list[tc.Check]:
    """Return the checks `frames_present` and `messages_left_out`."""
    return [FramesPresent(), MessagesLeftOut()]


@tc.hookimpl
def tracecore_register_facets() -> list[tc.FacetSpec]:
    """Return the facets of signals, sweeps and calibrations."""
    return [CALIBRATIONS_FACET, SIGNALS_FACET, SWEEPS_FACET]
