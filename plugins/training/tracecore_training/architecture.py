"""One body, up to three heads, small enough to train on two CPU cores; decoding is inside the graph.

Obstacles are found by CenterNet's idea (Zhou et al., 'Objects as Points', 2019): a heat map per class whose peaks are object centers, and at each
cell the distances to the four sides of its box (as in FCOS, Tian et al. 2019). Peaks are found by max pooling, so that no box suppression is needed
and the whole of it exports to ONNX.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from tracecore_training.body import STRIDE, Body, channels_of, convolution
from tracecore_training.decoding import decode
from tracecore_training.heads import LightHead, PathHead

__all__ = ["ENTRY_POINT", "MULTITASK", "STRIDE", "CenterDetector", "Maps", "MultiTask", "center_detector", "decode", "multitask"]

ENTRY_POINT = "center-detector"
"""Name of the model with the obstacle head alone in the entry-point group `tracecore.models`."""

MULTITASK = "multitask"
"""Name of the model with any heads in the same group."""

_HEAD = 32
_PRIOR = 0.05  # score of every cell before training: without it the first steps drown in the loss of empty cells
_MAX_LOG_DISTANCE = 4.5  # e^4.5 cells of 4 px are 360 px: wider than any half box, and exp can't overflow


@dataclass(frozen=True, slots=True)
class Maps:
    """What the heads say before it is decoded; None of a head that isn't built.

    Attributes:
        centers: logits of the class heat maps [N, C, H/4, W/4].
        sides: distances from each cell's center to its box's left, top, right and bottom side in input pixels [N, 4, H/4, W/4].
        path: meters to the left at each distance [N, P].
        light: logits of the states [N, S].
        focus: logits of the places where the light may be [N, H/4, W/4].
    """

    centers: Tensor | None = None
    sides: Tensor | None = None
    path: Tensor | None = None
    light: Tensor | None = None
    focus: Tensor | None = None


class MultiTask(Body):
    """Answer up to three questions about RGB images at once.

    The obstacle head's layers lie beside the body's own, by the names they have had since there was no other head: older weights fit.

    Args:
        classes: number of classes of obstacles C; 0 builds no obstacle head.
        ahead_m: P distances at which the path is said, m; none builds no path head.
        states: number of states of a light S; 0 builds no light head.
        size: height and width of the input, px; the path head knows its places.
        width: multiplies every channel count.
        detections: K, how many boxes each image gives, best first.
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
        """Give what the heads say, undecoded.

        Args:
            image: [N, 3, H, W] RGB, 0 to 1; H and W are multiples of 16.
        """
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
        """Give the answers about each image, those of absent heads left out.

        Args:
            image: [N, 3, H, W] RGB, 0 to 1.

        Returns:
            boxes [N, K, 4] (x1, y1, x2, y2 in input pixels, inside the image), scores [N, K] (0 to 1, best first), classes [N, K] (int64);
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


class CenterDetector(MultiTask):
    """Find objects in RGB images: the model with the obstacle head alone.

    Args:
        classes: number of classes C.
        width: multiplies every channel count; 1 has about 0.86 M parameters.
        detections: K, how many boxes each image gives, best first.
        window: side of the square of cells in which only the greatest score is a peak; odd.
    """

    def __init__(self, classes: int, *, width: float = 1.0, detections: int = 100, window: int = 3) -> None:
        super().__init__(classes, width=width, detections=detections, window=window)


def center_detector(config: Mapping[str, Any]) -> CenterDetector:
    """Build the detector that a model's `config.json` describes (entry point `center-detector` of group `tracecore.models`).

    Args:
        config: the whole of `config.json`: `classes`, `architecture.width`, `decode.detections`, `decode.window`.

    Returns:
        The module, its weights not yet loaded.
    """
    decoding = config["decode"]
    return CenterDetector(len(config["classes"]), width=config["architecture"]["width"], detections=decoding["detections"], window=decoding["window"])


def multitask(config: Mapping[str, Any]) -> MultiTask:
    """Build the model that a `config.json` describes (entry point `multitask` of group `tracecore.models`).

    Args:
        config: the whole of `config.json`: `heads`, `input`, `architecture.width`, and `decode` where there is an obstacle head.

    Returns:
        The module, its weights not yet loaded.
    """
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
