"""What the stages are tried on: a detector known by heart, on the built-in frames."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

from tracecore.testing import Sample

__all__ = ["tracecore_samples"]

_DETECTOR = Path(__file__).with_name("bright_box.py")


def tracecore_samples(stage: str, folder: Path) -> Sample | None:
    """Return what a stage or check is tried on; mistakes-per-hour takes the built-in detections."""
    if stage.startswith("kpis_"):
        report = {"values": {"map50": 0.5}, "baseline": {"values": {"map50": 0.1}}, "headline": ["map50"]}
        folder.joinpath("report.json").write_text(json.dumps(report), encoding="utf-8")
        return Sample(inputs={"report": folder})
    if stage != "detection-kpis":
        return None
    return Sample(params={"samples": 2}, inputs={"model": runpy.run_path(str(_DETECTOR))["write_detector"](folder / "model")})
