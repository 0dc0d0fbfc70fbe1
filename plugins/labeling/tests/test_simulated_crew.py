"""Simulated labelers: killed at any moment, they go on as if they had not been; they refuse, come late, and review each other."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from campaign_world import tables

from tracecore_labeling.campaign.clock import SetClock, parse_time
from tracecore_labeling.campaign.label import Label
from tracecore_labeling.campaign.log import Action, Entry, log_faults
from tracecore_labeling.campaign.queue import Queue, Receipt
from tracecore_labeling.campaign.simulated_crew import Crew, Habits, overlap, reviewed, work
from tracecore_labeling.campaign.simulated_labels import Mistakes, truth_of
from tracecore_labeling.campaign.state import Settings, Stage, state_of
from tracecore_labeling.linking import recorded_frames

START = parse_time("2026-01-05T08:00:00Z")


class Killed(BaseException):
    """What no handler catches: the process is gone, and its transaction with it."""


class Mortal(Queue):
    """A queue whose process dies at some submission."""

    left = 10**9

    def submit(self, *args: Any, **kwargs: Any) -> Receipt:
        self.left -= 1
        if self.left < 0:
            raise Killed
        return super().submit(*args, **kwargs)


def campaign(path: Path, *, labelers: int = 5, refusal: float = 0.1, review: float = 0.3, kills: bool = False) -> list[Entry]:
    """Let a crew work a campaign to its end, over as many lives as it takes."""
    frames, table = tables(40)
    truth = truth_of(table)
    crew = Crew(7, labelers, START, truth, {}, Mistakes(0.03, 0.05, 0.05, 0.05, 0.05, 0.2, 1.0), Habits(refusal, 0.1))
    settings = Settings("c0ffee", "test", "v3", geometries=truth.geometries, categories=truth.classes, review=review, lease_seconds=600, seed=7)
    life = 0
    while True:
        clock = SetClock(START)
        queue = Mortal(path, clock)
        if kills:
            queue.left = 5 + 70 * life
        life += 1
        try:
            if not queue.exists():
                queue.create(settings, recorded_frames(frames))
            work(queue, clock, crew)
            return list(queue.entries())
        except Killed:
            continue
        finally:
            queue.close_file()


def test_a_killed_crew_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    whole = campaign(tmp_path / "whole.db")
    assert campaign(tmp_path / "killed.db", kills=True) == whole
    assert log_faults(whole) == []
    assert all(task.stage == Stage.DONE for task in state_of(whole).tasks.values())
    counts = Counter(entry.action for entry in whole)
    assert min(counts[action] for action in (Action.REFUSE, Action.LATE, Action.TIMEOUT, Action.REVIEW)) > 0


def test_tasks_that_everybody_refuses_stay_open(tmp_path: Path) -> None:
    entries = campaign(tmp_path / "campaign.db", labelers=2, refusal=0.9, review=0.0)
    state = state_of(entries)
    stuck = [task for task in state.tasks.values() if task.stage == Stage.OPEN]
    assert stuck
    assert all(len(task.barred) == 2 for task in stuck)
    assert log_faults(entries) == []


CAR = Label("box2d", "car", box=(10.0, 10.0, 20.0, 20.0), track="1")
SIGN = Label("box2d", "sign", box=(60.0, 10.0, 20.0, 20.0))
RED = Label("tag", "light_state", value="red")


@pytest.mark.parametrize(
    ("labels", "truth", "verdict", "after"),
    [
        ([CAR, RED], [CAR, RED], "accepted", []),
        ([], [CAR], "corrected", [(None, CAR)]),
        ([CAR, SIGN], [CAR], "corrected", [("0", CAR)]),
        ([Label("box2d", "sign", box=CAR.box, track="1")], [CAR], "corrected", [("0", CAR)]),
        ([Label("tag", "light_state", value="green")], [RED], "corrected", [("0", RED)]),
        ([Label("box2d", "sign", box=(80.0, 40.0, 5.0, 5.0))] * 4, [CAR], "rejected", []),
    ],
)
def test_a_careful_reviewer_puts_right_what_is_wrong(labels: list[Label], truth: list[Label], verdict: str, after: list[Any]) -> None:
    given = {str(number): label for number, label in enumerate(labels)}
    assert reviewed(given, truth, 1.0, np.random.default_rng(0)) == (verdict, after)
    assert reviewed(given, truth, 0.0, np.random.default_rng(0)) == ("accepted", []), "who doesn't look sees nothing"


def test_the_overlap_of_boxes() -> None:
    assert overlap((0, 0, 10, 10), (5, 0, 10, 10)) == pytest.approx(1 / 3)
    assert overlap((0, 0, 10, 10), (10, 0, 10, 10)) == 0
