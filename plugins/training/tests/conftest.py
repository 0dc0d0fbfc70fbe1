"""Drawn frames with labels: colored boxes on a gray road, as ingest and labeling would hand them on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import simplejpeg

from tracecore_schemas.arrow_tables import FRAMES, LABELS

COLORS = {"car": (200, 40, 40), "pedestrian": (40, 190, 60)}
SHAPES = {"car": (44, 28), "pedestrian": (14, 36)}
WIDTH, HEIGHT = 192, 128


def draw(count: int, *, seed: int = 1, drive: str = "drawn") -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Draw frames with one to three objects each; give rows of frames and of labels."""
    chance = np.random.default_rng(seed)
    frames, labels = [], []
    for index in range(count):
        image = np.full((HEIGHT, WIDTH, 3), 120, np.uint8) + chance.integers(0, 30, (HEIGHT, WIDTH, 1), np.uint8)
        frame_id = f"frame/{drive}/camera/{index}"
        for number in range(int(chance.integers(1, 4))):
            name = ("car", "pedestrian")[int(chance.integers(2))]
            width, height = (int(side * chance.uniform(0.8, 1.2)) for side in SHAPES[name])
            x, y = int(chance.integers(0, WIDTH - width)), int(chance.integers(0, HEIGHT - height))
            image[y : y + height, x : x + width] = COLORS[name]
            labels.append(label(frame_id, f"{index}.{number}", name, (x, y, width, height), drive=drive, time=index))
        frames.append(
            {
                "drive": drive,
                "sensor": "camera",
                "timestamp_ns": index,
                "frame_id": frame_id,
                "index": index,
                "width": WIDTH,
                "height": HEIGHT,
                "encoding": "jpeg",
                "luma": 0.5,
                "dhash": "0" * 16,
                "clock": "synthetic",
                "orientation": 1,
                "conditions": [],
                "image_sha256": "0" * 64,
                "drive_log": "sha256:" + "0" * 64,
                "image": simplejpeg.encode_jpeg(image, quality=95, colorspace="RGB"),
            }
        )
    return frames, labels


LAMPS = {"red": (250, 30, 20), "yellow": (250, 210, 20), "green": (30, 240, 120)}
STATES = ("none", *LAMPS)
AHEAD = (5.0, 10.0, 20.0, 30.0)


def draw_scenes(count: int, *, seed: int = 1, drive: str = "drawn") -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Draw frames with objects, a white lane that leads where the path goes, and a light of a few pixels; label all of it."""
    frames, labels = draw(count, seed=seed, drive=drive)
    chance = np.random.default_rng(seed + 1000)
    for index, frame in enumerate(frames):
        image = simplejpeg.decode_jpeg(frame["image"], colorspace="RGB").copy()
        bend = float(chance.uniform(-4, 4))  # m to the left at 30 m
        for row in range(HEIGHT // 2, HEIGHT):
            far = (HEIGHT - row) / (HEIGHT / 2)
            column = int(WIDTH / 2 - bend * far**2 * 10)
            image[row, max(0, column - 3) : column + 3] = 255
        state = STATES[int(chance.integers(4))]
        if state != "none":
            x, y = int(chance.integers(0, WIDTH - 12)), int(chance.integers(0, HEIGHT // 3))
            image[y : y + 12, x : x + 12] = 20
            image[y + 2 : y + 10, x + 2 : x + 10] = LAMPS[state]
            labels.append(label(frame["frame_id"], f"{index}.box", "traffic_light", (x, y, 12, 12), drive=drive, time=index))
        frame["image"] = simplejpeg.encode_jpeg(image, quality=95, colorspace="RGB", colorsubsampling="444")
        path = [value for ahead in AHEAD for value in (ahead, bend * (ahead / 30) ** 2)]
        frame_id = frame["frame_id"]
        labels.append(label(frame_id, f"{index}.path", None, None, drive=drive, time=index, geometry="path", path=path))
        labels.append(label(frame_id, f"{index}.light", "light_state", None, drive=drive, time=index, geometry="tag", value=state))
    return frames, labels


def label(
    frame_id: str,
    label_id: str,
    category: str | None,
    box: tuple[float, float, float, float] | None,
    *,
    drive: str = "drawn",
    time: int = 0,
    **other: Any,
) -> dict[str, Any]:
    """Return one row of labels; without a box it says that the frame holds nothing."""
    x, y, width, height = box or (None,) * 4
    return {
        "drive": drive,
        "sensor": "camera",
        "timestamp_ns": time,
        "frame_id": frame_id,
        "label_id": label_id,
        "revision": 0,
        "geometry": "box2d" if box else "none",
        "category": category,
        "x": x,
        "y": y,
        "width": width,
        "height": height,
        "area": None if box is None else width * height,
        "crowd": False,
        "ignore": False,
        "image_width": WIDTH,
        "image_height": HEIGHT,
        "attributes": [],
        "frame_attributes": [],
    } | other


def frame_table(rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=FRAMES.schema)


def label_table(rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=LABELS.schema)


@pytest.fixture(scope="session")
def drawn() -> Callable[..., tuple[list[dict[str, Any]], list[dict[str, Any]]]]:
    return draw


@pytest.fixture(scope="session")
def scenes() -> Callable[..., tuple[list[dict[str, Any]], list[dict[str, Any]]]]:
    return draw_scenes


@pytest.fixture(scope="session")
def make_label() -> Callable[..., dict[str, Any]]:
    return label


@pytest.fixture(scope="session")
def as_frames() -> Callable[[list[dict[str, Any]]], pa.Table]:
    return frame_table


@pytest.fixture(scope="session")
def as_labels() -> Callable[[list[dict[str, Any]]], pa.Table]:
    return label_table
