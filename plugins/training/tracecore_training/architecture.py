"""An anchor-free detector small enough to train on two CPU cores, its decoding inside the graph.

The network is CenterNet's idea (Zhou et al., 'Objects as Points', 2019): a heat map per class whose peaks are object centers, and at each cell the
distances to the four sides of its box (as in FCOS, Tian et al. 2019). Peaks are found by max pooling, so that no box suppression is needed and the
whole of it exports to ONNX.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["ENTRY_POINT", "STRIDE", "CenterDetector", "center_detector", "decode"]

ENTRY_POINT = "center-detector"
"""Name in the entry-point group `tracecore.models`."""

STRIDE = 4
"""Input pixels per cell of the heat map, in both directions."""

_CHANNELS = (16, 24, 48, 96, 128)  # at strides 2, 4, 8, 16, 32, for width 1
_HEAD = 32
_PRIOR = 0.05  # score of every cell before training: without it the first steps drown in the loss of empty cells
_MAX_LOG_DISTANCE = 4.5  # e^4.5 cells of 4 px are 360 px: wider than any half box, and exp can't overflow


def _conv(channels_in: int, channels_out: int, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(channels_out), nn.ReLU(inplace=True))


class _Residual(nn.Module):
    """Two 3x3 convolutions around a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _conv(channels, channels)
        self.second = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(x + self.norm(self.second(self.first(x))))


class CenterDetector(nn.Module):
    """Find objects in RGB images.

    Args:
        classes: number of classes C.
        width: multiplies every channel count; 1 has about 0.86 M parameters.
        detections: K, how many boxes each image gives, best first.
        window: side of the square of cells in which only the greatest score is a peak; odd.
    """

    def __init__(self, classes: int, *, width: float = 1.0, detections: int = 100, window: int = 3) -> None:
        super().__init__()
        self.detections = detections
        self.window = window
        c2, c4, c8, c16, c32 = (max(8, int(channels * width / 8 + 0.5) * 8) for channels in _CHANNELS)
        head = max(8, int(_HEAD * width / 8 + 0.5) * 8)
        self.stage4 = nn.Sequential(_conv(3, c2, 2), _conv(c2, c4, 2))
        self.stage8 = nn.Sequential(_conv(c4, c8, 2), _Residual(c8))
        self.stage16 = nn.Sequential(_conv(c8, c16, 2), _Residual(c16), _Residual(c16))
        self.stage32 = nn.Sequential(_conv(c16, c32, 2), _Residual(c32))
        self.lateral32 = nn.Conv2d(c32, c16, 1)
        self.lateral16 = nn.Conv2d(c16, c8, 1)
        self.lateral8 = nn.Conv2d(c8, c4, 1)
        self.head = _conv(c4, head)
        self.center = nn.Conv2d(head, classes, 1)
        self.sides = nn.Conv2d(head, 4, 1)
        nn.init.constant_(cast("Tensor", self.center.bias), -math.log((1 - _PRIOR) / _PRIOR))
        nn.init.constant_(cast("Tensor", self.sides.bias), math.log(3.0))  # boxes start 6 cells wide, 24 px

    def maps(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Give the undecoded maps.

        Args:
            image: [N, 3, H, W] RGB, 0 to 1; H and W are multiples of 4.

        Returns:
            Logits of the class heat maps [N, C, H/4, W/4], and the distances from each cell's center to its box's left, top, right and bottom side
            in input pixels [N, 4, H/4, W/4].
        """
        at4 = self.stage4((image - 0.5) * 4)
        at8 = self.stage8(at4)
        at16 = self.stage16(at8)
        at32 = self.stage32(at16)
        at16 = at16 + _enlarge(self.lateral32(at32), at16)
        at8 = at8 + _enlarge(self.lateral16(at16), at8)
        at4 = at4 + _enlarge(self.lateral8(at8), at4)
        features = self.head(at4)
        return self.center(features), self.sides(features).clamp(-_MAX_LOG_DISTANCE, _MAX_LOG_DISTANCE).exp() * STRIDE

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Give the detections of each image, best first.

        Args:
            image: [N, 3, H, W] RGB, 0 to 1.

        Returns:
            boxes [N, K, 4] (x1, y1, x2, y2 in input pixels, inside the image), scores [N, K] (0 to 1), classes [N, K] (int64).
        """
        logits, sides = self.maps(image)
        return decode(logits, sides, detections=self.detections, window=self.window)


def _enlarge(coarse: Tensor, like: Tensor) -> Tensor:
    # twice, then cut: a whole factor means the same to every runtime, a resize to 11 of 6 rows doesn't
    return functional.interpolate(coarse, scale_factor=2.0, mode="nearest")[:, :, : like.shape[2], : like.shape[3]]


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


def center_detector(config: Mapping[str, Any]) -> CenterDetector:
    """Build the detector that a model's `config.json` describes (entry point `center-detector` of group `tracecore.models`).

    Args:
        config: the whole of `config.json`: `classes`, `architecture.width`, `decode.detections`, `decode.window`.

    Returns:
        The module, its weights not yet loaded.
    """
    decoding = config["decode"]
    return CenterDetector(len(config["classes"]), width=config["architecture"]["width"], detections=decoding["detections"], window=decoding["window"])
