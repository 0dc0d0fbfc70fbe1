"""Folders of images as frames: every sound file one, the damaged named, what is split apart kept apart."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any
from unicodedata import normalize

import numpy as np
import pyarrow.compute as pc
import pytest
from PIL import Image

from tracecore.errors import UsageError
from tracecore.testing.worlds import Outcome, StageWorld, real_input
from tracecore_ingest import image_folders


def _ingest(world: StageWorld, *paths: Path, **params: Any) -> Outcome:
    return world.run("ingest", "images", {}, asset="drives", paths=[str(path) for path in paths], **params)


def _rows(world: StageWorld, outcome: Outcome) -> list[dict[str, Any]]:
    return sorted(world.read(outcome, "frames").to_pylist(), key=lambda row: (row["drive"], row["timestamp_ns"]))


def _unknowns(outcome: Outcome) -> dict[str, str]:
    return {unknown.what: unknown.why for unknown in outcome.outputs["frames"].unknowns}


def test_all_51_images_of_a_real_yolo_set_are_ingested_as_they_are(quick: StageWorld) -> None:
    folder = real_input("carcamera", "r1")
    outcome = _ingest(quick, folder, dataset="carcamera")
    frames = _rows(quick, outcome)
    assert len(frames) == 51
    counted = pc.value_counts(quick.read(outcome, "frames")["drive"]).to_pylist()
    assert {each["values"]: each["counts"] for each in counted} == {"carcamera-train": 40, "carcamera-valid": 9, "carcamera-test": 2}
    files = sorted((folder / "valid" / "images").iterdir())
    valid = [frame for frame in frames if frame["drive"] == "carcamera-valid"]
    assert [frame["image"] for frame in valid] == [file.read_bytes() for file in files]
    with Image.open(files[0]) as image:
        assert (valid[0]["width"], valid[0]["height"]) == image.size
        assert valid[0]["luma"] == pytest.approx(np.asarray(image.convert("L")).mean() / 255, abs=0.01)
    assert _unknowns(outcome) == {
        "time and place": "drives carcamera-test, carcamera-train, carcamera-valid: its clock is 'index' and it holds no GNSS fix",
        "files not taken": "listed beside each image file: 1 .md (r1/README.md), 53 .txt (r1/README.dataset.txt, r1/README.roboflow.txt, "
        "r1/test/labels/Zrzut-ekranu-2024-05-13-180641_png.rf.9b588994128aca0acc16d03d775e7734.txt, "
        "r1/test/labels/Zrzut-ekranu-2024-05-13-180730_png.rf.5c078d524f08dd4e08b23d24afffbad5.txt, "
        "r1/train/labels/10_png.rf.e35c8d3d6d012e99f61b9d5322e27469.txt, …), 1 .yaml (r1/data.yaml)",
    }
    trace = quick.record.trace(outcome.outputs["frames"].ref)
    assert trace["complete"]
    assert len([node for node in trace["nodes"] if node["kind"] == "external"]) == 51
    assert outcome.outputs["frames"].facets["tracecore_frames"]["frames"] == 51


@pytest.fixture
def folder(tmp_path: Path, picture: Callable[..., bytes]) -> Path:
    """A small set in which three files are damaged."""
    for split in ("train", "valid"):
        (tmp_path / "set" / "images" / split).mkdir(parents=True)
        for number in range(3):
            (tmp_path / "set" / "images" / split / f"{number}.jpg").write_bytes(picture(number, size=(40, 30)))
    cut = tmp_path / "set" / "images" / "train" / "1.jpg"
    cut.write_bytes(cut.read_bytes()[:300])
    (tmp_path / "set" / "images" / "valid" / "empty.png").write_bytes(b"")
    (tmp_path / "set" / "images" / "valid" / "text.png").write_bytes(b"no picture")
    return tmp_path / "set"


def test_damaged_images_are_left_out_by_name_and_the_others_keep_their_numbers(quick: StageWorld, folder: Path) -> None:
    outcome = _ingest(quick, folder)
    reasons = {unknown.why for unknown in outcome.outputs["frames"].unknowns if unknown.what == "image file not ingested"}
    assert {reason.split(":")[0] for reason in reasons} == {
        "set/images/train/1.jpg", "set/images/valid/empty.png", "set/images/valid/text.png",
    }  # fmt: skip
    assert "set/images/valid/text.png: is not a JPEG, PNG or WebP image: it begins with b'no pictu'" in reasons
    assert "set/images/valid/empty.png: holds no image: 0 bytes" in reasons
    train = [frame for frame in _rows(quick, outcome) if frame["drive"] == "set-train"]
    assert [(frame["timestamp_ns"], frame["index"], frame["frame_id"]) for frame in train] == [
        (0, 0, "frame/set-train/camera/0"), (2, 1, "frame/set-train/camera/2"),
    ]  # fmt: skip


def test_a_file_that_changes_its_folder_is_another_frame(quick: StageWorld, folder: Path) -> None:
    """Bytes and names stay the same, so only the folder tells: it is part of what decides whether the run is made again."""
    first = _ingest(quick, folder)
    assert _ingest(quick, folder).reused
    (folder / "images" / "train" / "2.jpg").rename(folder / "images" / "valid" / "7.jpg")
    second = _ingest(quick, folder)
    assert not second.reused
    assert second.outputs["frames"].digest != first.outputs["frames"].digest


def test_plain_folders_and_single_files_are_taken_too(quick: StageWorld, tmp_path: Path, picture: Callable[..., bytes]) -> None:
    (tmp_path / "shots" / "night").mkdir(parents=True)
    (tmp_path / "shots" / "a.png").write_bytes(picture(format_="PNG"))
    (tmp_path / "shots" / "night" / "b.webp").write_bytes(picture(format_="WEBP"))
    (tmp_path / "single.jpg").write_bytes(picture(5))
    outcome = _ingest(quick, tmp_path / "shots", tmp_path / "single.jpg", sensor="phone")
    assert [(frame["drive"], frame["sensor"], frame["encoding"]) for frame in _rows(quick, outcome)] == [
        ("images", "phone", "jpeg"), ("shots", "phone", "png"), ("shots-night", "phone", "webp"),
    ]  # fmt: skip


def test_a_folder_is_of_one_drive_whatever_system_it_was_unpacked_on(quick: StageWorld, tmp_path: Path, picture: Callable[..., bytes]) -> None:
    """macOS hands names out in Unicode's decomposed form."""
    folder = tmp_path / normalize("NFD", "Straße ü")
    folder.mkdir()
    (folder / "0.jpg").write_bytes(picture())
    assert [frame["drive"] for frame in _rows(quick, _ingest(quick, folder))] == [normalize("NFC", "Straße ü")]


def test_a_name_that_lies_about_its_encoding_is_not_believed(quick: StageWorld, tmp_path: Path, picture: Callable[..., bytes]) -> None:
    (tmp_path / "x.jpg").write_bytes(picture(format_="PNG"))
    assert _rows(quick, _ingest(quick, tmp_path / "x.jpg"))[0]["encoding"] == "png"


def test_where_nothing_is_sound_the_table_is_empty_and_says_so(quick: StageWorld, tmp_path: Path) -> None:
    (tmp_path / "x.jpg").write_bytes(b"x")
    outcome = _ingest(quick, tmp_path / "x.jpg")
    assert not _rows(quick, outcome)
    assert _unknowns(outcome)["frames"] == "no image file could be ingested; what was left out is listed with its reason"
    with pytest.raises(UsageError, match=r"holds no image file \(\.jpg, \.jpeg, \.png, \.webp\)"):
        _ingest(quick, tmp_path / "workspace")


def test_large_sets_are_written_in_batches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, source: Any, picture: Callable[..., bytes]) -> None:
    monkeypatch.setattr(image_folders, "BATCH_BYTES", 4000)
    found = []
    for number in range(10):
        path = tmp_path / f"{number}.png"
        stream = BytesIO()
        Image.fromarray(np.full((4, 4), number, np.uint8)).save(stream, "PNG")
        path.write_bytes(stream.getvalue() + bytes(1900))
        found.append(image_folders.Still(source(path), "camera", number, "png", image_folders.measure_image(path.read_bytes(), "png")))
    drive = image_folders.StillDrive("x", tuple(found), {still.source.digest: still.source.path for still in found})
    batches = list(image_folders.still_batches(drive))
    assert [batch.num_rows for batch in batches] == [3, 3, 3, 1]
    assert [row["index"] for batch in batches for row in batch.to_pylist()] == list(range(10))
