"""Which files of a folder a stage means, and what they are called."""

from __future__ import annotations

from pathlib import Path

import pytest

from tracecore.errors import UsageProblem
from tracecore.sources import find_files, read_sources
from tracecore.stage import Files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data set in which folders mean something."""
    for name in ("set/train/images/1.jpg", "set/valid/images/1.jpg", "set/calib/1.txt", "set/label/1.txt", "set/metadata.yaml", "set/.hidden/2.jpg"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path


@pytest.mark.parametrize(
    ("suffixes", "found"),
    [
        ([".jpg"], ["train/images/1.jpg", "valid/images/1.jpg"]),
        ([".JPG"], ["train/images/1.jpg", "valid/images/1.jpg"]),
        (["metadata.yaml"], ["metadata.yaml"]),
        (["calib/*.txt", ".jpg"], ["calib/1.txt", "train/images/1.jpg", "valid/images/1.jpg"]),
    ],
)
def test_files_are_meant_by_suffix_by_name_or_by_pattern(folder: Path, suffixes: list[str], found: list[str]) -> None:
    port = Files("paths", suffixes=suffixes, note="file")
    assert sorted(path.relative_to(folder / "set").as_posix() for path in find_files(port, {"paths": ["set"]}, folder)) == found


def test_nested_files_are_called_by_their_place_in_the_folder_that_was_named(folder: Path) -> None:
    def names(*paths: str) -> list[str]:
        port = Files("paths", suffixes=[".jpg"], note="file", nested=True)
        return [source.name for source in read_sources(port, {"paths": list(paths)}, folder)]

    assert names("set") == ["set/train/images/1.jpg", "set/valid/images/1.jpg"]
    assert names("set/train") == ["train/images/1.jpg"]
    assert names("set/../set/train/.") == ["train/images/1.jpg"]
    assert names("*") == ["set/train/images/1.jpg", "set/valid/images/1.jpg"]
    assert names("set/train/images/1.jpg", "set/*/images/*.jpg") == ["1.jpg", "set/valid/images/1.jpg"]


def test_other_files_are_called_by_their_own_name(folder: Path) -> None:
    port = Files("paths", suffixes=[".jpg"], note="file")
    assert [source.name for source in read_sources(port, {"paths": ["set"]}, folder)] == ["1.jpg", "1.jpg"]


def test_where_no_path_need_be_given_one_that_holds_nothing_is_a_mistake_all_the_same(folder: Path) -> None:
    port = Files("paths", suffixes=[".mcap"], note="drive file", optional=True)
    assert find_files(port, {"paths": []}, folder) == []
    with pytest.raises(UsageProblem, match=r"holds no drive file \(\.mcap\)"):
        find_files(port, {"paths": ["set"]}, folder)
