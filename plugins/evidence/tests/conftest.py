"""A sealed build to export, made by the recorder itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tracecore.testing.worlds import RecordWorld


@pytest.fixture
def sealed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RecordWorld]:
    """A workspace with build/demo, meant by commands without --workspace."""
    world = RecordWorld.at(tmp_path / "workspace").all()
    world.seal("demo")
    monkeypatch.setenv("TRACECORE_HOME", str(tmp_path / "workspace"))
    yield world
    world.record.close()
