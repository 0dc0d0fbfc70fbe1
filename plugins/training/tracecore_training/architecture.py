"""The network: one backbone with up to three heads, small enough to train on two CPU cores. Decoding is part of the exported graph.

Obstacles follow CenterNet (Zhou et al., 'Objects as Points', 2019): a heat map per class whose peaks are object centers, and at each cell the
distances to the four sides of its box (as in FCOS, Tian et al. 2019). Max pooling finds the peaks, so no non-maximum suppression is needed and the
whole network exports to ONNX.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from tracecore_training.backbone import STRIDE, Backbone, channels_of, convolution

__all__ = [
    "ENTRY_POINT",
    "MULTITASK",
    "STRIDE",
    "LightHead",
    "Maps",
    "MultiTask",
    "PathHead",
    "center_detector",
    "decode",
    "multitask",
]


def decode(logits: Tensor, sides: Tensor, *, detections: int, window: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the K best boxes of each image, taken at the peaks of the class heat maps.

    Args:
        logits: heat maps [N, C, h, w].
        sides: distances from each cell to the edges of the box that it predicts, [N, 4, h, w] in input px.
        window: width and height, in cells, of the square in which only the greatest score is a peak.

    Returns boxes [N, K, 4] as x1, y1, x2, y2 in input px, scores [N, K], classes [N, K] int64.
    """
    _, classes, height, width = logits.shape
    # peaks are found in the logits: a runtime that computes a sigmoid twice may round it differently, so a peak might not equal itself
    peaks = functional.max_pool2d(logits, window, 1, window // 2)
    scores = logits.sigmoid()
    kept = torch.where(logits == peaks, scores, torch.zeros_like(scores)).flatten(1)
    area = height * width
    best, index = kept.topk(min(detections, classes * area), dim=1)
    cell = index % area
    # half a divisor is added: the division is done in floats, and a GPU may compute 2.9999999 for 3.0
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


_PATH_CHANNELS = 32
_LIGHT_CHANNELS = 32
_OPENING = 0.5  # initial lateral offset in m of the image's edge at 1 m ahead: a field of view of about 53 degrees


class PathHead(nn.Module):
    """Predicts the lateral offset of the vehicle's path at given distances.

    For each distance a heat map marks where in the image that point of the path is; the offset is linear in its mean column (a differentiable argmax,
    as in DSNT, Nibali et al. 2018). What is learned at one column applies to all others, so few frames are enough.
    """

    columns: Tensor

    def __init__(self, channels: int, ahead_m: Sequence[float], size: tuple[int, int]) -> None:
        super().__init__()
        rows, columns = (torch.linspace(-1, 1, count) for count in size)
        self.look = nn.Conv2d(channels, _PATH_CHANNELS, 3, 1, 1, bias=False)
        # convolutions are translation-invariant, but the distance of a road point depends on its row
        slopes = torch.randn(_PATH_CHANNELS, 2, 1, 1)
        self.place = nn.Parameter(slopes[:, 0] * rows[:, None] + slopes[:, 1] * columns[None, :])
        self.norm = nn.BatchNorm2d(_PATH_CHANNELS)
        self.points = nn.Conv2d(_PATH_CHANNELS, len(ahead_m), 1)
        self.meters = nn.Parameter(-_OPENING * torch.tensor([float(each) for each in ahead_m]))
        self.offset = nn.Parameter(torch.zeros(len(ahead_m)))
        self.register_buffer("columns", columns.repeat(size[0]), persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        """Return the path's lateral offset in m to the left at each of P distances, [N, P], from feature maps [N, C, H/8, W/8]."""
        seen = functional.relu(self.norm(self.look(features)) + self.place)
        where = self.points(seen).flatten(2).softmax(dim=2)
        column = (where * self.columns).sum(dim=2)
        offsets: Tensor = column * self.meters + self.offset
        return offsets


class LightHead(nn.Module):
    """Classifies the state of the traffic light for the vehicle's lane.

    A distant light is a few pixels wide and would vanish in a mean over the image: its color is read from the finest map, weighted by an attention
    over all places, together with the maximum over all places.
    """

    def __init__(self, channels: int, states: int, width: float) -> None:
        super().__init__()
        hidden = channels_of(_LIGHT_CHANNELS, width)
        # the features already have context, so a 1x1 convolution is enough, at a ninth of the cost
        self.look = nn.Sequential(nn.Conv2d(channels, hidden, 1, bias=False), nn.BatchNorm2d(hidden), nn.ReLU(inplace=True))
        self.where = nn.Conv2d(hidden, 1, 1)
        self.state = nn.Linear(2 * hidden, states)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits of the traffic light's states [N, S], and of the attention on each place [N, h, w], from feature maps [N, C, h, w]."""
        seen = self.look(features)
        focus = self.where(seen).squeeze(1)
        attention = focus.flatten(1).softmax(dim=1)
        read = (seen.flatten(2) * attention[:, None]).sum(dim=2)
        # the maximum over all places finds the light if no boxes teach the attention
        strongest = seen.amax(dim=(2, 3))
        return self.state(torch.cat([read, strongest], dim=1)), focus


ENTRY_POINT = "center-detector"
"""Name of the model with only the obstacle head in the entry-point group `tracecore.models`."""

MULTITASK = "multitask"
"""Name of the model with any heads in the same group."""

_HEAD = 32
_PRIOR = 0.05  # initial score of every cell; otherwise the loss of empty cells dominates the first steps
_MAX_LOG_DISTANCE = 4.5  # e^4.5 cells of 4 px are 360 px: wider than any half box, and exp can't overflow


@dataclass(frozen=True, slots=True)
class Maps:
    """Outputs of the heads before decoding; None for a head that isn't built.

    Attributes:
        centers: class heat map logits [N, C, H/4, W/4].
        sides: distances from each cell's center to the left, top, right and bottom of its box in input px [N, 4, H/4, W/4].
        path: lateral offset in m to the left at each distance [N, P].
        light: state logits [N, S].
        focus: attention logits of the light's place [N, H/4, W/4].
    """

    centers: Tensor | None = None
    sides: Tensor | None = None
    path: Tensor | None = None
    light: Tensor | None = None
    focus: Tensor | None = None


class MultiTask(Backbone):
    """A model with up to three heads on one backbone: obstacles, path and light.

    The obstacle head's layers are attributes of this module, not of a submodule, which keeps their names compatible with older weights.

    Args:
        classes: number of obstacle classes C; 0 for no obstacle head.
        ahead_m: P distances at which the path is predicted, m; empty for no path head.
        states: number of light states S; 0 for no light head.
        size: height and width of the input, px.
        width: factor on all channel counts.
        detections: number of boxes per image, K.
        window: side of the square of cells in which only the greatest score is a peak; odd.
    """

    def __init__(
        self,
        classes: int = 0,
        *,
        ahead_m: Sequence[float] = (),
        states: int = 0,
        size: tuple[int, int] = (176, 240),
        width: float = 1.0,
        detections: int = 100,
        window: int = 3,
    ) -> None:
        super().__init__(width)
        self.detections = detections
        self.window = window
        self.classes = classes
        head = channels_of(_HEAD, width)
        if classes:
            self.head = convolution(self.channels, head)
            self.center = nn.Conv2d(head, classes, 1)
            self.sides = nn.Conv2d(head, 4, 1)
            nn.init.constant_(cast("Tensor", self.center.bias), -math.log((1 - _PRIOR) / _PRIOR))
            nn.init.constant_(cast("Tensor", self.sides.bias), math.log(3.0))  # boxes start 6 cells wide, 24 px
        self.path = PathHead(self.middle_channels, ahead_m, (size[0] // 8, size[1] // 8)) if ahead_m else None
        self.light = LightHead(2 * self.channels + (head if classes else 0), states, width) if states else None

    def maps(self, image: Tensor) -> Maps:
        """Return the outputs of the model's heads before decoding, for images [N, 3, H, W], RGB 0 to 1; H and W are multiples of 16."""
        features = self.features(image)
        centers = sides = light = focus = None
        seen = [features.fine, features.near]
        if self.classes:
            of_obstacles = self.head(features.fine)
            seen.append(of_obstacles)
            centers = self.center(of_obstacles)
            sides = self.sides(of_obstacles).clamp(-_MAX_LOG_DISTANCE, _MAX_LOG_DISTANCE).exp() * STRIDE
        path = None if self.path is None else self.path(features.middle)
        if self.light is not None:
            light, focus = self.light(torch.cat(seen, dim=1))
        return Maps(centers, sides, path, light, focus)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return the decoded outputs of all heads that the model has, for images [N, 3, H, W], RGB 0 to 1.

        They are boxes [N, K, 4] (x1, y1, x2, y2 in input px, inside the image), scores [N, K] (0 to 1, best first), classes [N, K] (int64);
        path [N, P] in m to the left; light [N, S], probabilities.
        """
        maps = self.maps(image)
        answers: tuple[Tensor, ...] = ()
        if maps.centers is not None and maps.sides is not None:
            answers = decode(maps.centers, maps.sides, detections=self.detections, window=self.window)
        if maps.path is not None:
            answers = (*answers, maps.path)
        if maps.light is not None:
            answers = (*answers, maps.light.softmax(dim=1))
        return answers


def center_detector(config: Mapping[str, Any]) -> MultiTask:
    """Return a new obstacle detector as described in `config.json`, without trained weights (entry point `center-detector` of `tracecore.models`)."""
    decoding = config["decode"]
    return MultiTask(len(config["classes"]), width=config["architecture"]["width"], detections=decoding["detections"], window=decoding["window"])


def multitask(config: Mapping[str, Any]) -> MultiTask:
    """Return a new model with the heads that a `config.json` describes, without trained weights (entry point `multitask` of `tracecore.models`)."""
    heads, shape = config["heads"], config["input"]
    obstacles = config["decode"] if "obstacles" in heads else {}
    return MultiTask(
        len(heads.get("obstacles", {}).get("classes", ())),
        ahead_m=heads.get("path", {}).get("ahead_m", ()),
        states=len(heads.get("light", {}).get("states", ())),
        size=(shape["height"], shape["width"]),
        width=config["architecture"]["width"],
        **{name: obstacles[name] for name in ("detections", "window") if name in obstacles},
    )
