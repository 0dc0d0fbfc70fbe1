"""Conditions of mistakes: which of them matter, and mistakes grouped by them as finely as their number allows.

Mistakes are related to the chances to make them. For mistakes that miss an object, these are the labeled objects of its class, if there are labels: a
street with more pedestrians has more missed ones without the perception being worse. For all others each frame counts once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tracecore_diagnosis.mistakes import FrameFacts, Mistake, condition_names

__all__ = ["CONFUSION", "Exposure", "Group", "group_by_conditions", "informative_dimensions", "lift_of"]

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
    objects: Mapping[tuple[str, str], int] | None = None
    of_frames: frozenset[str] = frozenset()
    labeled_for: Mapping[str, Collection[str]] = field(default_factory=dict)

    @classmethod
    def of(
        cls, frames: Mapping[str, FrameFacts], objects: Mapping[tuple[str, str], int] | None, labeled_for: Mapping[str, Collection[str]] | None = None
    ) -> Exposure:
        """Return the exposure of evaluated frames."""
        return cls(frames, objects, condition_names(frames), labeled_for or {})

    def judged(self, type_: str) -> Mapping[str, FrameFacts]:
        """Return the frames on which a mistake of a type could be found: those labeled for it."""
        labeled = self.labeled_for.get(_JUDGED_BY.get(type_, "box2d"))
        return {id_: frame for id_, frame in self.frames.items() if id_ in labeled} if labeled else self.frames

    def counts_objects(self, type_: str) -> bool:
        """Whether mistakes of a type are related to labeled objects instead of frames."""
        return self.objects is not None and type_ in _CAN_BE_MISSED

    def among(self, type_: str, category: str, frames: Iterable[str]) -> int:
        """Return the number of chances on some frames: labeled objects of a class, or frames."""
        if not self.counts_objects(type_):
            return len(set(frames))
        return self.labeled(category, frames)

    def labeled(self, category: str, frames: Iterable[str]) -> int:
        """Return the number of labeled objects of a class on some frames."""
        return sum((self.objects or {}).get((id_, category), 0) for id_ in frames)


def lift_of(mistakes: Sequence[Mistake], type_: str, category: str, conditions: Mapping[str, str], chances: Exposure) -> float:
    """Return the rate of mistakes per chance on frames that meet `conditions`, relative to that on all frames; 1 if unknown."""
    judged = chances.judged(type_)
    exposed = {id_ for id_, frame in judged.items() if conditions.items() <= frame.conditions.items()}
    all_chances, chances_here = chances.among(type_, category, judged), chances.among(type_, category, exposed)
    known = [mistake for mistake in mistakes if mistake.frame_id in judged]
    if not known or not chances_here or not all_chances:
        return 1.0
    here = sum(mistake.frame_id in exposed for mistake in known)
    return (here / chances_here) / (len(known) / all_chances)


def informative_dimensions(
    mistakes: Sequence[Mistake], dimensions: Sequence[str], chances: Exposure, *, least: int, telling: float
) -> dict[tuple[str, str], tuple[str, ...]]:
    """Return, by type and class, the dimensions to group mistakes by: all of the object, and those of the frame that make a difference.

    A dimension of the frame is kept if one of its values with at least `least` mistakes has a lift of at least `telling`.
    """
    kinds: dict[tuple[str, str], list[Mistake]] = {}
    for mistake in mistakes:
        kinds.setdefault((mistake.type, mistake.category), []).append(mistake)
    found = {}
    for (type_, category), own in kinds.items():
        kept = []
        for name in dimensions:
            counts = Counter(mistake.conditions[name] for mistake in own if name in mistake.conditions)
            values = [value for value, count in counts.items() if count >= least]
            if name not in chances.of_frames or any(lift_of(own, type_, category, {name: value}, chances) >= telling for value in values):
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
    """Group mistakes by type, class and conditions; return the groups, and the mistakes that are too few even by type and class.

    `dimensions` has the conditions to group by for each type and class, the most important first. Mistakes that agree in all of them are grouped
    first. If they are fewer than `least`, the last dimension is dropped, and so on, so that each mistake is in the most specific group with enough
    mistakes.
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
