"""What this plugin brings: two curation stages and the check that no split leaks."""

from __future__ import annotations

import tracecore as tc
from tracecore_curation.frame_filter import FrameFilter
from tracecore_curation.leak_free_split import LeakFreeSplit
from tracecore_curation.no_leak import NoLeak

__all__ = ["tracecore_register_checks", "tracecore_register_stages"]


@tc.hookimpl
def tracecore_register_stages() -> list[type[tc.Stage]]:
    """Give the stages `leak-free-split` and `frame-filter`."""
    return [LeakFreeSplit, FrameFilter]


@tc.hookimpl
def tracecore_register_checks() -> list[tc.Check]:
    """Give the check `no_leak`."""
    return [NoLeak()]
