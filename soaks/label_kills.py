"""A labeling campaign worked by real processes that are killed at random moments: nothing is lost, and nothing is labeled twice."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from label_judge import judge
from label_plan import Plan, frames_of, settings_of
from trials import Trial, Try

from tracecore_labeling.campaign.clock import WallClock
from tracecore_labeling.campaign.queue import Queue

__all__ = ["LabelKills"]

_POLL_S = 0.05


class LabelKills:
    """Each trial is a campaign of its own, whose worker processes are killed and started again while they work.

    Args:
        labelers: simulated labelers.
        tasks: frames to label.
        processes: worker processes on one queue file.
        kills: how often a worker is killed (SIGKILL) and started again.
        queue: the queue class of the workers, as `module:Class`; for tests of the judge.
        path: folders that the workers add to `sys.path` to find that class.
    """

    name = "labeling"
    unit = "campaigns of 20,000 tasks and 20 kills"
    full = 1

    def __init__(
        self,
        labelers: int = 1_000,
        tasks: int = 20_000,
        processes: int = 4,
        kills: int = 20,
        queue: str = "tracecore_labeling.campaign.queue:Queue",
        path: tuple[str, ...] = (),
    ) -> None:
        self._sizes = (labelers, tasks, processes, kills)
        self._worker = {"queue": queue, "path": path}

    @contextmanager
    def trials(self, folder: Path) -> Iterator[Try]:
        yield lambda number: self._trial(Plan(*self._sizes, seed=number), folder / f"campaign{number}")

    def _trial(self, plan: Plan, folder: Path) -> Trial:
        folder.mkdir()
        campaign = Queue(folder / "campaign.db", WallClock())
        campaign.create(settings_of(plan), frames_of(plan))
        killed = self._work(folder, plan, campaign)
        verdict = judge(campaign, plan, folder)
        campaign.close_file()
        shutil.rmtree(folder)
        return Trial(plan.seed, verdict.violations, {**verdict.counts, "kills": killed})

    def _work(self, folder: Path, plan: Plan, campaign: Queue) -> int:
        """Keep the workers running, kill one each time a random number of tasks is done, and return the number of kills."""
        chance = random.Random(plan.seed)
        moments = sorted(chance.uniform(0, 0.95) * plan.tasks for _ in range(plan.kills))
        workers = {number: self._start(folder, plan, number) for number in range(plan.processes)}
        killed = 0
        try:
            while any(process.poll() is None for process in workers.values()):
                time.sleep(_POLL_S)
                done = campaign.counts()["done"]
                while killed < len(moments) and done >= moments[killed]:
                    time.sleep(chance.uniform(0, _POLL_S))
                    number = chance.randrange(plan.processes)
                    workers[number].kill()
                    workers[number].wait()
                    killed += 1
                    workers[number] = self._start(folder, plan, number)
            failed = [number for number, process in workers.items() if process.returncode != 0]
            if failed:
                raise RuntimeError(f"The workers {failed} ended with an error of their own.")
        finally:
            for process in workers.values():
                process.kill()
                process.wait()
        return killed

    def _start(self, folder: Path, plan: Plan, number: int) -> subprocess.Popen[bytes]:
        order = {"plan": asdict(plan), "folder": str(folder), "number": number, **self._worker}
        return subprocess.Popen([sys.executable, str(Path(__file__).with_name("label_worker.py")), json.dumps(order)])
