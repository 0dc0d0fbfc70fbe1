"""Clusters of mistakes: named, measured against all frames of their conditions, the worst first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tracecore_diagnosis.appearance import Looks
from tracecore_diagnosis.conditions import CONFUSION, Group, group_by_conditions
from tracecore_diagnosis.mistakes import Mistake
from tracecore_diagnosis.parts import Part, cut_in_parts
from tracecore_diagnosis.telling import Chances, lift_of, telling_dimensions
from tracecore_diagnosis.wording import NO_OBJECT, cluster_name, slug

__all__ = ["Cluster", "Limits", "clusters_of"]

_LIFT = (0.2, 5.0)  # a lift beyond these says more of few frames than of the perception


@dataclass(frozen=True, slots=True)
class Limits:
    """What makes a cluster.

    Attributes:
        least: mistakes.
        dimensions: conditions, the one to keep longest first.
        clear: least silhouette of a cut by appearance.
        weights: what a mistake of a type or class weighs; 1 where not named.
        telling: least lift of a condition of the frame for it to tell clusters apart.
    """

    least: int
    dimensions: tuple[str, ...]
    clear: float
    weights: Mapping[str, float]
    telling: float


@dataclass(frozen=True, slots=True)
class Cluster:
    """Mistakes that are alike.

    Attributes:
        id: short name for files and refs, unique among the clusters.
        name: in words.
        rank: 1 for the worst.
        conditions: that all its mistakes share.
        frame_conditions: those of them that are the frame's.
        members: the mistakes, the clearest first.
        frames: how many frames show one of them.
        of: how many frames that are labeled for such mistakes meet its conditions, as far as the frame table tells them.
        rate: `frames` as a share of `of`.
        objects: how many labeled objects of its class these hold, None where nobody counted or the mistake is about whole frames.
        lift: how many times as often such mistakes happen under these conditions of the frame as on all frames, by chance to make them.
        score: what it is ranked by: mistakes x weight x lift, the lift kept within 0.2 to 5.
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
        """Those of its conditions that more data can be asked for by: not what was taken for what."""
        return {name: value for name, value in self.conditions.items() if name != CONFUSION}


def clusters_of(mistakes: Sequence[Mistake], chances: Chances, looks: Looks, limits: Limits, seed: int) -> tuple[list[Cluster], list[Mistake]]:
    """Cluster mistakes by conditions, then by appearance.

    Args:
        mistakes: all.
        chances: to make them: the evaluated frames and their labeled objects.
        looks: appearance of the mistakes.
        limits: what makes a cluster.
        seed: for groups too large to be compared in full.

    Returns:
        The clusters, the worst first, and the mistakes that are like too few others.
    """
    dimensions = telling_dimensions(mistakes, limits.dimensions, chances, least=limits.least, telling=limits.telling)
    groups, left = group_by_conditions(mistakes, dimensions, limits.least)
    found = [
        _measured(group, part, mistakes, chances, limits)
        for group in groups
        # Looks say less than conditions do: a part takes twice as many mistakes.
        for part in cut_in_parts(group.members, looks, 2 * limits.least, limits.clear, seed)
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


def _measured(group: Group, part: Part, mistakes: Sequence[Mistake], chances: Chances, limits: Limits) -> Cluster:
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
