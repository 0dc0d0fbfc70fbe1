"""Draw a few small drives with their labels: real MCAP, real JPEG, made up from a seed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tracecore.errors import UsageError
from tracecore.files import write_durably

__all__ = ["LABELS", "DrawnDrives", "draw_drives"]

LABELS = "labels.coco.json"


@dataclass(frozen=True, slots=True)
class DrawnDrives:
    """What was drawn.

    Attributes:
        drives: the MCAP files, in the order of the plan.
        labels: the COCO file.
        frames: camera frames in all.
        boxes: labels in all.
    """

    drives: tuple[Path, ...]
    labels: Path
    frames: int
    boxes: int


def draw_drives(
    out: Path,
    *,
    seed: int = 7,
    drives: int = 5,
    frames: int = 80,
    size: tuple[int, int] = (480, 270),
    progress: Callable[[int, int], None] | None = None,
) -> DrawnDrives:
    """Write a few small drives: the same bytes for the same seed, wherever they lie.

    The first drives are by day, at night, at dusk, by day and at night, each in another city, on another day; every drive has a measured clock and
    GNSS, so that a split by drive can be shown to leak neither place nor time.

    Args:
        out: folder for `<drive>.mcap` and `labels.coco.json`; made where missing.
        seed: the only source of chance.
        drives: how many drives.
        frames: camera frames of each, two a second.
        size: (width, height) of the pictures in px.
        progress: told (frames done, frames in all).

    Raises:
        UsageError: counts or sizes that no drive can have.
    """
    from importlib.metadata import version

    from tracecore_simulation.coco import CATEGORIES, label_file
    from tracecore_simulation.drive import Settings
    from tracecore_simulation.fleet import record_drives
    from tracecore_simulation.plan import plan_drives

    if drives < 1 or frames < 1:
        raise UsageError(f"Expected at least one drive of at least one frame, found {drives} drives of {frames} frames.")
    if min(size) < 32:
        raise UsageError(f"Expected pictures of at least 32x32 px, found {size[0]}x{size[1]}.")
    out.mkdir(parents=True, exist_ok=True)

    def tell(done: int, total: int, _name: str) -> None:
        if progress is not None:
            progress(done, total)

    recorded = record_drives(out, plan_drives(drives), Settings(seed, frames, size, lidar=False), progress=tell)
    labels = label_file(recorded, seed=seed, size=size, tool_version=version("tracecore-simulation"))
    write_durably(out / LABELS, json.dumps(labels, indent=1, allow_nan=False).encode() + b"\n")
    boxes = sum(box.category in CATEGORIES for drive in recorded for truth in drive.frames for box in truth.boxes)
    return DrawnDrives(tuple(out / drive.file for drive in recorded), out / LABELS, drives * frames, boxes)
