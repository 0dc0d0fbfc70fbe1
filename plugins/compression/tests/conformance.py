"""What the stage is tried on: a small graph that answers as a detector does."""

from __future__ import annotations

import runpy
from pathlib import Path

from tracecore.testing import Sample

__all__ = ["tracecore_samples"]


def tracecore_samples(stage: str, folder: Path) -> Sample | None:
    """Return what a stage is tried on."""
    beside = runpy.run_path(str(Path(__file__).with_name("conftest.py")))
    return Sample(params={"samples": 1}, inputs={"model": beside["write_model"](folder / "model", beside["detector"]())})
