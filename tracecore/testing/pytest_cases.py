"""The pytest fixtures of the conformance suite: one test case for the plugin as a whole, one per stage and one per other object that is called."""

from __future__ import annotations

from collections.abc import Callable
from importlib import metadata
from typing import Any

import pytest

from tracecore.plugins.discovery import GROUP
from tracecore.plugins.host import PluginHost
from tracecore.testing.conformance import PLUGIN, Report, called_objects, conformance, subject_of

__all__ = ["conformance_case", "conformance_reports", "pytest_generate_tests"]

_CASE = "conformance_case"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrize tests that use `conformance_case`: one each for the plugin that their module names as PLUGIN, its stages and its objects."""
    if _CASE not in metafunc.fixturenames:
        return
    name = getattr(metafunc.module, "PLUGIN", None)
    if not isinstance(name, str):
        pytest.fail(f"{metafunc.module.__name__} uses the fixture '{_CASE}': set PLUGIN = \"<entry point>\" in it.", pytrace=False)
    entries = [entry for entry in metadata.entry_points(group=GROUP) if entry.name == name]
    if not entries:
        pytest.fail(f"The plugin '{name}' is not installed: pip install -e . in its folder.", pytrace=False)
    host = PluginHost(entries[:1])
    objects = [subject for plugin in host.plugins for _, subject in called_objects(plugin, host)]
    subjects = [PLUGIN, *(subject_of(stage.stage_class) for stage in host.stages), *objects]
    metafunc.parametrize(_CASE, [(name, subject) for subject in subjects], ids=subjects, indirect=True, scope="function")


@pytest.fixture(scope="session")
def conformance_reports() -> dict[str, Report]:
    """Return an empty dict, the session's cache of conformance reports by plugin."""
    return {}


@pytest.fixture
def conformance_case(request: Any, conformance_reports: dict[str, Report]) -> Callable[[], None]:
    """Return a function that checks a plugin and fails the test if the parametrized subject has failures, or skips it if a rule was not run."""
    name, subject = request.param

    def case() -> None:
        if name not in conformance_reports:
            conformance_reports[name] = conformance(name)
        part = conformance_reports[name].of(subject)
        if not part.ok:
            pytest.fail(str(part), pytrace=False)
        if part.not_run:
            pytest.skip(f"{subject}: {part.not_run[0].message}")

    return case
