"""Every example plugin of the docs passes the checker that its readers meet, as it is."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from markdown_pages import blocks
from plugin_folder import write_distribution

from tracecore.testing import conformance

PAGE = "docs/plugins.md"
EXAMPLES = {
    "night": "class NightFrames",
    "dark": "DARK = tc.SuiteCheck",
    "nights": "class EnoughNights",
    "names": "class Names(tc.Exporter)",
    "failures": "def tracecore_run_finished",
    "weather": "WEATHER = tc.FacetSpec",
    "figures": "def tracecore_register_kpis",
    "lanes": "LANES = tc.TableType",
}


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in [name for name in sys.modules if name.endswith("_plugin")]:
        del sys.modules[name]


def test_every_example_with_a_hook_is_tried_here() -> None:
    shown = [block for block in blocks(PAGE, "python") if "@tc.hookimpl" in block]
    assert [block for block in shown if not any(words in block for words in EXAMPLES.values())] == []


@pytest.mark.parametrize(("name", "words"), EXAMPLES.items())
def test_an_example_keeps_the_contract_with_a_warning_about_its_readme(site: Path, name: str, words: str) -> None:
    [source] = [block for block in blocks(PAGE, "python") if words in block]
    write_distribution(site, name, source)
    importlib.invalidate_caches()
    report = conformance(name)
    assert report.ok, str(report)
    assert not report.not_run
    assert any("has no README" in finding.message for finding in report.warnings)


def test_the_plugin_of_the_readme_is_one_of_them() -> None:
    assert any(EXAMPLES["night"] in block and block in blocks(PAGE, "python") for block in blocks("README.md", "python"))
