"""Maps of the obstacle head turned into boxes, inside the exported graph."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from tracecore_training.body import STRIDE

__all__ = ["decode"]


def decode(logits: Tensor, sides: Tensor, *, detections: int, window: int) -> tuple[Tensor, Tensor, Tensor]:
    """Turn maps into the K best boxes of each image: peaks of the heat maps, and the box that each peak's cell speaks of.

    Args:
        logits: [N, C, h, w].
        sides: [N, 4, h, w] in input pixels.
        detections: K.
        window: side of the peak window in cells.

    Returns:
        boxes [N, K, 4], scores [N, K], classes [N, K] int64.
    """
    _, classes, height, width = logits.shape
    # peaks are sought among the logits: a runtime that takes a sigmoid twice may round it two ways, and a peak would not equal itself
    peaks = functional.max_pool2d(logits, window, 1, window // 2)
    scores = logits.sigmoid()
    kept = torch.where(logits == peaks, scores, torch.zeros_like(scores)).flatten(1)
    area = height * width
    best, index = kept.topk(min(detections, classes * area), dim=1)
    cell = index % area
    # half a divisor is added: the division is done in floats, and a graphics card's 3.0 may be 2.9999999
    category = torch.div(index - cell + area // 2, area, rounding_mode="floor")
    column = cell % width
    row = torch.div(cell - column + width // 2, width, rounding_mode="floor")
    near = sides.flatten(2).gather(2, cell.unsqueeze(1).expand(-1, 4, -1))
    x = column.to(sides.dtype) * STRIDE + STRIDE / 2
    y = row.to(sides.dtype) * STRIDE + STRIDE / 2
    left, top, right, bottom = near.unbind(1)
    across, down = float(width * STRIDE), float(height * STRIDE)
    edges = [(x - left).clamp(0.0, across), (y - top).clamp(0.0, down), (x + right).clamp(0.0, across), (y + bottom).clamp(0.0, down)]
    return torch.stack(edges, dim=2), best, category
