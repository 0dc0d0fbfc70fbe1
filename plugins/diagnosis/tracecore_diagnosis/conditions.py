"""Mistakes grouped by what they are and the conditions they were made under, as finely as their number allows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tracecore_diagnosis.mistakes import Mistake

__all__ = ["CONFUSION", "Group", "group_by_conditions"]

CONFUSION = "confusion"
"""The dimension of what was taken for what: of mistaken classes and light states."""


@dataclass(frozen=True, slots=True)
class Group:
    """Mistakes of one type and class under the same conditions.

    Attributes:
        conditions: by dimension the value that all of them share; `confusion` may be among them.
        members: the mistakes.
        remainder: whether mistakes under narrower conditions of these went to groups of their own.
    """

    type: str
    category: str
    conditions: Mapping[str, str]
    members: tuple[Mistake, ...]
    remainder: bool = False


def group_by_conditions(
    mistakes: Sequence[Mistake], dimensions: Mapping[tuple[str, str], Sequence[str]], least: int
) -> tuple[list[Group], list[Mistake]]:
    """Group mistakes by type, class and conditions.

    The narrowest groups come first: those that agree in every dimension. Where they are too few, the last dimension is let go and they are counted
    together, and so on, so that each mistake is in the narrowest group that has enough of them.

    Args:
        mistakes: all.
        dimensions: by type and class the conditions to group by, the one to keep longest first.
        least: mistakes that make a group.

    Returns:
        The groups, and the mistakes that are too few even by type and class alone.
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
