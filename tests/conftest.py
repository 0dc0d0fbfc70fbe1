"""What all tests share: a home of their own, no plugins but those they ask for, no talk with the world."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from fresh_record import fresh_record
from hypothesis.configuration import set_hypothesis_home_dir
from s3_server import S3Server

from tracecore.testing import worlds
from tracecore.workspace import Workspace

# The tables of a new record are made once in each process.
worlds.open_record = fresh_record

# What Hypothesis remembers belongs to pytest's cache: a test run leaves nothing else in the checkout.
set_hypothesis_home_dir(Path(__file__).parents[1] / ".pytest_cache" / "hypothesis")


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep a test from the developer's own workspace, settings and allow-lists."""
    for name in ("TRACECORE_CATALOG_URL", "TRACECORE_STORE_URL", "TRACECORE_PLUGINS", "TRACECORE_TRACE_PLUGINS", "TRACECORE_DEBUG", "DAGSTER_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("TRACECORE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("GX_ANALYTICS_ENABLED", "false")
    monkeypatch.setenv("DAGSTER_DISABLE_TELEMETRY", "yes")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A fresh workspace."""
    return Workspace.create(tmp_path / "workspace", slug="test", ledger_id="0" * 32)


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A real S3 server for the tests of this process; each takes a prefix of its own."""
    server = S3Server(tmp_path_factory.mktemp("s3")).start()
    yield server
    server.kill()
