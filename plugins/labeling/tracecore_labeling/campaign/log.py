"""Entries of a campaign's append-only log, and the rules of a valid log.

The rules share no code with the queue that writes the log, so they detect its errors: lost work, a task labeled twice, a labeler reviewing
their own labels.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

__all__ = ["Action", "Entry", "log_faults"]


class Action(StrEnum):
    """Actions recorded in a campaign's log."""

    CREATE = "create"
    """The campaign is created; detail: its settings."""
    TASK = "task"
    """A frame becomes a task; detail: frame, position, whether it is reviewed, and gold if the campaign is incomplete without that review."""
    CLAIM = "claim"
    """A person takes a task to label or review; detail: role, and the end of the lease."""
    TIMEOUT = "timeout"
    """The lease ended; the task is free again."""
    REFUSE = "refuse"
    """The labeler returns the task; detail: reason."""
    SUBMIT = "submit"
    """The labeler submits; detail: submission id, labels with their ordinals."""
    LATE = "late"
    """A submission after the end of the lease, which was not accepted; detail: submission id."""
    REVIEW = "review"
    """A review; detail: review id, verdict, current labels, each with its own verdict."""
    REOPEN = "reopen"
    """The task is to be labeled again, by another labeler."""
    CLOSE = "close"
    """The campaign is closed; detail: the number of gold tasks without a review, if any."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a campaign's log: position from 1 without gaps, time in microseconds since the Unix epoch, actor (pseudonym or None), detail."""

    seq: int
    at: int
    action: Action
    task: str | None
    who: str | None
    detail: Mapping[str, Any]


@dataclass(slots=True)
class _TaskHistory:
    """State of one task after the entries checked so far."""

    gold: bool
    holder: str | None = None
    role: str | None = None
    until: int = 0
    labeler: str | None = None
    submitted: bool = False
    reviewed: bool = False
    barred: set[str] = field(default_factory=set)
    ordinals: dict[int, int] = field(default_factory=dict)
    highest: int = 0


@dataclass(slots=True)
class _LogChecker:
    """Checks a log entry by entry and collects violations in `found`."""

    tasks: dict[str, _TaskHistory] = field(default_factory=dict)
    ids: set[str] = field(default_factory=set)
    holding: dict[tuple[str, str], str] = field(default_factory=dict)
    found: list[str] = field(default_factory=list)
    closed: bool = False
    time: int = 0

    def wrong(self, entry: Entry, what: str) -> None:
        self.found.append(f"entry {entry.seq} ({entry.action} of task {entry.task} by {entry.who}): {what}")

    def take(self, entry: Entry) -> None:
        """Check a log entry that follows the campaign's creation, and add a description of each rule that the entry violates to the list `found`."""
        if self.closed:
            self.wrong(entry, "it comes after the campaign was closed")
        if entry.at < self.time:
            self.wrong(entry, "its time lies before that of the entry before")
        self.time = max(self.time, entry.at)
        if entry.action is Action.CLOSE:
            self.closed = True
            left, stated = sum(task.gold and not task.reviewed for task in self.tasks.values()), entry.detail.get("gold_left", 0)
            if left != stated:
                self.wrong(entry, f"{left} gold tasks were not reviewed, and it says {stated}")
        elif entry.action is Action.TASK:
            if entry.task in self.tasks:
                self.wrong(entry, "the task stands twice")
            self.tasks[str(entry.task)] = _TaskHistory(bool(entry.detail.get("gold", False)))
        elif entry.task not in self.tasks:
            self.wrong(entry, "there is no such task")
        else:
            getattr(self, entry.action)(self.tasks[entry.task], entry)  # the rule of an action has its name

    def claim(self, task: _TaskHistory, entry: Entry) -> None:
        role = entry.detail["role"]
        if task.holder is not None:
            self.wrong(entry, f"{task.holder} holds it already")
        if role == "label" and task.submitted:
            self.wrong(entry, "it was labeled before")
        if role == "review" and not task.submitted:
            self.wrong(entry, "there is nothing to review")
        if role == "review" and entry.who == task.labeler:
            self.wrong(entry, "they labeled it themselves")
        if role == "label" and entry.who in task.barred:
            self.wrong(entry, "they refused it, or their labels of it were rejected")
        if entry.detail["until"] <= entry.at:
            self.wrong(entry, "its time ends before it begins")
        held = self.holding.get((str(entry.who), role))
        if held is not None:
            self.wrong(entry, f"they hold task {held} already")
        self.holding[str(entry.who), role] = str(entry.task)
        task.holder, task.role, task.until = entry.who, role, entry.detail["until"]

    def free(self, task: _TaskHistory) -> None:
        if task.holder is not None and task.role is not None:
            self.holding.pop((task.holder, task.role), None)
        task.holder, task.role = None, None

    def end_claim(self, task: _TaskHistory, entry: Entry, role: str) -> None:
        """Record a violation unless the entry's actor had claimed the task in this role and the claim's time had not run out; then end the claim."""
        if task.holder != entry.who or task.role != role:
            self.wrong(entry, f"{task.holder or 'nobody'} holds it")
        elif entry.at >= task.until:
            self.wrong(entry, "their time had run out")
        self.free(task)

    def timeout(self, task: _TaskHistory, entry: Entry) -> None:
        if task.holder != entry.who:
            self.wrong(entry, f"{task.holder or 'nobody'} holds it")
        elif entry.at < task.until:
            self.wrong(entry, "their time had not run out")
        self.free(task)

    def refuse(self, task: _TaskHistory, entry: Entry) -> None:
        self.end_claim(task, entry, "label")
        if not entry.detail["reason"]:
            self.wrong(entry, "it gives no reason")
        task.barred.add(str(entry.who))

    def once(self, entry: Entry, id_: str) -> None:
        """Record a violation if an earlier log entry used the same id of a submission or review."""
        if id_ in self.ids:
            self.wrong(entry, f"'{id_}' was taken before")
        self.ids.add(id_)

    def submit(self, task: _TaskHistory, entry: Entry) -> None:
        if task.submitted:
            self.wrong(entry, "it was labeled before")
        self.end_claim(task, entry, "label")
        self.once(entry, entry.detail["submission"])
        task.submitted, task.labeler = True, entry.who
        self.ordinals(task, entry, {})

    def review(self, task: _TaskHistory, entry: Entry) -> None:
        if task.holder is not None:
            self.end_claim(task, entry, "review")
        if not task.submitted or task.reviewed:
            self.wrong(entry, "there is nothing to review")
        if entry.who == task.labeler:
            self.wrong(entry, "they labeled it themselves")
        self.once(entry, entry.detail["review"])
        task.reviewed = True
        self.ordinals(task, entry, task.ordinals)

    def ordinals(self, task: _TaskHistory, entry: Entry, known: Mapping[int, int]) -> None:
        """Record a violation if a label reuses the number of another, or its revision is neither that in `known` (by label number) nor the next."""
        now: dict[int, int] = {}
        for label in entry.detail["labels"]:
            number, revision = label["ordinal"], label["revision"]
            if number in now or (number not in known and number <= task.highest):
                self.wrong(entry, f"the label number {number} stands for two labels")
            if revision - known.get(number, revision) not in {0, 1}:
                self.wrong(entry, f"the label number {number} leaves a revision out")
            now[number] = revision
        task.ordinals = now
        task.highest = max([task.highest, *now])

    def reopen(self, task: _TaskHistory, entry: Entry) -> None:
        if not task.reviewed:
            self.wrong(entry, "no review rejected it")
        task.barred.add(str(task.labeler))
        task.submitted, task.reviewed, task.labeler, task.ordinals = False, False, None, {}

    def late(self, task: _TaskHistory, entry: Entry) -> None:
        if task.holder == entry.who and task.role == "label" and entry.at < task.until:
            self.wrong(entry, "they held it, so it should have been taken")


def log_faults(entries: Iterable[Entry]) -> list[str]:
    """Return descriptions of all violations of the rules for a campaign's log, such as a gap or a late submission; empty for a valid log."""
    checker = _LogChecker()
    place = 0
    for place, entry in enumerate(entries, start=1):
        if entry.seq != place:
            checker.wrong(entry, f"expected place {place}: an entry is missing or stands twice")
        if place == 1:
            if entry.action is not Action.CREATE:
                checker.wrong(entry, "a log begins with the campaign's making")
        elif entry.action is Action.CREATE:
            checker.wrong(entry, "the campaign is made twice")
        if entry.action is not Action.CREATE:
            checker.take(entry)
    if place == 0:
        checker.found.append("the log is empty")
    return checker.found
