"""Drawn frames with labels: colored boxes on a gray road, as ingest and labeling would hand them on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import simplejpeg

from tracecore_schemas.tables import FRAMES, LABELS

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
                "drive_log": "sha256:" + "0" * 64,
                "image": simplejpeg.encode_jpeg(image, quality=95, colorspace="RGB"),
            }
        )
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
    """Give one row of labels; without a box it says that the frame holds nothing."""
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
        "image_width": WIDTH,
        "image_height": HEIGHT,
        "attributes": [],
        "frame_attributes": [],
    } | other


def frame_table(rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=FRAMES)


def label_table(rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=LABELS)


@pytest.fixture(scope="session")
def drawn() -> Callable[..., tuple[list[dict[str, Any]], list[dict[str, Any]]]]:
    return draw


@pytest.fixture(scope="session")
def make_label() -> Callable[..., dict[str, Any]]:
    return label


@pytest.fixture(scope="session")
def as_frames() -> Callable[[list[dict[str, Any]]], pa.Table]:
    return frame_table


@pytest.fixture(scope="session")
def as_labels() -> Callable[[list[dict[str, Any]]], pa.Table]:
    return label_table
