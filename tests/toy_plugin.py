"""Installs the toy plugin of tests/assets/toy as a real distribution in a folder of its own, and writes drives and a program for it."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

__all__ = ["PROGRAM", "install", "write_drives"]

_SOURCE = Path(__file__).parent / "assets" / "toy" / "tracecore_toy.py"

PROGRAM = """\
type: tracecore_assets.VehicleProgram
attributes:
  name: toy
  seed: 7
  assets:
    drives: {stage: ingest, plugin: toy-ingest, params: {paths: [drives]}}
    training_set:
      stage: curate
      plugin: toy-split
      inputs: {frames: drives.frames}
    model:
      stage: train
      plugin: toy-train
      inputs: {frames: training_set.train}
    kpis: {stage: evaluate, plugin: toy-kpis, inputs: {model: model, frames: training_set.validation}}
  release:
    approver: required
    gates:
      - {check: toy_no_leak}
      - {kpi: recall.car, min: 0.4}
"""


def install(folder: Path) -> Path:
    """Make a folder that, put on the path, holds the installed distribution `tracecore-toy`."""
    folder.mkdir(parents=True, exist_ok=True)
    code = _SOURCE.read_bytes()
    (folder / "tracecore_toy.py").write_bytes(code)
    info = folder / "tracecore_toy-0.1.0.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tracecore-toy\nVersion: 0.1.0\nRequires-Dist: tracecore\n")
    (info / "entry_points.txt").write_text("[tracecore]\ntoy = tracecore_toy\n")
    digest = base64.urlsafe_b64encode(hashlib.sha256(code).digest()).rstrip(b"=").decode()
    name = info.name
    (info / "RECORD").write_text(f"tracecore_toy.py,sha256={digest},{len(code)}\n{name}/METADATA,,\n{name}/entry_points.txt,,\n{name}/RECORD,,\n")
    return folder


def write_drives(folder: Path, **drives: str) -> Path:
    """Write drive files, one a keyword; two small ones where none is given."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (drives or {"a": "1 2 3", "b": "4 5"}).items():
        (folder / f"{name}.txt").write_text(text)
    return folder
