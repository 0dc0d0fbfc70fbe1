"""What the stage is tried on: one short drive of small pictures; a whole world takes minutes."""

from __future__ import annotations

from pathlib import Path

from tracecore.testing import Sample

__all__ = ["tracecore_samples"]


def tracecore_samples(stage: str, folder: Path) -> Sample | None:
    """Return what a stage is tried on."""
    del stage, folder
    return Sample(params={"drives": 1, "frames": 2, "width": 160, "height": 96})
