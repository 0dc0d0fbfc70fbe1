"""`tracecore look`: pictures of what the record holds."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tracecore.cli import emit_json, json_option, say, workspace_option
from tracecore.workspace import NamedWorkspace

if TYPE_CHECKING:
    from tracecore_lineage.looking.scene import Scene

__all__ = ["command"]

_EXAMPLES = """
\b
Examples:
  tracecore look dataset/demo.training_set.validation
  tracecore look label_batch/demo.labels --drive tokyo --frames 6 -o labels.png
  tracecore look event_set/demo.kpis.events
  tracecore look frame/tokyo/%2Fcamera%2Ffront%2Fimage/1700000000000000000
  tracecore look dataset/demo.drives.frames --rerun drives.rrd
"""


@click.command(name="look", epilog=_EXAMPLES)
@click.argument("ref")
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="The picture (else in the workspace, looks/).")
@click.option("--frames", "count", type=click.IntRange(1, 400), default=12, show_default=True, metavar="N", help="Most frames, taken evenly.")
@click.option("--drive", metavar="DRIVE", help="Only frames of this drive.")
@click.option("--labels", metavar="REF", help="Draw this label batch (else the one that the record leads to).")
@click.option("--rerun", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write an .rrd file for the Rerun viewer too.")
@workspace_option
@json_option
def command(
    ref: str, output: Path | None, count: int, drive: str | None, labels: str | None, rerun: Path | None, workspace: NamedWorkspace, as_json: bool
) -> None:
    """Draw REF as a PNG: frames with boxes, paths and mistakes; one frame with cuboids and LiDAR points too; a report's own pictures.

    What was seen is drawn solid, and what is true dashed beside it. Labels and detections are those of the very versions that the record leads to.
    """
    from tracecore.images import save_png
    from tracecore_lineage import Record
    from tracecore_lineage.looking.scene import find_scene
    from tracecore_lineage.looking.sheet import picture_of

    with Record.open(workspace) as record:
        scene = find_scene(record, ref, count=count, drive=drive, labels=labels)
        picture = picture_of(scene)
        target = output or record.workspace.root / "looks" / f"{_file_name(scene.ref)}.png"
    _require_folder(target, made=output is None)
    if rerun is not None:
        _write_rerun(scene, rerun)
    save_png(picture, target)
    if as_json:
        answer = {"picture": str(target), "frames": len(scene.views), "labels": scene.labels, "detections": scene.detections}
        emit_json(answer | ({} if rerun is None else {"rerun": str(rerun)}))
        return
    click.echo(target)
    for line in _said(scene):
        say(line)


def _said(scene: Scene) -> list[str]:
    if scene.pictures:
        return [f"{len(scene.pictures)} pictures of {scene.ref}"]
    drawn = [f"labels: {scene.labels or 'none'}"]
    if scene.detections is not None:
        drawn.append(f"seen: {scene.detections}")
    return [f"{len(scene.views)} frames of {scene.ref}", *drawn]


def _write_rerun(scene: Scene, path: Path) -> None:
    from tracecore.errors import UsageError
    from tracecore_lineage.looking.rerun_file import write_rerun

    if not scene.views:
        raise UsageError(f"{scene.ref} has no frames to write for Rerun: it holds pictures alone.")
    _require_folder(path, made=False)
    write_rerun(scene.views, path, scene.ref)


def _require_folder(path: Path, *, made: bool) -> None:
    from tracecore.errors import UsageError

    if made:
        path.parent.mkdir(parents=True, exist_ok=True)
    elif not path.parent.is_dir():
        raise UsageError(f"The file {path} can't be written: there is no folder {path.parent}.")


def _file_name(ref: str) -> str:
    """Give a file name that people can tell: `dataset-demo.drives.frames-1a2b3c4d5e6f`."""
    name, _, digest = ref.partition("@")
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-")
    return f"{safe}-{digest[:12]}" if digest else safe
