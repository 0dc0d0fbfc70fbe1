"""Frames as a detector takes them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["model_input"]


def model_input(image: NDArray[np.uint8], *, height: int, width: int) -> NDArray[np.float32]:
    """Stretch an RGB image to a detector's input [3, height, width], 0 to 1, with Pillow's bilinear filter, which averages where it shrinks."""
    from PIL import Image

    stretched = np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR), dtype=np.float32)
    return np.ascontiguousarray(stretched.transpose(2, 0, 1)) / np.float32(255)
