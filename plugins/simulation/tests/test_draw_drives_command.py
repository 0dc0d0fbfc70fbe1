"""The command `tracecore draw-drives`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import Result

from tracecore.testing.worlds import load_host, run_command


def _run(*arguments: str) -> Result:
    return run_command("draw-drives", *arguments)


def test_the_plugin_brings_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACECORE_PLUGINS", "simulation")
    assert "draw-drives" in load_host().commands


def test_it_draws_drives_and_names_them(tmp_path: Path) -> None:
    folder = tmp_path / "drawn"
    result = _run(str(folder), "--drives", "2", "--frames", "2", "--size", "96x64")
    assert result.exit_code == 0, result.output
    assert "Drew 2 drives with 4 frames" in result.stdout
    assert sorted(path.name for path in folder.iterdir()) == ["labels.coco.json", "stuttgart-day.mcap", "yokohama-night.mcap"]


def test_its_answer_can_be_read_by_a_program(tmp_path: Path) -> None:
    result = _run(str(tmp_path), "--drives", "1", "--frames", "1", "--size", "96x64", "--json")
    answer = json.loads(result.stdout)
    assert answer["frames"] == 1
    assert answer["drives"] == [str(tmp_path / "stuttgart-day.mcap")]


def test_a_size_that_is_none_is_refused(tmp_path: Path) -> None:
    result = _run(str(tmp_path), "--size", "large")
    assert result.exit_code == 2
    assert "expected WIDTHxHEIGHT in pixels, as 480x270, found 'large'" in result.stderr
    assert not list(tmp_path.iterdir())


def test_its_help_shows_an_example() -> None:
    assert "tracecore build first --program recorded --drives drawn" in _run("--help").stdout
