"""docs/plugins.md leads from nothing to an installed, checked and used plugin: its commands are run here, in order, as they are there."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from markdown_pages import ROOT, blocks

import tracecore as tc
from tracecore.testing import RULES, Sample
from tracecore_lineage import Record
from tracecore_schemas.kinds import StageKind

PAGE = "docs/plugins.md"
TEXT = (ROOT / PAGE).read_text(encoding="utf-8")


def block(language: str, words: str) -> str:
    """The one block of the page that holds some words."""
    [found] = [each for each in blocks(PAGE, language) if words in each]
    return found


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment that sees this one's packages, into which plugins can be installed."""
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True, timeout=120)
    found = folder / "bin" / "python"
    asked = subprocess.run([found, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], check=True, capture_output=True, text=True)
    here = sysconfig.get_path("purelib")
    (Path(asked.stdout.strip()) / "parent.pth").write_text(f"import site; site.addsitedir({here!r})\n", encoding="utf-8")
    return found


def meant(words: list[str], python: Path) -> list[str]:
    """Turn a command of the page into what it is in the test's environment: no network, no packages but those that are here."""
    match words:
        case ["pip", "install", *rest]:
            pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--disable-pip-version-check"]
            return [*pip, "--no-build-isolation", "--no-deps", "--no-index", *rest]
        case ["pytest", *rest]:
            return [str(python), "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider", *rest]
        case ["tracecore", *rest]:
            return [str(python), "-m", "tracecore", *rest]
    raise AssertionError(f"the page has a command that this test can't run: {words}")


def test_the_page_leads_from_nothing_to_a_traced_build(python: Path, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    environment["TRACECORE_HOME"] = str(tmp_path / ".tracecore")
    (tmp_path / "mine.yaml").write_text(block("yaml", "plugin: dark-frames"), encoding="utf-8")
    said: dict[str, str] = {}
    for script in (block("sh", "tracecore plugins new"), block("sh", "tracecore build mine-1")):
        for line in script.splitlines():
            command = meant(shlex.split(line), python)
            ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False)
            assert ran.returncode == 0, (line, ran.stdout[-3000:], ran.stderr[-3000:])
            said[line] = ran.stdout
    assert "2 passed" in said["pytest dark-frames"]
    assert "✗" not in said["tracecore plugins check dark-frames"]
    assert all(rule in said["tracecore plugins check dark-frames"] for rule in RULES)
    assert "dataset/mine.dark@" in said["tracecore trace build/mine-1"]
    with Record.open(tmp_path / ".tracecore") as record:
        runs = record.trace("build/mine-1")["runs"]
    assert ("mine.dark", "dark-frames", "0.1.0") in {(run["job"], run["plugin"], run["plugin_version"]) for run in runs}
    assert "made by" in said["tracecore show dataset/mine.dark"]


def test_the_page_lists_the_rules_and_kinds_as_they_are() -> None:
    table = dict(re.findall(r"^\| `([a-z]+)` \| (.+) \|$", TEXT[TEXT.index("## The contract") :], re.MULTILINE))
    assert table == RULES
    kinds = re.search(r"`--kind` chooses the stage's kind \(([^;]+);", TEXT)
    assert kinds is not None
    assert re.findall(r"`(\w+)`", kinds[1]) == [kind.value for kind in StageKind]


def test_the_samples_and_the_exporter_of_the_page_work(tmp_path: Path) -> None:
    samples, names = ModuleType("samples"), ModuleType("names")
    exec(compile(block("python", "def tracecore_samples"), PAGE, "exec"), samples.__dict__)
    given: Callable[[str, Path], Sample | None] = samples.tracecore_samples
    assert given("other", tmp_path) is None
    sample = given("night-logs", tmp_path)
    assert sample is not None
    assert Path(sample.params["paths"][0]).is_file()
    exec(compile(block("python", "class Names"), PAGE, "exec"), names.__dict__)
    [exporter] = names.tracecore_register_exporters()
    exporter.export({"nodes": [{"name": "a"}, {"name": "b"}]}, {}, tmp_path / "out")
    assert (tmp_path / "out").read_text(encoding="utf-8") == "a\nb"


def test_the_observer_of_the_page_tells_of_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    module = ModuleType("observer")
    exec(compile(block("python", "def tracecore_run_finished"), PAGE, "exec"), module.__dict__)
    from tracecore_schemas.kinds import RunState

    module.tracecore_run_finished(tc.RunSummary("1", "demo.model", "train", "torch", RunState.FAIL, error="loss is nan"))
    assert json.dumps(capsys.readouterr().out) == json.dumps("demo.model failed: loss is nan\n")
