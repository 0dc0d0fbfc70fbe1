"""Settings and state of a campaign, computed from its log, and the effect of a review on labels.

The queue's tables must agree with this state; label batches are built from it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tracecore.errors import UsageError, suggestion
from tracecore_labeling.campaign.label import GEOMETRIES, Label, label_from_json
from tracecore_labeling.campaign.log import Action, Entry
from tracecore_labeling.linking import RecordedFrame
from tracecore_schemas.canonical import JSON, digest_json, hex_of

__all__ = [
    "VERDICTS",
    "CampaignState",
    "LabelRevision",
    "Settings",
    "Stage",
    "TaskState",
    "corrected",
    "frame_json",
    "frame_of",
    "next_ordinal",
    "share_of",
    "state_of",
    "task_id",
]


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of a campaign.

    Attributes:
        id: 16 hex digits: random, or derived from parameters and seed for a simulated campaign.
        categories: classes to label; empty allows any.
        review: share of tasks to review.
        lease_seconds: how long a claim is valid.
        seed: determines which tasks are reviewed.
        frames: ref of the frames; None for a simulated campaign.
    """

    id: str
    name: str
    guideline: str
    guideline_digest: str | None = None
    instructions: str = ""
    categories: tuple[str, ...] = ()
    geometries: tuple[str, ...] = GEOMETRIES
    review: float = 0.1
    lease_seconds: int = 3600
    seed: int = 0
    tool: str = ""
    frames: str | None = None

    def to_json(self) -> dict[str, JSON]:
        """Return the campaign's settings as a JSON object."""
        return {**asdict(self), "categories": list(self.categories), "geometries": list(self.geometries)}

    @classmethod
    def from_json(cls, written: Mapping[str, Any]) -> Settings:
        """Return the campaign settings that `to_json` wrote as `written`."""
        return cls(**{**written, "categories": tuple(written["categories"]), "geometries": tuple(written["geometries"])})


def task_id(campaign: str, frame_id: str) -> str:
    """Return the id of a campaign's task for a frame: the first 16 hex digits of the SHA-256 of JCS [campaign, frame]."""
    return hex_of(digest_json([campaign, frame_id]))[:16]


def share_of(*words: object) -> float:
    """Return a pseudorandom number in [0, 1) derived from the arguments' texts, the same on every machine."""
    text = "\x1f".join(map(str, words))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7]) / 2**56


class Stage:
    """Stages of a task."""

    OPEN = "open"
    CLAIMED = "claimed"
    SUBMITTED = "submitted"
    REVIEWING = "reviewing"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class LabelRevision:
    """Current revision of one label.

    Attributes:
        ordinal: number in its task, from 1; with the task it determines the label's id.
        revision: number of corrections.
        qa: accepted, corrected or added; None without a review.
    """

    ordinal: int
    revision: int
    label: Label
    qa: str | None = None


@dataclass(slots=True)
class TaskState:
    """State of one task; times are microseconds since the Unix epoch.

    Attributes:
        review: whether a review is required.
        gold: whether the campaign can't close without that review.
        labeler: the current or last one, as is `reviewer`.
        barred: labelers who may not claim it again: they refused it, or their labels were rejected.
        removed: number of labels removed by the review.
    """

    id: str
    position: int
    frame: RecordedFrame
    review: bool
    gold: bool = False
    stage: str = Stage.OPEN
    labeler: str | None = None
    reviewer: str | None = None
    until: int | None = None
    refusals: int = 0
    barred: set[str] = field(default_factory=set)
    next_ordinal: int = 1
    labels: tuple[LabelRevision, ...] = ()
    labeled_at: int | None = None
    reviewed_at: int | None = None
    verdict: str | None = None
    removed: int = 0


@dataclass(slots=True)
class CampaignState:
    """State of a campaign and its tasks, in order of creation."""

    settings: Settings
    tasks: dict[str, TaskState] = field(default_factory=dict)
    closed: bool = False
    last: int = 0

    def apply(self, entry: Entry) -> None:
        """Update the state of the campaign and its tasks in place by the next entry of its log."""
        self.last = entry.seq
        if entry.action is Action.CLOSE:
            self.closed = True
        elif entry.action is Action.TASK:
            assert entry.task is not None  # the log's writer names it
            detail = entry.detail
            self.tasks[entry.task] = TaskState(entry.task, detail["position"], frame_of(detail["frame"]), detail["review"], detail.get("gold", False))
        elif entry.task is not None:
            _apply_to_task(self.tasks[entry.task], entry)


def state_of(entries: Iterable[Entry]) -> CampaignState:
    """Return the state that a campaign's log leads to. Raises ValueError if the log does not begin with the campaign's creation."""
    state: CampaignState | None = None
    for entry in entries:
        if state is None:
            if entry.action is not Action.CREATE:
                raise ValueError(f"a campaign's log begins with its making, found {entry.action}")
            state = CampaignState(Settings.from_json(entry.detail))
        state.apply(entry)
    if state is None:
        raise ValueError("the log is empty")
    return state


def _apply_to_task(task: TaskState, entry: Entry) -> None:
    detail = entry.detail
    match entry.action:
        case Action.CLAIM if detail["role"] == "review":
            task.stage, task.reviewer, task.until = Stage.REVIEWING, entry.who, detail["until"]
        case Action.CLAIM:
            task.stage, task.labeler, task.until = Stage.CLAIMED, entry.who, detail["until"]
        case Action.TIMEOUT if task.stage == Stage.REVIEWING:
            task.stage, task.reviewer, task.until = Stage.SUBMITTED, None, None
        case Action.TIMEOUT:
            _free(task)
        case Action.REFUSE:
            task.refusals += 1
            task.barred.add(str(entry.who))
            _free(task)
        case Action.SUBMIT:
            task.stage = Stage.SUBMITTED if task.review else Stage.DONE
            task.labels = _revisions(detail["labels"])
            task.labeled_at, task.until = entry.at, None
        case Action.REVIEW:
            task.stage, task.reviewer, task.until = Stage.DONE, entry.who, None
            task.reviewed_at, task.verdict = entry.at, detail["verdict"]
            task.labels, task.removed = _revisions(detail["labels"]), detail["removed"]
        case Action.REOPEN:
            task.barred.add(str(task.labeler))
            task.labels, task.labeled_at, task.reviewed_at, task.reviewer = (), None, None, None
            task.verdict, task.removed = None, 0
            _free(task)
    # A late submission leaves the task as it is.
    task.next_ordinal = next_ordinal(task.next_ordinal, task.labels)


def _free(task: TaskState) -> None:
    task.stage, task.labeler, task.until = Stage.OPEN, None, None


def _revisions(written: Iterable[Mapping[str, Any]]) -> tuple[LabelRevision, ...]:
    return tuple(LabelRevision(each["ordinal"], each["revision"], label_from_json(each["label"]), each.get("qa")) for each in written)


def frame_json(frame: RecordedFrame) -> dict[str, Any]:
    """Return a recorded frame as a JSON object; its time is a string, since JSON readers may round large integers."""
    return asdict(frame) | {"timestamp_ns": str(frame.timestamp_ns)}


def frame_of(written: Mapping[str, Any]) -> RecordedFrame:
    """Return the recorded frame that `frame_json` wrote as `written`."""
    return RecordedFrame(**{**written, "timestamp_ns": int(written["timestamp_ns"])})


VERDICTS = ("accepted", "corrected", "rejected")
"""Verdicts of a review; a rejected task is labeled again by another labeler."""


def next_ordinal(known: int, labels: Iterable[LabelRevision]) -> int:
    """Return the number for a task's next new label: `known`, or one above the highest number in `labels` if that is greater."""
    return max([known, *(each.ordinal + 1 for each in labels)])


def corrected(
    before: Sequence[LabelRevision], after: Sequence[tuple[str | None, Label]], ids: Mapping[str, int], first_new: int
) -> list[LabelRevision]:
    """Return a task's labels after a correction, sorted by number. Raises UsageError if an id occurs twice, or is not that of a label of the task.

    Args:
        before: submitted labels.
        after: all labels after the correction, each with the id of the label it keeps or changes, None for a new one.
        ids: label number in the task (ordinal), by label id.
        first_new: ordinal of the first new label.
    """
    known = {each.ordinal: each for each in before}
    kept: dict[int, LabelRevision] = {}
    for named, label in after:
        if named is None:
            kept[first_new] = LabelRevision(first_new, 0, label, "added")
            first_new += 1
            continue
        ordinal = ids.get(named)
        if ordinal is None:
            raise UsageError(f"The task has no label '{named}'. {suggestion(named, ids)}")
        if ordinal in kept:
            raise UsageError(f"The label '{named}' is twice in the correction.")
        old = known[ordinal]
        same = old.label == label
        kept[ordinal] = LabelRevision(ordinal, old.revision + (not same), label, "accepted" if same else "corrected")
    return [kept[ordinal] for ordinal in sorted(kept)]
