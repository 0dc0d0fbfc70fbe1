"""Queue of a campaign's tasks: claims, refusals, submissions and reviews, logged and durable before they are acknowledged."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tracecore.errors import UsageError
from tracecore_labeling.campaign.clock import SECOND, format_time
from tracecore_labeling.campaign.database import CampaignDatabase
from tracecore_labeling.campaign.label import Label, label_from_json, label_json
from tracecore_labeling.campaign.log import Action
from tracecore_labeling.campaign.state import LabelRevision, Settings, Stage, corrected, frame_json, next_ordinal, share_of, task_id
from tracecore_labeling.label_table import label_id
from tracecore_labeling.linking import RecordedFrame
from tracecore_schemas.canonical import JSON, digest_json

__all__ = ["Claim", "Queue", "Receipt"]

_NAMED = 3  # tasks in an error


@dataclass(frozen=True, slots=True)
class Claim:
    """A task leased to a labeler or reviewer.

    Attributes:
        role: label or review.
        until: end of the lease, microseconds since the Unix epoch.
        labels: submitted labels by id, for a review; else empty.
        labeler: labeler of those labels.
    """

    task: str
    role: str
    frame: RecordedFrame
    until: int
    refusals: int
    labels: Mapping[str, Label]
    labeler: str | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """Confirmation of a submission or review: its position in the log, and whether it repeats an earlier one and added nothing."""

    task: str
    seq: int
    repeated: bool


class Queue(CampaignDatabase):
    """Claims, submissions and reviews of tasks; each action is logged and durable when it returns."""

    def create(self, settings: Settings, frames: Iterable[RecordedFrame], gold: Collection[str] = ()) -> None:
        """Create the campaign with one task per frame, in order. Frames with ids in `gold` are always reviewed. Raises UsageError if it exists."""
        with self._action():
            if self.exists():
                raise UsageError(f"There is a campaign in {self.path} already.")
            self._log(Action.CREATE, None, None, settings.to_json())
            for position, frame in enumerate(frames):
                task = task_id(settings.id, frame.frame_id)
                review = frame.frame_id in gold or share_of(settings.seed, "review", task) < settings.review
                detail: dict[str, JSON] = {"frame": frame_json(frame), "position": position, "review": review}
                self._log(Action.TASK, task, None, detail | ({"gold": True} if frame.frame_id in gold else {}))
                self._db.execute("INSERT INTO tasks (task, position, review, stage) VALUES (?, ?, ?, ?)", (task, position, review, Stage.OPEN))

    def claim(self, who: str, *, role: str = "label", task: str | None = None) -> Claim | None:
        """Return a person's current claim in a role (`label`, `review`), else claim the next free task for them; None if no task is free for them.

        Reviewers never get their own labels, labelers no task that they refused or whose labels were rejected. `task` limits the choice to one task.
        """
        if not self._inside and not self._has_claimable(role):
            return None
        with self._action():
            self._expire_open()
            mine, free, held = ("labeler", Stage.OPEN, Stage.CLAIMED) if role == "label" else ("reviewer", Stage.SUBMITTED, Stage.REVIEWING)
            # A reviewer is never the task's labeler, and a labeler who refused a task can't claim it again.
            only = "" if task is None else " AND task = :task"
            given = {"who": who, "task": task, "free": free, "held": held}
            row = self._db.execute(f"SELECT task FROM tasks WHERE stage = :held AND {mine} = :who{only}", given).fetchone()  # noqa: S608  # fixed words
            if row is not None:
                return self._claim(row[0])
            allowed = (
                "NOT EXISTS (SELECT 1 FROM barred WHERE barred.task = tasks.task AND barred.labeler = :who)" if role == "label" else "labeler != :who"
            )
            row = self._db.execute(
                f"SELECT task FROM tasks WHERE stage = :free AND {allowed}{only} ORDER BY position LIMIT 1",  # noqa: S608  # fixed words
                given,
            ).fetchone()
            if row is None:
                return None
            until = self._time() + self.settings.lease_seconds * SECOND
            self._log(Action.CLAIM, row[0], who, {"role": role, "until": until})
            self._db.execute(f"UPDATE tasks SET stage = ?, {mine} = ?, until = ? WHERE task = ?", (held, who, until, row[0]))  # noqa: S608  # fixed words
            return self._claim(row[0])

    def refuse(self, task: str, who: str, reason: str) -> None:
        """Return a claimed task to the queue and bar labeler `who` from it. Raises UsageError if they have not claimed it, or `reason` is blank."""
        if not reason.strip():
            raise UsageError("A refusal needs a reason: say why the task can't be labeled.")
        with self._action():
            self._expire_open()
            row = self._row(task)
            if row["stage"] != Stage.CLAIMED or row["labeler"] != who:
                raise UsageError(f"Task {task} can't be refused by {who}: {self._state_of(row)}.")
            self._log(Action.REFUSE, task, who, {"reason": reason})
            self._bar(task, who)
            self._set(task, stage=Stage.OPEN, labeler=None, until=None, refusals=row["refusals"] + 1)

    def submit(self, task: str, who: str, submission: str, labels: Sequence[Label]) -> Receipt:
        """Accept a labeler's labels for a task and return the receipt; repeating a submission adds nothing and returns the receipt marked `repeated`.

        Raises UsageError if the labeler's claim is missing or has ended (this is logged), or the submission id was used for other content.
        """
        digest = digest_json([label_json(label) for label in labels])
        late: str | None = None
        with self._action():
            receipt = self._earlier_receipt(submission, task, who, digest)
            if receipt is not None:
                return receipt
            self._expire_open()
            row = self._row(task)
            if row["stage"] != Stage.CLAIMED or row["labeler"] != who:
                late = self._state_of(row)
                self._log(Action.LATE, task, who, {"submission": submission, "why": late})
            else:
                first = row["next_ordinal"]
                written: list[JSON] = [{"ordinal": first + place, "revision": 0, "label": label_json(each)} for place, each in enumerate(labels)]
                seq = self._log(Action.SUBMIT, task, who, {"submission": submission, "labels": written})
                self._db.execute("INSERT INTO receipts VALUES (?, ?, ?, ?, ?)", (submission, task, who, digest, seq))
                stage = Stage.SUBMITTED if row["review"] else Stage.DONE
                self._set(task, stage=stage, until=None, next_ordinal=first + len(labels))
                return Receipt(task, seq, False)
        raise UsageError(f"The labels of task {task} can't be taken from {who}: {late}.")

    def review(self, task: str, who: str, review: str, verdict: str, after: Sequence[tuple[str | None, Label]] = (), note: str = "") -> Receipt:
        """Accept a reviewer's verdict on a task's labels (`accepted`, `corrected`, or `rejected`, which reopens the task) and return the receipt.

        A repeated review adds nothing. Raises UsageError if there are no labels to review, `who` made them, or another reviewer has claimed the task.

        Args:
            after: all labels after a correction, each with the id of the label it keeps or changes, None for a new one.
        """
        digest = digest_json([verdict, [[named, label_json(label)] for named, label in after], note])
        with self._action():
            receipt = self._earlier_receipt(review, task, who, digest)
            if receipt is not None:
                return receipt
            self._expire_open()
            row = self._row(task)
            before = self._labels(task)
            if row["stage"] not in {Stage.SUBMITTED, Stage.REVIEWING, Stage.DONE} or row["reviewed"]:
                raise UsageError(f"Task {task} can't be reviewed: {self._state_of(row)}.")
            if row["labeler"] == who:
                raise UsageError(f"Task {task} was labeled by {who}: another person has to review it.")
            if row["stage"] == Stage.REVIEWING and row["reviewer"] != who:
                raise UsageError(f"Task {task} can't be reviewed by {who}: {self._state_of(row)}.")
            match verdict:
                case "corrected":
                    ids = {label_id(task, each.ordinal): each.ordinal for each in before}
                    labels = corrected(before, after, ids, row["next_ordinal"])
                case "rejected":
                    labels = []
                case _:
                    labels = [replace(each, qa="accepted") for each in before]
            written: list[JSON] = [
                {"ordinal": each.ordinal, "revision": each.revision, "label": label_json(each.label), "qa": each.qa} for each in labels
            ]
            removed = len({each.ordinal for each in before} - {each.ordinal for each in labels})
            detail: dict[str, JSON] = {"review": review, "verdict": verdict, "labels": written, "removed": removed, "note": note}
            seq = self._log(Action.REVIEW, task, who, detail)
            self._db.execute("INSERT INTO receipts VALUES (?, ?, ?, ?, ?)", (review, task, who, digest, seq))
            if verdict == "rejected":
                self._log(Action.REOPEN, task, who, {"why": note or "the review rejected its labels"})
                self._bar(task, row["labeler"])
                self._set(task, stage=Stage.OPEN, labeler=None, reviewer=None, until=None, reviewed=0)
            else:
                self._set(task, stage=Stage.DONE, reviewer=who, until=None, reviewed=1, next_ordinal=next_ordinal(row["next_ordinal"], labels))
            return Receipt(task, seq, False)

    def close(self, *, give_up: bool = False) -> None:
        """Close the campaign. Raises UsageError if a gold task (of a frame in `create`'s `gold`) is not done, unless `give_up` is set."""
        with self._action():
            self._expire_open()
            left = self._open_gold_tasks()
            if left and not give_up:
                raise UsageError(
                    f"The campaign '{self.settings.name}' is not complete: {len(left)} gold tasks ({', '.join(left[:_NAMED])}"
                    f"{', …' if len(left) > _NAMED else ''}) are not labeled and reviewed. Have them reviewed ('tracecore label claim --review'), "
                    "or close it with --give-up, which leaves their frames unlabeled."
                )
            self._log(Action.CLOSE, None, None, {"gold_left": len(left)} if left else {})

    def expire(self) -> None:
        """Return to the queue every task whose lease (time limit of a claim) has ended."""
        with self._action():
            self._expire()

    def held(self, who: str) -> Claim | None:
        """Return the current claim of a labeler or reviewer; None if they have none that is still valid."""
        row = self._db.execute(
            "SELECT task FROM tasks WHERE until > ? AND ((stage = ? AND labeler = ?) OR (stage = ? AND reviewer = ?)) ORDER BY position",
            (self._time(), Stage.CLAIMED, who, Stage.REVIEWING, who),
        ).fetchone()
        return None if row is None else self._claim(row[0])

    def _open_gold_tasks(self) -> list[str]:
        """Return the ids of the gold tasks (of frames in `create`'s `gold`) that are not both labeled and reviewed."""
        found = self._db.execute(
            "SELECT task FROM tasks JOIN log USING (task) WHERE stage != ? AND action = ? AND json_extract(detail, '$.gold') ORDER BY position",
            (Stage.DONE, Action.TASK),
        )
        return [task for (task,) in found]

    def _has_claimable(self, role: str) -> bool:
        """Whether any task is free to be claimed in this role (`label`, `review`) or already claimed in it. Takes no write lock."""
        stages = (Stage.OPEN, Stage.CLAIMED) if role == "label" else (Stage.SUBMITTED, Stage.REVIEWING)
        return self._db.execute("SELECT 1 FROM tasks WHERE stage IN (?, ?) LIMIT 1", stages).fetchone() is not None

    def _expire_open(self) -> None:
        """Return to the queue every task whose lease (time limit of a claim) has ended. Raises UsageError if the campaign is closed."""
        if self.is_closed():
            raise UsageError(f"The campaign '{self.settings.name}' is closed: nothing more is taken.")
        self._expire()

    def _expire(self) -> None:
        """Return to the queue every task whose lease (time limit of a claim) has ended, and log this for each."""
        now = self._time()
        late = self._db.execute("SELECT task, stage, labeler, reviewer FROM tasks WHERE until <= ? ORDER BY position", (now,)).fetchall()
        for task, stage, labeler, reviewer in late:
            if stage == Stage.REVIEWING:
                self._log(Action.TIMEOUT, task, reviewer, {"role": "review"})
                self._set(task, stage=Stage.SUBMITTED, reviewer=None, until=None)
            else:
                self._log(Action.TIMEOUT, task, labeler, {"role": "label"})
                self._set(task, stage=Stage.OPEN, labeler=None, until=None)

    def _earlier_receipt(self, id_: str, task: str, who: str, digest: str) -> Receipt | None:
        """Return the receipt stored for a submission's or review's id, else None. Raises UsageError if the stored task, `who` or `digest` differs."""
        row = self._db.execute("SELECT task, who, digest, seq FROM receipts WHERE id = ?", (id_,)).fetchone()
        if row is None:
            return None
        if tuple(row[:3]) != (task, who, digest):
            raise UsageError(f"The id '{id_}' was used by {row[1]} for another submission of task {row[0]}: give each submission its own id.")
        return Receipt(task, row[3], True)

    def _bar(self, task: str, labeler: str) -> None:
        """Record that a labeler may not claim this task again."""
        self._db.execute("INSERT OR IGNORE INTO barred VALUES (?, ?)", (task, labeler))

    def _labels(self, task: str) -> list[LabelRevision]:
        """Return the labels of a task's last submission; empty if it was never submitted."""
        detail = self._last_detail(task, Action.SUBMIT) or {"labels": []}
        return [LabelRevision(each["ordinal"], each["revision"], label_from_json(each["label"])) for each in detail["labels"]]

    def _claim(self, task: str) -> Claim:
        """Return the current claim on a task, for labeling or review, with the submitted labels if it is for review."""
        row = self._row(task)
        reviewing = row["stage"] == Stage.REVIEWING
        labels = {label_id(task, each.ordinal): each.label for each in self._labels(task)} if reviewing else {}
        return Claim(
            task=task,
            role="review" if reviewing else "label",
            frame=self.frame(task),
            until=row["until"],
            refusals=row["refusals"],
            labels=labels,
            labeler=row["labeler"] if reviewing else None,
        )

    def _state_of(self, row: Mapping[str, Any]) -> str:
        """Return a clause that describes a task's stage, for error messages: `it is done, by w17`. `row`: the task's row in the table `tasks`."""
        match row["stage"]:
            case Stage.OPEN:
                return "it is not claimed; a claim may have run out, so claim it again"
            case Stage.CLAIMED:
                return f"{row['labeler']} holds it until {format_time(row['until'])}"
            case Stage.REVIEWING:
                return f"{row['reviewer']} reviews it until {format_time(row['until'])}"
            case Stage.SUBMITTED:
                return f"{row['labeler']} has submitted it"
        return f"it is done{', reviewed by ' + row['reviewer'] if row['reviewed'] else ', by ' + str(row['labeler'])}"
