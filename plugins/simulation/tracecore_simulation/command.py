"""The command `tracecore draw-drives`: small drives to try tracecore on."""

from __future__ import annotations

from pathlib import Path

import click

from tracecore.cli import console, emit_json, json_option, progress_bar
from tracecore_simulation.drives import draw_drives

__all__ = ["command"]


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
