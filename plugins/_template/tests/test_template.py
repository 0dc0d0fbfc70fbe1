"""The plugin keeps tracecore's contract: one case for the whole and one a stage."""

from __future__ import annotations

from collections.abc import Callable

pytest_plugins = ["tracecore.testing"]
PLUGIN = "template"


def test_the_plugin_keeps_the_contract(conformance_case: Callable[[], None]) -> None:
    conformance_case()
