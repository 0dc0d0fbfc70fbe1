"""Sample pictures: what a model says beside what is true, on frames taken evenly over the drives."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tracecore.images import AnnotatedImage, Line, Mark, color_of, contact_sheet, draw_tile, save_png
from tracecore_evaluation.detector import Answers
from tracecore_evaluation.model_config import ModelConfig
from tracecore_evaluation.scene import Frame
from tracecore_evaluation.truth import Labels

__all__ = ["Samples", "sample_frames"]

_TRUE, _SEEN, _WRONG = "#ffffff", "#ff3cc8", "#ff2d2d"
_COLUMNS = 3


def sample_frames(frames: Sequence[Frame], count: int) -> list[Frame]:
    """Choose frames evenly: nobody picked the good ones."""
    rows = np.unique(np.linspace(0, len(frames) - 1, num=min(count, len(frames))).round().astype(int))
    return [frames[row] for row in rows.tolist()]


class Samples:
    """Keeps the pictures of some frames while the model runs, and draws them on one sheet.

    Args:
        frames: which.
    """

    def __init__(self, frames: Sequence[Frame]) -> None:
        self._frames = frames
        self._wanted = {frame.id for frame in frames}
        self._pictures: dict[str, bytes] = {}

    def look(self, frame: Frame, image: bytes) -> None:
        """Keep a frame's encoded picture if it is one of the samples."""
        if frame.id in self._wanted:
            self._pictures[frame.id] = image

    def draw(self, path: Path, labels: Labels, answers: Answers, config: ModelConfig, score: float) -> None:
        """Draw the sheet.

        True boxes are dashed, detections of at least a score have their class and score; the small plan on the right shows the true way (white) and
        the one said (pink) from above; the state of the light stands in the corner.
        """
        tiles = []
        for frame in self._frames:
            marks = [*_true_marks(frame, labels, config), *_seen_marks(frame, answers, config, score)]
            lines, notes = _path(frame, labels, answers, config)
            drawn = AnnotatedImage(
                self._pictures[frame.id], f"{frame.drive}  {frame.timestamp_ns}", marks, lines, [*_light(frame, labels, answers, config), *notes]
            )
            tiles.append(draw_tile(drawn))
        shown = [tile for tile in tiles if tile is not None]
        save_png(contact_sheet(shown, _COLUMNS), path)


def _true_marks(frame: Frame, labels: Labels, config: ModelConfig) -> list[Mark]:
    if frame.id not in labels.truth:
        return []
    truth = labels.truth[frame.id]
    return [_mark(box, "", config.classes[class_], dashed=True) for box, class_ in zip(truth.boxes.tolist(), truth.classes.tolist(), strict=True)]


def _seen_marks(frame: Frame, answers: Answers, config: ModelConfig, score: float) -> list[Mark]:
    if frame.id not in answers.seen:
        return []
    seen = answers.seen[frame.id].above(score)
    rows = zip(seen.boxes.tolist(), seen.scores.tolist(), seen.classes.tolist(), strict=True)
    return [_mark(box, f"{config.classes[class_]} {value:.2f}", config.classes[class_]) for box, value, class_ in rows]


def _mark(box: Sequence[float], text: str, category: str, *, dashed: bool = False) -> Mark:
    x, y, width, height = box
    return Mark(x, y, width, height, text, color_of(category), dashed)


def _light(frame: Frame, labels: Labels, answers: Answers, config: ModelConfig) -> list[tuple[str, str]]:
    if frame.id not in answers.lights:
        return []
    state = int(np.argmax(answers.lights[frame.id]))
    true = labels.lights.get(frame.id)
    if true is None or true == state:
        return [(f"light: {config.states[state]}" + (" (no label)" if true is None else ""), _TRUE)]
    return [(f"light: {config.states[state]}, true: {config.states[true]}", _WRONG)]


def _path(frame: Frame, labels: Labels, answers: Answers, config: ModelConfig) -> tuple[list[Line], list[tuple[str, str]]]:
    """Draw the way from above at the right edge of the picture, as high as 45 % of it for the farthest distance; sideways it is drawn to scale."""
    if frame.id not in answers.paths:
        return [], []
    scale = 0.45 * frame.height / config.ahead[-1]
    origin = (frame.width * 0.87, frame.height * 0.97)

    def above(left: NDArray[np.float64]) -> tuple[tuple[float, float], ...]:
        places = [(0.0, 0.0), *((x, y) for x, y in zip(config.ahead, left.tolist(), strict=True) if not np.isnan(y))]
        return tuple((origin[0] - y * scale, origin[1] - x * scale) for x, y in places)

    said = answers.paths[frame.id]
    lines = [Line(above(said), _SEEN)]
    if frame.id not in labels.paths:
        return lines, []
    true = labels.paths[frame.id]
    lines.insert(0, Line(above(true), _TRUE))
    known = ~np.isnan(true)
    error = float(np.abs(said - true)[known].mean()) if known.any() else float("nan")
    return lines, [(f"path: {error:.2f} m off", _TRUE)]
