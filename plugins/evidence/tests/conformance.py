"""What the importer is tried on: a lock file of one stage."""

from __future__ import annotations

from pathlib import Path

from tracecore.testing import Sample

__all__ = ["tracecore_samples"]


def tracecore_samples(name: str, folder: Path) -> Sample | None:
    """Return what an object is tried on; None takes the built-in sample."""
    if name != "dvc":
        return None
    lock = folder / "dvc.lock"
    lock.write_text(
        "schema: '2.0'\nstages:\n  train:\n    cmd: python train.py\n    outs:\n    - path: model.pkl\n      md5: 46865e\n", encoding="utf-8"
    )
    return Sample(inputs={"source": lock})
