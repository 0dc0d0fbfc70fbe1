"""`tracecore label campaign create`, `list`, `show`, `status`, `close`: make, inspect and close campaigns."""

from __future__ import annotations

import secrets
from collections import Counter
from pathlib import Path
from typing import Any

import click

from tracecore import NamedWorkspace
from tracecore.cli import emit_json, json_option, workspace_option
from tracecore.errors import UsageError
from tracecore.files import fsync_folder
from tracecore_labeling.campaign.clock import WallClock, format_time
from tracecore_labeling.campaign.label import GEOMETRIES
from tracecore_labeling.campaign.queue import Queue
from tracecore_labeling.campaign.results import tally_of, write_campaign
from tracecore_labeling.campaign.state import Settings, Stage, state_of
from tracecore_labeling.commands.options import campaign_names, new_campaign_path, open_campaign
from tracecore_labeling.linking import FRAME_COLUMNS, RecordedFrame, recorded_frames
from tracecore_schemas.canonical import digest_file

__all__ = ["campaign", "close", "list_campaigns", "show", "status"]

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
    """Make, list, show and close labeling campaigns."""


@campaign.command("create", epilog=_EXAMPLES)
@click.argument("name")
@click.option("--frames", required=True, metavar="REF", help="The recorded frames to be labeled: dataset/<name>[@digest].")
@click.option(
    "--gold", metavar="REF", multiple=True, help="Frames of these that are all reviewed, as evaluation sets have to be: a dataset (again for more)."
)
@click.option("--guideline", required=True, metavar="VERSION", help="Version of the labeling guideline.")
@click.option("--guideline-file", type=click.Path(path_type=Path, dir_okay=False, exists=True), help="Its text; the campaign keeps the digest.")
@click.option("--instructions", default="", help="Further instructions to labelers.")
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
    """Create the campaign NAME: one task per frame, in a file of the workspace that survives kills and power cuts."""
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
    # The directory entries of the file and its folder must be durable too.
    fsync_folder(path.parent)
    fsync_folder(path.parent.parent)
    if as_json:
        answer = {"campaign": name, "id": settings.id, "frames": settings.frames, "tasks": len(listed), "gold": len(reviewed), "guideline": guideline}
        emit_json(answer)
    else:
        tasks = f"{len(listed)} tasks of {ref}" + (f", {len(reviewed)} of them gold" if reviewed else "")
        click.echo(f"Campaign '{name}': {tasks}, guideline {guideline}. Next: tracecore label claim --as PSEUDONYM")


def _frames(ref: str, workspace: NamedWorkspace) -> tuple[str, list[RecordedFrame]]:
    """Return (full ref, recorded frames) of the dataset that `ref` names. Raises UsageError if the dataset lacks the columns of frames."""
    from tracecore.artifacts import open_artifact

    opened = open_artifact(ref, workspace)
    names = set(getattr(getattr(opened.value, "schema", None), "names", ()))
    if not set(FRAME_COLUMNS) <= names:
        raise UsageError(f"{opened.artifact.ref} holds no frames: name a dataset of frames, as ingest and curation make them.")
    return opened.artifact.ref, recorded_frames(opened.value.to_table(columns=FRAME_COLUMNS))


@click.command("list", epilog="\b\nExample:\n  tracecore label list --json\n")
@workspace_option
@json_option
def list_campaigns(workspace: NamedWorkspace, as_json: bool) -> None:
    """List the campaigns of this workspace."""
    found: list[dict[str, Any]] = []
    for name in campaign_names(workspace):
        with open_campaign(workspace, name) as queue:
            counts = queue.counts()
            found.append(
                {"campaign": name, "closed": queue.is_closed(), "guideline": queue.settings.guideline, "tasks": sum(counts.values()), **counts}
            )
    if as_json:
        emit_json({"campaigns": found})
        return
    for each in found:
        state = "closed" if each["closed"] else "open"
        click.echo(f"{each['campaign']}  {state}  guideline {each['guideline']}  {each['done']} of {each['tasks']} tasks done")
    if not found:
        click.echo("No campaigns. Make one: tracecore label campaign create NAME --frames REF --guideline VERSION")


@click.command("show", epilog="\b\nExamples:\n  tracecore label show night\n  tracecore label show night --task 5d1c0a9be2f44a01 --json\n")
@click.argument("name")
@click.option("--task", default=None, help="Show this task's history instead.")
@workspace_option
@json_option
def show(name: str, task: str | None, workspace: NamedWorkspace, as_json: bool) -> None:
    """Show a campaign's settings, or the history of one of its tasks."""
    with open_campaign(workspace, name) as queue:
        if task is None:
            terms = queue.settings.to_json()
            if as_json:
                emit_json(terms)
            else:
                click.echo("\n".join(f"{key}: {', '.join(value) if isinstance(value, list) else value}" for key, value in terms.items()))
            return
        queue.frame(task)  # raises if there is no such task
        entries = list(queue.entries(task))
    if as_json:
        history = [{"at": format_time(each.at), "action": each.action.value, "who": each.who, "detail": dict(each.detail)} for each in entries]
        emit_json({"campaign": name, "task": task, "history": history})
        return
    for entry in entries:
        why = entry.detail.get("reason") or entry.detail.get("verdict") or entry.detail.get("why") or ""
        click.echo(f"{format_time(entry.at)}  {entry.action.value}  {entry.who or ''}  {why}".rstrip())


@click.command("status", epilog="\b\nExample:\n  tracecore label status night\n")
@click.argument("name", required=False)
@workspace_option
@json_option
def status(name: str | None, workspace: NamedWorkspace, as_json: bool) -> None:
    """Show the progress of a campaign: tasks by stage, refusals with their reasons, tasks done by labeler."""
    with open_campaign(workspace, name) as queue:
        if not queue.is_closed():
            queue.expire()
        entries = list(queue.entries())
        state, counts = state_of(entries), queue.counts()
    tally = tally_of(state)
    gold = [task for task in state.tasks.values() if task.gold]
    reasons = Counter(str(entry.detail["reason"]) for entry in entries if entry.action == "refuse")
    labelers = Counter(str(task.labeler) for task in state.tasks.values() if task.stage == Stage.DONE)
    answer = {
        "campaign": state.settings.name, "closed": state.closed, "tasks": tally.tasks, **counts, "refusals": tally.refusals,
        "reasons": dict(sorted(reasons.items())), "labelers": dict(sorted(labelers.items())), "reviewed_labels": tally.reviewed,
        "agreed_labels": tally.agreed, "revisions": tally.revisions, "gold": len(gold),
        "gold_done": sum(task.stage == Stage.DONE for task in gold),
    }  # fmt: skip
    if as_json:
        emit_json(answer)
        return
    click.echo(f"{state.settings.name}{' (closed)' if state.closed else ''}: " + ", ".join(f"{count} {stage}" for stage, count in counts.items()))
    click.echo(f"{tally.refusals} refusals" + "".join(f"\n  {count} x {reason}" for reason, count in sorted(reasons.items())))
    click.echo(f"{tally.reviewed} labels reviewed, {tally.agreed} accepted as they were, {tally.revisions} corrected")
    if gold:
        click.echo(f"{answer['gold_done']} of {len(gold)} gold frames reviewed")
    click.echo("\n".join(f"  {who}: {count} tasks done" for who, count in sorted(labelers.items())) or "nobody has finished a task")


@click.command("close", epilog="\b\nExample:\n  tracecore label close night -o night.campaign.json\n")
@click.argument("name")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path, dir_okay=False), help="Where its file goes: FILE.campaign.json.")
@click.option("--give-up", is_flag=True, help="Close it though gold frames are not reviewed: they stay unlabeled.")
@workspace_option
@json_option
def close(name: str, output: Path, give_up: bool, workspace: NamedWorkspace, as_json: bool) -> None:
    """Close a campaign and write it to a file, which the stage 'campaign' takes in its 'paths'. Closing again writes the file again."""
    if not output.name.endswith(".campaign.json"):
        raise UsageError(f"The file of a campaign is called *.campaign.json, found '{output.name}': -o {output.name.split('.')[0]}.campaign.json")
    if not output.absolute().parent.is_dir():
        raise UsageError(f"The folder of '{output}' does not exist.")
    with open_campaign(workspace, name) as queue:
        if not queue.is_closed():
            queue.close(give_up=give_up)
        entries = list(queue.entries())
    write_campaign(entries, output)
    tally = tally_of(state_of(entries))
    if as_json:
        emit_json({"campaign": name, "file": str(output), "tasks": tally.tasks, "done": tally.done})
        return
    left = f"; {tally.tasks - tally.done} frames stay unlabeled" if tally.done < tally.tasks else ""
    click.echo(f"{output}: {tally.done} of {tally.tasks} tasks done{left}.")
    click.echo(f"In a program: {{stage: label, plugin: campaign, inputs: {{frames: …}}, params: {{paths: [{output.name}]}}}}")
