"""Stopping a build or a check, by Ctrl-C or by kill -9, stops the stage's own process with it, also one that does not want to end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from plugin_folder import write_distribution
from sqlalchemy import text

from tracecore.workspace import Workspace
from tracecore_lineage import Record
from tracecore_lineage.retention.recover import open_runs

STAGE = '''
"""A stage that does not end by itself."""
import os, signal, subprocess, time
from pathlib import Path

import tracecore as tc


class Endless(tc.Stage):
    """Write its process's id, and that of one that it started, and wait."""

    kind = tc.StageKind.TRAIN
    model = tc.Output("model", file="model.txt")

    class Params(tc.Params):
        deaf: bool = False
        told: str = os.environ.get("ENDLESS_TOLD", "")

    def run(self, context, params):
        if params.deaf or os.environ.get("ENDLESS_DEAF"):
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        told = Path(params.told)
        child = subprocess.Popen(["sleep", "600"])
        told.with_suffix(".part").write_text(f"{os.getpid()} {child.pid}")
        told.with_suffix(".part").rename(told)
        try:
            while True:
                time.sleep(0.05)
        finally:
            told.with_suffix(".ended").write_text("")


@tc.hookimpl
def tracecore_register_stages():
    return [Endless]
'''
BUILD = """
import sys
from pathlib import Path
from kernel_world import World
from plugin_folder import entry_points_of
from tracecore.plugins.host import PluginHost
from tracecore.workspace import Workspace

site, folder, told = map(Path, sys.argv[1:4])
world = World(Workspace.open(folder), PluginHost(entry_points_of(site)))
world.run("made", "train", "endless", told=str(told), deaf=sys.argv[4] == "deaf")
"""
CHECK = "from tracecore.commands.shell import main; main()"


def gone(pid: int) -> bool:
    """Whether a process has ended, reaped or not."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "Z"
    return True


def ended(record: Record) -> str:
    """Return what the last ABORT says."""
    with record.database.read() as connection:
        bodies = [json.loads(body) for body in connection.execute(text("SELECT body FROM ledger_event ORDER BY seq")).scalars()]
    assert bodies[-1]["eventType"] == "ABORT"
    return str(bodies[-1]["run"]["facets"]["errorMessage"]["message"])


def until(true: object, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not true():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("command", "how", "deaf"),
    [("build", "INT", False), ("build", "INT", True), ("build", "KILL", True), ("check", "INT", True), ("check", "KILL", True)],
)
def test_a_stage_ends_with_what_started_it(plugin_site: Path, tmp_path: Path, command: str, how: str, deaf: bool) -> None:
    write_distribution(plugin_site, "endless", STAGE)
    workspace = Workspace.create(tmp_path / "workspace", slug="test")
    told = tmp_path / "told"
    arguments = [BUILD, str(plugin_site), str(workspace.root), str(told), "deaf" if deaf else ""] if command == "build" else []
    process = subprocess.Popen(
        [sys.executable, "-c", *(arguments or [CHECK, "plugins", "check", "endless"])],
        env={
            **os.environ, "PYTHONPATH": os.pathsep.join([str(plugin_site), str(Path(__file__).parents[1])]), "ENDLESS_TOLD": str(told),
            "ENDLESS_DEAF": "1" if deaf else "", "TMPDIR": str(tmp_path),
        },
        stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    try:
        until(lambda: told.exists() or process.poll() is not None, 60)
        assert process.poll() is None, process.stderr.read()  # type: ignore[union-attr]
        pids = [int(each) for each in told.read_text(encoding="utf-8").split()]
        began = time.monotonic()
        process.send_signal(getattr(signal, f"SIG{how}"))
        process.wait(30)
        until(lambda: all(gone(pid) for pid in pids), 5)
        waited = time.monotonic() - began
    finally:
        process.kill()
        process.communicate()
    if command == "build":
        # One that is deaf has five seconds to end by itself, and is killed then; one that hears runs its `finally`.
        assert (waited > 4.5) is (deaf and how == "INT")
        assert told.with_suffix(".ended").exists() is (not deaf)
        with Record.open(workspace.root) as record:
            assert (len(open_runs(record.recorder)) == 1) is (how == "KILL")
            assert how == "KILL" or "was stopped: KeyboardInterrupt" in ended(record)
    else:
        assert waited < 4
