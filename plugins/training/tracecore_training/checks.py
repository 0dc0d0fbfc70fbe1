"""The check `losses_finite` of imported trainings."""

from __future__ import annotations

import math
from pathlib import Path

import tracecore as tc
from tracecore_schemas.run import ExpectationOutcome
from tracecore_training.ultralytics_run import RESULTS, Results, read_results

__all__ = ["LossesFinite"]


class LossesFinite(tc.Check):
    """Check that no loss of an imported training is NaN or infinite in any epoch."""

    name = "losses_finite"
    description = "Every loss of a training taken over is a finite number in every epoch."

    def run(self, context: tc.CheckContext) -> tc.CheckResult:
        """Check `evidence/results.csv` of the model itself, not the model's facet."""
        path = Path(context.read()) / "evidence" / RESULTS
        if not path.is_file():
            return tc.CheckResult(False, f"The model holds no evidence/{RESULTS}, so nothing is known of its losses.")
        results = read_results(path)
        bad = results.not_finite()
        good = not bad
        outcome = ExpectationOutcome("losses_are_finite", good, expected="a finite number for every loss in every epoch", actual=_found(results, bad))
        message = f"All {len(results.losses)} losses are finite in all {len(results.epochs)} epochs." if good else _sentence(results, bad)
        return tc.CheckResult(
            good, message, (outcome,), {"epochs": len(results.epochs), "not_finite": {name: len(each) for name, each in bad.items()}}
        )


def _found(results: Results, bad: dict[str, list[int]]) -> str:
    if not bad:
        return f"{len(results.losses)} finite losses in {len(results.epochs)} epochs"
    return ", ".join(f"{name}: {len(epochs)} of {len(results.epochs)} epochs" for name, epochs in bad.items())


def _sentence(results: Results, bad: dict[str, list[int]]) -> str:
    count = len(results.epochs)
    metrics = [value for values in results.metrics.values() for value in values]
    powerless = f", and every metric is 0 in all {count}" if metrics and not any(metrics) else ""
    values = {str(value) for name in bad for value in results.losses[name] if not math.isfinite(value)}
    word = values.pop() if len(values) == 1 else "no finite number"
    if bad.keys() == results.losses.keys() and all(len(epochs) == count for epochs in bad.values()):
        return f"Every loss is {word} in all {count} epochs{powerless}: this training has learned nothing."
    name, epochs = min(bad.items(), key=lambda entry: entry[1][0])
    return (
        f"{len(bad)} of {len(results.losses)} losses are {word} in some epochs: {name} first in epoch {epochs[0]}, "
        f"in {len(epochs)} of {count}{powerless}. What came after can't be trusted."
    )
