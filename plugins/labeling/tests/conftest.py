"""A workspace of its own for each test, with this plugin only."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tracecore.testing.worlds import StageWorld


@pytest.fixture
def world(tmp_path: Path) -> Iterator[StageWorld]:
    world = StageWorld.at(tmp_path, "labeling")
    yield world
    world.record.close()


@pytest.fixture
def ingesting(world: StageWorld) -> StageWorld:
    """Ingest is another plugin: what it makes of folders is what labels are linked to."""
    world.allow("labeling", "ingest")
    return world
