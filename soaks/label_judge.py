"""Verdict on a campaign: its log keeps the rules, its tables agree with the log, and every acknowledged submission is in it, unaltered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from label_plan import Plan, labels_by
from label_worker import Journal

from tracecore_labeling.campaign.label import label_json
from tracecore_labeling.campaign.log import Action, Entry, log_faults
from tracecore_labeling.campaign.queue import Queue
from tracecore_labeling.campaign.results import campaign_rows
from tracecore_labeling.campaign.state import CampaignState, Stage, state_of

__all__ = ["Verdict", "judge"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """How often each action happened, and every violation found."""

    counts: dict[str, int]
    violations: tuple[str, ...]


def judge(queue: Queue, plan: Plan, folder: Path) -> Verdict:
    """Find every violation of a campaign's rules."""
    entries = list(queue.entries())
    wrong = log_faults(entries)
    state = state_of(entries)
    wrong += _tables(queue, state) + _work(state, entries, plan) + _labels(state)
    counts = Counter(entry.action.value for entry in entries)
    kept, acknowledged = _acknowledged(entries, folder)
    return Verdict(dict(counts) | acknowledged, tuple(wrong + kept))


def _tables(queue: Queue, state: CampaignState) -> list[str]:
    logged = {
        task.id: (task.position, task.stage, task.labeler, task.reviewer, task.until, task.refusals, task.next_ordinal)
        for task in state.tasks.values()
    }
    found = [f"task {task}: the table says {row}, the log {logged.get(task)}" for task, row in queue.table().items() if logged.get(task) != row]
    barred = {(task.id, who) for task in state.tasks.values() for who in task.barred}
    return found + ([] if queue.barred() == barred else ["who is barred from which task differs between table and log"])


def _work(state: CampaignState, entries: Sequence[Entry], plan: Plan) -> list[str]:
    wrong = [] if len(state.tasks) == plan.tasks else [f"{len(state.tasks)} tasks, expected {plan.tasks}"]
    wrong += [f"task {task.id} ended {task.stage}" for task in state.tasks.values() if task.stage != Stage.DONE]
    for entry in entries:
        if entry.action is Action.SUBMIT:
            expected = [label_json(label) for label in labels_by(plan, str(entry.task), str(entry.who))]
            if [each["label"] for each in entry.detail["labels"]] != expected:
                wrong.append(f"entry {entry.seq}: the labels of task {entry.task} are not those that {entry.who} made")
    return wrong


def _labels(state: CampaignState) -> list[str]:
    ids = Counter(row.label.id for row in campaign_rows(state))
    return [f"label {id_} stands {count} times in the batch" for id_, count in ids.items() if count > 1]


def _acknowledged(entries: Sequence[Entry], folder: Path) -> tuple[list[str], dict[str, int]]:
    """Check that each acknowledged submission is in the log, at the acknowledged position."""
    taken = {
        entry.detail["submission" if entry.action is Action.SUBMIT else "review"]: entry.seq
        for entry in entries
        if entry.action in {Action.SUBMIT, Action.REVIEW}
    }
    wrong: list[str] = []
    counts: Counter[str] = Counter(acknowledged=0, repeated=0)
    for journal in sorted(folder.glob("worker-*.ndjson")):
        for line in Journal.lines(journal):
            if "seq" not in line:
                continue
            counts["acknowledged"] += 1
            counts["repeated"] += bool(line["repeated"])
            if taken.get(line["acknowledged"]) != line["seq"]:
                wrong.append(
                    f"'{line['acknowledged']}' was acknowledged as entry {line['seq']} and is lost: the log has {taken.get(line['acknowledged'])}"
                )
    return wrong, dict(counts)
