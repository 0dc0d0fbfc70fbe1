"""Runs next to each other: threads and processes that want the same make it once, a live run is left alone, a killed one gives way."""

import os
import subprocess
import sys
import threading
import time

from kernel_world import World

from tracecore.system.locks import try_run
from tracecore_lineage.retention.recover import open_runs


def test_two_threads_that_want_the_same_make_it_once(world: World) -> None:
    halves = world.split(world.logs())
    outcomes = []
    threads = [threading.Thread(target=lambda: outcomes.append(world.model(halves, mode="slow"))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcome.reused for outcome in outcomes) == [False, True]
    assert len({outcome.run_id for outcome in outcomes}) == 1
    assert (0, 0, "another process makes the same: waiting for it") in world.told


def test_two_processes_that_build_the_same_make_nothing_twice(world: World) -> None:
    script = """
import sys
from pathlib import Path
from kernel_world import World
from tracecore.plugins.host import PluginHost
from tracecore.workspace import Workspace

world = World(Workspace.open(Path(sys.argv[1])), PluginHost.load())
halves = world.split(world.logs())
print(halves.run_id, world.model(halves, mode="slow").run_id)
"""
    paths = os.pathsep.join([str(world.base / "site"), *(path for path in sys.path if path.endswith("tests"))])
    environment = {**os.environ, "PYTHONPATH": paths, "TRACECORE_PLUGINS": "kernelworld"}
    command = [sys.executable, "-c", script, str(world.workspace.root)]
    processes = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    answers = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert answers[0] == answers[1]


def _staged(world: World) -> list[str]:
    """Wait for a stage that has begun to write."""
    until = time.monotonic() + 30
    while not (staged := [run for run in world.store.staged_runs() if any(world.store.staging(run).iterdir())]):
        assert time.monotonic() < until
        time.sleep(0.01)
    return staged


def test_a_live_run_holds_its_lock(world: World) -> None:
    halves = world.split(world.logs())
    thread = threading.Thread(target=lambda: world.model(halves, mode="slow"))
    thread.start()
    staged = _staged(world)
    with try_run(world.workspace.locks, staged[0]) as got:
        assert not got
    thread.join()
    assert not list(world.workspace.locks.glob("run-*"))


def test_a_killed_run_leaves_an_open_run_and_an_orphan_and_the_next_try_succeeds(world: World) -> None:
    halves = world.split(world.logs())
    child = os.fork()
    if child == 0:
        try:
            other = World(world.workspace, world.host)
            killer = threading.Thread(target=lambda: (_staged(other), os.kill(os.getpid(), 9)))
            killer.start()
            other.model(halves, mode="slow")
        finally:
            os._exit(99)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == 9
    [orphan] = world.store.staged_runs()
    assert [run.id for run in open_runs(world.record.recorder)] == [orphan]
    with try_run(world.workspace.locks, orphan) as got:
        assert got
    made = world.model(halves)
    assert not made.reused
    assert world.store.verify(made.outputs["model"]) == []
