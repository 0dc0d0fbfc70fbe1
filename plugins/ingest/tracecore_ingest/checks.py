"""Checks that an ingest's outputs hold the contents of its files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import tracecore as tc
from tracecore.errors import UsageError
from tracecore_ingest.report import SIGNALS_FACET, SWEEPS_FACET
from tracecore_schemas.facets import FRAMES_FACET
from tracecore_schemas.kinds import Severity

__all__ = ["FramesPresent", "MessagesLeftOut"]

_FACETS = (FRAMES_FACET.name, SWEEPS_FACET.name, SIGNALS_FACET.name)
_NAMED = 5
_HALF = 0.5


class FramesPresent(tc.Check):
    """Fail if a drive log with an image topic yields no frame, or if there is no frame at all and an asset reads the port."""

    name = "frames_present"
    description = "Every drive log with an image topic yields a frame, and where an asset reads the frames there is one."
    asks_readers = True

    def run(self, context: tc.CheckContext) -> tc.CheckResult:
        """Return a failed result if drives with camera topics have no frames, or if the table is empty and an asset reads it; else a success."""
        facts: Any = context.target.facets.get(FRAMES_FACET.name) or {}
        frames = context.read().count_rows()
        without: Mapping[str, Any] = facts.get("without_frames") or {}
        if without:
            named = "; ".join(f"{drive} ({', '.join(topics)})" for drive, topics in list(without.items())[:_NAMED])
            why = "what became of the images is stated as 'messages not decoded' and 'messages left out'"
            yields = "yields" if len(without) == 1 else "yield"
            return tc.CheckResult(success=False, message=f"{tc.count(len(without), 'drive')} with images {yields} no frame: {named}; {why}.")
        if not frames and context.readers:
            read_by = ", ".join(context.readers)
            return tc.CheckResult(success=False, message=f"No file yields a frame, and frames are read by {read_by}.")
        return tc.CheckResult(success=True, message=f"{tc.count(frames, 'frame')}.")


class MessagesLeftOut(tc.Check):
    """Fail from one message left out; block where the left-out share of a camera's or LiDAR's messages exceeds `share`."""

    name = "messages_left_out"
    description = "No message was left out; where more than a share of one camera's or LiDAR's were (0.5, parameter `share`), that blocks."

    def run(self, context: tc.CheckContext) -> tc.CheckResult:
        """Return a failed result if messages were left out of tables; blocking if they exceed the parameter `share` (0 to 1) of a camera or LiDAR."""
        share = context.params.get("share", _HALF)
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
            raise UsageError(f"The parameter 'share' of check '{self.name}' expects a number from 0 to 1, found {share!r}.")
        name = next((name for name in _FACETS if name in context.target.facets), "")
        facts: Any = context.target.facets.get(name) or {}
        left: Counter[tuple[str, str]] = Counter()
        whole: dict[tuple[str, str], int] = {}
        for each in facts.get("left_out") or ():
            left[each["drive"], each["topic"]] += each["messages"]
            whole[each["drive"], each["topic"]] = each["of"]
        if not left:
            return tc.CheckResult(success=True, message="No message was left out.")
        ranked = sorted(left, key=lambda key: (-left[key] / max(whole[key], 1), key))
        grave = name != SIGNALS_FACET.name and any(left[key] > share * whole[key] for key in ranked)
        named = ", ".join(f"{left[key]} of {whole[key]} of {key[1]} in drive {key[0]}" for key in ranked[:_NAMED])
        return tc.CheckResult(
            success=False,
            message=f"{tc.count(left.total(), 'message')} left out: {named}{', …' if len(ranked) > _NAMED else ''}.",
            severity=Severity.BLOCKING if grave else Severity.WARN,
        )
