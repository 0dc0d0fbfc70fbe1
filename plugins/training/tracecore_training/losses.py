"""The two terms of the training loss."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from tracecore_training.targets import Targets

__all__ = ["center_loss", "side_loss"]


def center_loss(logits: Tensor, targets: Targets) -> Tensor:
    """Judge heat maps: the focal loss of CenterNet (Zhou et al. 2019, equation 1; alpha 2, beta 4), a mean over objects.

    Args:
        logits: [N, C, h, w].
        targets: of the same batch.

    Returns:
        A scalar.
    """
    probability = logits.sigmoid()
    positive = (targets.heat == 1).to(logits.dtype)
    # log(p) and log(1-p) from the logits: exact where the sigmoid has saturated
    hit = functional.logsigmoid(logits) * (1 - probability).square() * positive
    miss = functional.logsigmoid(-logits) * probability.square() * (1 - targets.heat).pow(4) * (1 - positive)
    return -((hit + miss) * targets.counted).sum() / max(targets.objects, 1)


def side_loss(sides: Tensor, targets: Targets) -> Tensor:
    """Judge boxes: one minus the generalized IoU (Rezatofighi et al. 2019), weighted by cell.

    Args:
        sides: [N, 4, h, w], distances to left, top, right, bottom in px.
        targets: of the same batch.

    Returns:
        A scalar, 0 to 2; 0 where the batch holds no object.
    """
    left, top, right, bottom = sides.unbind(1)
    want_left, want_top, want_right, want_bottom = targets.sides.unbind(1)
    overlap = (left.minimum(want_left) + right.minimum(want_right)).clamp(min=0) * (top.minimum(want_top) + bottom.minimum(want_bottom)).clamp(min=0)
    union = (left + right) * (top + bottom) + (want_left + want_right) * (want_top + want_bottom) - overlap
    hull = (left.maximum(want_left) + right.maximum(want_right)) * (top.maximum(want_top) + bottom.maximum(want_bottom))
    generalized = overlap / union - (hull - union) / hull
    return ((1 - generalized) * targets.weight).sum() / targets.weight.sum().clamp(min=1e-6)
