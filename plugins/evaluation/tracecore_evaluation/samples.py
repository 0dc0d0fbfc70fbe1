"""Sample pictures: what the detector sees beside what is true, on frames taken evenly over the drives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tracecore_evaluation.scene import Frame, Seen, Truth

__all__ = ["Samples", "sample_frames"]

_WIDTH = 320
_COLUMNS = 3
_CAPTION = 14
_TRUE, _SEEN, _INK = (0, 220, 90), (255, 60, 200), (255, 255, 255)


def sample_frames(frames: Sequence[Frame], count: int) -> list[Frame]:
    """Choose frames evenly: nobody picked the good ones."""
    rows = np.unique(np.linspace(0, len(frames) - 1, num=min(count, len(frames))).round().astype(int))
    return [frames[row] for row in rows.tolist()]


class Samples:
    """Keeps small pictures of some frames while the detector runs, and draws them on one sheet.

    Args:
        frames: which.
    """

    def __init__(self, frames: Sequence[Frame]) -> None:
        self._frames = frames
        self._wanted = {frame.id for frame in frames}
        self._pictures: dict[str, NDArray[np.uint8]] = {}

    def look(self, frame: Frame, image: NDArray[np.uint8]) -> None:
        """Keep a frame's picture if it is one of the samples."""
        if frame.id in self._wanted:
            from PIL import Image

            height = max(1, round(frame.height * _WIDTH / frame.width))
            self._pictures[frame.id] = np.asarray(Image.fromarray(image).resize((_WIDTH, height), Image.Resampling.BILINEAR))

    def draw(self, path: Path, truth: Mapping[str, Truth], seen: Mapping[str, Seen], classes: Sequence[str], score: float) -> None:
        """Draw the sheet: true boxes green, detections of at least a score pink with class and score."""
        from PIL import Image, ImageDraw

        rows = [self._frames[start : start + _COLUMNS] for start in range(0, len(self._frames), _COLUMNS)]
        heights = [max(self._pictures[frame.id].shape[0] for frame in row) + _CAPTION for row in rows]
        sheet = Image.new("RGB", (_WIDTH * min(_COLUMNS, len(self._frames)), sum(heights)))
        pen = ImageDraw.Draw(sheet)
        for row, top in zip(rows, np.cumsum([0, *heights[:-1]]).tolist(), strict=True):
            for column, frame in enumerate(row):
                left = column * _WIDTH
                sheet.paste(Image.fromarray(self._pictures[frame.id]), (left, top + _CAPTION))
                pen.text((left + 3, top + 1), f"{frame.drive} {frame.timestamp_ns}", fill=_INK, font_size=10)
                place = np.array([left, top + _CAPTION, left, top + _CAPTION])
                for box in truth[frame.id].boxes:
                    pen.rectangle(self._corners(box, frame, place), outline=_TRUE, width=2)
                found = seen[frame.id].above(score)
                for box, value, class_ in zip(found.boxes, found.scores, found.classes, strict=True):
                    corners = self._corners(box, frame, place)
                    pen.rectangle(corners, outline=_SEEN)
                    pen.text((corners[0] + 1, max(top + _CAPTION, corners[1] - 10)), f"{classes[class_]} {value:.2f}", fill=_SEEN, font_size=9)
        sheet.save(path, format="PNG", optimize=False)

    @staticmethod
    def _corners(box: NDArray[np.float64], frame: Frame, place: NDArray[np.int64]) -> tuple[float, float, float, float]:
        scale = _WIDTH / frame.width
        x, y, width, height = (float(value) * scale for value in box)
        left, top, right, bottom = (float(value) for value in place + np.array([x, y, x + width, y + height]))
        return left, top, right, bottom
