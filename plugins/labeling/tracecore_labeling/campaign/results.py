"""Results of a campaign: its label batch with counts, and the file of a closed campaign, from which both can be rebuilt."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from tracecore.errors import UsageError
from tracecore.files import write_durably
from tracecore_labeling.campaign.clock import format_time
from tracecore_labeling.campaign.log import Action, Entry, log_faults
from tracecore_labeling.campaign.state import CampaignState, LabelRevision, Stage, TaskState, state_of
from tracecore_labeling.label_table import Row, empty_row, label_id, label_row
from tracecore_labeling.provenance import Provenance
from tracecore_schemas.campaign import CampaignFile
from tracecore_schemas.canonical import JSON, jcs
from tracecore_schemas.file_shapes import ShapeError, checked
from tracecore_schemas.strict_json import StrictJSONError, loads_strict

__all__ = ["FORMAT", "Tally", "campaign_facet", "campaign_rows", "read_campaign", "tally_of", "write_campaign"]

_NOTHING_HERE = 0  # the ordinal of the statement that a frame holds no object; labels begin with 1


@dataclass(frozen=True, slots=True)
class Tally:
    """What a campaign came to.

    Attributes:
        tasks: how many there were.
        done: of them labeled, and reviewed where they were to be.
        refusals: times a labeler gave a task back.
        revisions: corrections of labels.
        reviewed: labels that a second person looked at, those it took out included.
        agreed: of them accepted as they were.
        removed: labels that reviews took out.
        labelers: pseudonyms of all whose labels stand, and of those who reviewed.
    """

    tasks: int
    done: int
    refusals: int
    revisions: int
    reviewed: int
    agreed: int
    removed: int
    labelers: tuple[str, ...]


def campaign_rows(state: CampaignState, frame_attributes: Mapping[str, Mapping[str, str]] | None = None) -> Iterator[Row]:
    """Yield the rows of every task that is done; earlier revisions stay in the campaign's log, so that nobody counts a label twice.

    Args:
        state: of the campaign.
        frame_attributes: by frame id.
    """
    for task in state.tasks.values():
        if task.stage != Stage.DONE:
            continue
        attributes = (frame_attributes or {}).get(task.frame.frame_id)
        for standing in task.labels:
            yield _label_row(state, task, standing, attributes)
        objects = any(standing.label.geometry in {"box2d", "cuboid"} for standing in task.labels)
        if not objects and {"box2d", "cuboid"} & set(state.settings.geometries):
            qa = "accepted" if task.verdict == "accepted" else task.verdict
            yield empty_row(task.frame, label_id(task.id, _NOTHING_HERE), origin=_origin(state, task, qa), **_work(task), frame_attributes=attributes)


def _label_row(state: CampaignState, task: TaskState, standing: LabelRevision, attributes: Mapping[str, str] | None) -> Row:
    label = standing.label
    return label_row(
        task.frame,
        label_id(task.id, standing.ordinal),
        label.geometry,
        box=label.box,
        origin=_origin(state, task, standing.qa),
        revision=standing.revision,
        category=label.category,
        area=None if label.box is None else label.box[2] * label.box[3],
        crowd=label.crowd,
        ignore=label.ignore,
        cuboid=label.cuboid,
        cuboid_frame=label.cuboid_frame,
        path=label.path,
        value=label.value,
        track=label.track,
        attributes=dict(label.attributes),
        frame_attributes=attributes,
        **_work(task),
    )


def _origin(state: CampaignState, task: TaskState, qa: str | None) -> Provenance:
    when = None if task.labeled_at is None else format_time(task.labeled_at)
    return Provenance(task.labeler, when, state.settings.tool or None, state.settings.guideline, qa)


def _work(task: TaskState) -> dict[str, object]:
    reviewed = None if task.reviewed_at is None else format_time(task.reviewed_at)
    tier = "working" if task.verdict is None else "gold"  # a review looks at the whole frame
    return {"task": task.id, "refusals": task.refusals, "reviewer": task.reviewer, "reviewed_at": reviewed, "tier": tier}


def tally_of(state: CampaignState) -> Tally:
    """Count what a campaign came to."""
    tasks = list(state.tasks.values())
    done = [task for task in tasks if task.stage == Stage.DONE]
    judged = [standing for task in done for standing in task.labels if standing.qa is not None]
    removed = sum(task.removed for task in done)
    return Tally(
        tasks=len(tasks),
        done=len(done),
        refusals=sum(task.refusals for task in tasks),
        revisions=sum(standing.revision for task in done for standing in task.labels),
        reviewed=len(judged) + removed,
        agreed=sum(standing.qa == "accepted" for standing in judged),
        removed=removed,
        labelers=tuple(sorted({who for task in done for who in (task.labeler, task.reviewer) if who is not None})),
    )


def campaign_facet(states: Iterable[CampaignState]) -> dict[str, JSON]:
    """Return what the facet `tracecore_labels` says of campaigns."""
    states = list(states)
    tallies = [tally_of(state) for state in states]
    reviewed = sum(tally.reviewed for tally in tallies)
    digests = {state.settings.guideline: state.settings.guideline_digest for state in states}
    return {
        "campaign": ", ".join(sorted(state.settings.name for state in states)),
        "guideline_digests": {version: digest for version, digest in sorted(digests.items()) if digest is not None},
        "tasks": sum(tally.tasks for tally in tallies),
        "tasks_done": sum(tally.done for tally in tallies),
        "refusals": sum(tally.refusals for tally in tallies),
        "revisions": sum(tally.revisions for tally in tallies),
        "removed": sum(tally.removed for tally in tallies),
        "agreed_share": sum(tally.agreed for tally in tallies) / reviewed if reviewed else None,
        "labelers": sorted({who for tally in tallies for who in tally.labelers}),
    }


FORMAT = "tracecore-campaign/1"


def write_campaign(entries: Iterable[Entry], path: Path) -> None:
    """Write a campaign's log, one entry a line, whole or not at all."""
    lines = [
        jcs({"seq": each.seq, "at": each.at, "action": each.action.value, "task": each.task, "who": each.who, "detail": each.detail}).decode()
        for each in entries
    ]
    text = f'{{"format": {json.dumps(FORMAT)}, "log": [\n' + ",\n".join(lines) + "\n]}\n"
    write_durably(path, text.encode())


def read_campaign(path: Path, name: str) -> CampaignState:
    """Read a closed campaign and check its log.

    Args:
        path: where it lies.
        name: what errors call it.

    Raises:
        UsageError: it is no campaign file, was not closed, or its log can't have happened (somebody edited it).
    """
    try:
        document = checked(_file_shape(), loads_strict(path.read_bytes()))
    except StrictJSONError as error:
        raise UsageError(f"The campaign file {name} is no strict JSON: {error}.") from error
    except ShapeError as error:
        raise UsageError(f"{name} is no campaign file, as 'tracecore label close' writes it: {error}.") from error
    entries = [_entry(each) for each in document["log"]]
    wrong = log_faults(entries)
    try:
        state = state_of(entries) if not wrong else None
    except (TypeError, ValueError) as error:  # settings of another version
        raise UsageError(f"The log of the campaign file {name} can't be read: {error}.") from error
    if state is None:
        raise UsageError(f"The log of the campaign file {name} can't have happened so: {wrong[0]}.")
    if not state.closed:
        raise UsageError(f"The campaign in {name} was not closed: close it with 'tracecore label close' and give the file that this writes.")
    return state


@cache
def _file_shape() -> TypeAdapter[Any]:
    return TypeAdapter(CampaignFile)


def _entry(written: Mapping[str, Any]) -> Entry:
    return Entry(written["seq"], written["at"], Action(written["action"]), written["task"], written["who"], written["detail"])
