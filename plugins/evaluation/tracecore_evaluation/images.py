"""Frames as a detector takes them, and as people look at them."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray

from tracecore.errors import RunFailed

__all__ = ["decode_image", "model_input"]


def decode_image(data: bytes, encoding: str, frame_id: str) -> NDArray[np.uint8]:
    """Decode a frame's image to RGB [H, W, 3].

    Raises:
        RunFailed: it can't be decoded.
    """
    import simplejpeg
    from PIL import Image

    try:
        if encoding in {"jpeg", "jpg"}:
            rgb: NDArray[np.uint8] = simplejpeg.decode_jpeg(data, colorspace="RGB")
            return rgb
        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, ValueError) as error:
        raise RunFailed(f"The {encoding} image of {frame_id} can't be decoded: {error}.") from error


def model_input(image: NDArray[np.uint8], *, height: int, width: int) -> NDArray[np.float32]:
    """Stretch an RGB image to a detector's input [3, height, width], 0 to 1, with Pillow's bilinear filter, which averages where it shrinks."""
    from PIL import Image

    stretched = np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR), dtype=np.float32)
    return np.ascontiguousarray(stretched.transpose(2, 0, 1)) / np.float32(255)
