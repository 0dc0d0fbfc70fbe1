"""The command group `tracecore label`, and `tracecore label export`: a label batch in the format of another tool."""

from __future__ import annotations

from pathlib import Path

import click

from tracecore import NamedWorkspace
from tracecore.cli import emit_json, json_option, workspace_option
from tracecore.errors import UsageError
from tracecore_labeling.commands.campaigns import campaign, close, list_campaigns, show, status
from tracecore_labeling.commands.tasks import claim, refuse, review, submit

__all__ = ["export", "label"]

_FORMATS = ("openlabel", "coco", "yolo", "kitti")
_EXPORT = """
\b
Examples:
  tracecore label export label_batch/demo.labels --format openlabel -o labels/
  tracecore label export label_batch/demo.labels --format coco -o labels.coco.json
  tracecore label export label_batch/demo.labels@5e1f03 --format yolo -o yolo/
"""


@click.command("export", epilog=_EXPORT)
@click.argument("ref")
@click.option(
    "--format",
    "format_",
    required=True,
    type=click.Choice(_FORMATS),
    help="OpenLABEL keeps everything; COCO boxes and outlines, YOLO boxes, KITTI boxes and cuboids.",
)
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="A file for coco, a folder for yolo and kitti; either for openlabel."
)
@workspace_option
@json_option
def export(ref: str, format_: str, output: Path, workspace: NamedWorkspace, as_json: bool) -> None:
    """Write the label batch REF, each label in its last revision; what the format has no place for is counted."""
    from tracecore import count
    from tracecore.artifacts import open_artifact
    from tracecore_labeling.exports import FORMATS
    from tracecore_labeling.exports.batch import labeled_frames

    opened = open_artifact(ref, workspace)
    if isinstance(opened.value, Path):
        raise UsageError(f"{opened.artifact.ref} is not a table of labels: name a label_batch.")
    frames = labeled_frames(opened.value.to_table())
    try:
        if output.is_dir() and any(output.iterdir()):
            raise UsageError(f"The folder '{output}' is not empty, and label files of another export would stay among these: name a new folder.")
        output.absolute().parent.mkdir(parents=True, exist_ok=True)
        written = FORMATS[format_](frames, output)
    except OSError as error:
        raise UsageError(f"The labels can't be written to '{output}': {(error.strerror or str(error)).lower()}.") from error
    if as_json:
        emit_json(
            {
                "ref": opened.artifact.ref,
                "format": format_,
                "path": str(output),
                "files": written.files,
                "labels": written.labels,
                "left_out": written.left_out,
                "lost": written.lost,
            }
        )
        return
    values = {f"values of {what}": number for what, number in written.lost.items()}
    left = ", ".join(f"{number} {what}" for what, number in sorted((written.left_out | values).items()))
    held = f"{count(written.labels, 'label')} of {count(len(frames), 'frame')} in {count(written.files, 'file')}"
    click.echo(f"{output}: {held}" + (f"; no place for {left}" if left else ""))


_EXAMPLES = """
\b
Examples:
  tracecore label campaign create night --frames dataset/demo.drives.frames --guideline v3 --review 0.2
  tracecore label claim --as labeler-5e1f03aa --image task.jpg
  tracecore label submit 5d1c0a9be2f44a01 --file boxes.json --as labeler-5e1f03aa
  tracecore label close night -o night.campaign.json
  tracecore label export label_batch/demo.labels --format openlabel -o labels/
"""


@click.group("label", epilog=_EXAMPLES)
def label() -> None:
    """Label frames by hand: campaigns, claims, submissions, reviews; write label batches in others' formats."""


for _command in (campaign, list_campaigns, show, status, claim, refuse, submit, review, close, export):
    label.add_command(_command)
