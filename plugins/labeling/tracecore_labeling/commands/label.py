"""The command group `tracecore label`: `claim`, `refuse`, `submit`, `review` tasks of campaigns; `export` label batches to other tools' formats."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from tracecore import NamedWorkspace
from tracecore.cli import emit_json, json_option, workspace_option
from tracecore.errors import NegativeVerdict, UsageError
from tracecore_labeling.campaign.clock import format_time
from tracecore_labeling.campaign.label import label_json, read_labels
from tracecore_labeling.campaign.queue import Claim, Queue
from tracecore_labeling.campaign.state import frame_json
from tracecore_labeling.commands.campaigns import campaign, close, list_campaigns, show, status
from tracecore_labeling.commands.options import campaign_option, file_option, labeler_option, open_campaign, read_json
from tracecore_labeling.provenance import checked_pseudonym
from tracecore_schemas.canonical import digest_json, hex_of

__all__ = ["claim", "export", "label", "refuse", "review", "submit"]

_CLAIM = """
\b
Examples:
  tracecore label claim --as labeler-5e1f03aa --image task.jpg
  tracecore label claim --review --as labeler-77ab01cd --json
"""
_REFUSE = """
\b
Example:
  tracecore label refuse 5d1c0a9be2f44a01 --reason "lens covered" --as labeler-5e1f03aa
"""
_SUBMIT = """
\b
Examples:
  tracecore label submit 5d1c0a9be2f44a01 --file boxes.json --as labeler-5e1f03aa
  echo '[{"geometry": "box2d", "category": "car", "box": [10, 20, 30, 40]}]' | tracecore label submit 5d1c0a9be2f44a01 --file - --as labeler-5e1f03aa
"""


@click.command("claim", epilog=_CLAIM)
@click.option("--review", "reviewing", is_flag=True, help="Claim labels to review instead of a frame to label.")
@click.option("--task", default=None, help="This task and no other.")
@click.option("--image", type=click.Path(path_type=Path, dir_okay=False), default=None, metavar="PATH", help="Write the frame's image there.")
@campaign_option
@labeler_option
@workspace_option
@json_option
def claim(
    reviewing: bool, task: str | None, image: Path | None, campaign: str | None, who: str | None, workspace: NamedWorkspace, as_json: bool
) -> None:
    """Claim the next free task, or show the one you hold. Exit 1 if no task is free for you."""
    me = checked_pseudonym(who)
    with open_campaign(workspace, campaign, task=task) as queue:
        got = queue.claim(me, role="review" if reviewing else "label", task=task)
        settings = queue.settings
        if got is None:
            counts = ", ".join(f"{count} {stage}" for stage, count in queue.counts().items() if count)
            what = "to review" if reviewing else "to label"
            raise NegativeVerdict(f"Nothing is free for {me} {what} in the campaign '{settings.name}' ({counts}).")
        if image is not None:
            _write_image(queue, got, image, workspace)
        answer = {
            "campaign": settings.name, "task": got.task, "role": got.role, "until": format_time(got.until), "refusals": got.refusals,
            "frame": frame_json(got.frame), "image": None if image is None else str(image), "guideline": settings.guideline,
            "instructions": settings.instructions, "categories": list(settings.categories), "geometries": list(settings.geometries),
            "labels": [{"label": id_, **label_json(label)} for id_, label in got.labels.items()], "labeler": got.labeler,
        }  # fmt: skip
    if as_json:
        emit_json(answer)
        return
    click.echo(f"{got.task}  {got.frame.frame_id}  {got.frame.width}x{got.frame.height} px  yours until {format_time(got.until)}")
    click.echo(f"guideline {settings.guideline}" + (f": {settings.instructions}" if settings.instructions else ""))
    if reviewing:
        emit_json({"labels": answer["labels"]})


@click.command("refuse", epilog=_REFUSE)
@click.argument("task")
@click.option("--reason", required=True, help="Why it can't be labeled.")
@campaign_option
@labeler_option
@workspace_option
@json_option
def refuse(task: str, reason: str, campaign: str | None, who: str | None, workspace: NamedWorkspace, as_json: bool) -> None:
    """Return TASK; you can't claim it again."""
    me = checked_pseudonym(who)
    with open_campaign(workspace, campaign, task=task) as queue:
        queue.refuse(task, me, reason)
    if as_json:
        emit_json({"task": task, "refused": True, "reason": reason})
    else:
        click.echo(f"{task} is free again, for others.")


@click.command("submit", epilog=_SUBMIT)
@click.argument("task")
@file_option(required=True)
@click.option("--submission", default=None, metavar="ID", help="Id of this submission; what it holds names it where left out.")
@campaign_option
@labeler_option
@workspace_option
@json_option
def submit(task: str, file: str, submission: str | None, campaign: str | None, who: str | None, workspace: NamedWorkspace, as_json: bool) -> None:
    """Submit the labels of TASK: a JSON list, empty for a frame without objects. A repeated submission adds nothing."""
    me = checked_pseudonym(who)
    document = read_json(file)
    with open_campaign(workspace, campaign, task=task) as queue:
        frame, settings = queue.frame(task), queue.settings
        labels = [label for _, label in read_labels(document, frame.width, frame.height, settings.categories, settings.geometries)]
        id_ = submission or f"{task}-{hex_of(digest_json([me, [label_json(label) for label in labels]]))[:16]}"
        receipt = queue.submit(task, me, id_, labels)
    if as_json:
        emit_json({"task": task, "submission": id_, "labels": len(labels), "repeated": receipt.repeated, "entry": receipt.seq})
    else:
        click.echo(f"{task}: {len(labels)} labels {'were taken before' if receipt.repeated else 'taken'} (entry {receipt.seq}).")


def _write_image(queue: Queue, got: Claim, image: Path, workspace: NamedWorkspace) -> None:
    """Write the recorded image of a claimed task's frame to a file. Raises UsageError if the dataset lacks the frame, or writing fails."""
    import pyarrow.compute as pc

    from tracecore.artifacts import open_artifact

    opened = open_artifact(str(queue.settings.frames), workspace)
    found = opened.value.to_table(columns=["image"], filter=pc.field("frame_id") == got.frame.frame_id)
    if not found.num_rows:
        raise UsageError(f"The image of {got.frame.frame_id} is not in {opened.artifact.ref}.")
    try:
        image.write_bytes(found.column("image")[0].as_py())
    except OSError as error:
        raise UsageError(f"The image can't be written to '{image}': {(error.strerror or str(error)).lower()}.") from error


_VERDICTS = {"accept": "accepted", "correct": "corrected", "reject": "rejected"}
_REVIEW = """
\b
Examples:
  tracecore label claim --review --as labeler-77ab01cd --json > task.json
  tracecore label review 5d1c0a9be2f44a01 accept --as labeler-77ab01cd
  tracecore label review 5d1c0a9be2f44a01 correct --file labels.json --as labeler-77ab01cd
  tracecore label review 5d1c0a9be2f44a01 reject --note "boxes shifted" --as labeler-77ab01cd
"""


@click.command("review", epilog=_REVIEW)
@click.argument("task")
@click.argument("verdict", type=click.Choice(list(_VERDICTS)))
@file_option(required=False)
@click.option("--note", default="", help="Why.")
@campaign_option
@labeler_option
@workspace_option
@json_option
def review(
    task: str, verdict: str, file: str | None, note: str, campaign: str | None, who: str | None, workspace: NamedWorkspace, as_json: bool
) -> None:
    """Review the labels of TASK: accept them, correct them, or reject them, so that another labeler labels it again.

    A correction's FILE lists all labels as they are to be; 'label' names the one that an entry keeps or corrects, an entry without it is new, a label
    that isn't listed goes. You can't review what you labeled.
    """
    if (verdict == "correct") != (file is not None):
        raise UsageError("A correction needs --file with all labels as they are to be; the other verdicts have none.")
    me = checked_pseudonym(who)
    with open_campaign(workspace, campaign, task=task) as queue:
        frame, settings = queue.frame(task), queue.settings
        after = read_labels(read_json(file), frame.width, frame.height, settings.categories, settings.geometries) if file is not None else []
        held = queue.submission_of(task)
        content = [me, held, verdict, [[named, label_json(label)] for named, label in after], note]
        receipt = queue.review(task, me, f"review-{task}-{hex_of(digest_json(content))[:16]}", _VERDICTS[verdict], after, note)
    if as_json:
        emit_json({"task": task, "verdict": _VERDICTS[verdict], "repeated": receipt.repeated, "entry": receipt.seq})
    else:
        click.echo(f"{task}: {_VERDICTS[verdict]}{' (known before)' if receipt.repeated else ''}.")


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
        emit_json({"ref": opened.artifact.ref, "format": format_, "path": str(output), **asdict(written)})
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
