"""A project folder with the toy plugin installed, two drive files and a program."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import forked
import pytest
from toy_plugin import PROGRAM, install, write_drives


@dataclass(frozen=True)
class Project:
    """A folder with a program in it, a workspace next to it, and the command line to use on both."""

    folder: Path
    site: Path

    @property
    def program(self) -> Path:
        return self.folder / "toy.yaml"

    @property
    def workspace(self) -> Path:
        return self.folder / "ws"

    def write(self, text: str) -> Path:
        self.program.write_text(text)
        return self.program

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(self.site), "TRACECORE_PLUGINS": "toy", "TRACECORE_HOME": str(self.workspace)}

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-c", "from tracecore.commands.shell import main; main()", *arguments]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return forked.run(list(arguments), cwd=self.folder, env=self.environment)


@pytest.fixture(scope="session")
def toy_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory.mktemp("site"))


def begin_project(folder: Path, site: Path) -> Project:
    made = Project(folder, site)
    made.write(PROGRAM)
    write_drives(folder / "drives")
    return made


@pytest.fixture
def project(tmp_path: Path, toy_site: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Return a project whose plugin this process sees too."""
    monkeypatch.syspath_prepend(str(toy_site))
    monkeypatch.setenv("TRACECORE_PLUGINS", "toy")
    monkeypatch.delenv("TRACECORE_HOME", raising=False)
    return begin_project(tmp_path, toy_site)


@pytest.fixture
def own_project(tmp_path: Path, toy_site: Path) -> Project:
    """Return a project whose plugin is its own, to be edited."""
    return begin_project(tmp_path, shutil.copytree(toy_site, tmp_path / "site"))


@pytest.fixture(scope="module")
def shared_project(tmp_path_factory: pytest.TempPathFactory, toy_site: Path) -> Project:
    """Return one project to all tests of a file, which use it only by its command line."""
    return begin_project(tmp_path_factory.mktemp("project"), toy_site)


@pytest.fixture(scope="module")
def built_once(shared_project: Project) -> Project:
    """Build `one` once for all tests of a file, which work on copies."""
    from tracecore_assets import build

    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(shared_project.site))
        patch.setenv("TRACECORE_PLUGINS", "toy")
        build(shared_project.workspace, "one", shared_project.program, approver="board")
    return shared_project


@pytest.fixture
def built(built_once: Project, project: Project) -> Project:
    """Return a copy of that workspace, with neither drives nor program on the disk: only the record is left."""
    shutil.copytree(built_once.workspace, project.workspace)
    shutil.rmtree(project.folder / "drives")
    project.program.unlink()
    return project
