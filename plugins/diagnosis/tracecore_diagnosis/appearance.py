"""Appearance of mistakes: a few dozen numbers of the image around the box, and groups split by them where the split is clear.

No neural network is used; numbers are computed only from the crop and rounded, so that equal images give equal clusters on any machine.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from tracecore.images import upright
from tracecore_diagnosis.mistakes import Mistake

__all__ = ["PLAIN", "Appearance", "Part", "appearance_of", "crop_box", "split_by_appearance"]

Floats = NDArray[np.float64]

PLAIN = ("luma", "contrast", "warmth", "slenderness", "side")
"""Columns of `Appearance.plain`, which have names in plain words."""

_SIDE = 16  # px, side of the crop after resizing
_MARGIN = 0.15  # share of the box added on each side, since surroundings are part of the appearance
_BINS = 8
_WAVES = 4
_DECIMALS = 6


@dataclass(frozen=True, slots=True)
class Appearance:
    """Appearance of n mistakes.

    Attributes:
        features: features for distances [n, features].
        plain: luma 0 to 1, contrast (its standard deviation), warmth (red - blue), slenderness (log height / width), side (-1 left, 1 right) [n, 5].
        rows: rows of these mistakes in the event table.
    """

    features: Floats
    plain: Floats
    rows: tuple[int, ...]


def appearance_of(frames: Any, mistakes: Sequence[Mistake], progress: Callable[[int, int, str], None]) -> Appearance:
    """Return numbers that describe the image around each mistake's box; mistakes whose image is missing or can't be decoded are left out."""
    by_frame: dict[str, list[Mistake]] = {}
    for mistake in mistakes:
        by_frame.setdefault(mistake.frame_id, []).append(mistake)
    found: dict[int, tuple[Floats, Floats]] = {}
    wanted = pc.field("frame_id").isin(pa.array(sorted(by_frame), type=pa.string()))
    done = 0
    for batch in frames.to_batches(columns=["frame_id", "image"], filter=wanted, batch_size=64):
        for id_, data in zip(batch["frame_id"].to_pylist(), batch["image"], strict=True):
            done += 1
            progress(done, len(by_frame), "pictures")
            image = _decode(data.as_py())
            if image is not None:
                found.update({mistake.row: _numbers(image, mistake.box) for mistake in by_frame[id_]})
    rows = tuple(sorted(found))
    width = _BINS * 2 + 2 + _WAVES * _WAVES
    features = np.array([found[row][0] for row in rows], dtype=np.float64).reshape(-1, width)
    plain = np.array([found[row][1] for row in rows], dtype=np.float64).reshape(-1, len(PLAIN))
    return Appearance(features, plain, rows)


def crop_box(box: Sequence[float], size: tuple[int, int], margin: float) -> tuple[int, int, int, int]:
    """Return left, top, right, bottom (px) of a box (x, y, width, height) grown on each side by `margin` times its size, cut to the image `size`."""
    x, y, width, height = box
    left, top = int(max(0, min(size[0] - 2, x - margin * width))), int(max(0, min(size[1] - 2, y - margin * height)))
    right = int(min(size[0], max(left + 2, round(x + (1 + margin) * width))))
    bottom = int(min(size[1], max(top + 2, round(y + (1 + margin) * height))))
    return left, top, right, bottom


def _decode(data: bytes) -> Image.Image | None:
    try:
        with Image.open(io.BytesIO(data)) as opened:
            return upright(opened).convert("RGB")
    except (UnidentifiedImageError, OSError):
        return None


def _numbers(image: Image.Image, box: Sequence[float]) -> tuple[Floats, Floats]:
    from scipy.fft import dctn

    small = image.crop(crop_box(box, image.size, _MARGIN)).resize((_SIDE, _SIDE), Image.Resampling.BOX)
    rgb = np.asarray(small, dtype=np.float64) / 255
    luma = rgb @ np.array([0.299, 0.587, 0.114])
    contrast = float(luma.std())
    centered = (luma - luma.mean()) / max(contrast, 0.02)
    down, across = np.gradient(centered)
    strength = np.hypot(down, across)
    direction = np.mod(np.arctan2(down, across), np.pi)  # modulo pi: dark to bright counts as bright to dark
    edges, _ = np.histogram(direction, bins=_BINS, range=(0, np.pi), weights=strength)
    brightness, _ = np.histogram(luma, bins=_BINS, range=(0, 1))
    red_blue, green = float((rgb[..., 0] - rgb[..., 2]).mean()), float((rgb[..., 1] - rgb[..., [0, 2]].mean(axis=2)).mean())
    waves = np.asarray(dctn(centered, norm="ortho"))[:_WAVES, :_WAVES].ravel() / _SIDE
    features = np.concatenate([brightness / luma.size, edges / max(float(strength.sum()), 1e-9), [4 * red_blue, 4 * green], waves])
    x, _, width, height = box
    plain = [
        float(luma.mean()),
        contrast,
        red_blue,
        float(np.log(max(height, 1.0) / max(width, 1.0))),
        float(2 * (x + width / 2) / image.width - 1),
    ]
    return features.round(_DECIMALS), np.array(plain).round(_DECIMALS)


_MOST = 3
_BETTER = 0.1  # silhouette that a further part must gain: few clusters are preferred
_SEEN = 800  # Ward's method is quadratic in memory and time; further mistakes join the nearest part
_WORDS = {
    "luma": ("dark", "bright"),
    "contrast": ("faint", "contrasting"),
    "warmth": ("bluish", "reddish"),
    "slenderness": ("wide", "tall"),
    "side": ("on the left", "on the right"),
}
_DISTINCT = 0.6  # difference of means in standard deviations at which a word applies


@dataclass(frozen=True, slots=True)
class Part:
    """Mistakes of a group that look alike, and words for how they differ from its other parts; empty if the group has one part."""

    members: tuple[Mistake, ...]
    words: tuple[str, ...] = ()


def split_by_appearance(members: Sequence[Mistake], looks: Appearance, least: int, clear: float, seed: int) -> list[Part]:
    """Split a group by Ward's hierarchical clustering into the number of parts with the best silhouette; return one part if no split is clear.

    A part has at least `least` mistakes, a split a mean silhouette of at least `clear` (Rousseeuw 1987: -1 to 1; above 0.25 there is some structure).
    Mistakes without an image stay with the largest part. `seed` selects the sample of a large group that is clustered.
    """
    place = {row: number for number, row in enumerate(looks.rows)}
    seen = [member for member in members if member.row in place]
    unseen = [member for member in members if member.row not in place]
    whole = [Part(tuple(members))]
    if len(seen) < 2 * least:
        return whole
    numbers = np.array([place[member.row] for member in seen])
    features = looks.features[numbers]
    parts = _cut(features, least, clear, seed)
    if parts is None:
        return whole
    plain = looks.plain[numbers]
    labels = sorted(set(parts.tolist()), key=lambda label: (-int((parts == label).sum()), int(np.flatnonzero(parts == label)[0])))
    found = []
    for label in labels:
        chosen = [member for member, own in zip(seen, parts.tolist(), strict=True) if own == label]
        # Mistakes without a picture stay with the largest part.
        rest = unseen if label == labels[0] else []
        found.append(Part(tuple(sorted([*chosen, *rest], key=lambda member: member.row)), _words(plain, parts == label)))
    return found


def _cut(features: NDArray[np.float64], least: int, clear: float, seed: int) -> NDArray[np.int64] | None:
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import cdist

    compared = np.arange(len(features))
    if len(features) > _SEEN:
        compared = np.sort(np.random.default_rng(seed).choice(len(features), _SEEN, replace=False))
    sample = features[compared]
    if not sample.std(axis=0).any():
        return None
    tree = linkage(sample, "ward")
    distances = cdist(sample, sample)
    best: tuple[float, NDArray[np.int64]] | None = None
    for count in range(2, _MOST + 1):
        labels = np.asarray(fcluster(tree, count, "maxclust"), dtype=np.int64)
        value = _silhouette(distances, labels)
        if value >= clear and (best is None or value > best[0] + _BETTER):
            everyone = labels if len(compared) == len(features) else _nearest(features, sample, labels)
            if np.unique(everyone, return_counts=True)[1].min() >= least:
                best = (value, everyone)
    return None if best is None else best[1]


def _silhouette(distances: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Return the mean silhouette of rows in the groups `labels`, from pairwise distances: -1 to 1, higher is better separated; -1 for one group."""
    names = np.unique(labels)
    if len(names) < 2:
        return -1.0
    counts = np.array([(labels == name).sum() for name in names], dtype=np.float64)
    sums = np.stack([distances[:, labels == name].sum(axis=1) for name in names], axis=1)
    own = np.searchsorted(names, labels)
    rows = np.arange(len(labels))
    within = sums[rows, own] / np.maximum(counts[own] - 1, 1)
    means = sums / counts
    means[rows, own] = np.inf
    other = means.min(axis=1)
    values = np.where(counts[own] > 1, (other - within) / np.maximum(np.maximum(other, within), 1e-12), 0.0)
    return round(float(values.mean()), 9)


def _nearest(features: NDArray[np.float64], sample: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    from scipy.spatial.distance import cdist

    names = np.unique(labels)
    centers = np.stack([sample[labels == name].mean(axis=0) for name in names])
    return np.asarray(names[cdist(features, centers).argmin(axis=1)], dtype=np.int64)


def _words(plain: NDArray[np.float64], own: NDArray[np.bool_]) -> tuple[str, ...]:
    """Return up to two words (`dark`, `tall`) that distinguish the rows `own` of `plain` from the other rows, the most distinctive first."""
    spread = np.maximum(plain.std(axis=0), 1e-6)
    apart = (plain[own].mean(axis=0) - plain[~own].mean(axis=0)) / spread
    order = sorted(range(len(apart)), key=lambda number: (-abs(round(float(apart[number]), 6)), number))
    return tuple(_WORDS[PLAIN[number]][int(apart[number] > 0)] for number in order[:2] if abs(apart[number]) >= _DISTINCT)
