"""Decoding recorded images, turning them upright, and drawing boxes, lines and points on frames and contact sheets."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tracecore.errors import RunFailed

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

__all__ = [
    "AnnotatedImage",
    "Line",
    "Mark",
    "color_of",
    "contact_sheet",
    "decode_rgb",
    "draw_tile",
    "model_input",
    "orientation_of",
    "save_png",
    "turn_pixels",
    "upright",
]

_TAG = 0x0112  # EXIF 2.32, 4.6.4: Orientation


def orientation_of(image: Image) -> int:
    """Return the EXIF orientation of an image, 1 to 8; 1 (upright) if it is missing or invalid."""
    try:
        found = image.getexif().get(_TAG, 1)
    except (OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, struct.error):  # a broken EXIF block, the image is whole
        return 1
    return int(found) if isinstance(found, int) and 1 <= found <= 8 else 1  # the defined values


def upright(image: Image) -> Image:
    """Return an image turned upright by its EXIF orientation; a 16-bit image is reduced to its upper 8 bits."""
    from PIL.Image import Transpose, fromarray

    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    turn = turns.get(orientation_of(image))
    if image.mode.startswith("I;16"):
        image = fromarray((np.asarray(image, dtype=np.uint16) >> 8).astype(np.uint8))
    return image if turn is None else image.transpose(turn)


def turn_pixels(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Return pixels [H, W] or [H, W, channels] turned upright by an EXIF orientation, 1 to 8."""
    if orientation > 4:  # 5 to 8 exchange rows and columns
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def decode_rgb(data: bytes, encoding: str, name: str) -> NDArray[np.uint8]:
    """Return a JPEG, PNG or WebP image as upright RGB pixels [H, W, 3]; raises RunFailed, with the frame's name, if it can't be decoded."""
    import simplejpeg  # several times as fast as Pillow, with the same pixels
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as image:
            if encoding not in ("jpeg", "jpg"):
                return np.asarray(upright(image).convert("RGB"))
            return turn_pixels(simplejpeg.decode_jpeg(data, colorspace="RGB"), orientation_of(image))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise RunFailed(f"The {encoding} image of {name} can't be decoded: {' '.join(str(error).split())}.") from error


def model_input(image: NDArray[np.uint8], *, height: int, width: int) -> NDArray[np.float32]:
    """Return an RGB image [H, W, 3] stretched to [3, height, width], float32 in 0 to 1, with Pillow's antialiased bilinear filter."""
    from PIL import Image

    stretched = np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR), dtype=np.float32)
    return np.ascontiguousarray(stretched.transpose(2, 0, 1)) / np.float32(255)


_PALETTE = ("#e6194b", "#3cb44b", "#ffe119", "#4363d8", "#f58231", "#46f0f0", "#f032e6", "#bcf60c")
_GAP, _CAPTION = 4, 16
_ENLARGED = 1.5


@dataclass(frozen=True, slots=True)
class Mark:
    """A labeled box in px of the upright image; dashed for ground truth."""

    x: float
    y: float
    width: float
    height: float
    label: str
    color: str
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """A polyline through points (u, v) in px of the upright image, or only its points if `dots`."""

    points: tuple[tuple[float, float], ...]
    color: str
    dots: bool = False


@dataclass(frozen=True, slots=True)
class AnnotatedImage:
    """An encoded image (JPEG, PNG, WebP) with annotations to draw; `notes` are (text, color) for the upper left corner."""

    image: bytes
    caption: str = ""
    marks: Sequence[Mark] = ()
    lines: Sequence[Line] = ()
    notes: Sequence[tuple[str, str]] = field(default=())


def color_of(category: str) -> str:
    """Return the color in which to draw an object class, `#rrggbb`, always the same for the same name."""
    return _PALETTE[zlib.crc32(category.encode()) % len(_PALETTE)]


def draw_tile(drawn: AnnotatedImage, width: int = 320) -> Image | None:
    """Return an image with its annotations drawn on it and its caption below, scaled to a width in px; None if it can't be decoded."""
    from PIL import Image, UnidentifiedImageError
    from PIL.ImageDraw import Draw

    try:
        with Image.open(io.BytesIO(drawn.image)) as opened:
            image = upright(opened).convert("RGB")
    except (UnidentifiedImageError, OSError):
        return None
    scale = width / image.width
    height = max(1, round(image.height * scale))
    picture = image.resize((width, height))
    pen = Draw(picture)
    _draw_lines(pen, drawn.lines, scale)
    _draw_marks(pen, drawn.marks, scale)
    for row, (text, color) in enumerate(drawn.notes):
        pen.text((4, 3 + 12 * row), text, fill=color, stroke_width=1, stroke_fill="black")
    if not drawn.caption:
        return picture
    # Pasted when all is drawn: what reaches beyond the picture must not cover the caption.
    tile = Image.new("RGB", (width, height + _CAPTION), "white")
    tile.paste(picture, (0, 0))
    Draw(tile).text((2, height + 2), drawn.caption, fill="black")
    return tile


def contact_sheet(tiles: Sequence[Image], columns: int = 3) -> Image:
    """Return one image with the tiles laid out in rows of at most `columns`."""
    from PIL import Image

    columns = max(1, min(columns, len(tiles)))
    width, height = max(tile.width for tile in tiles), max(tile.height for tile in tiles)
    rows = -(-len(tiles) // columns)
    sheet = Image.new("RGB", (columns * (width + _GAP) - _GAP, rows * (height + _GAP) - _GAP), "white")
    for place, tile in enumerate(tiles):
        sheet.paste(tile, ((place % columns) * (width + _GAP), (place // columns) * (height + _GAP)))
    return sheet


def save_png(image: Image, path: Path) -> None:
    """Write an image as PNG without timestamps or other metadata, so that equal images give equal files."""
    image.save(path, format="PNG", optimize=False)


def _draw_lines(pen: ImageDraw, lines: Sequence[Line], scale: float) -> None:
    for line in lines:
        points = [(u * scale, v * scale) for u, v in line.points]
        if line.dots:
            # In an enlarged picture a single pixel is too small to be seen.
            half = 1 if scale >= _ENLARGED else 0
            for u, v in points:
                pen.rectangle((u - half, v - half, u + half, v + half), fill=line.color)
        elif len(points) > 1:
            pen.line(points, fill=line.color, width=2)


def _draw_marks(pen: ImageDraw, marks: Sequence[Mark], scale: float) -> None:
    for mark in marks:
        left, top, right, bottom = (value * scale for value in (mark.x, mark.y, mark.x + mark.width, mark.y + mark.height))
        if mark.dashed:
            corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
            for start, end in zip(corners, [*corners[1:], corners[0]], strict=True):
                _dash(pen, start, end, mark.color)
        else:
            pen.rectangle((left, top, max(left, right), max(top, bottom)), outline=mark.color, width=2)
        if mark.label and right - left > 18:
            pen.text((left + 2, max(0.0, top - 11)), mark.label, fill=mark.color, stroke_width=1, stroke_fill="black")


def _dash(pen: ImageDraw, start: tuple[float, float], end: tuple[float, float], color: str) -> None:
    length = max(abs(end[0] - start[0]), abs(end[1] - start[1]))
    steps = max(1, int(length / 4))
    for step in range(0, steps, 2):
        at = [(start[0] + (end[0] - start[0]) * part / steps, start[1] + (end[1] - start[1]) * part / steps) for part in (step, min(step + 1, steps))]
        pen.line(at, fill=color, width=2)
