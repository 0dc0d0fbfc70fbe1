"""The heads for the path and for the light's state; the obstacle head is three convolutions and stands in the model itself."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from tracecore_training.body import channels_of

__all__ = ["LightHead", "PathHead"]

_PATH_CHANNELS = 32
_LIGHT_CHANNELS = 32
_OPENING = 0.5  # m to the side that half an image's width spans at 1 m ahead, before training: of a camera that sees about 53 degrees


class PathHead(nn.Module):
    """Say where the vehicle drives next: how far to the left it will be at given distances.

    For each distance a map says where in the image that point of the path is; its mean column, weighted, is a straight measure of the meters to the
    left (a differentiable argmax, as in DSNT, Nibali et al. 2018). What is learned at one column holds at all others, so that few frames teach much.

    Args:
        channels: of the map it reads.
        ahead_m: P distances, m.
        size: height and width of the map.
    """

    columns: Tensor

    def __init__(self, channels: int, ahead_m: Sequence[float], size: tuple[int, int]) -> None:
        super().__init__()
        rows, columns = (torch.linspace(-1, 1, count) for count in size)
        self.look = nn.Conv2d(channels, _PATH_CHANNELS, 3, 1, 1, bias=False)
        # convolutions don't know where they are, and a point of the road is as far away as its row says
        slopes = torch.randn(_PATH_CHANNELS, 2, 1, 1)
        self.place = nn.Parameter(slopes[:, 0] * rows[:, None] + slopes[:, 1] * columns[None, :])
        self.norm = nn.BatchNorm2d(_PATH_CHANNELS)
        self.points = nn.Conv2d(_PATH_CHANNELS, len(ahead_m), 1)
        self.meters = nn.Parameter(-_OPENING * torch.tensor([float(each) for each in ahead_m]))
        self.offset = nn.Parameter(torch.zeros(len(ahead_m)))
        self.register_buffer("columns", columns.repeat(size[0]), persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        """Give meters to the left at each distance, [N, P], from a map [N, C, H/8, W/8]."""
        seen = functional.relu(self.norm(self.look(features)) + self.place)
        where = self.points(seen).flatten(2).softmax(dim=2)
        column = (where * self.columns).sum(dim=2)
        offsets: Tensor = column * self.meters + self.offset
        return offsets


class LightHead(nn.Module):
    """Say what the light that counts for the vehicle's lane shows.

    A light far ahead is a few pixels wide: its color is read from the finest map at the place where the head looks, for a mean over the image would
    drown it. Where to look is an attention over all places, and beside it the strongest answer of any place counts.

    Args:
        channels: of the map it reads.
        states: S.
        width: multiplies the channels.
    """

    def __init__(self, channels: int, states: int, width: float) -> None:
        super().__init__()
        hidden = channels_of(_LIGHT_CHANNELS, width)
        # what it reads has looked around already: each place by itself is enough, and a ninth of the work
        self.look = nn.Sequential(nn.Conv2d(channels, hidden, 1, bias=False), nn.BatchNorm2d(hidden), nn.ReLU(inplace=True))
        self.where = nn.Conv2d(hidden, 1, 1)
        self.state = nn.Linear(2 * hidden, states)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Give the logits of the states [N, S] and those of where it looks [N, h, w], from a map [N, C, h, w]."""
        seen = self.look(features)
        focus = self.where(seen).squeeze(1)
        attention = focus.flatten(1).softmax(dim=1)
        read = (seen.flatten(2) * attention[:, None]).sum(dim=2)
        # the strongest answer of all places: without boxes that teach where to look, this is what finds the place
        strongest = seen.amax(dim=(2, 3))
        return self.state(torch.cat([read, strongest], dim=1)), focus
