from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from record_world import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """An empty record in a workspace of its own."""
    made = World.at(tmp_path / "workspace")
    yield made
    made.record.close()


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The whole program with its sealed build, made once a module for the tests that only ask."""
    made = World.at(tmp_path_factory.mktemp("sealed") / "workspace").all()
    made.seal()
    yield made
    made.record.close()
