"""Recorded images as people and models are to see them: decoded, and turned upright as their EXIF orientation says.

All geometry of the record is in pixels of the upright image, so whatever decodes a frame's image goes through here.
"""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tracecore.errors import RunFailed

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["decode_rgb", "model_input", "orientation_of", "turn_pixels", "upright"]

_TAG = 0x0112  # EXIF 2.32, 4.6.4: Orientation


def orientation_of(image: Image) -> int:
    """Return the EXIF orientation of an opened image, 1 to 8; 1, upright, where it names none or one that is not defined."""
    try:
        found = image.getexif().get(_TAG, 1)
    except (OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, struct.error):  # a broken EXIF block, the image is whole
        return 1
    return int(found) if isinstance(found, int) and 1 <= found <= 8 else 1  # the defined values


def upright(image: Image) -> Image:
    """Return an opened image turned as its EXIF orientation says; one of 16 bits a pixel by its upper eight, as a screen shows it."""
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
    """Return decoded pixels turned upright.

    Args:
        pixels: [H, W] or [H, W, channels], as recorded.
        orientation: EXIF orientation, 1 to 8.
    """
    if orientation > 4:  # 5 to 8 exchange rows and columns
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def decode_rgb(data: bytes, encoding: str, name: str) -> NDArray[np.uint8]:
    """Decode a frame's image to upright RGB [H, W, 3].

    Args:
        data: the encoded image as recorded.
        encoding: jpeg, png, webp.
        name: of the frame, for the error.

    Raises:
        RunFailed: it can't be decoded.
    """
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
    """Stretch an RGB image to a model's input [3, height, width], 0 to 1, with Pillow's bilinear filter, which averages where it shrinks."""
    from PIL import Image

    stretched = np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR), dtype=np.float32)
    return np.ascontiguousarray(stretched.transpose(2, 0, 1)) / np.float32(255)
