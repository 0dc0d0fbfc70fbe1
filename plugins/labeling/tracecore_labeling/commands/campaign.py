"""`tracecore label campaign create`: make a campaign over recorded frames."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tracecore.cli import emit_json, json_option, workspace_option
from tracecore.errors import UsageError
from tracecore.workspace import NamedWorkspace
from tracecore_labeling.campaign.label import GEOMETRIES

if TYPE_CHECKING:
    from tracecore_labeling.linking import RecordedFrame

__all__ = ["campaign"]

_EXAMPLES = """
\b
Examples:
  tracecore label campaign create night --frames dataset/demo.drives.frames --guideline v3
  tracecore label campaign create walkers --frames dataset/demo.next_frames --guideline v4 \\
      --guideline-file guideline.md --category pedestrian --geometry box2d --review 0.5 --lease 30
  tracecore label campaign create all --frames dataset/demo.drives.frames --gold dataset/demo.training_set.test --guideline v4
"""


@click.group("campaign")
def campaign() -> None:
    """Make campaigns."""


@campaign.command("create", epilog=_EXAMPLES)
@click.argument("name")
@click.option("--frames", required=True, metavar="REF", help="The recorded frames to be labeled: dataset/<name>[@digest].")
@click.option(
    "--gold", metavar="REF", multiple=True, help="Frames of these that are all reviewed, as evaluation sets have to be: a dataset (again for more)."
)
@click.option("--guideline", required=True, metavar="VERSION", help="Version of the labeling guideline.")
@click.option("--guideline-file", type=click.Path(path_type=Path, dir_okay=False, exists=True), help="Its text; the campaign keeps the digest.")
@click.option("--instructions", default="", help="What labelers are told besides.")
@click.option("--category", "categories", multiple=True, help="A class that is asked for (again for more); any where left out.")
@click.option(
    "--geometry", "geometries", multiple=True, type=click.Choice(GEOMETRIES), help="What is asked for (again for more); box2d where left out."
)
@click.option("--review", type=click.FloatRange(0, 1), default=0.1, show_default=True, help="Share of the frames that a second person looks at.")
@click.option(
    "--lease", type=click.IntRange(1, 7 * 24 * 60), default=60, show_default=True, metavar="MIN", help="How long a claimed frame is its claimer's."
)
@click.option("--tool", default="", help="What the labels are drawn with, and its version.")
@workspace_option
@json_option
def create(
    name: str, frames: str, gold: tuple[str, ...], guideline: str, guideline_file: Path | None, instructions: str, categories: tuple[str, ...],
    geometries: tuple[str, ...], review: float, lease: int, tool: str, workspace: NamedWorkspace, as_json: bool,
) -> None:  # fmt: skip
    """Make the campaign NAME: one task a frame, in a file of the workspace that survives kills and power cuts."""
    from tracecore.files import fsync_folder
    from tracecore_labeling.campaign.clock import WallClock
    from tracecore_labeling.campaign.queue import Queue
    from tracecore_labeling.campaign.settings import Settings
    from tracecore_labeling.commands.place import new_campaign_path
    from tracecore_schemas.canonical import digest_file

    ref, listed = _frames(frames, workspace)
    if not listed:
        raise UsageError(f"{ref} has no frames to label.")
    known = {frame.frame_id for frame in listed}
    reviewed: set[str] = set()
    for each in gold:
        gold_ref, gold_frames = _frames(each, workspace)
        found = known & {frame.frame_id for frame in gold_frames}
        if not found:
            raise UsageError(f"None of the {len(gold_frames)} frames of {gold_ref} is among those to be labeled, {ref}.")
        reviewed |= found
    settings = Settings(
        id=secrets.token_hex(8),
        name=name,
        guideline=guideline,
        guideline_digest=digest_file(guideline_file) if guideline_file is not None else None,
        instructions=instructions,
        categories=categories,
        geometries=geometries or ("box2d",),
        review=review,
        lease_seconds=lease * 60,
        seed=secrets.randbits(31),
        tool=tool,
        frames=ref,
    )
    path = new_campaign_path(workspace, name)
    queue = Queue(path, WallClock())
    try:
        queue.create(settings, listed, reviewed)
    finally:
        queue.close_file()
    # The file is on disk; its name, and its folder's, have to be too.
    fsync_folder(path.parent)
    fsync_folder(path.parent.parent)
    if as_json:
        told = {"campaign": name, "id": settings.id, "frames": settings.frames, "tasks": len(listed), "gold": len(reviewed), "guideline": guideline}
        emit_json(told)
    else:
        tasks = f"{len(listed)} tasks of {ref}" + (f", {len(reviewed)} of them gold" if reviewed else "")
        click.echo(f"Campaign '{name}': {tasks}, guideline {guideline}. Next: tracecore label claim --as PSEUDONYM")


def _frames(ref: str, workspace: NamedWorkspace) -> tuple[str, list[RecordedFrame]]:
    """Open a dataset of frames; return its full ref and its frames.

    Raises:
        UsageError: it holds no frames.
    """
    from tracecore.artifacts import open_artifact
    from tracecore_labeling.linking import FRAME_COLUMNS, recorded_frames

    opened = open_artifact(ref, workspace)
    names = set(getattr(getattr(opened.value, "schema", None), "names", ()))
    if not set(FRAME_COLUMNS) <= names:
        raise UsageError(f"{opened.artifact.ref} holds no frames: name a dataset of frames, as ingest and curation make them.")
    return opened.artifact.ref, recorded_frames(opened.value.to_table(columns=FRAME_COLUMNS))
