"""Clusters of mistakes: named, related to all frames with their conditions, and ranked, the worst first."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tracecore_diagnosis.appearance import Appearance, Part, split_by_appearance
from tracecore_diagnosis.conditions import CONFUSION, Exposure, Group, group_by_conditions, informative_dimensions, lift_of
from tracecore_diagnosis.mistakes import Mistake

__all__ = ["NO_OBJECT", "Cluster", "Limits", "cluster_name", "clusters_of", "plural", "slug", "type_words"]

NO_OBJECT = frozenset({"off_path", "wrong_state"})
"""Types of mistakes that concern a whole frame instead of an object."""

_ORDER = ("time_of_day", "size", "distance", "region")
_SLUG = 80
_TYPES = {
    "miss": "missed {many}",
    "false_positive": "false {many}",
    "wrong_class": "wrong class of {many}",
    "wrong_state": "wrong {one}",
    "off_path": "off the path",
    "lost_track": "lost tracks of {many}",
    "false_track": "false tracks of {many}",
}


def plural(category: str) -> str:
    """Return a class name in the plural: `traffic_light` gives `traffic lights`, `bus` gives `buses`."""
    words = category.replace("_", " ")
    if words.endswith("s") and not words.endswith(("ss", "us")):
        return words
    return words + ("es" if words.endswith(("s", "x", "ch", "sh")) else "s")


def type_words(type_: str, category: str, confusion: str | None = None) -> str:
    """Return a mistake's type and class in words: `missed pedestrians`."""
    template = _TYPES.get(type_, type_.replace("_", " ") + " of {many}")
    words = template.format(many=plural(category), one=category.replace("_", " "))
    return f"{words}: {confusion}" if confusion else words


def cluster_name(type_: str, category: str, conditions: Mapping[str, str], words: Sequence[str], *, remainder: bool) -> str:
    """Return the name of a cluster: `missed pedestrians, night, small, JP`."""
    dimensions = [*(name for name in _ORDER if name in conditions), *sorted(set(conditions) - {*_ORDER, CONFUSION})]
    parts = [conditions[name].replace("_", " ") for name in dimensions]
    head = ("other " if remainder else "") + type_words(type_, category, conditions.get(CONFUSION))
    return ", ".join([head, *parts, *words])


def slug(text: str) -> str:
    """Return a name as lower-case letters, digits and dashes, at most 80 characters, for use in file names."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:_SLUG].strip("-") or "cluster"


_LIFT = (0.2, 5.0)  # range of lift in scores; values beyond it come from too few frames


@dataclass(frozen=True, slots=True)
class Limits:
    """Parameters of clustering: dimensions are conditions, the most important first; a mistake weighs 1 unless its type or class is in `weights`.

    Attributes:
        least: fewest mistakes of a cluster.
        clear: least silhouette to split a group by appearance.
        telling: least lift at which a condition of the frame is used.
    """

    least: int
    dimensions: tuple[str, ...]
    clear: float
    weights: Mapping[str, float]
    telling: float


@dataclass(frozen=True, slots=True)
class Cluster:
    """Similar mistakes.

    Attributes:
        rank: 1 for the worst.
        conditions: conditions that all mistakes share.
        frame_conditions: those that belong to the frame.
        words: how they look different from others with these conditions.
        members: the mistakes, the clearest first.
        frames: number of frames with one of them.
        of: number of frames that meet `frame_conditions` and are labeled for such mistakes.
        objects: number of labeled objects of the class on these; None if unknown or the mistakes concern whole frames.
        rate: `frames` as a share of `of`.
        lift: rate of such mistakes per chance on frames that meet `frame_conditions`, relative to all frames.
        score: ranking score: mistakes x weight x lift, the lift limited to 0.2 to 5.
    """

    id: str
    name: str
    rank: int
    type: str
    category: str
    conditions: Mapping[str, str]
    frame_conditions: Mapping[str, str]
    words: tuple[str, ...]
    members: tuple[Mistake, ...]
    frames: int
    of: int
    objects: int | None
    rate: float
    lift: float
    score: float

    @property
    def wanted_conditions(self) -> dict[str, str]:
        """The conditions without `confusion`, which new data can't be selected by."""
        return {name: value for name, value in self.conditions.items() if name != CONFUSION}


def clusters_of(mistakes: Sequence[Mistake], chances: Exposure, looks: Appearance, limits: Limits, seed: int) -> tuple[list[Cluster], list[Mistake]]:
    """Cluster mistakes by conditions, then by appearance; return the clusters, the worst first, and the mistakes in none.

    `chances` is the exposure that rates and lifts relate to; `seed` selects a sample of groups too large to be compared in full.
    """
    dimensions = informative_dimensions(mistakes, limits.dimensions, chances, least=limits.least, telling=limits.telling)
    groups, left = group_by_conditions(mistakes, dimensions, limits.least)
    found = [
        _measured(group, part, mistakes, chances, limits)
        for group in groups
        # Appearance is weaker evidence than conditions, so a part needs twice as many mistakes.
        for part in split_by_appearance(group.members, looks, 2 * limits.least, limits.clear, seed)
    ]
    found.sort(key=lambda cluster: (-cluster.score, cluster.name, cluster.members[0].row))
    taken: set[str] = set()
    ranked = []
    for rank, cluster in enumerate(found, start=1):
        id_ = slug(cluster.name)
        number = 2
        while id_ in taken:
            id_, number = f"{slug(cluster.name)}-{number}", number + 1
        taken.add(id_)
        ranked.append(replace(cluster, id=id_, rank=rank))
    return ranked, left


def _measured(group: Group, part: Part, mistakes: Sequence[Mistake], chances: Exposure, limits: Limits) -> Cluster:
    of_frame = {name: value for name, value in group.conditions.items() if name in chances.of_frames}
    of_object = {name: value for name, value in group.conditions.items() if name not in chances.of_frames}
    exposed = {id_ for id_, frame in chances.judged(group.type).items() if of_frame.items() <= frame.conditions.items()}
    such = [
        mistake
        for mistake in mistakes
        if mistake.type == group.type and mistake.category == group.category and all(mistake.says(name) == value for name, value in of_object.items())
    ]
    shown = {member.frame_id for member in part.members} & exposed
    lift = lift_of(such, group.type, group.category, of_frame, chances)
    weight = limits.weights.get(group.category, 1.0) * limits.weights.get(group.type, 1.0)
    return Cluster(
        id="",
        name=cluster_name(group.type, group.category, group.conditions, part.words, remainder=group.remainder),
        rank=0,
        type=group.type,
        category=group.category,
        conditions=dict(group.conditions),
        frame_conditions=of_frame,
        words=part.words,
        members=tuple(sorted(part.members, key=lambda member: (-member.clarity, member.row))),
        frames=len(shown),
        of=len(exposed),
        objects=None if chances.objects is None or group.type in NO_OBJECT else chances.labeled(group.category, exposed),
        rate=round(len(shown) / len(exposed), 6) if exposed else 0.0,
        lift=round(lift, 6),
        score=round(len(part.members) * weight * min(max(lift, _LIFT[0]), _LIFT[1]), 6),
    )
