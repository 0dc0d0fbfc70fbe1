"""The backbone that all heads share: a small convolutional feature pyramid with stride 4 for far objects and context of the whole image."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional

__all__ = ["STRIDE", "Backbone", "Features", "channels_of", "convolution"]

STRIDE = 4
"""Input pixels per cell of the finest map, in both directions."""

_CHANNELS = (16, 24, 48, 96, 128)  # at strides 2, 4, 8, 16, 32, for width 1


class Features(NamedTuple):
    """Feature maps of a batch of images.

    Attributes:
        fine: [N, C4, H/4, W/4], with context from the coarser maps.
        near: [N, C4, H/4, W/4], with a small receptive field, which keeps colors sharp.
        middle: [N, C8, H/8, W/8], with context of the whole image.
    """

    fine: Tensor
    near: Tensor
    middle: Tensor


def channels_of(count: int, width: float) -> int:
    """Return `count` channels scaled by `width` and rounded to a multiple of 8, at least 8."""
    return max(8, int(count * width / 8 + 0.5) * 8)


def convolution(channels_in: int, channels_out: int, stride: int = 1) -> nn.Sequential:
    """Return a 3x3 convolution with batch norm and ReLU."""
    layer = nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(channels_out), nn.ReLU(inplace=True))


class _Residual(nn.Module):
    """A residual block of two 3x3 convolutions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = convolution(channels, channels)
        self.second = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(x + self.norm(self.second(self.first(x))))


class Backbone(nn.Module):
    """Convolutional feature pyramid; `width` scales all channel counts."""

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        c2, c4, c8, c16, c32 = (channels_of(count, width) for count in _CHANNELS)
        self.channels = c4
        self.middle_channels = c8
        self.stage4 = nn.Sequential(convolution(3, c2, 2), convolution(c2, c4, 2))
        self.stage8 = nn.Sequential(convolution(c4, c8, 2), _Residual(c8))
        self.stage16 = nn.Sequential(convolution(c8, c16, 2), _Residual(c16), _Residual(c16))
        self.stage32 = nn.Sequential(convolution(c16, c32, 2), _Residual(c32))
        self.lateral32 = nn.Conv2d(c32, c16, 1)
        self.lateral16 = nn.Conv2d(c16, c8, 1)
        self.lateral8 = nn.Conv2d(c8, c4, 1)

    def features(self, image: Tensor) -> Features:
        """Return the backbone's feature maps of images [N, 3, H, W], RGB 0 to 1: `fine` and `near` at 1/4 of the size, `middle` at 1/8."""
        near = self.stage4((image - 0.5) * 4)
        at8 = self.stage8(near)
        at16 = self.stage16(at8)
        at32 = self.stage32(at16)
        at16 = at16 + _enlarge(self.lateral32(at32), at16)
        at8 = at8 + _enlarge(self.lateral16(at16), at8)
        return Features(near + _enlarge(self.lateral8(at8), near), near, at8)


def _enlarge(coarse: Tensor, like: Tensor) -> Tensor:
    """Return the feature map `coarse`, upsampled by 2 and cropped to the size of `like`."""
    # upsample by 2, then crop: runtimes agree on integer factors, but not on a resize of 6 rows to 11
    return functional.interpolate(coarse, scale_factor=2.0, mode="nearest")[:, :, : like.shape[2], : like.shape[3]]
