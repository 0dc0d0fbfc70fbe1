"""The command `tracecore draw-drives` and its function: a few small labeled drives as MCAP and COCO files, generated from a seed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click

from tracecore.cli import console, emit_json, json_option, progress_bar
from tracecore.errors import UsageError
from tracecore.files import write_durably

__all__ = ["LABELS", "DrawnDrives", "command", "draw_drives"]

LABELS = "labels.coco.json"


@dataclass(frozen=True, slots=True)
class DrawnDrives:
    """Paths of the MCAP files, in the order of the plan, and of the COCO file; total numbers of camera frames and boxes."""

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
    """Write small drives `<drive>.mcap` and `labels.coco.json` into a folder; return their paths and counts. The same seed yields the same bytes.

    They are by day, at night, at dusk, by day, at night, and so on, on different days, in seven cities by turns, with a measured clock and GNSS, so
    that a split by drive can be shown to leak neither place nor time.

    Args:
        drives: number of drives.
        frames: camera frames per drive, at two per second.
        size: (width, height) of the pictures, px.
        progress: called with (frames done, frames in all).

    Raises:
        UsageError: a count or size is too small.
    """
    from importlib.metadata import version

    from tracecore_simulation.drive import Settings, plan_drives, record_drives
    from tracecore_simulation.labels import CATEGORIES, label_file

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


_EXAMPLE = """
\b
Example:
  tracecore draw-drives drawn
  tracecore build first --program recorded --drives drawn \\
      --labels drawn/labels.coco.json --set model.steps=600 --approver me
"""


@click.command("draw-drives", epilog=_EXAMPLE)
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@click.option("--seed", default=7, show_default=True, help="The same seed gives the same bytes.")
@click.option("--drives", default=5, show_default=True, type=click.IntRange(1, 500), help="How many drives.")
@click.option("--frames", default=80, show_default=True, type=click.IntRange(1, 100_000), help="Camera frames of each drive, two a second.")
@click.option("--size", default="480x270", show_default=True, metavar="WIDTHxHEIGHT", help="Size of the pictures in pixels.")
@json_option
def command(folder: Path, seed: int, drives: int, frames: int, size: str, as_json: bool) -> None:
    """Draw small drives (MCAP) with labels (COCO) to try tracecore on."""
    width, cross, height = size.partition("x")
    if not (cross and width.isdigit() and height.isdigit()):
        raise click.BadParameter(f"expected WIDTHxHEIGHT in pixels, as 480x270, found {size!r}", param_hint="--size")
    with progress_bar() as bar:
        task = bar.add_task("drawing frames", total=drives * frames)
        drawn = draw_drives(
            folder, seed=seed, drives=drives, frames=frames, size=(int(width), int(height)), progress=lambda done, _: bar.update(task, completed=done)
        )
    if as_json:
        emit_json({"drives": [str(path) for path in drawn.drives], "labels": str(drawn.labels), "frames": drawn.frames, "boxes": drawn.boxes})
        return
    console().print(f"Drew {len(drawn.drives)} drives with {drawn.frames} frames and {drawn.boxes} boxes into {folder}:", markup=False)
    for path in (*drawn.drives, drawn.labels):
        console().print(f"  {path}", markup=False)
