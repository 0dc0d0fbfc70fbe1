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
    """Return the plugin's ingest stages: `mcap` (drive logs), `kitti` (KITTI folders) and `images` (folders of image files)."""
    return [Mcap, Kitti, Images]


@tc.hookimpl
def tracecore_register_checks() -> list[tc.Check]:
    """Return the plugin's checks: `frames_present` (each drive with images has frames) and `messages_left_out` (none was left out of tables)."""
    return [FramesPresent(), MessagesLeftOut()]


@tc.hookimpl
def tracecore_register_facets() -> list[tc.FacetSpec]:
    """Return the plugin's facets, which describe tables of calibrations, signals and LiDAR sweeps."""
    return [CALIBRATIONS_FACET, SIGNALS_FACET, SWEEPS_FACET]
