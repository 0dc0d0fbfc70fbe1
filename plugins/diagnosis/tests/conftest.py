"""A workspace of its own for each test, with this plugin and the one that takes its requests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from stage_world import StageWorld

from tracecore.plugins.host import PluginHost
from tracecore.workspace import Workspace


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StageWorld]:
    monkeypatch.setenv("TRACECORE_PLUGINS", "diagnosis,curation")
    monkeypatch.delenv("TRACECORE_CATALOG_URL", raising=False)
    world = StageWorld(Workspace.create(tmp_path / "workspace", slug="test"), PluginHost.load())
    yield world
    world.record.close()
