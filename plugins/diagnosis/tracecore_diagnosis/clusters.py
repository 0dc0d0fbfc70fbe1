"""Clusters of mistakes: grouped by conditions, named, and ranked, the worst first.

Conditions that matter are found first; mistakes are grouped by them as finely as their number allows.

Mistakes are related to the chances to make them. For mistakes that miss an object, these are the labeled objects of its class, if there are labels: a
street with more pedestrians has more missed ones without the perception being worse. For all others each frame counts once.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from tracecore_diagnosis.appearance import Appearance, Part, split_by_appearance
from tracecore_diagnosis.mistakes import FrameFacts, Mistake

__all__ = [
    "CONFUSION",
    "NO_OBJECT",
    "Cluster",
    "Exposure",
    "Group",
    "Limits",
    "cluster_name",
    "clusters_of",
    "group_by_conditions",
    "informative_dimensions",
    "lift_of",
    "plural",
    "slug",
]

_CAN_BE_MISSED = frozenset({"miss", "wrong_class", "lost_track"})
_JUDGED_BY = {"off_path": "path", "wrong_state": "tag"}  # geometry of the labels that reveal a mistake; `box2d` for other types


@dataclass(frozen=True, slots=True)
class Exposure:
    """Chances to make mistakes: the evaluated frames and their labeled objects.

    Attributes:
        objects: number of labeled objects by (frame ref, class); None without labels.
        of_frames: names of conditions that belong to the frame, not the object.
        labeled_for: refs of the frames with labels by geometry (box2d, path, tag); a missing geometry means that all frames are taken to be labeled.
    """

    frames: Mapping[str, FrameFacts]
    objects: Mapping[tuple[str, str], int] | None
    of_frames: Collection[str]
    labeled_for: Mapping[str, Collection[str]]

    def judged(self, type_: str) -> Mapping[str, FrameFacts]:
        """Return, by ref, the frames whose labels (boxes, path or light state) can reveal mistakes of a type; all frames if there are none."""
        labeled = self.labeled_for.get(_JUDGED_BY.get(type_, "box2d"))
        return {id_: frame for id_, frame in self.frames.items() if id_ in labeled} if labeled else self.frames

    def among(self, type_: str, category: str, frames: Collection[str]) -> int:
        """Return the divisor (count) of a mistake rate: labeled objects on `frames` for missed objects, frames for other types or without labels."""
        return len(frames) if self.objects is None or type_ not in _CAN_BE_MISSED else self.labeled(category, frames)

    def labeled(self, category: str, frames: Collection[str]) -> int:
        """Return the number of labeled objects of a class on the frames with the refs `frames`; 0 without labels."""
        return sum((self.objects or {}).get((id_, category), 0) for id_ in frames)


def lift_of(mistakes: Sequence[Mistake], type_: str, category: str, conditions: Mapping[str, str], chances: Exposure) -> float:
    """Return the rate of mistakes per labeled object or frame where `conditions` are met, divided by that of all frames; 1 if undefined."""
    judged = chances.judged(type_)
    exposed = {id_ for id_, frame in judged.items() if conditions.items() <= frame.conditions.items()}
    all_chances, chances_here = chances.among(type_, category, judged), chances.among(type_, category, exposed)
    known = [mistake for mistake in mistakes if mistake.frame_id in judged]
    if not known or not chances_here or not all_chances:
        return 1.0
    here = sum(mistake.frame_id in exposed for mistake in known)
    return (here / chances_here) / (len(known) / all_chances)


def informative_dimensions(mistakes: Sequence[Mistake], chances: Exposure, limits: Limits) -> dict[tuple[str, str], tuple[str, ...]]:
    """Return, by (type, class), the conditions to group mistakes by: all that describe the object, and those of the frame that matter.

    A condition of the frame matters if one of its values with at least `limits.least` mistakes has a lift (rate relative to all frames) of at least
    `limits.telling`.
    """
    kinds: dict[tuple[str, str], list[Mistake]] = {}
    for mistake in mistakes:
        kinds.setdefault((mistake.type, mistake.category), []).append(mistake)
    found = {}
    for (type_, category), own in kinds.items():
        kept = []
        for name in limits.dimensions:
            counts = Counter(mistake.conditions[name] for mistake in own if name in mistake.conditions)
            values = [value for value, count in counts.items() if count >= limits.least]
            if name not in chances.of_frames or any(lift_of(own, type_, category, {name: value}, chances) >= limits.telling for value in values):
                kept.append(name)
        found[type_, category] = tuple(kept)
    return found


CONFUSION = "confusion"
"""Dimension of confused classes and light states (`red seen as green`)."""


@dataclass(frozen=True, slots=True)
class Group:
    """Mistakes of one type and class with common conditions; `remainder`: mistakes with these and further conditions are in other groups."""

    type: str
    category: str
    conditions: Mapping[str, str]
    members: tuple[Mistake, ...]
    remainder: bool = False


def group_by_conditions(
    mistakes: Sequence[Mistake], dimensions: Mapping[tuple[str, str], Sequence[str]], least: int
) -> tuple[list[Group], list[Mistake]]:
    """Return groups of mistakes with one type, class and conditions, and the mistakes left over, which are too few for a group.

    `dimensions` lists, by (type, class), the conditions to group by, most important first. Mistakes with the same values of all are grouped first;
    if they are fewer than `least`, the last condition is dropped, and so on, so that each mistake is in the most specific group possible.
    """
    groups: list[Group] = []
    left = list(mistakes)
    orders = {kind: (CONFUSION, *names) for kind, names in dimensions.items()}
    for depth in range(max((len(order) for order in orders.values()), default=0), -1, -1):
        buckets: dict[tuple[str, str, tuple[tuple[str, str], ...]], list[Mistake]] = {}
        for mistake in left:
            order = orders[mistake.type, mistake.category][:depth]
            shared = tuple((name, value) for name in order if (value := mistake.says(name)) is not None)
            buckets.setdefault((mistake.type, mistake.category, shared), []).append(mistake)
        left = []
        for (type_, category, shared), members in sorted(buckets.items()):
            if len(members) < least:
                left.extend(members)
                continue
            conditions = dict(shared)
            narrower = any(group.type == type_ and group.category == category and conditions.items() < group.conditions.items() for group in groups)
            groups.append(Group(type_, category, conditions, tuple(members), narrower))
        left.sort(key=lambda mistake: mistake.row)
    return groups, left


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


def cluster_name(group: Group, words: Sequence[str]) -> str:
    """Return a cluster's name from its group's type, class and conditions and `words` on its look: `missed pedestrians, night, small, dark`."""
    template = _TYPES.get(group.type, group.type.replace("_", " ") + " of {many}")
    head = ("other " if group.remainder else "") + template.format(many=plural(group.category), one=group.category.replace("_", " "))
    head += f": {group.conditions[CONFUSION]}" if CONFUSION in group.conditions else ""
    dimensions = [*(name for name in _ORDER if name in group.conditions), *sorted(set(group.conditions) - {*_ORDER, CONFUSION})]
    return ", ".join([head, *(group.conditions[name].replace("_", " ") for name in dimensions), *words])


def slug(text: str) -> str:
    """Return `text` as lower-case letters, digits and dashes, at most 80 characters, for a file name; `cluster` if nothing is left."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:_SLUG].strip("-") or "cluster"


_LIFT = (0.2, 5.0)  # range of lift in scores; values beyond it come from too few frames


@dataclass(frozen=True, slots=True)
class Limits:
    """Parameters of clustering: dimensions are conditions, the most important first; a mistake weighs 1 unless its type or class is in `weights`.

    Attributes:
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


def clusters_of(mistakes: Sequence[Mistake], chances: Exposure, looks: Appearance, limits: Limits, seed: int) -> tuple[list[Cluster], list[Mistake]]:
    """Cluster mistakes by conditions, then by appearance; return the clusters, the worst first, and the mistakes that are in no cluster.

    Rates relate to the frames and labeled objects in `chances`; `seed` selects a sample of groups too large to be compared in full.
    """
    dimensions = informative_dimensions(mistakes, chances, limits)
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
    """Return a part of a group as a cluster with its rate, lift (rate relative to all frames) and score; id and rank are still empty."""
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
        name=cluster_name(group, part.words),
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
