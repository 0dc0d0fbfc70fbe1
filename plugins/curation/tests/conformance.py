"""What the check of chosen frames is tried on: frames, and what the record says of how they were chosen."""

from __future__ import annotations

from pathlib import Path

from tracecore.testing import Sample, samples

__all__ = ["tracecore_samples"]


def tracecore_samples(name: str, folder: Path) -> Sample | None:
    """Return what an object is tried on; None takes the built-in sample."""
    if name != "request_met":
        return None
    request = {"summary": "2 of 2 frames", "wants": [{"cluster": "c1", "asked": 2, "found": 2, "chosen": 2}]}
    return Sample(inputs={"chosen": samples.frames()}, facets={"chosen": {"tracecore_requested": request}})
