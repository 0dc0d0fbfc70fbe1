"""Every plugin in plugins/ keeps the contract that strangers' plugins are held to."""

from __future__ import annotations

from pathlib import Path

import pytest

from tracecore.testing import conformance

OURS = sorted(path.parent.name for path in (Path(__file__).parents[2] / "plugins").glob("[!_]*/pyproject.toml"))


@pytest.mark.parametrize("plugin", OURS)
def test_the_plugin_keeps_the_contract(plugin: str) -> None:
    report = conformance(plugin)
    assert report.ok, str(report)
    assert not report.not_run, report.not_run
