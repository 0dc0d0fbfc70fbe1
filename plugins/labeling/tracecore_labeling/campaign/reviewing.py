"""What a review makes of labels: which are accepted, corrected, taken out, added. A correction keeps the label's id and adds a revision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tracecore.errors import UsageError, suggestion
from tracecore_labeling.campaign.label import Label
from tracecore_labeling.campaign.state import Standing

__all__ = ["VERDICTS", "Reviewed", "accepted", "corrected"]

VERDICTS = ("accepted", "corrected", "rejected")
"""Of a whole task: as it is, with corrections, or to be labeled again by somebody else."""


@dataclass(frozen=True, slots=True)
class Reviewed:
    """Labels after a review, and how many it took out."""

    labels: tuple[Standing, ...]
    removed: int


def accepted(labels: Sequence[Standing]) -> Reviewed:
    """Accept every label as it is."""
    return Reviewed(tuple(Standing(each.ordinal, each.revision, each.label, "accepted") for each in labels), 0)


def corrected(before: Sequence[Standing], after: Sequence[tuple[str | None, Label]], ids: Mapping[str, int], next_ordinal: int) -> Reviewed:
    """Compare labels with what the reviewer left of them.

    Args:
        before: as submitted.
        after: as they are to be, each with the id of the label that it corrects or keeps; one without an id is new.
        ids: ordinal by label id.
        next_ordinal: number of the next new label.

    Raises:
        UsageError: an id that is no label of the task, or twice the same.
    """
    known = {each.ordinal: each for each in before}
    kept: dict[int, Standing] = {}
    for named, label in after:
        if named is None:
            kept[next_ordinal] = Standing(next_ordinal, 0, label, "added")
            next_ordinal += 1
            continue
        ordinal = ids.get(named)
        if ordinal is None:
            raise UsageError(f"The task has no label '{named}'. {suggestion(named, ids)}")
        if ordinal in kept:
            raise UsageError(f"The label '{named}' stands twice in the correction.")
        old = known[ordinal]
        same = old.label == label
        kept[ordinal] = Standing(ordinal, old.revision + (not same), label, "accepted" if same else "corrected")
    return Reviewed(tuple(kept[ordinal] for ordinal in sorted(kept)), len(set(known) - set(kept)))
