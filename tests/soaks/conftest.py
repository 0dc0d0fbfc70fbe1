"""The two-stage program that crash soaks kill, and the process that forks it; both once for all tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fork_server import ForkServer
from two_stages import Project


@pytest.fixture(scope="session")
def crash_project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="session")
def crash_server(crash_project: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkServer]:
    with ForkServer(crash_project.site, tmp_path_factory.mktemp("server")) as server:
        yield server
