"""Results of a campaign: the rows of its label batch, counts, and the file of a closed campaign with its whole log."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from tracecore.errors import UsageError
from tracecore.files import write_durably
from tracecore_labeling.campaign.clock import format_time
from tracecore_labeling.campaign.log import Action, Entry, log_faults
from tracecore_labeling.campaign.state import CampaignState, Stage, TaskState, state_of
from tracecore_labeling.label_table import FoundLabel, Row, label_id
from tracecore_labeling.provenance import Provenance
from tracecore_schemas.campaign import CampaignFile
from tracecore_schemas.canonical import JSON, jcs
from tracecore_schemas.file_shapes import ShapeError, checked
from tracecore_schemas.strict_json import StrictJSONError, loads_strict

__all__ = ["FORMAT", "Tally", "campaign_facet", "campaign_rows", "read_campaign", "tally_of", "write_campaign"]

_EMPTY = 0  # the ordinal of the statement that a frame holds no object; labels begin with 1


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts of a campaign.

    Attributes:
        done: tasks labeled and, if required, reviewed.
        refusals: how often tasks were returned.
        revisions: corrections of labels.
        reviewed: reviewed labels, removed ones included.
        agreed: labels accepted unchanged.
        labelers: pseudonyms of labelers and reviewers of tasks that are done, sorted.
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
    """Yield a label table's rows for every finished task, with its current labels. `frame_attributes`: attributes for each row, by frame id."""
    for task in state.tasks.values():
        if task.stage != Stage.DONE:
            continue
        attributes = (frame_attributes or {}).get(task.frame.frame_id, {})
        for each in task.labels:
            columns = asdict(each.label) | {"attributes": dict(each.label.attributes)} | _provenance(state, task, each.qa)
            area = None if each.label.box is None else each.label.box[2] * each.label.box[3]
            label = FoundLabel(label_id(task.id, each.ordinal), area=area, **columns)
            yield Row(task.frame, label, each.revision, task.refusals, attributes)
        objects = any(each.label.geometry in {"box2d", "cuboid"} for each in task.labels)
        if not objects and {"box2d", "cuboid"} & set(state.settings.geometries):
            empty = FoundLabel(label_id(task.id, _EMPTY), "none", **_provenance(state, task, task.verdict))
            yield Row(task.frame, empty, refusals=task.refusals, frame_attributes=attributes)


def _provenance(state: CampaignState, task: TaskState, qa: str | None) -> dict[str, Any]:
    """Return the fields of a `FoundLabel` for a task's labeler, reviewer, times and tier (gold if reviewed, else working). `qa`: review result."""
    labeled, reviewed = (None if at is None else format_time(at) for at in (task.labeled_at, task.reviewed_at))
    origin = Provenance(task.labeler, labeled, state.settings.tool or None, state.settings.guideline, qa)
    tier = "working" if task.verdict is None else "gold"  # a review covers the whole frame
    return {"provenance": origin, "task": task.id, "reviewer": task.reviewer, "reviewed_at": reviewed, "tier": tier}


def tally_of(state: CampaignState) -> Tally:
    """Return counts of the campaign's tasks, refusals, reviewed and corrected labels, and its labelers' pseudonyms."""
    tasks = list(state.tasks.values())
    done = [task for task in tasks if task.stage == Stage.DONE]
    judged = [each for task in done for each in task.labels if each.qa is not None]
    removed = sum(task.removed for task in done)
    return Tally(
        tasks=len(tasks),
        done=len(done),
        refusals=sum(task.refusals for task in tasks),
        revisions=sum(each.revision for task in done for each in task.labels),
        reviewed=len(judged) + removed,
        agreed=sum(each.qa == "accepted" for each in judged),
        removed=removed,
        labelers=tuple(sorted({who for task in done for who in (task.labeler, task.reviewer) if who is not None})),
    )


def campaign_facet(states: Iterable[CampaignState]) -> dict[str, JSON]:
    """Return members for the facet `tracecore_labels` with the campaigns' names, guidelines and labelers, and counts summed over all campaigns."""
    states = list(states)
    tallies = [tally_of(state) for state in states]
    digests = {state.settings.guideline: state.settings.guideline_digest for state in states}

    def total(name: str) -> int:
        return sum(getattr(tally, name) for tally in tallies)

    return {
        "campaign": ", ".join(sorted(state.settings.name for state in states)),
        "guideline_digests": {version: digest for version, digest in sorted(digests.items()) if digest is not None},
        "tasks": total("tasks"),
        "tasks_done": total("done"),
        **{name: total(name) for name in ("refusals", "revisions", "removed")},
        "agreed_share": total("agreed") / total("reviewed") if total("reviewed") else None,
        "labelers": sorted({who for tally in tallies for who in tally.labelers}),
    }


FORMAT = "tracecore-campaign/1"


def write_campaign(entries: Iterable[Entry], path: Path) -> None:
    """Write the entries of a campaign's log to a JSON file, one per line, replacing the file atomically."""
    lines = [
        jcs({"seq": each.seq, "at": each.at, "action": each.action.value, "task": each.task, "who": each.who, "detail": each.detail}).decode()
        for each in entries
    ]
    text = f'{{"format": {json.dumps(FORMAT)}, "log": [\n' + ",\n".join(lines) + "\n]}\n"
    write_durably(path, text.encode())


def read_campaign(path: Path, name: str) -> CampaignState:
    """Return the final state of a campaign from its file, called `name` in errors. Raises UsageError if it is not closed, or its log is invalid."""
    try:
        document = checked(TypeAdapter(CampaignFile), loads_strict(path.read_bytes()))
    except StrictJSONError as error:
        raise UsageError(f"The campaign file {name} is not strict JSON: {error}.") from error
    except ShapeError as error:
        raise UsageError(f"{name} is not a campaign file, as 'tracecore label close' writes it: {error}.") from error
    entries = [Entry(each["seq"], each["at"], Action(each["action"]), each["task"], each["who"], each["detail"]) for each in document["log"]]
    wrong = log_faults(entries)
    try:
        state = state_of(entries) if not wrong else None
    except (TypeError, ValueError) as error:  # settings of another version
        raise UsageError(f"The log of the campaign file {name} can't be read: {error}.") from error
    if state is None:
        raise UsageError(f"The log of the campaign file {name} is inconsistent: {wrong[0]}.")
    if not state.closed:
        raise UsageError(f"The campaign in {name} was not closed: close it with 'tracecore label close' and give the file that this writes.")
    return state
