"""Rows of the frame and label tables, drawn for tests: pictures that differ, each with one bright box."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from tracecore_schemas.arrow_tables import FRAMES, LABELS
from tracecore_schemas.refs import frame_ref

SENSOR = "/camera/front/image"
WIDTH, HEIGHT = 96, 64
EPOCH_NS = 1_700_000_000_000_000_000


def picture(seed: int, *, box: tuple[int, int, int, int] | None = None, noise: int = 0, light: float = 1.0) -> bytes:
    """Draw a PNG: a scene of soft shapes that the seed decides, darkened by `light`, with grain of its own, and a white box."""
    coarse = np.random.default_rng(seed).integers(0, 140, (6, 8), dtype=np.uint8)
    gray = np.asarray(Image.fromarray(coarse).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC), dtype=np.float64) * light
    gray += np.random.default_rng(noise).normal(0, 1, gray.shape) if noise else 0
    image = np.repeat(gray.clip(0, 160).astype(np.uint8)[..., None], 3, axis=2)
    if box is not None:
        x, y, width, height = box
        image[y : y + height, x : x + width] = 255
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def dhash(data: bytes) -> str:
    """Return the 64-bit difference hash of a picture: whether each of 8x8 pixels is brighter than its left neighbor."""
    with Image.open(io.BytesIO(data)) as image:
        small = np.asarray(image.convert("L").resize((9, 8), Image.Resampling.BILINEAR), dtype=int)
    bits = "".join("01"[int(bit)] for bit in (small[:, 1:] > small[:, :-1]).ravel())
    return f"{int(bits, 2):016x}"


def frame(drive: str, index: int, image: bytes, **other: Any) -> dict[str, Any]:
    """Return one row of the frame table, ten frames a second; unmeasured clock and place unless given."""
    time = other.pop("timestamp_ns", EPOCH_NS + index * 100_000_000)
    return {
        "drive": drive,
        "sensor": SENSOR,
        "timestamp_ns": time,
        "frame_id": frame_ref(drive, SENSOR, time),
        "index": index,
        "file": None,
        "width": WIDTH,
        "height": HEIGHT,
        "orientation": 1,
        "encoding": "png",
        "luma": 0.3,
        "dhash": dhash(image),
        "clock": "synthetic",
        "latitude": None,
        "longitude": None,
        "region": None,
        "time_of_day": None,
        "conditions": [(name, other[name]) for name in ("region", "time_of_day") if other.get(name)],
        "drive_log": "sha256:" + hashlib.sha256(drive.encode()).hexdigest(),
        "image_sha256": hashlib.sha256(image).hexdigest(),
        "image": image,
    } | other


def drive_of(name: str, count: int, *, first_seed: int | None = None, **other: Any) -> list[dict[str, Any]]:
    """Return the frames of a drive, each of another scene."""
    seed = int(hashlib.sha256(name.encode()).hexdigest()[:6], 16) if first_seed is None else first_seed
    return [frame(name, index, picture(seed + index), **other) for index in range(count)]


def label(of: dict[str, Any], number: int, category: str | None, box: tuple[float, float, float, float] | None, **other: Any) -> dict[str, Any]:
    """Return one row of the label table; without a box the statement that the frame holds nothing."""
    x, y, width, height = box or (None,) * 4
    return {
        "drive": of["drive"],
        "sensor": of["sensor"],
        "timestamp_ns": of["timestamp_ns"],
        "frame_id": of["frame_id"],
        "label_id": hashlib.sha256(f"{of['frame_id']} {number}".encode()).hexdigest()[:32],
        "revision": 0,
        "geometry": "none" if box is None else "box2d",
        "category": category,
        "x": x,
        "y": y,
        "width": width,
        "height": height,
        "area": None if box is None else box[2] * box[3],
        "crowd": False,
        "ignore": False,
        "image_width": of["width"],
        "image_height": of["height"],
        "labeler": None,
        "labeled_at": None,
        "tool": None,
        "guideline": None,
        "qa": None,
        "attributes": [],
        "frame_attributes": [],
    } | other


def frame_table(rows: Iterable[dict[str, Any]]) -> pa.Table:
    """Make the frame table."""
    return pa.Table.from_pylist(list(rows), schema=FRAMES.schema)


def label_table(rows: Iterable[dict[str, Any]]) -> pa.Table:
    """Make the label table."""
    return pa.Table.from_pylist(list(rows), schema=LABELS.schema)
