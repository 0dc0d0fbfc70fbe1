"""Making again what is there costs what the program names once: counted in calls at N drives or assets and at 4N, not in seconds."""

from __future__ import annotations

import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from counting import calls
from toy_plugin import write_drives

from tracecore.plugins.host import PluginHost
from tracecore.workspace import Workspace
from tracecore_assets.resolve import load_program
from tracecore_assets.run.session import Session

FEW, MANY = 4, 16
_SLACK = 1.1
HEAD = "type: tracecore_assets.VehicleProgram\nattributes:\n  name: toy\n  assets:\n"
DRIVES = "    drives: {stage: ingest, plugin: toy-ingest, params: {paths: [drives]}}\n"


def all_of(program: Path, workspace: Workspace, *, reused: bool) -> None:
    """Ensure every asset of a program, as the steps of a build do."""
    host = PluginHost.load()
    session = Session(load_program(program, host=host), workspace, host, run=str(uuid.uuid4()))
    try:
        for asset in session.program.assets:
            assert session.ensure(asset.name).reused is reused
    finally:
        session.close()


def counted(project: Any, folder: Path, program: str, drives: int) -> int:
    """Count the calls of a build in which nothing is new."""
    folder.mkdir()
    made = replace(project, folder=folder)
    write_drives(folder / "drives", **{f"d{number}": "1 2" for number in range(drives)})
    path = made.write(program)
    workspace = Workspace.create(made.workspace)
    for reused in (False, True):
        all_of(path, workspace, reused=reused)
    return calls(lambda: all_of(path, workspace, reused=True))


def test_four_times_the_drives_cost_four_times_the_calls_at_most(project: Any, tmp_path: Path) -> None:
    few, many = (counted(project, tmp_path / str(number), HEAD + DRIVES, number) for number in (FEW, MANY))
    assert many <= few * MANY / FEW * _SLACK


@pytest.mark.parametrize("chained", [False, True])
def test_four_times_the_assets_cost_four_times_the_calls_at_most(project: Any, tmp_path: Path, chained: bool) -> None:
    """Side by side on one output, or each upon the one before it."""

    def program(count: int) -> str:
        read = ["drives.frames", *(f"s{number}.train" if chained else "drives.frames" for number in range(count - 1))]
        return HEAD + DRIVES + "".join(f"    s{n}: {{stage: curate, plugin: toy-split, inputs: {{frames: {each}}}}}\n" for n, each in enumerate(read))

    few, many = (counted(project, tmp_path / str(number), program(number), 2) for number in (FEW, MANY))
    assert many <= few * MANY / FEW * _SLACK
