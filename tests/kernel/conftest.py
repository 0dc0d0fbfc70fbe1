"""A host with the test plugin only, and a world to run it in."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from kernel_world import SOURCE, World
from plugin_folder import entry_points_of, write_distribution
from store_bytes import AnyStore, object_store

from tracecore.plugins.host import PluginHost
from tracecore.store.local import LocalStore
from tracecore.workspace import Workspace


@pytest.fixture(params=["local", "s3"])
def store(request: pytest.FixtureRequest, workspace: Workspace) -> AnyStore:
    """Each kind of store: what holds for one holds for the other."""
    return LocalStore(workspace) if request.param == "local" else object_store(request.getfixturevalue("s3_server"), workspace)


@pytest.fixture
def plugin_site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the import path to install plugins into; what was imported from it is forgotten afterwards."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    before = set(sys.modules)
    yield site
    for name in set(sys.modules) - before:
        if name.endswith("_plugin"):
            del sys.modules[name]
    importlib.invalidate_caches()


@pytest.fixture
def world(plugin_site: Path, workspace: Workspace) -> Iterator[World]:
    """A world whose only plugin is the test plugin, with two drive files."""
    write_distribution(plugin_site, "kernelworld", SOURCE)
    importlib.invalidate_caches()
    world = World(workspace, PluginHost(entry_points_of(plugin_site)))
    assert not world.host.broken
    world.drive("a.txt", "alpha: 1 2 9")
    world.drive("b.txt", "beta: 4 8")
    yield world
    world.record.close()
