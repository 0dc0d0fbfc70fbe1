"""A workspace of its own for each test, with this plugin only."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tracecore.testing.worlds import StageWorld


@pytest.fixture
def world(tmp_path: Path) -> Iterator[StageWorld]:
    world = StageWorld.at(tmp_path, "evaluation")
    yield world
    world.record.close()
