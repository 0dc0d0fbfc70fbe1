"""Frames and labels for a model with three heads: a bright box, a colored corner, a true path; ten frames a second."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from bright_box import AHEAD
from PIL import Image

from tracecore.testing.drawn_frames import frame, label, picture

__all__ = ["BOX_HEIGHT", "cuboid", "path", "scene", "tag"]

COLORS = {"none": (0, 0, 0), "red": (255, 0, 0), "yellow": (255, 255, 0), "green": (0, 255, 0)}
BOX_HEIGHT = 16


def scene(drive: str, index: int, *, x: int = 48, light: str = "none", **other: Any) -> dict[str, Any]:
    """Return a frame on which the model sees a car of 24 x 16 px at (x, 20), a way that bends by (0.5 - x / 96) and a light."""
    with Image.open(io.BytesIO(picture(index, box=(x, 20, 24, BOX_HEIGHT)))) as opened:
        image = np.array(opened.convert("RGB"))
    image[:8, :8] = COLORS[light]
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return frame(drive, index, buffer.getvalue(), **other)


def path(of: dict[str, Any], slope: float = 0.0) -> dict[str, Any]:
    """Return the label of a true path that leads `slope` m to the left each m."""
    points = [float(value) for x in AHEAD for value in (x, slope * x)]
    return label(of, 1, None, None, geometry="path", path=points)


def tag(of: dict[str, Any], state: str) -> dict[str, Any]:
    """Return the label of a light's true state."""
    return label(of, 2, "light_state", None, geometry="tag", value=state)


def cuboid(of: dict[str, Any], track: str, distance: float) -> dict[str, Any]:
    """Return a cuboid that says how far ahead an object is."""
    return label(of, 3, "car", None, geometry="cuboid", track=track, cuboid=[distance, 0, 0, 0, 0, 0, 1, 4, 2, 1.5], cuboid_frame="vehicle")
