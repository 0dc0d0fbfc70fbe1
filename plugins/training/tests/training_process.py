"""A process that trains on drawn frames in a workspace of its own, by the real executor: something to kill.

Its argument is a folder for the workspace. Tests that don't kill it call `train` in their own process.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[2] / "tests"))

from tracecore import Workspace  # noqa: E402  # as above
from tracecore.testing.worlds import StageWorld, load_host  # noqa: E402  # found on the path just extended

HEADS = {"obstacles": {}, "path": {"ahead_m": [10, 30]}, "light": {}}
PARAMS: dict[str, Any] = {"heads": HEADS, "steps": 24, "size": [64, 96], "width": 0.25, "batch": 4, "checkpoint_every": 5}


def train(folder: Path) -> tuple[Path, Any]:
    """Train; give the model's folder, and the step at which it was taken up again (None where it wasn't)."""
    spec = importlib.util.spec_from_file_location("drawing", HERE / "conftest.py")
    assert spec is not None
    assert spec.loader is not None
    drawing = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(drawing)
    frames, labels = drawing.draw_scenes(12)
    root = folder / "workspace"
    world = StageWorld(Workspace.open(root) if root.exists() else Workspace.create(root, slug="test"), load_host())
    inputs = {
        "frames": world.table("dataset", "frames", drawing.frame_table(frames)),
        "labels": world.table("label_batch", "labels", drawing.label_table(labels)),
    }
    model = world.run("train", "torch-multitask", inputs, asset="model", threads=1, **PARAMS).outputs["model"]
    facet: Any = model.facets["tracecore_training"]
    opened = world.store.open(model)
    assert isinstance(opened, Path)
    return opened, facet.get("resumed_at_step")


if __name__ == "__main__":
    train(Path(sys.argv[1]))
