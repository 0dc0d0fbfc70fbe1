"""The check `parity`: a converted or exported model answers as its source does, within the tolerances that its stage was told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from tracecore.check import Check, CheckContext, CheckResult
from tracecore.errors import UsageError
from tracecore_schemas.run import ExpectationOutcome

__all__ = ["ParityCheck", "judge"]

_WORDS = {"boxes_px": "a box's side in px", "scores": "a score", "path_m": "the path in m", "light": "a light state's probability"}


class ParityCheck(Check):
    """Compare each difference of the facet `tracecore_parity` with its tolerance; what is not measured can't pass."""

    name = "parity"
    description = "The model answers as the one it was made from, on recorded frames."

    def run(self, context: CheckContext) -> CheckResult:
        """Read the facet of the target."""
        if context.params:
            raise UsageError("The check 'parity' takes no settings but 'blocking': tolerances are parameters of the stage, such as tolerance_px.")
        facet = cast("Mapping[str, Any] | None", context.target.facets.get("tracecore_parity"))
        if facet is None:
            return CheckResult(success=False, message="The model says nothing of its parity: no facet tracecore_parity.")
        return judge(facet)


def judge(facet: Mapping[str, Any]) -> CheckResult:
    """Compare each difference of a facet `tracecore_parity` with its tolerance."""
    outcomes = [
        ExpectationOutcome(name, facet[name] <= allowed, expected=f"at most {allowed:g}", actual=f"{facet[name]:.3g}")
        for name, allowed in facet["tolerances"].items()
    ]
    if unmatched := facet.get("unmatched", 0):
        outcomes.append(ExpectationOutcome("unmatched", success=False, expected="every box on both sides", actual=f"{unmatched} without a partner"))
    if facet.get("compared") == 0:
        outcomes.append(ExpectationOutcome("boxes", success=False, expected="some box to compare", actual="none with a score unlike the others"))
    success = all(outcome.success for outcome in outcomes)
    found = "; ".join(f"{_WORDS.get(each.assertion, each.assertion)} {each.actual}, {each.expected}" for each in outcomes)
    words = "answers as" if success else "does not answer as"
    on = f"{facet['samples']} {facet['images']}"
    return CheckResult(success, f"The model {words} {facet['against']} on {on}. Greatest difference of {found}.", tuple(outcomes), dict(facet))
