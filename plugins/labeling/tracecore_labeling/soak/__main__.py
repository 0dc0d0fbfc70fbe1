"""Run a soak: start workers, kill them at random moments, start them again, and judge what is left."""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from dataclasses import fields
from pathlib import Path

import click

from tracecore_labeling.campaign.clock import WallClock
from tracecore_labeling.campaign.queue import Queue
from tracecore_labeling.soak.judge import judge
from tracecore_labeling.soak.scenario import Plan, frames_of, settings_of
from tracecore_labeling.soak.worker import Worker, queue_class

__all__ = ["command"]

_QUEUE = "tracecore_labeling.campaign.queue:Queue"
_LOOK_S = 0.05
_SHOWN = 10


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--labelers", default=1000, show_default=True, help="Simulated labelers.")
@click.option("--tasks", default=20000, show_default=True, help="Frames to be labeled.")
@click.option("--processes", default=4, show_default=True, help="Worker processes on one queue file.")
@click.option("--kills", default=20, show_default=True, help="How often a worker is killed (SIGKILL) and started again.")
@click.option("--seed", default=7, show_default=True, help="Decides what labelers do.")
@click.option("--folder", type=click.Path(path_type=Path, file_okay=False), help="Where the queue lies; the same folder again goes on.")
@click.option("--queue", default=_QUEUE, help="Queue class, module:Class; to see the judge find a wrong one.")
@click.option("--worker", type=int, default=None, hidden=True, help="Be this worker.")
def command(labelers: int, tasks: int, processes: int, kills: int, seed: int, folder: Path | None, queue: str, worker: int | None) -> None:
    """Let many labelers work one queue in real processes that are killed, then check that nothing is lost and nothing labeled twice.

    Prints one line; exits with 1 where anything is wrong.
    """
    plan = Plan(labelers, tasks, processes, kills, seed)
    if folder is None:
        with tempfile.TemporaryDirectory(prefix="tracecore-soak-") as scratch:
            sys.exit(_soak(Path(scratch), plan, queue))
    folder.mkdir(parents=True, exist_ok=True)
    if worker is not None:
        Worker(folder, plan, worker, queue).run()
        return
    sys.exit(_soak(folder, plan, queue))


def _soak(folder: Path, plan: Plan, queue: str) -> int:
    began = time.monotonic()
    campaign = queue_class(_QUEUE)(folder / "campaign.db", WallClock())
    if not campaign.exists():
        campaign.create(settings_of(plan), frames_of(plan))
    killed = _work(folder, plan, queue, campaign)
    verdict = judge(campaign, plan, folder)
    campaign.close_file()
    counts = ", ".join(f"{count} {what}" for what, count in sorted(verdict.counts.items()))
    seconds = time.monotonic() - began
    click.echo(
        f"soak {'failed' if verdict.violations else 'ok'}: {plan.labelers} labelers, {plan.tasks} tasks, {plan.processes} processes, {killed} kills, "
        f"seed {plan.seed}: {counts}; {len(verdict.violations)} violations; {seconds:.1f} s"
    )
    for violation in verdict.violations[:_SHOWN]:
        click.echo(violation, err=True)
    return 1 if verdict.violations else 0


def _work(folder: Path, plan: Plan, queue: str, campaign: Queue) -> int:
    """Keep the workers at work; kill one whenever so many tasks are done as chance decided; say how many kills there were."""
    chance = random.Random(plan.seed)  # noqa: S311  # when to kill, no secret
    done = campaign.counts()["done"]
    moments = [moment for moment in sorted(chance.uniform(0, 0.95) * plan.tasks for _ in range(plan.kills)) if moment >= done]
    workers = {number: _start(folder, plan, queue, number) for number in range(plan.processes)}
    killed = 0
    try:
        while any(process.poll() is None for process in workers.values()):
            time.sleep(_LOOK_S)
            done = campaign.counts()["done"]
            while killed < len(moments) and done >= moments[killed]:
                time.sleep(chance.uniform(0, _LOOK_S))
                number = chance.randrange(plan.processes)
                workers[number].kill()
                workers[number].wait()
                killed += 1
                workers[number] = _start(folder, plan, queue, number)
        failed = [number for number, process in workers.items() if process.returncode != 0]
        if failed:
            raise click.ClickException(f"The workers {failed} ended with an error of their own.")
    finally:
        for process in workers.values():
            process.kill()
            process.wait()
    return killed


def _start(folder: Path, plan: Plan, queue: str, number: int) -> subprocess.Popen[bytes]:
    asked = [
        f"--{field.name}={getattr(plan, field.name)}" for field in fields(plan) if field.name in {"labelers", "tasks", "processes", "kills", "seed"}
    ]
    command_line = [sys.executable, "-m", "tracecore_labeling.soak", *asked, f"--folder={folder}", f"--queue={queue}", f"--worker={number}"]
    return subprocess.Popen(command_line)  # noqa: S603  # this program again, with its own arguments


if __name__ == "__main__":
    command()
