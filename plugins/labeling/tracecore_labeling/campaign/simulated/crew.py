"""Simulated labelers at work on a queue: who does what when, by a seeded clock.

What each is about is kept in the queue's file, in the same transaction as what they did. So work that was killed goes on as if it had not been.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tracecore.errors import UsageError
from tracecore_labeling.campaign.clock import SECOND, SetClock
from tracecore_labeling.campaign.people import simulated_pseudonym
from tracecore_labeling.campaign.queue import Claim, Queue
from tracecore_labeling.campaign.simulated.mistakes import Mistakes, Place, drawn_labels, generator, skill_of
from tracecore_labeling.campaign.simulated.reviewer import reviewed
from tracecore_labeling.campaign.simulated.truth import Truth
from tracecore_schemas.canonical import JSON

__all__ = ["Crew", "Habits", "work"]

_NAP = 300 * SECOND  # until somebody who found nothing to do asks again
_STEPS = 64  # actions in one transaction: what a kill makes the crew do again
_REASONS = ("too dark to tell", "image damaged", "guideline does not say", "too many objects for the time given")


@dataclass(frozen=True, slots=True)
class Habits:
    """How labelers work.

    Attributes:
        refusal: share of the claimed tasks that are given back with a reason.
        late: share that are handed in after their time has run out.
        care: share of the mistakes that a reviewer notices.
        seconds: least and greatest time for a task.
    """

    refusal: float
    late: float
    care: float = 0.9
    seconds: tuple[float, float] = (20.0, 120.0)


@dataclass(frozen=True, slots=True)
class Crew:
    """Everybody who works on a campaign, and what they see.

    Attributes:
        seed: decides everything.
        size: how many labelers.
        start: when they begin, microseconds since the Unix epoch.
        truth: what they look at.
        darkness: of each frame, 0 to 1.
        mistakes: what they get wrong.
        habits: how they work.
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
        """Their pseudonyms."""
        return [simulated_pseudonym(self.seed, number) for number in range(self.size)]


def work(queue: Queue, clock: SetClock, crew: Crew, told: Callable[[int], None] | None = None) -> None:
    """Let a crew work until nobody finds anything more to do.

    Args:
        queue: the campaign, whose clock is `clock`.
        clock: is set to the time of each action.
        crew: who works.
        told: is told how many tasks are done, now and then.
    """
    abouts = queue.workers()
    names = crew.names
    if not abouts:
        abouts = {who: {"at": crew.start + number * 7 * SECOND} for number, who in enumerate(names)}
        with queue.transaction():
            for who, about in abouts.items():
                queue.keep_worker(who, about)
    order = {who: number for number, who in enumerate(names)}
    heap = [(about["at"], order[who], who) for who, about in abouts.items()]
    heapq.heapify(heap)
    resting: set[str] = set()
    while heap and len(resting) < len(names):
        with queue.transaction():
            changed: dict[str, dict[str, JSON]] = {}
            for _ in range(_STEPS):
                at, _, who = heapq.heappop(heap)
                clock.time = at
                about = _step(queue, crew, who, abouts[who], at)
                if about.get("rests"):
                    resting.add(who)
                else:
                    resting.clear()
                abouts[who] = changed[who] = about
                heapq.heappush(heap, (about["at"], order[who], who))
                if len(resting) == len(names):
                    break
            for who, about in changed.items():
                queue.keep_worker(who, about)
        if told is not None:
            told(queue.counts()["done"])


def _step(queue: Queue, crew: Crew, who: str, about: Mapping[str, Any], at: int) -> dict[str, Any]:
    """Let one labeler do the next thing; give what they are about then."""
    if "task" in about:
        return _finish(queue, crew, who, about, at)
    claim = queue.claim(who, role="review") or queue.claim(who)
    if claim is None:
        return {"at": at + _NAP, "rests": not _anybody_busy(queue)}
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
    truth = crew.truth.labels.get(frame.frame_id, ())
    place = Place(frame, crew.darkness.get(frame.frame_id, 0.0))
    if role == "review":
        claim = queue.held(who)
        assert isinstance(claim, Claim)  # a review's end lies before its time runs out
        verdict, after = reviewed(claim.labels, truth, crew.habits.care, rng)
        queue.review(task, who, f"review-{task}-{at}", verdict, after)
        return free
    labels = drawn_labels(truth, place, crew.truth, crew.mistakes, skill_of(crew.seed, who), rng)
    try:
        queue.submit(task, who, f"{task}-{who}-{at}", labels)
    except UsageError:
        # Their time had run out: the queue's log says so, and the task is somebody else's by now.
        return free
    return free


def _anybody_busy(queue: Queue) -> bool:
    counts = queue.counts()
    return counts["claimed"] + counts["reviewing"] > 0
