"""Simulated labelers and reviewers that work on a queue with a seeded clock.

Each member's state is stored in the campaign's file in the same transaction as their actions, so that a killed run continues where it stopped.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from tracecore.errors import UsageError
from tracecore_labeling.campaign.clock import SECOND, SetClock
from tracecore_labeling.campaign.label import Label
from tracecore_labeling.campaign.queue import Claim, Queue
from tracecore_labeling.campaign.simulated_labels import Mistakes, Truth, drawn_labels, generator, skill_of
from tracecore_labeling.provenance import simulated_pseudonym
from tracecore_schemas.canonical import JSON

__all__ = ["Crew", "Habits", "overlap", "reviewed", "work"]

_SAME_OBJECT = 0.3  # least overlap of boxes of one object
_GOOD_BOX = 0.7  # least overlap that a reviewer accepts
_GOOD_PATH_M = 0.5
_TOO_MANY = 0.5  # share of mistakes above which a task is rejected
_FEW = 3  # labels: a task with so few is never rejected


def reviewed(
    labels: Mapping[str, Label], truth: Sequence[Label], care: float, rng: np.random.Generator
) -> tuple[str, list[tuple[str | None, Label]]]:
    """Return a simulated reviewer's (verdict, labels): accepted, corrected or rejected; all labels after a correction, otherwise none.

    Each returned label has the id of the submitted label that it keeps or changes, None if it is new. `labels` are the submitted labels by id,
    `truth` the true labels of the frame. `care` is the chance that the reviewer notices a mistake.
    """
    left = list(truth)
    after: list[tuple[str | None, Label]] = []
    noticed = 0
    for id_, label in labels.items():
        true = _best(label, left)
        if true is not None:
            left.remove(true)
        right = true is not None and _is_accepted(label, true)
        if right or rng.random() >= care:
            after.append((id_, label))
            continue
        noticed += 1
        if true is not None:
            after.append((id_, true))
    for true in left:
        if rng.random() < care:
            noticed += 1
            after.append((None, true))
    if not noticed:
        return "accepted", []
    if len(labels) > _FEW and noticed > _TOO_MANY * max(len(labels), len(truth)):
        return "rejected", []
    return "corrected", after


def overlap(a: Sequence[float], b: Sequence[float]) -> float:
    """Return the intersection over union of two boxes (x, y, width, height)."""
    wide = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    high = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    if wide <= 0 or high <= 0:
        return 0.0
    return wide * high / (a[2] * a[3] + b[2] * b[3] - wide * high)


def _best(label: Label, truth: Sequence[Label]) -> Label | None:
    """Return the true label that matches `label`: by category for a path or tag, by track for a tracked object, else by IoU; None without a match."""
    same = [each for each in truth if each.geometry == label.geometry]
    if label.geometry in {"path", "tag"}:
        return next((each for each in same if each.category == label.category), None)
    if label.track is not None:
        return next((each for each in same if each.track == label.track), None)
    if label.box is None:
        return None
    scored = [(overlap(label.box, each.box), place) for place, each in enumerate(same) if each.box is not None]
    best, place = max(scored, default=(0.0, 0))
    return same[place] if best >= _SAME_OBJECT else None


def _is_accepted(label: Label, true: Label) -> bool:
    if (label.category, label.value, label.ignore) != (true.category, true.value, true.ignore):
        return False
    if label.box is not None and true.box is not None:
        return overlap(label.box, true.box) >= _GOOD_BOX
    if label.path is not None and true.path is not None:
        return bool(np.abs(np.subtract(label.path, true.path)).max() <= _GOOD_PATH_M)
    if label.cuboid is not None and true.cuboid is not None:
        a, b = np.array(label.cuboid), np.array(true.cuboid)
        return bool((np.abs(a[:3] - b[:3]) <= 0.25 * b[7:10]).all())
    return True


_NAP = 300 * SECOND  # until an idle labeler asks again
_STEPS = 64  # actions in one transaction, which are repeated after a kill
_REASONS = ("too dark to tell", "image damaged", "guideline does not say", "too many objects for the time given")


@dataclass(frozen=True, slots=True)
class Habits:
    """Behavior of simulated labelers: shares of claims refused and submitted `late`.

    Attributes:
        care: share of mistakes that a reviewer notices.
        seconds: shortest and longest time for a task.
    """

    refusal: float
    late: float
    care: float = 0.9
    seconds: tuple[float, float] = (20.0, 120.0)


@dataclass(frozen=True, slots=True)
class Crew:
    """Simulated labelers of a campaign, and the truth they label from.

    Attributes:
        start: microseconds since the Unix epoch.
        darkness: by frame id, 0 to 1.
    """

    seed: int
    size: int
    start: int
    truth: Truth
    darkness: Mapping[str, float]
    mistakes: Mistakes
    habits: Habits

    @property
    def names(self) -> Sequence[str]:
        """Pseudonyms of the crew's simulated labelers."""
        return [simulated_pseudonym(self.seed, number) for number in range(self.size)]


def work(queue: Queue, clock: SetClock, crew: Crew, report: Callable[[int], None] | None = None) -> None:
    """Simulate the crew's labeling and reviewing of the queue's tasks until no member has a task or finds one to claim.

    The queue must use `clock`, which is set to the time of each action; `report` is called with the number of done tasks.
    """
    states = queue.workers()
    names = crew.names
    if not states:
        states = {who: {"at": crew.start + number * 7 * SECOND} for number, who in enumerate(names)}
        with queue.transaction():
            for who, about in states.items():
                queue.keep_worker(who, about)
    order = {who: number for number, who in enumerate(names)}
    heap = [(about["at"], order[who], who) for who, about in states.items()]
    heapq.heapify(heap)
    resting: set[str] = set()
    while heap and len(resting) < len(names):
        with queue.transaction():
            changed: dict[str, dict[str, JSON]] = {}
            for _ in range(_STEPS):
                at, _, who = heapq.heappop(heap)
                clock.time = at
                about = _step(queue, crew, who, states[who], at)
                if about.get("rests"):
                    resting.add(who)
                else:
                    resting.clear()
                states[who] = changed[who] = about
                heapq.heappush(heap, (about["at"], order[who], who))
                if len(resting) == len(names):
                    break
            for who, about in changed.items():
                queue.keep_worker(who, about)
        if report is not None:
            report(queue.counts()["done"])


def _step(queue: Queue, crew: Crew, who: str, about: Mapping[str, Any], at: int) -> dict[str, Any]:
    """Perform the action of labeler `who` at time `at` (µs) in their state `about`. Return their new state, with the next action and its time."""
    if "task" in about:
        return _finish(queue, crew, who, about, at)
    claim = queue.claim(who, role="review") or queue.claim(who)
    if claim is None:
        counts = queue.counts()
        return {"at": at + _NAP, "rests": counts["claimed"] + counts["reviewing"] == 0}
    rng = generator(crew.seed, who, claim.task, claim.until)
    took = int(rng.uniform(*crew.habits.seconds) * SECOND)
    refuses, comes_late = rng.random(2)
    if claim.role == "review":
        return {"at": min(at + took // 2, claim.until - 1), "task": claim.task, "role": "review"}
    if refuses < crew.habits.refusal:
        return {"at": min(at + took // 4, claim.until - 1), "task": claim.task, "role": "refuse"}
    if comes_late < crew.habits.late:
        return {"at": claim.until + took, "task": claim.task, "role": "label"}
    return {"at": min(at + took, claim.until - 1), "task": claim.task, "role": "label"}


def _finish(queue: Queue, crew: Crew, who: str, about: Mapping[str, Any], at: int) -> dict[str, Any]:
    task, role = about["task"], about["role"]
    rng = generator(crew.seed, who, task, at)
    free = {"at": at + int(rng.uniform(1, 10) * SECOND)}
    if role == "refuse":
        queue.refuse(task, who, _REASONS[rng.integers(len(_REASONS))])
        return free
    frame = queue.frame(task)
    if role == "review":
        claim = queue.held(who)
        assert isinstance(claim, Claim)  # a review's end lies before its time runs out
        verdict, after = reviewed(claim.labels, crew.truth.labels.get(frame.frame_id, ()), crew.habits.care, rng)
        queue.review(task, who, f"review-{task}-{at}", verdict, after)
        return free
    labels = drawn_labels(frame, crew.darkness.get(frame.frame_id, 0.0), crew.truth, crew.mistakes, skill_of(crew.seed, who), rng)
    with suppress(UsageError):  # the lease had ended; the queue has logged it
        queue.submit(task, who, f"{task}-{who}-{at}", labels)
    return free
