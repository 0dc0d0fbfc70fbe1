"""Rows of the frame, label, event and detection tables for tests, as `table_of` takes them: pictures that differ, each with one bright box."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from tracecore_schemas.refs import frame_ref

__all__ = [
    "BOX",
    "EPOCH_NS",
    "HEIGHT",
    "SENSOR",
    "WIDTH",
    "Row",
    "detection",
    "dhash",
    "drive_of",
    "event",
    "frame",
    "label",
    "picture",
]

SENSOR = "/camera/front/image"
WIDTH, HEIGHT = 96, 64
EPOCH_NS = 1_700_000_000_000_000_000
BOX = (30, 20, 12, 24)
Row = dict[str, Any]
_FRAME = ("drive", "sensor", "timestamp_ns", "frame_id")


def picture(seed: int, *, box: tuple[int, int, int, int] | None = None, noise: int = 0, light: float = 1.0) -> bytes:
    """Return a PNG of random soft shapes times `light`, with grain if `noise` (a seed) is not 0, and a white box (x, y, width, height) in px."""
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


def dhash(image: bytes) -> str:
    """Return the 64-bit difference hash of an image file in hex: whether each of 8x8 pixels is brighter than its left neighbor."""
    with Image.open(io.BytesIO(image)) as opened:
        small = np.asarray(opened.convert("L").resize((9, 8), Image.Resampling.BILINEAR), dtype=int)
    bits = "".join("01"[int(bit)] for bit in (small[:, 1:] > small[:, :-1]).ravel())
    return f"{int(bits, 2):016x}"


def frame(drive: str, index: int, image: bytes, **other: Any) -> Row:
    """Return a row of the frame table with the PNG file `image`, taken `index` / 10 s after a fixed time; `other` adds or replaces columns."""
    time = other.pop("timestamp_ns", EPOCH_NS + index * 100_000_000)
    return {
        "drive": drive,
        "sensor": SENSOR,
        "timestamp_ns": time,
        "frame_id": frame_ref(drive, SENSOR, time),
        "index": index,
        "width": WIDTH,
        "height": HEIGHT,
        "orientation": 1,
        "encoding": "png",
        "luma": 0.3,
        "dhash": dhash(image),
        "clock": "synthetic",
        "conditions": [(name, other[name]) for name in ("region", "time_of_day") if other.get(name)],
        "drive_log": "sha256:" + hashlib.sha256(drive.encode()).hexdigest(),
        "image_sha256": hashlib.sha256(image).hexdigest(),
        "image": image,
    } | other


def drive_of(name: str, count: int, *, first_seed: int | None = None, **other: Any) -> list[Row]:
    """Return `count` frame table rows of the drive `name`, with images drawn from seeds from `first_seed` on; `other` adds or replaces columns."""
    seed = int(hashlib.sha256(name.encode()).hexdigest()[:6], 16) if first_seed is None else first_seed
    return [frame(name, index, picture(seed + index), **other) for index in range(count)]


def label(of: Row, number: int, category: str | None, box: tuple[float, float, float, float] | None, **other: Any) -> Row:
    """Return a row of the label table for the frame row `of`; without a box its `geometry` is `none`; `other` adds or replaces columns."""
    x, y, width, height = box or (None,) * 4
    return {
        **{name: of[name] for name in _FRAME},
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
    } | other


def event(of: Mapping[str, Any], type_: str, category: str, box: tuple[float, float, float, float] = BOX, **other: Any) -> Row:
    """Return a row of the table of perception errors for the frame row `of`; `type_` is the type of error, such as `miss`."""
    x, y, width, height = map(float, box)
    digest = hashlib.sha256(f"{of['frame_id']} {type_} {category} {box}".encode()).hexdigest()
    kind = {"event_id": digest[:32], "type": type_, "category": category, "iou": 0.0}
    return {**{name: of[name] for name in _FRAME}, **kind, "x": x, "y": y, "width": width, "height": height, "conditions": {}, **other}


def detection(of: Mapping[str, Any], number: int, category: str, box: tuple[float, float, float, float], score: float) -> Row:
    """Return a row of the detection table for the frame row `of`: class, box (x, y, width, height in px) and score."""
    x, y, width, height = map(float, box)
    kind = {"number": number, "geometry": "box2d", "category": category, "score": score}
    return {**{name: of[name] for name in _FRAME}, **kind, "x": x, "y": y, "width": width, "height": height}
