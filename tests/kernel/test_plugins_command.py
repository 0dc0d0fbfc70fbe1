"""`tracecore plugins`: what is installed by pip is found, what is broken is named."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from night_plugin_source import GOOD
from pydantic import BeforeValidator

from tracecore.commands.plugins import _type_name

PROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "tracecore-{name}"
version = "0.3"
[project.entry-points.tracecore]
{name} = "tracecore_{name}"
[tool.hatch.build.targets.wheel]
only-include = ["tracecore_{name}.py"]
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two plugins in directories of their own, installed by pip: one good, one whose import raises SystemExit."""
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("plugins")
    for name, source in (("night", GOOD), ("leaving", "raise SystemExit('I am leaving')\n")):
        (folder / name).mkdir()
        (folder / name / "pyproject.toml").write_text(PROJECT.format(name=name))
        (folder / name / f"tracecore_{name}.py").write_text(source)
    target = folder / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--disable-pip-version-check", "--no-index"]
    subprocess.run([*pip, "--target", str(target), str(folder / "night"), str(folder / "leaving")], check=True, capture_output=True)
    return target


def tracecore(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(site), "TRACECORE_PLUGINS": "night,leaving"}
    return subprocess.run([sys.executable, "-m", "tracecore", *arguments], env=environment, capture_output=True, text=True, check=False)


def test_plugins_list_shows_what_each_brings_and_names_the_broken_with_their_error(site: Path) -> None:
    answer = tracecore(site, "plugins", "list")
    assert answer.returncode == 0, answer.stderr
    # One line each, whole: names are searched for and copied, whatever the terminal's width.
    assert "night  tracecore-night 0.3\n  stages     curate night-frames\n" in answer.stdout
    assert "broken leaving (tracecore-leaving 0.3): SystemExit: I am leaving" in answer.stdout
    whole = json.loads(tracecore(site, "plugins", "list", "--json").stdout)
    [night] = whole["plugins"]
    assert (night["name"], night["distribution"], night["version"]) == ("night", "tracecore-night", "0.3")
    assert night["stages"] == [{"kind": "curate", "name": "night-frames"}]
    assert night["gates"] == ["approved"]
    assert whole["broken"] == [{"name": "leaving", "distribution": "tracecore-leaving", "version": "0.3", "error": "SystemExit: I am leaving"}]


def test_plugins_show_describes_one_plugin(site: Path) -> None:
    shown = json.loads(tracecore(site, "plugins", "show", "night", "--json").stdout)
    [stage] = shown["stages"]
    assert stage["qualified_name"] == "night/night-frames"
    assert stage["inputs"] == [{"name": "frames", "kind": "dataset", "table": None, "description": "", "optional": False, "use": None}]
    plain = tracecore(site, "plugins", "show", "night")
    assert "Keep dark frames." in plain.stdout
    assert "gate approved  Somebody signed [/m] it.\n" in plain.stdout


@pytest.mark.parametrize(
    ("annotation", "name"),
    [
        (int, "int"),
        (float | None, "float | None"),
        (tuple[str, ...], "tuple[str, ...]"),
        (Literal["a", "b"], "Literal['a', 'b']"),
        (dict[str, Annotated[tuple[str, ...], BeforeValidator(str)]], "dict[str, tuple[str, ...]]"),
        (Annotated[list[Any], BeforeValidator(str)] | None, "list[Any] | None"),
    ],
)
def test_a_parameters_type_is_written_without_what_validates_it(annotation: Any, name: str) -> None:
    assert _type_name(annotation) == name


def test_plugins_show_says_why_a_plugin_can_not_be_shown(site: Path) -> None:
    broken = tracecore(site, "plugins", "show", "leaving")
    assert (broken.returncode, broken.stderr) == (1, "Error: The plugin 'leaving' of tracecore-leaving can't be used: SystemExit: I am leaving.\n")
    unknown = tracecore(site, "plugins", "show", "nigth")
    assert (unknown.returncode, unknown.stderr) == (2, "Error: No plugin 'nigth' is installed. Did you mean 'night'?\n")


def test_the_help_works_beside_a_broken_plugin(site: Path) -> None:
    answer = tracecore(site, "--help")
    assert answer.returncode == 0
    assert "plugins" in answer.stdout
