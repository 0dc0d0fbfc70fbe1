"""Which files of a folder a stage means, and what they are called."""

from __future__ import annotations

from pathlib import Path

import pytest

from tracecore.errors import UsageError
from tracecore.running.external_files import find_files, read_sources
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
        return [source.name for source in read_sources(port, {"paths": list(paths)}, folder)[0]]

    assert names("set") == ["set/train/images/1.jpg", "set/valid/images/1.jpg"]
    assert names("set/train") == ["train/images/1.jpg"]
    assert names("set/../set/train/.") == ["train/images/1.jpg"]
    assert names("*") == ["set/train/images/1.jpg", "set/valid/images/1.jpg"]
    assert names("set/train/images/1.jpg", "set/*/images/*.jpg") == ["1.jpg", "set/valid/images/1.jpg"]


def test_what_belongs_to_a_file_is_taken_with_it_however_it_was_named(folder: Path) -> None:
    (folder / "set" / "a.db3").write_text("a")
    (folder / "set" / "a.db3-wal").write_text("b")
    port = Files("paths", suffixes=[".db3"], note="file", companions=["-wal"])
    for path in ("set", "set/a.db3", "set/*.db3"):
        assert [source.name for source in read_sources(port, {"paths": [path]}, folder)[0]] == ["a.db3", "a.db3-wal"]


def test_what_a_folder_lists_besides_is_told_by_kind(folder: Path) -> None:
    port = Files("paths", suffixes=[".jpg"], note="image", surveyed=True)
    said = "image: 2 .txt (set/calib/1.txt, set/label/1.txt), 1 .yaml (set/metadata.yaml)"
    assert read_sources(port, {"paths": ["set"]}, folder)[1] == said
    assert not read_sources(port, {"paths": ["set/train/images/1.jpg", "set/train"]}, folder)[1]
    assert not read_sources(Files("paths", suffixes=[".jpg"], note="image"), {"paths": ["set"]}, folder)[1]


def test_what_a_project_wrote_is_no_data_unless_it_is_named_outright_or_wanted(folder: Path) -> None:
    for name in ("runs/detect/predict/1.jpg", "runs/monday/1.jpg", "record/store/1.jpg", "record/workspace.json"):
        (folder / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "set" / name).write_text(name)
    (folder / "set" / "linked").symlink_to(folder / "set" / "train")

    def found(path: str, *, outputs: bool = False) -> list[str]:
        port = Files("paths", suffixes=[".jpg"], note="image", outputs=outputs)
        return sorted(each.relative_to(folder).as_posix() for each in find_files(port, {"paths": [path]}, folder))

    sound = ["set/runs/monday/1.jpg", "set/train/images/1.jpg", "set/valid/images/1.jpg"]
    written = ["set/record/store/1.jpg", "set/runs/detect/predict/1.jpg"]
    assert found("set") == sound
    assert found("set", outputs=True) == sorted([*sound, *written])
    assert found("set/runs") == ["set/runs/detect/predict/1.jpg", "set/runs/monday/1.jpg"]
    port = Files("paths", suffixes=[".jpg"], note="image", surveyed=True)
    assert "3 folder (set/linked/, set/record/, set/runs/detect/)" in read_sources(port, {"paths": ["set"]}, folder)[1]


def test_other_files_are_called_by_their_own_name(folder: Path) -> None:
    port = Files("paths", suffixes=[".jpg"], note="file")
    assert [source.name for source in read_sources(port, {"paths": ["set"]}, folder)[0]] == ["1.jpg", "1.jpg"]


def test_where_no_path_need_be_given_one_that_holds_nothing_is_a_mistake_all_the_same(folder: Path) -> None:
    port = Files("paths", suffixes=[".mcap"], note="drive file", optional=True)
    assert find_files(port, {"paths": []}, folder) == []
    with pytest.raises(UsageError, match=r"holds no drive file \(\.mcap\)"):
        find_files(port, {"paths": ["set"]}, folder)
