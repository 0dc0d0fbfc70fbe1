"""An engine is a directory whose files have roles."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tracecore import RunFailed
from tracecore.engines import engine_roles, separate, with_roles


def folder_of(tmp_path: Path, *names: str) -> Path:
    """A folder of files that hold their own names."""
    folder = tmp_path / "engine"
    folder.mkdir()
    for name in names:
        (folder / name).write_text(name)
    return folder


def test_each_file_is_listed_by_role_with_its_own_sha256_and_the_engine_first(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "model.engine", "model.so", "model.checker", "timing.cache", "inspector.json")
    facet = with_roles({"summary": "an engine", "roles": "a stage's own word"}, folder)
    assert facet["summary"] == "an engine"
    roles = engine_roles(facet)
    assert list(roles) == ["engine", "checker", "companion", "inspector", "timing_cache"]
    assert {file for file, _ in roles.values()} == {each.name for each in folder.iterdir()}
    assert all(sha256 == hashlib.sha256(file.encode()).hexdigest() for file, sha256 in roles.values())


def test_a_declared_file_is_the_engine_whatever_its_name_and_nothing_else_is_kept(tmp_path: Path) -> None:
    folder = separate(folder_of(tmp_path, "model.bin", "notes.txt"), "model.bin")
    assert [each.name for each in folder.iterdir()] == ["model.bin"]
    assert with_roles(None, folder, "model.bin")["summary"] == "model.bin"
    assert set(engine_roles(with_roles(None, folder, "model.bin"))) == {"engine"}


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["model.engine", "notes.txt"], "holds 'notes.txt', which has no role in an engine"),
        (["model.engine", "a.so", "b.so"], "holds two files of the role 'companion'"),
        (["model.so"], "lacks model.engine: it holds companion"),
    ],
)
def test_a_folder_that_is_no_engine_is_refused_in_one_sentence(tmp_path: Path, names: list[str], found: str) -> None:
    with pytest.raises(RunFailed, match=found):
        with_roles(None, folder_of(tmp_path, *names))


@pytest.mark.parametrize("facet", [None, 7, {}, {"roles": None}, {"roles": [7, {"role": "engine"}]}])
def test_a_facet_of_another_shape_lists_nothing(facet: object) -> None:
    assert engine_roles(facet) == {}
