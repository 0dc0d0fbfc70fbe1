"""Hooks of the curation plugin: three stages, the checks `no_leak` and `request_met`, and the gate `no_leak`."""

from __future__ import annotations

import tracecore as tc
from tracecore_curation.frame_filter import FILTER_FACET, FrameFilter
from tracecore_curation.leak_free_split import LeakFreeSplit
from tracecore_curation.no_leak_check import NoLeak
from tracecore_curation.no_leak_gate import NoLeakOverBuild
from tracecore_curation.requested_frames import REQUESTED_FACET, RequestedFrames, RequestMet

__all__ = ["tracecore_register_checks", "tracecore_register_facets", "tracecore_register_gates", "tracecore_register_stages"]


@tc.hookimpl
def tracecore_register_stages() -> list[type[tc.Stage]]:
    """Return the stages `leak-free-split`, `frame-filter` and `requested-frames`."""
    return [LeakFreeSplit, FrameFilter, RequestedFrames]


@tc.hookimpl
def tracecore_register_checks() -> list[tc.Check]:
    """Return the checks `no_leak` and `request_met`."""
    return [NoLeak(), RequestMet()]


@tc.hookimpl
def tracecore_register_gates() -> list[tc.Gate]:
    """Return the gate `no_leak`, which is evaluated for a program's requirement `{check: no_leak}` in addition to the checks of that name."""
    return [NoLeakOverBuild()]


@tc.hookimpl
def tracecore_register_facets() -> list[tc.FacetSpec]:
    """Return the specs of the facets `tracecore_filter` and `tracecore_requested`, which describe filtered and requested frames."""
    return [FILTER_FACET, REQUESTED_FACET]
