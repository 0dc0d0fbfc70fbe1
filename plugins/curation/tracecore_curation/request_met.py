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
    """Every want got as many frames as it asked for that are known to meet its conditions of frames.

    Those of objects nobody knows before a frame is labeled, so they can't be met or missed: the check names them, and the table's unknowns do.
    """

    name = "request_met"
    description = "Every want of a data request got as many frames as it asked for, by what is known of frames before they are labeled."
    # Data that nobody has is what a request is for: it must be seen, and it stops nothing.
    severity = Severity.WARN

    def run(self, context: tc.CheckContext) -> tc.CheckResult:
        """Compare what was asked with what was found."""
        context.read()
        facet: Any = context.target.facets.get(_FACET)
        if not facet:
            raise tc.UsageError(f"The check 'request_met' stands for frames chosen by a request; {context.target.ref} says nothing of one.")
        wants = facet["wants"]
        short = [want for want in wants if _chosen(want) < want["asked"]]
        outcomes = tuple(
            ExpectationOutcome(
                f"found_{want['cluster']}", success=_chosen(want) >= want["asked"], expected=str(want["asked"]), actual=str(_chosen(want))
            )
            for want in wants
        )
        untold = sorted({name for want in wants for name in want.get("untold", ())})
        unknown = f" Whether they show objects of the wanted {' and '.join(untold)} is unknown." if untold else ""
        if not short:
            return tc.CheckResult(success=True, message=f"All {len(wants)} wants got the frames they asked for.{unknown}", outcomes=outcomes)
        named = ", ".join(f"{want['cluster']} ({_chosen(want)} of {want['asked']})" for want in short[:_NAMED])
        more = f" and {len(short) - _NAMED} more" if len(short) > _NAMED else ""
        message = f"{len(short)} of {len(wants)} wants got too few frames: {named}{more}.{unknown}"
        return tc.CheckResult(success=False, message=message, outcomes=outcomes)


def _chosen(want: Any) -> int:
    """Return how many frames were chosen, all by the conditions of frames; older records have `found` alone."""
    chosen: int = want.get("chosen", want["found"])
    return chosen
