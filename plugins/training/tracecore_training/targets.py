"""Training targets of the obstacle and light heads, drawn from labeled boxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tracecore_training.backbone import STRIDE

__all__ = ["IGNORED", "Targets", "draw_focus", "draw_targets"]

IGNORED = -1
"""Class of a box that is not an example: one box for many objects, or an object that a person could not label.

What is found inside it counts neither for nor against.
"""

_REACH = 0.54  # share of a box that its Gaussian covers, up to 3 standard deviations (TTFNet, Liu et al. 2019, section 3.2)


@dataclass(frozen=True, slots=True)
class Targets:
    """Training targets of one batch; `objects` is the number of boxes drawn.

    Attributes:
        heat: [N, C, h, w], 1 at each object's center cell, with a Gaussian around it.
        counted: [N, 1, h, w], 0 where the heat map loss is ignored.
        sides: [N, 4, h, w], distances to the left, top, right and bottom of the box in input px; valid where `weight` is above 0.
        weight: [N, h, w], weight of each cell in the box loss; an object's cells sum to about the log of its area.
    """

    heat: Tensor
    counted: Tensor
    sides: Tensor
    weight: Tensor
    objects: int


def draw_targets(
    boxes: list[NDArray[np.float32]],
    classes: list[NDArray[np.int64]],
    *,
    count: int,
    height: int,
    width: int,
    fully_labeled: NDArray[np.bool_] | None = None,
) -> Targets:
    """Return the training targets of a batch, drawn from its labeled boxes.

    All cells near an object's center learn its box, which yields many more examples per step than the center cell does (TTFNet, Liu et al. 2019).

    Args:
        boxes: per image [B, 4], x1, y1, x2, y2 in input px.
        classes: per image [B], class index or `IGNORED`.
        count: number of classes.
        fully_labeled: [N] bool, whether all objects of the image are labeled; if not, cells outside its boxes teach nothing. None: all are.
    """
    rows, columns = height // STRIDE, width // STRIDE
    heat = np.zeros((len(boxes), count, rows, columns), np.float32)
    counted = np.ones((len(boxes), 1, rows, columns), np.float32)
    if fully_labeled is not None:
        counted[~fully_labeled] = 0
    sides = np.ones((len(boxes), 4, rows, columns), np.float32)
    weight = np.zeros((len(boxes), rows, columns), np.float32)
    center_x = np.arange(columns, dtype=np.float32) * STRIDE + STRIDE / 2
    center_y = np.arange(rows, dtype=np.float32) * STRIDE + STRIDE / 2
    objects = 0
    for image, (of_image, classes_of_image) in enumerate(zip(boxes, classes, strict=True)):
        # largest first: where objects overlap, cells learn the smallest, which is usually the nearer or harder one
        areas = (of_image[:, 2] - of_image[:, 0]) * (of_image[:, 3] - of_image[:, 1])
        for number in np.argsort(-areas, kind="stable"):
            x1, y1, x2, y2 = (float(value) for value in of_image[number])
            if classes_of_image[number] == IGNORED:
                counted[image, 0, int(y1 // STRIDE) : int(y2 // STRIDE) + 1, int(x1 // STRIDE) : int(x2 // STRIDE) + 1] = 0
                continue
            column = min(int((x1 + x2) / 2 // STRIDE), columns - 1)
            row = min(int((y1 + y2) / 2 // STRIDE), rows - 1)
            across, x_from, x_to = _bell(column, (x2 - x1) / STRIDE, columns)
            down, y_from, y_to = _bell(row, (y2 - y1) / STRIDE, rows)
            bell = np.outer(down, across)
            of_class = heat[image, classes_of_image[number], y_from:y_to, x_from:x_to]
            np.maximum(of_class, bell, out=of_class)
            weight[image, y_from:y_to, x_from:x_to] = bell * (np.log(max(areas[number], 1.0) + 1.0) / bell.sum())
            sides[image, 0, y_from:y_to, x_from:x_to] = center_x[x_from:x_to] - x1
            sides[image, 1, y_from:y_to, x_from:x_to] = (center_y[y_from:y_to] - y1)[:, None]
            sides[image, 2, y_from:y_to, x_from:x_to] = x2 - center_x[x_from:x_to]
            sides[image, 3, y_from:y_to, x_from:x_to] = (y2 - center_y[y_from:y_to])[:, None]
            objects += 1
    counted = np.maximum(counted, heat.max(axis=1, keepdims=True) == 1)  # centers of objects always count, even inside a crowd
    return Targets(torch.from_numpy(heat), torch.from_numpy(counted), torch.from_numpy(sides), torch.from_numpy(weight), objects)


def draw_focus(boxes: list[NDArray[np.float32]], classes: list[NDArray[np.int64]], where: int, shape: Sequence[int]) -> Tensor:
    """Return a mask [N, h, w], True for the cells of each image's largest box of class `where` (traffic light); all False without one.

    Boxes per image are [B, 4], x1, y1, x2, y2 in input px, with class indices [B]; `shape` is that of the mask.
    """
    cells = np.zeros(tuple(shape), np.bool_)
    for image, (of_image, of_class) in enumerate(zip(boxes, classes, strict=True)):
        candidates = of_image[of_class == where]
        if len(candidates):
            sides = candidates[:, 2:] - candidates[:, :2]
            x1, y1, x2, y2 = (int(each // STRIDE) for each in candidates[int(sides.prod(axis=1).argmax())])
            cells[image, y1 : y2 + 1, x1 : x2 + 1] = True
    return torch.from_numpy(cells)


def _bell(center: int, extent: float, cells: int) -> tuple[NDArray[np.float32], int, int]:
    """Return (Gaussian around the cell `center` along one axis, first cell, end cell), cropped to the axis of `cells` cells; the end is exclusive."""
    radius = int(extent / 2 * _REACH)
    sigma = (2 * radius + 1) / 6
    start, stop = max(center - radius, 0), min(center + radius + 1, cells)
    offsets = np.arange(start, stop, dtype=np.float32) - center
    return np.exp(-(offsets**2) / (2 * sigma**2)).astype(np.float32), start, stop
