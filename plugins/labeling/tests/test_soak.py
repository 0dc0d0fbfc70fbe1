"""The soak: real processes on one queue, killed at random moments; and wrong queues that its judge must find out."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

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


def soak(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "wrong_queues.py").write_text(WRONG)
    command = [sys.executable, "-m", "tracecore_labeling.soak", "--folder", str(folder / "soak"), *options]
    environment = os.environ | {"PYTHONPATH": str(folder)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)


def test_nothing_is_lost_and_nothing_labeled_twice_though_workers_are_killed(tmp_path: Path) -> None:
    done = soak(tmp_path, "--labelers", "50", "--tasks", "300", "--processes", "3", "--kills", "6")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("soak ok: 50 labelers, 300 tasks, 3 processes, 6 kills, seed 7: ")
    assert "0 violations" in done.stdout
    assert done.stdout.count("\n") == 1
    again = soak(tmp_path, "--labelers", "50", "--tasks", "300", "--processes", "3", "--kills", "6")
    assert again.returncode == 0
    assert "0 kills" in again.stdout, "the same folder goes on where it stands, and nothing is left to do"


@pytest.mark.parametrize(
    ("queue", "words"),
    [("Forgetful", "was acknowledged as entry"), ("Hasty", "their time had not run out")],
)
def test_a_queue_that_breaks_its_word_is_found_out(tmp_path: Path, queue: str, words: str) -> None:
    done = soak(tmp_path, "--labelers", "20", "--tasks", "150", "--processes", "1", "--kills", "4", "--queue", f"wrong_queues:{queue}")
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stdout.startswith("soak failed")
    assert words in done.stderr
