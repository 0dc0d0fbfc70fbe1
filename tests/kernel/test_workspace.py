"""The workspace: found, made once, refused where it can't be understood."""

import json
from pathlib import Path

import pytest

from tracecore.errors import UsageError
from tracecore.files import write_durably
from tracecore.workspace import Workspace, slugify


def test_a_workspace_is_the_argument_else_the_environments_else_beside_us(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACECORE_HOME", str(tmp_path / "home"))
    assert Workspace.locate(tmp_path / "given") == tmp_path / "given"
    assert Workspace.locate() == tmp_path / "home"
    monkeypatch.delenv("TRACECORE_HOME")
    monkeypatch.chdir(tmp_path)
    assert Workspace.locate() == tmp_path / ".tracecore"


def test_the_folder_of_a_project_stands_for_the_workspace_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after `tracecore init fleet`: a second workspace around the first is never meant."""
    made = Workspace.create(tmp_path / "fleet" / ".tracecore")
    assert Workspace.open(tmp_path / "fleet") == Workspace.create(tmp_path / "fleet") == made
    monkeypatch.setenv("TRACECORE_HOME", str(tmp_path / "fleet"))
    assert Workspace.open() == made
    around = Workspace.create(tmp_path / "other")
    Workspace.create(tmp_path / "other" / ".tracecore")
    assert Workspace.open(tmp_path / "other") == around


def test_making_it_twice_keeps_its_slug(tmp_path: Path) -> None:
    assert Workspace.create(tmp_path / "w", slug="Team Perception!").slug == "team-perception"
    assert Workspace.create(tmp_path / "w", slug="other").slug == "team-perception"
    assert Workspace.create(tmp_path / "project" / ".tracecore").slug == "project"
    assert slugify("***") == "workspace"


def test_a_missing_damaged_or_newer_workspace_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="make one with 'tracecore init'"):
        Workspace.open(tmp_path / "none")
    workspace = Workspace.create(tmp_path / "w")
    (workspace.root / "workspace.json").write_text("{")
    with pytest.raises(UsageError, match="can't be read"):
        Workspace.open(workspace.root)
    (workspace.root / "workspace.json").write_text(json.dumps({"format": 99, "slug": "w"}))
    with pytest.raises(UsageError, match="says format 99; this tracecore reads format 1"):
        Workspace.open(workspace.root)


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    write_durably(tmp_path / "a", b"one")
    with pytest.raises(TypeError):
        write_durably(tmp_path / "a", "no bytes")  # type: ignore[arg-type]  # what is tried
    assert (tmp_path / "a").read_bytes() == b"one"
    assert [path.name for path in tmp_path.iterdir() if path.name != "home"] == ["a"]
