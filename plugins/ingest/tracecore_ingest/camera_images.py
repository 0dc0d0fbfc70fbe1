"""Read camera images from messages (raw pixels become lossless PNG), and measure their size, mean luma and difference hash."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
import simplejpeg
from mcap import records as layout
from PIL import Image, UnidentifiedImageError

from tracecore.images import orientation_of, turn_pixels
from tracecore_ingest.errors import Damaged
from tracecore_ingest.messages import Dialect, bytes_of, dialect_of, field, int_of, object_reader, text_of, type_of

__all__ = ["DECODED", "PIXELS", "ImageFacts", "RecordedImage", "difference_hash", "encoding_in", "encoding_of", "image_reader", "measure_image"]

DECODED = ("jpeg", "png", "webp")
_NAMES = {"jpg": "jpeg"}
_SMALL = 64  # px: luma and hash need no more; libjpeg then decodes at a fraction of the cost


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """Measures of one image after turning it upright by its EXIF `orientation` (1 to 8).

    Attributes:
        width: px.
        luma: mean luma (ITU-R BT.601), 0 black to 1 white.
        dhash: 64-bit difference hash.
    """

    width: int
    height: int
    orientation: int
    luma: float
    dhash: int


def encoding_of(format_: str) -> str:
    """Return an image format or media type as the table of frames names it: `jpeg` for `jpg` and `image/jpeg`."""
    name = format_.strip().lower().removeprefix("image/")
    return _NAMES.get(name, name)


def encoding_in(data: bytes) -> str:
    """Return `jpeg`, `png` or `webp`, detected from the first bytes of an image file. Raises Damaged if it is another format."""
    if data.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    raise Damaged(f"is not a JPEG, PNG or WebP image: it begins with {data[:8]!r}" if data else "holds no image: 0 bytes")


def measure_image(data: bytes, encoding: str) -> ImageFacts:
    """Return size, orientation, mean luma and difference hash of a JPEG, PNG or WebP image. Raises Damaged if it is not complete or not valid."""
    if not data:
        raise Damaged("holds no image: 0 bytes")
    width, height, gray, orientation = _jpeg(data) if encoding == "jpeg" else _other(data, encoding)
    if orientation > 4:  # 5 to 8 exchange rows and columns
        width, height = height, width
    luma = float(gray.mean(dtype=np.float64)) / 255
    return ImageFacts(width, height, orientation, luma, difference_hash(turn_pixels(gray, orientation)))


def _jpeg(data: bytes) -> tuple[int, int, npt.NDArray[np.uint8], int]:
    try:
        height, width, _, _ = simplejpeg.decode_jpeg_header(data)
        gray = simplejpeg.decode_jpeg(data, "GRAY", min_width=min(_SMALL, width), min_height=min(_SMALL, height))
    except ValueError as problem:
        raise Damaged(f"is not a complete JPEG image: {problem}") from problem
    return width, height, gray[:, :, 0], _orientation(data)


def _orientation(jpeg: bytes) -> int:
    try:
        with Image.open(BytesIO(jpeg), formats=["JPEG"]) as image:
            return orientation_of(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return 1


def _other(data: bytes, encoding: str) -> tuple[int, int, npt.NDArray[np.uint8], int]:
    try:
        with Image.open(BytesIO(data), formats=[encoding.upper()]) as image:
            image.load()
            deep = image.mode.startswith("I;16")  # 16 bits a pixel; converting would cut off all but the darkest
            gray = (np.asarray(image, dtype=np.uint16) >> 8).astype(np.uint8) if deep else np.asarray(image.convert("L"))
            return image.width, image.height, gray, orientation_of(image)
    except UnidentifiedImageError as problem:  # its text names an object by its address
        raise Damaged(f"is not a complete {encoding} image") from problem
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as problem:
        raise Damaged(f"is not a complete {encoding} image: {' '.join(str(problem).split())}") from problem


def difference_hash(gray: npt.NDArray[np.uint8]) -> int:
    """Return the 64-bit difference hash of a gray image (height, width); near-duplicates differ in few bits.

    The image is averaged to 9 x 8 cells; each bit is set where a cell is brighter than its right neighbor, row by row, highest bit first.
    Source: Neal Krawetz, 'Kind of Like That', The Hacker Factor Blog, 2013-01-21.
    """
    cells = _cells(_cells(gray.astype(np.float64), 8, 0), 9, 1)
    brighter = cells[:, :-1] > cells[:, 1:]
    return int.from_bytes(np.packbits(brighter.ravel()).tobytes(), "big")


def _cells(values: npt.NDArray[np.float64], count: int, axis: int) -> npt.NDArray[np.float64]:
    """Return an array averaged along an axis into `count` cells of almost equal size; if the axis is shorter, its values are repeated."""
    size = values.shape[axis]
    if size < count:
        return np.asarray(np.take(values, np.arange(count) * size // count, axis=axis), dtype=np.float64)
    edges = np.arange(count + 1) * size // count
    sums = np.add.reduceat(values, edges[:-1], axis=axis)
    shape = [1, 1]
    shape[axis] = count
    return np.asarray(sums / np.diff(edges).reshape(shape), dtype=np.float64)


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
"""Supported raw pixel formats: channel offsets in a pixel (red, green, blue, alpha; or gray), and bytes per channel."""

_ENCODED = re.compile(r"\b(jpeg|jpg|png|webp)\b", re.IGNORECASE)
_COMPRESSION = 1  # zlib's fastest: a camera's noise hardly compresses further


@dataclass(frozen=True, slots=True)
class RecordedImage:
    """One image of a message, and the camera's coordinate frame.

    Attributes:
        format: format of `data` as the message states it; `png` for converted raw pixels.
        data: the encoded image; empty if the raw pixel format is not supported.
        raw: pixel format of a raw image; empty for an encoded one.
    """

    frame: str
    format: str
    data: bytes
    raw: str = ""


def image_reader(channel: layout.Channel, schema: layout.Schema | None) -> Callable[[bytes], RecordedImage]:
    """Return a function that decodes a camera channel's messages to images. Raises Damaged if the channel's recorded schema can't be used."""
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


def _format(text: str) -> str:
    """Return the image format in a ROS `format` text: `jpeg` for `rgb8; jpeg compressed bgr8`. Texts of compressed depth images are unchanged."""
    if ";" not in text or "compresseddepth" in text.lower():
        return text
    found = _ENCODED.search(text.partition(";")[2]) or _ENCODED.search(text)
    return found.group(1) if found else text


def _png(message: Any, kind: str, pixels: str) -> bytes:
    order, depth = PIXELS[pixels]
    channels = len(order)
    width, height, step = (int_of(message, name, kind) for name in ("width", "height", "step"))
    data = bytes_of(message, "data", kind)
    if not width or not height:
        raise Damaged(f"holds no image: {width} x {height} px")
    line = width * channels * depth
    if step < line or len(data) < step * height:
        raise Damaged(f"is not a valid {kind}: {len(data)} bytes in rows of {step} can't hold {width} x {height} px of {pixels}")
    rows = np.ascontiguousarray(np.frombuffer(data, np.uint8, step * height).reshape(height, step)[:, :line])
    values = rows.view(">u2" if getattr(message, "is_bigendian", False) else "<u2").astype(np.uint16) if depth > 1 else rows
    picture = values if channels == 1 else values.reshape(height, width, channels)[:, :, order]
    stream = BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(stream, "PNG", compress_level=_COMPRESSION)
    return stream.getvalue()
