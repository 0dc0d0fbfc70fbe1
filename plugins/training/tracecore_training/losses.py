"""The terms of the training loss."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from tracecore_training.targets import Targets

__all__ = ["center_loss", "focus_loss", "light_loss", "path_loss", "side_loss"]


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


def path_loss(offsets: Tensor, wanted: Tensor, scale: Tensor) -> Tensor:
    """Judge paths: the smooth L1 distance (Girshick 2015, equation 3) in units of each distance's own scale, a mean over what was said.

    Args:
        offsets: [N, P] m to the left.
        wanted: [N, P]; NaN where nobody said it.
        scale: [P] m.

    Returns:
        A scalar; 0 where nothing in the batch was said.
    """
    said = wanted.isfinite()
    apart = (offsets - torch.where(said, wanted, offsets.detach())) / scale
    return functional.smooth_l1_loss(apart, torch.zeros_like(apart), reduction="none").mul(said).sum() / said.sum().clamp(min=1)


def light_loss(logits: Tensor, states: Tensor, weights: Tensor) -> Tensor:
    """Judge the light's state: cross entropy, weighted by state, a mean over the images of which it was said.

    Args:
        logits: [N, S].
        states: [N] index of the state; -1 where nobody said it.
        weights: [S], how much an image of each state counts.

    Returns:
        A scalar; 0 where nothing in the batch was said.
    """
    said = states >= 0
    # chosen by a product, not by an index: torch's own cross entropy has no deterministic form for every device
    wanted = functional.one_hot(states.clamp(min=0), len(weights)).to(logits.dtype) * weights * said[:, None]
    return -(wanted * logits.log_softmax(dim=1)).sum() / wanted.sum().clamp(min=1e-6)


def focus_loss(focus: Tensor, wanted: Tensor) -> Tensor:
    """Judge where the light head looks: minus the log of the attention that lies on the light, a mean over the images that show one.

    Args:
        focus: [N, h, w] logits of the attention.
        wanted: [N, h, w] bool, the cells of the light.

    Returns:
        A scalar; 0 where no image shows one.
    """
    logits, cells = focus.flatten(1), wanted.flatten(1)
    shown = cells.any(dim=1)
    # an image without a light gets all of its cells: the same sum on both sides, so no cost and no pull
    on_light = logits.masked_fill(~(cells | ~shown[:, None]), float("-inf")).logsumexp(dim=1)
    return (logits.logsumexp(dim=1) - on_light).sum() / shown.sum().clamp(min=1)
