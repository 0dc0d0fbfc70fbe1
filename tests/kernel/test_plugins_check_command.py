"""`tracecore plugins check`: a table for people, JSON for machines, and an exit code."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from plugin_folder import write_distribution

from tracecore.commands.shell import cli

SOURCE = '''
"""A plugin with one stage."""

import tracecore as tc


class Small(tc.Stage):
    """Make something."""

    kind = tc.StageKind.SIMULATE
    name = "small"
    drives = tc.Output("drive_log", description="one file")

    class Params(tc.Params):
        text: str = tc.Field("hello", description="what to write")
        loud: bool = tc.Field(False)

    def run(self, context, params):
        (context.path(self.drives) / "drive.txt").write_text(params.text)


@tc.hookimpl
def tracecore_register_stages():
    return [Small]
'''
SAMPLES = """
from tracecore.testing import Sample


def tracecore_samples(stage, folder):
    return Sample(not_here="needs a wind tunnel")
"""


@pytest.fixture
def small(plugin_site: Path) -> Path:
    write_distribution(plugin_site, "small", SOURCE, readme="What it is for.")
    importlib.invalidate_caches()
    return plugin_site


def run(*words: str) -> tuple[int, str, str]:
    answer = CliRunner().invoke(cli, ["plugins", "check", *words])
    return answer.exit_code, answer.stdout, answer.stderr


def test_a_plugin_that_conforms_is_answered_with_a_table_and_0() -> None:
    code, said, error = run("evidence")
    assert (code, error) == (0, "")
    assert said.splitlines()[0].startswith("evidence  tracecore-evidence ")
    assert "✓" in said
    assert "✗" not in said


def test_what_is_wrong_is_named_under_the_table_with_exit_code_1(small: Path, tmp_path: Path) -> None:
    file = tmp_path / "conformance.py"
    file.write_text(SAMPLES, encoding="utf-8")
    code, said, error = run("small", "--samples", str(file))
    assert (code, error) == (1, "Error: The plugin 'small' does not keep the contract: 1 finding.\n")
    assert "✗ simulate small, docs: the parameter 'loud' has no description: " in said
    assert "? simulate small, not run (runs, inputs, outputs, written, seed, state): needs a wind tunnel" in said


def test_as_json_each_finding_has_its_rule_subject_and_sentence(small: Path) -> None:
    code, said, _ = run("small", "--json")
    answer = json.loads(said)
    assert code == 1
    assert (answer["plugin"], answer["distribution"], answer["version"], answer["ok"]) == ("small", "small", "1.0", False)
    failed = [finding for finding in answer["findings"] if finding["result"] == "failed"]
    assert [(finding["rule"], finding["subject"]) for finding in failed] == [("docs", "simulate small")]
    assert {finding["result"] for finding in answer["findings"] if finding["rule"] in {"runs", "seed", "state"}} == {"passed"}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("evidense",), "Error: No plugin 'evidense' is installed. Did you mean 'evidence'?\n"),
        (("evidence", "--samples", "nothing.py"), "Error: The samples file 'nothing.py' is not a Python file that can be read.\n"),
        (("curation", "--stage", "frame-filte"), "Error: The plugin 'curation' has no stage 'frame-filte'. Did you mean 'frame-filter'?\n"),
    ],
)
def test_what_is_not_there_is_refused_with_the_nearest(words: tuple[str, ...], sentence: str) -> None:
    assert run(*words) == (2, "", sentence)


def test_a_samples_file_must_have_the_function(tmp_path: Path) -> None:
    file = tmp_path / "conformance.py"
    file.write_text("x = 1\n", encoding="utf-8")
    assert run("evidence", "--samples", str(file))[2] == f"Error: The samples file '{file}' has no function tracecore_samples(stage, folder).\n"
    file.write_text("raise ValueError('no')\n", encoding="utf-8")
    assert run("evidence", "--samples", str(file))[2] == f"Error: The samples file '{file}' can't be imported: ValueError: no.\n"
