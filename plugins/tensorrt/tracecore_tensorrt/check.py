"""The check `parity`: an exported model may answer otherwise than its source only within what the export was told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import tracecore as tc
from tracecore_schemas.run import ExpectationOutcome

__all__ = ["ParityCheck"]


class ParityCheck(tc.Check):
    """Compare the parity that the export measured with its tolerance, or with the program's own (`checks: {parity: {tolerance: 1e-5}}`)."""

    name = "parity"
    description = "The exported model answers as the model it was exported from."

    def run(self, context: tc.CheckContext) -> tc.CheckResult:
        """Read the facet `tracecore_parity` of the target."""
        facet = cast("Mapping[str, Any] | None", context.target.facets.get("tracecore_parity"))
        if facet is None:
            return tc.CheckResult(success=False, message="The model says nothing of its parity: no facet tracecore_parity.")
        found = float(facet["max_abs_difference"])
        allowed = float(cast("float", context.params.get("tolerance", facet["tolerance"])))
        outcome = ExpectationOutcome(
            assertion="max_abs_difference",
            success=found <= allowed,
            expected=f"at most {allowed:g}",
            actual=f"{found:.3g} on {facet['samples']} images",
        )
        words = "answers as" if outcome.success else "does not answer as"
        return tc.CheckResult(
            success=outcome.success,
            message=f"The exported model {words} {facet['against']}: greatest difference {found:.3g}, at most {allowed:g} allowed.",
            outcomes=(outcome,),
            details=dict(facet),
        )
