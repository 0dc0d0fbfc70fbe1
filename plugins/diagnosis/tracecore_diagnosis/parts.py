"""Mistakes under the same conditions that look different: groups cut in parts by appearance, where the cut is clear."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tracecore_diagnosis.appearance import PLAIN, Looks
from tracecore_diagnosis.mistakes import Mistake

__all__ = ["Part", "cut_in_parts"]

_MOST = 3
_BETTER = 0.1  # of silhouette, for a further part: few clusters are better than fine ones
_SEEN = 800  # Ward's method takes the square of them in memory and time: the rest go to the nearest part
_WORDS = {
    "luma": ("dark", "bright"),
    "contrast": ("faint", "contrasting"),
    "warmth": ("bluish", "reddish"),
    "slenderness": ("wide", "tall"),
    "side": ("on the left", "on the right"),
}
_TOLD = 0.6  # standard deviations between a part and the others from which a word tells them apart


@dataclass(frozen=True, slots=True)
class Part:
    """Mistakes of one group that look alike; `words` say how they differ from the group's others, empty where the group is one part."""

    members: tuple[Mistake, ...]
    words: tuple[str, ...] = ()


def cut_in_parts(members: Sequence[Mistake], looks: Looks, least: int, clear: float, seed: int) -> list[Part]:
    """Cut a group by Ward's hierarchical clustering of its appearance; the number of parts with the best silhouette, where that is clear enough.

    Args:
        members: mistakes of one group.
        looks: appearance of all mistakes.
        least: mistakes that make a part.
        clear: least mean silhouette of a cut (Rousseeuw 1987: -1 to 1, above 0.25 there is some structure).
        seed: decides which mistakes of a large group are compared in full.
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
        # What nobody could look at stays with the greatest part.
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
    """Give the mean over all of (nearest other part - own part) / the greater of both, by mean distance."""
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
    """Say by what a part is told from the others: at most two words, the plainest first."""
    spread = np.maximum(plain.std(axis=0), 1e-6)
    apart = (plain[own].mean(axis=0) - plain[~own].mean(axis=0)) / spread
    order = sorted(range(len(apart)), key=lambda number: (-abs(round(float(apart[number]), 6)), number))
    return tuple(_WORDS[PLAIN[number]][int(apart[number] > 0)] for number in order[:2] if abs(apart[number]) >= _TOLD)
