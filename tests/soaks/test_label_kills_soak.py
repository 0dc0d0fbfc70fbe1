"""A share of the soak that kills labeling workers, and its judge, which finds wrong queues."""

from __future__ import annotations

from pathlib import Path

import pytest
from label_kills import LabelKills
from registry import SOAKS

WRONG = '''
"""Queues that break their word."""

from contextlib import contextmanager

from tracecore_labeling.campaign.queue import Queue


class Forgetful(Queue):
    """Acknowledges everything, and takes every tenth change back."""

    changes = 0

    @contextmanager
    def transaction(self):
        if self._inside:
            yield
            return
        with super().transaction():
            yield
            self.changes += 1
            if self.changes % 10 == 0:
                self._db.execute("ROLLBACK")
                self._db.execute("BEGIN IMMEDIATE")


class Hasty(Queue):
    """Takes a task from whoever holds it before their time has run out."""

    def claim(self, who, *, role="label", task=None):
        with self._action():
            other = "SELECT task FROM tasks WHERE stage = 'claimed' AND labeler != ? LIMIT 1"
            self._db.execute(f"UPDATE tasks SET until = 1 WHERE task = ({other})", (who,))
        return super().claim(who, role=role, task=task)
'''


def test_nothing_is_lost_and_nothing_labeled_twice_though_workers_are_killed(tmp_path: Path) -> None:
    with LabelKills(labelers=50, tasks=300, processes=3, kills=6).trials(tmp_path) as attempt:
        trial = attempt(7)
    assert trial.broken == ()
    assert trial.counts["kills"] == 6
    assert trial.counts["acknowledged"] >= 300
    assert not list(tmp_path.iterdir()), "a trial leaves nothing"


@pytest.mark.parametrize(
    ("queue", "words"),
    [("Forgetful", "was acknowledged as entry"), ("Hasty", "their time had not run out")],
)
def test_a_queue_that_breaks_its_word_is_found_out(tmp_path: Path, queue: str, words: str) -> None:
    (tmp_path / "wrong_queues.py").write_text(WRONG)
    wrong = LabelKills(labelers=20, tasks=150, processes=1, kills=4, queue=f"wrong_queues:{queue}", path=(str(tmp_path),))
    with wrong.trials(tmp_path) as attempt:
        assert any(words in violation for violation in attempt(7).broken)


def test_the_full_count_is_the_promised_one() -> None:
    assert (SOAKS["labeling"].full, SOAKS["labeling"].unit) == (1, "campaigns of 20,000 tasks and 20 kills")
