"""Drawn drives are real files: the same for the same seed, readable by anyone, and labeled as an annotator would."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterator
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mcap.reader import make_reader
from mcap_protobuf.decoder import DecoderFactory
from PIL import Image

from tracecore.errors import UsageError
from tracecore_simulation import DrawnDrives, draw_drives

SIZE = (240, 136)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> DrawnDrives:
    """Three drives of six frames: by day, at night, at dusk."""
    return draw_drives(tmp_path_factory.mktemp("drawn"), seed=3, drives=3, frames=6, size=SIZE)


@pytest.fixture(scope="module")
def labels(drawn: DrawnDrives) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(drawn.labels.read_text())
    return found


def _messages(path: Path) -> Iterator[tuple[str, int, Any]]:
    for topic in ("/camera/front/image", "/gnss/fix"):
        with path.open("rb") as file:
            reader = make_reader(file, validate_crcs=True, decoder_factories=[DecoderFactory()])
            for _, _, message, decoded in reader.iter_decoded_messages(topic):
                yield topic, message.log_time, decoded


def _picture(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(data)).convert("L"), dtype=np.float64) / 255


def test_the_same_seed_gives_the_same_bytes_wherever_they_lie(tmp_path: Path) -> None:
    def files(folder: str, seed: int) -> dict[str, bytes]:
        draw_drives(tmp_path / folder, seed=seed, drives=2, frames=2, size=(96, 64))
        return {path.name: path.read_bytes() for path in (tmp_path / folder).iterdir()}

    once, again, other = files("once", 7), files("deep/er/again", 7), files("other", 8)
    assert once == again
    assert sorted(once) == ["labels.coco.json", "stuttgart-day.mcap", "yokohama-night.mcap"]
    assert set(once) == set(other)
    assert all(once[name] != other[name] for name in once)


def test_every_drive_says_where_and_when_it_was(drawn: DrawnDrives) -> None:
    """Other drives are in another city, on another day: a split by drive shares neither place nor time."""
    places, times = [], []
    for path, time_of_day in zip(drawn.drives, ("day", "night", "dusk"), strict=True):
        with path.open("rb") as file:
            reader = make_reader(file, validate_crcs=True)
            (record,) = [record for record in reader.iter_metadata() if record.name == "drive"]
            statistics = reader.get_summary().statistics
        assert record.metadata["drive"] == path.stem
        assert record.metadata["time_of_day"] == time_of_day
        assert record.metadata["clock"] == "measured"
        assert "no real people" in record.metadata["dataset"]
        assert statistics.message_count == 6 + 60 + 60 + 180 + 12 + 2, "images, states, inertial, CAN, fixes, mounting"
        fixes = [(time, fix) for topic, time, fix in _messages(path) if topic == "/gnss/fix"]
        assert all(time == fix.timestamp.seconds * 1_000_000_000 + fix.timestamp.nanos for time, fix in fixes)
        places.append((fixes[0][1].latitude, fixes[0][1].longitude))
        times.append((statistics.message_start_time, statistics.message_end_time))
    assert len({(round(latitude), round(longitude)) for latitude, longitude in places}) == 3
    assert all(one[1] + 86_400_000_000_000 < other[0] for one, other in pairwise(sorted(times)))


def test_the_signals_tell_how_the_car_moved(drawn: DrawnDrives) -> None:
    """What the speeds add up to is how far the fixes lead, however the road bends."""
    with drawn.drives[0].open("rb") as file:
        states = [(message.log_time, json.loads(message.data)) for _, _, message in make_reader(file).iter_messages("/vehicle/state")]
    fixes = [(time, fix) for topic, time, fix in _messages(drawn.drives[0]) if topic == "/gnss/fix"]
    driven = float(np.trapezoid([state["speed_mps"] for time, state in states if time <= fixes[-1][0]], dx=0.05))
    east = math.cos(math.radians(fixes[0][1].latitude))
    steps = [
        math.hypot(there.latitude - here.latitude, (there.longitude - here.longitude) * east) * 111_320 for (_, here), (_, there) in pairwise(fixes)
    ]
    assert driven == pytest.approx(sum(steps), rel=0.01)


def test_pictures_are_jpeg_and_night_is_dark(drawn: DrawnDrives) -> None:
    luma = {}
    for path in drawn.drives:
        images = [image for topic, _, image in _messages(path) if topic == "/camera/front/image"]
        assert len(images) == 6
        assert {image.format for image in images} == {"jpeg"}
        pictures = [_picture(image.data) for image in images]
        assert {picture.shape for picture in pictures} == {(SIZE[1], SIZE[0])}
        assert all(np.abs(one - other).mean() > 0.004 for one, other in pairwise(pictures)), "the world moves"
        luma[path.stem] = float(np.mean(pictures))
    assert luma["yokohama-night"] < 0.25 < luma["stuttgart-day"]
    assert luma["yokohama-night"] < luma["sunnyvale-dusk"] < luma["stuttgart-day"]


def test_labels_stand_on_recorded_frames_and_inside_them(drawn: DrawnDrives, labels: dict[str, Any]) -> None:
    recorded = {(path.stem, time) for path in drawn.drives for topic, time, _ in _messages(path) if topic == "/camera/front/image"}
    assert {(image["drive"], int(image["log_time_ns"])) for image in labels["images"]} == recorded
    assert all((image["width"], image["height"]) == SIZE for image in labels["images"])
    assert {category["name"] for category in labels["categories"]} == {"car", "pedestrian", "bicyclist", "sign"}
    seen = {category["id"]: 0 for category in labels["categories"]}
    for annotation in labels["annotations"]:
        x, y, width, height = annotation["bbox"]
        assert 0 <= x < x + width <= SIZE[0]
        assert 0 <= y < y + height <= SIZE[1]
        assert 0 < annotation["area"] <= width * height
        seen[annotation["category_id"]] += 1
    assert all(seen.values()), "every class occurs"
    assert len(labels["annotations"]) == drawn.boxes > 4 * drawn.frames
    ignored = [annotation for annotation in labels["annotations"] if annotation.get("ignore") == 1]
    assert 0 < len(ignored) < drawn.boxes / 2, "what a person could not label is there and says so"


def test_labels_say_who_when_with_what_and_by_which_guideline(labels: dict[str, Any]) -> None:
    assert labels["info"]["tool"].startswith("tracecore-simulation 0.")
    assert labels["info"]["guideline"] == "drawn-v1"
    labelers = {annotation["labeler"] for annotation in labels["annotations"]}
    assert labelers <= set(labels["info"]["labelers"])
    assert all(annotation["labeled_at"].endswith("Z") for annotation in labels["annotations"])


def test_one_object_keeps_its_track_and_moves_smoothly(labels: dict[str, Any]) -> None:
    images = {image["id"]: image for image in labels["images"]}
    tracks: dict[tuple[str, str], list[tuple[int, float, int]]] = defaultdict(list)
    for annotation in labels["annotations"]:
        image = images[annotation["image_id"]]
        x, _, width, _ = annotation["bbox"]
        tracks[image["drive"], annotation["track"]].append((image["frame"], x + width / 2, annotation["category_id"]))
    assert all(len({category for _, _, category in seen}) == 1 for seen in tracks.values())
    assert all(len({frame for frame, _, _ in seen}) == len(seen) for seen in tracks.values()), "once a frame"
    long = [seen for seen in tracks.values() if len(seen) >= 4]
    assert len(long) > 10


def test_counts_that_no_drive_can_have_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Expected at least one drive of at least one frame, found 0 drives of 5 frames"):
        draw_drives(tmp_path, drives=0, frames=5)
    with pytest.raises(UsageError, match="Expected pictures of at least 32x32 px, found 10x20"):
        draw_drives(tmp_path, size=(10, 20))
    assert not list(tmp_path.iterdir())
