"""The pinhole camera above the road, and its canvas with colors, light sources and the object that each pixel shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

__all__ = ["FINER", "NEAR", "NUMBERS", "Camera", "Canvas", "Color", "Point2", "Point3"]

Point3 = tuple[float, float, float]
"""x right, y up, z ahead; m from the point on the road below the camera."""
Point2 = tuple[float, float]
"""u right, v down; px."""
NEAR = 1.2  # m: distance of the near plane


@dataclass(frozen=True, slots=True)
class Camera:
    """A pinhole camera; width, height, focal length and row of the horizon are in px, the height above the road is in m."""

    width: int
    height: int
    focal: float
    horizon: float
    eye: float = 1.5

    def project(self, point: Point3) -> Point2:
        """Return the pixel (u, v) of a point (x right, y up, z ahead, m) in front of the camera."""
        x, y, z = point
        scale = self.focal / max(z, 1e-3)
        return self.width / 2 + scale * x, self.horizon + scale * (self.eye - y)

    def polygon(self, points: Sequence[Point3]) -> list[Point2]:
        """Return the pixels (u, v) of a flat polygon's corners, clipped to what is ahead of the camera; empty if all of it is behind the camera."""
        if all(point[2] >= NEAR for point in points):
            return [self.project(point) for point in points]
        cut: list[Point3] = []
        for here, there in zip(points, [*points[1:], points[0]], strict=True):
            if here[2] >= NEAR:
                cut.append(here)
            if (here[2] >= NEAR) != (there[2] >= NEAR):
                part = (NEAR - here[2]) / (there[2] - here[2])
                cut.append((here[0] + part * (there[0] - here[0]), here[1] + part * (there[1] - here[1]), NEAR))
        return [self.project(point) for point in cut] if len(cut) > 2 else []


Color = tuple[int, int, int]
_SKY = 255
NUMBERS = 254
"""Most objects of a frame: their numbers are bytes, with 0 for the ground and 255 for the sky."""
FINER = 2  # antialiasing: drawn at twice the size, then averaged


class Canvas:
    """One frame while it is drawn, back to front; coordinates are px of the finished picture. `glowing` keeps a layer of emitted light."""

    def __init__(self, width: int, height: int, *, glowing: bool) -> None:
        self.width, self.height = width, height
        size = (width * FINER, height * FINER)
        self._image = Image.new("RGB", size)
        self._solid, self._clear = ImageDraw.Draw(self._image), ImageDraw.Draw(self._image, "RGBA")  # drawing with alpha is slower
        self._glow_image = Image.new("RGB", size) if glowing else None
        self._glow = ImageDraw.Draw(self._glow_image) if self._glow_image else None
        self._ids_image = Image.new("L", (width, height), _SKY)
        self._ids = ImageDraw.Draw(self._ids_image)
        self.subject = 0
        """Number of the object being drawn; 0 for the ground and parts that belong to no object."""
        self._drawn: tuple[float, float, float, float] | None = None

    def paint(self, pixels: npt.NDArray[np.uint8], rows: int) -> None:
        """Draw an image (height, width, 3), stretched over the top `rows` rows of the picture."""
        self._image.paste(Image.fromarray(pixels).resize((self._image.width, rows * FINER), Image.Resampling.BILINEAR))

    def polygon(self, points: Sequence[Point2], color: Color, *, glow: Color | None = None, alpha: int = 255, inside: bool = False) -> None:
        """Fill a polygon (px) with a daylight color, light `glow` that it emits, and opacity `alpha` from 0 (transparent) to 255.

        `inside` changes only the colors of what was drawn before, not the object number: a window, a road marking, a shadow.
        """
        if len(points) < 3 or not self._visible(points):
            return
        fine = [(u * FINER, v * FINER) for u, v in points]
        if alpha == 255:
            self._solid.polygon(fine, fill=color)
        else:
            self._clear.polygon(fine, fill=(*color, alpha))
        if self._glow is not None and (glow or not inside):
            self._glow.polygon(fine, fill=glow or (0, 0, 0))
        if not inside:
            self._ids.polygon(list(points), fill=self.subject)

    def ellipse(self, center: Point2, rx: float, ry: float, color: Color, *, glow: Color | None = None, inside: bool = False) -> None:
        """Fill an ellipse (px, half axes `rx`, `ry`) with a daylight color and emitted light `glow`. `inside`: leave object numbers unchanged."""
        u, v = center
        if rx <= 0.2 or ry <= 0.2 or not self._visible([(u - rx, v - ry), (u + rx, v + ry)]):
            return
        box = [(u - rx) * FINER, (v - ry) * FINER, (u + rx) * FINER, (v + ry) * FINER]
        self._solid.ellipse(box, fill=color)
        if self._glow is not None and (glow or not inside):
            self._glow.ellipse(box, fill=glow or (0, 0, 0))
        if not inside:
            self._ids.ellipse([u - rx, v - ry, u + rx, v + ry], fill=self.subject)

    def limb(self, start: Point2, end: Point2, thickness: float, color: Color) -> None:
        """Draw a straight bar between two pixels, `thickness` px wide."""
        du, dv = end[0] - start[0], end[1] - start[1]
        length = max((du * du + dv * dv) ** 0.5, 1e-6)
        nu, nv = -dv / length * thickness / 2, du / length * thickness / 2
        bar = [(start[0] + nu, start[1] + nv), (end[0] + nu, end[1] + nv), (end[0] - nu, end[1] - nv), (start[0] - nu, start[1] - nv)]
        self.polygon(bar, color)

    def begin(self, subject: int) -> None:
        """Mark pixels drawn after this call as showing the object with the number `subject`; 0 for no object."""
        self.subject, self._drawn = subject, None

    def _visible(self, points: Sequence[Point2]) -> bool:
        us, vs = [point[0] for point in points], [point[1] for point in points]
        left, right, top, bottom = min(us), max(us), min(vs), max(vs)
        seen = left < self.width and right > 0 and top < self.height and bottom > 0
        if seen and self.subject:
            past = self._drawn
            self._drawn = (
                (left, top, right, bottom) if past is None else (min(left, past[0]), min(top, past[1]), max(right, past[2]), max(bottom, past[3]))
            )
        return seen

    def marked(self) -> npt.NDArray[np.uint8]:
        """Return the object number of each pixel, (height, width); 0 for pixels that show ground or sky."""
        found = np.array(self._ids_image)
        found[found == _SKY] = 0
        return found

    def sky(self) -> npt.NDArray[np.bool_]:
        """Return a mask, (height, width), that is true for the pixels that show the sky."""
        return np.asarray(np.asarray(self._ids_image) == _SKY)

    def count(self) -> int:
        """Return the number of pixels that now show the object being drawn (the one last given to `begin`)."""
        if self._drawn is None:
            return 0
        left, top, right, bottom = self._drawn
        box = (max(0, int(left) - 2), max(0, int(top) - 2), min(self.width, int(right) + 3), min(self.height, int(bottom) + 3))
        return int(self._ids_image.crop(box).histogram()[self.subject])

    def colors(self) -> npt.NDArray[np.float32]:
        """Return the picture's daylight colors, RGB 0 to 1, (height, width, 3)."""
        return _unit(self._image)

    def glows(self) -> npt.NDArray[np.float32] | None:
        """Return the light that drawn lamps and windows emit, RGB 0 to 1, (height, width, 3); None by day."""
        return None if self._glow_image is None else _unit(self._glow_image)


def _unit(image: Image.Image) -> npt.NDArray[np.float32]:
    """Return an image, drawn at a multiple of the picture's size, averaged down to that size, with values from 0 to 1."""
    return np.asarray(image.reduce(FINER), dtype=np.float32) * np.float32(1 / 255)
