"""The conformance suite for plugins: the function `conformance`, and a pytest plugin that tests enable.

It has no `pytest11` entry point, so that installing tracecore does not affect other test runs; pytest is not a dependency. In a plugin's test:

    pytest_plugins = ["tracecore.testing"]
    PLUGIN = "night"

    def test_it_keeps_the_contract(conformance_case):
        conformance_case()
"""

from __future__ import annotations

from typing import Any

from tracecore.testing import samples
from tracecore.testing.conformance import PLUGIN, RULES, Finding, Report, Result, conformance
from tracecore.testing.stage_samples import Sample, SampleSource, read_samples

__all__ = ["PLUGIN", "RULES", "Finding", "Report", "Result", "Sample", "SampleSource", "conformance", "pytest_configure", "read_samples", "samples"]


def pytest_configure(config: Any) -> None:
    """Register the pytest plugin that has the fixture `conformance_case`, unless it is registered; pytest calls this hook."""
    from tracecore.testing import pytest_cases

    if not config.pluginmanager.is_registered(pytest_cases):
        config.pluginmanager.register(pytest_cases, "tracecore-conformance")
