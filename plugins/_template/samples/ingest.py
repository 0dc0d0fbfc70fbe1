"""What the stages are tried on where the built-in samples are not enough: a log file of three lines."""

from __future__ import annotations

from pathlib import Path

from tracecore.testing import Sample

__all__ = ["tracecore_samples"]


def tracecore_samples(stage: str, folder: Path) -> Sample | None:
    """Return what a stage is tried on; None takes the built-in sample of each input."""
    if stage != "template":
        return None
    file = folder / "drive.txt"
    file.write_text("1\n2.5\n4\n", encoding="utf-8")
    return Sample(params={"paths": [str(file)]})
