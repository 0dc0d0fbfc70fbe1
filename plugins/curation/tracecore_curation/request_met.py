"""The check `request_met`: whether as many frames were found as a data request asks for."""

from __future__ import annotations

from typing import Any

import tracecore as tc
from tracecore_schemas.kinds import Severity
from tracecore_schemas.run import ExpectationOutcome

__all__ = ["RequestMet"]

_FACET = "tracecore_requested"
_NAMED = 3


class RequestMet(tc.Check):
    """Every want of a data request got as many frames as it asked for that are known to meet its conditions."""

    name = "request_met"
    description = "Every want of a data request got as many frames as it asked for that are known to meet its conditions."
    # Data that nobody has is what a request is for: it must be seen, and it stops nothing.
    severity = Severity.WARN

    def run(self, context: tc.CheckContext) -> tc.CheckResult:
        """Compare what was asked with what was found."""
        context.read()
        facet: Any = context.target.facets.get(_FACET)
        if not facet:
            raise tc.UsageProblem(f"The check 'request_met' stands for frames chosen by a request; {context.target.ref} says nothing of one.")
        wants = facet["wants"]
        short = [want for want in wants if want["found"] < want["asked"]]
        outcomes = tuple(
            ExpectationOutcome(
                f"found_{want['cluster']}", success=want["found"] >= want["asked"], expected=str(want["asked"]), actual=str(want["found"])
            )
            for want in wants
        )
        if not short:
            return tc.CheckResult(success=True, message=f"All {len(wants)} wants got the frames they asked for.", outcomes=outcomes)
        named = ", ".join(f"{want['cluster']} ({want['found']} of {want['asked']}{_unsure(want)})" for want in short[:_NAMED])
        more = f" and {len(short) - _NAMED} more" if len(short) > _NAMED else ""
        return tc.CheckResult(success=False, message=f"{len(short)} of {len(wants)} wants got too few frames: {named}{more}.", outcomes=outcomes)


def _unsure(want: Any) -> str:
    """Return how many frames were chosen that are not known to meet the want, in words."""
    more = want.get("chosen", want["found"]) - want["found"]
    return f"; {tc.count(more, 'frame')} chosen of unknown {' and '.join(want['untold'])}" if more else ""
