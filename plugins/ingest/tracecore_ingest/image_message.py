"""Camera images in messages: encoded ones as they are, raw pixels without loss as PNG."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from mcap import records as layout
from PIL import Image

from tracecore_ingest.damage import Damaged
from tracecore_ingest.fields import bytes_of, field, text_of, whole_of
from tracecore_ingest.messages import Dialect, dialect_of, object_reader, type_of

__all__ = ["PIXELS", "RecordedImage", "image_reader"]

PIXELS: dict[str, tuple[tuple[int, ...], int]] = {
    "mono8": ((0,), 1),
    "8UC1": ((0,), 1),
    "mono16": ((0,), 2),
    "rgb8": ((0, 1, 2), 1),
    "bgr8": ((2, 1, 0), 1),
    "8UC3": ((2, 1, 0), 1),
    "rgba8": ((0, 1, 2, 3), 1),
    "bgra8": ((2, 1, 0, 3), 1),
    "8UC4": ((2, 1, 0, 3), 1),
}
"""Raw pixel formats that are read: where red, green, blue and opacity (or gray alone) lie in a pixel, and bytes of each."""

_ENCODED = re.compile(r"\b(jpeg|jpg|png|webp)\b", re.IGNORECASE)
_COMPRESSION = 1  # zlib's fastest: lossless all the same, and a camera's noise hardly shrinks further


@dataclass(frozen=True, slots=True)
class RecordedImage:
    """One image as a message holds it.

    Attributes:
        frame: name of the camera's coordinate frame.
        format: `jpeg`, `png`, `webp`; of raw pixels `png`, which they are written as; else what the message says.
        data: the encoded image.
        raw: the pixel format where the message held raw pixels; empty where it held an encoded image.
    """

    frame: str
    format: str
    data: bytes
    raw: str = ""


def image_reader(channel: layout.Channel, schema: layout.Schema | None) -> Callable[[bytes], RecordedImage]:
    """Give what reads the images of a channel.

    Raises:
        Damaged: the recorded schema can't be used.
    """
    read = object_reader(channel, schema)
    kind = type_of(schema)
    ros = dialect_of(channel, schema) is Dialect.ROS
    encoded = kind.endswith("CompressedImage")

    def read_image(data: bytes) -> RecordedImage:
        message = read(data)
        frame = text_of(field(message, "header", kind), "frame_id", kind) if ros else str(getattr(message, "frame_id", ""))
        if encoded:
            return RecordedImage(frame, _format(text_of(message, "format", kind)), bytes_of(message, "data", kind))
        pixels = text_of(message, "encoding", kind)
        if pixels not in PIXELS:
            return RecordedImage(frame, pixels, b"", pixels)
        return RecordedImage(frame, "png", _png(message, kind, pixels), pixels)

    return read_image


def _format(said: str) -> str:
    """Read a message's words on its format: ROS writes `rgb8; jpeg compressed bgr8`; depth images have a header of their own before the PNG."""
    if ";" not in said or "compresseddepth" in said.lower():
        return said
    found = _ENCODED.search(said.partition(";")[2]) or _ENCODED.search(said)
    return found.group(1) if found else said


def _png(message: Any, kind: str, pixels: str) -> bytes:
    order, depth = PIXELS[pixels]
    channels = len(order)
    width, height, step = (whole_of(message, name, kind) for name in ("width", "height", "step"))
    data = bytes_of(message, "data", kind)
    if not width or not height:
        raise Damaged(f"holds no image: {width} x {height} px")
    line = width * channels * depth
    if step < line or len(data) < step * height:
        raise Damaged(f"is no {kind}: {len(data)} bytes in rows of {step} can't hold {width} x {height} px of {pixels}")
    rows = np.ascontiguousarray(np.frombuffer(data, np.uint8, step * height).reshape(height, step)[:, :line])
    values = rows.view(">u2" if getattr(message, "is_bigendian", False) else "<u2").astype(np.uint16) if depth > 1 else rows
    picture = values if channels == 1 else values.reshape(height, width, channels)[:, :, order]
    stream = BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(stream, "PNG", compress_level=_COMPRESSION)
    return stream.getvalue()
