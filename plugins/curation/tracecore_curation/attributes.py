"""A split that someone else decided: the values of an attribute say which side each frame is on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tracecore as tc
from tracecore.suggest import nearest

__all__ = ["AttributeSplit", "split_by_attribute"]

_COLUMNS = ("drive", "sensor", "region", "time_of_day", "encoding", "clock")
_TRAIN = {"train", "training"}
_VALIDATION = {"val", "valid", "validation", "dev"}
_TEST = {"test", "testing"}


@dataclass(frozen=True, slots=True)
class AttributeSplit:
    """Which frames are on which side.

    Attributes:
        train: refs.
        validation: refs.
        left_out: frames by the value that put them on neither side.
        without: frames that have no value.
    """

    train: frozenset[str]
    validation: frozenset[str]
    left_out: Mapping[str, int]
    without: int


def split_by_attribute(frames: Any, labels: Any, ids: Sequence[str], by: str, holdout: Sequence[str]) -> AttributeSplit:
    """Put frames on sides as an attribute of the labeled images, else a column of the frame table, says.

    Without `holdout` the values must be words for sides: train; val, valid, validation or dev; test (which is the validation side where nothing else
    is, and is left out otherwise). With `holdout` those values are the validation side, all others the training side.

    Args:
        frames: the frame table.
        labels: the label table, or None.
        ids: refs of the frames to split.
        by: name of the attribute.
        holdout: values of the validation side.

    Raises:
        UsageProblem: nothing has such an attribute (those that exist are named), its values say nothing of sides, or one side would be empty.
    """
    values = _values(frames, labels, by)
    of_frames = {id_: values[id_] for id_ in ids if id_ in values}
    counts = Counter(of_frames.values())
    known = ", ".join(f"{value} ({count} frames)" for value, count in sorted(counts.items())) or "none"
    if not counts:
        raise tc.UsageProblem(f"None of the {len(ids)} frames has a value of the attribute '{by}' to split by.")
    if holdout:
        for value in holdout:
            if value not in counts:
                near = nearest(value, counts)
                hint = f"Did you mean '{near}'?" if near else f"Its values: {known}."
                raise tc.UsageProblem(f"The holdout '{value}' is no value of the attribute '{by}' of these frames. {hint}")
        side = {value: "validation" if value in holdout else "train" for value in counts}
    else:
        side = _sides(counts)
    train = frozenset(id_ for id_, value in of_frames.items() if side.get(value) == "train")
    validation = frozenset(id_ for id_, value in of_frames.items() if side.get(value) == "validation")
    if not train or not validation:
        empty = "training" if not train else "validation"
        raise tc.UsageProblem(
            f"Split by '{by}', the {empty} side has no frame: expected values train and val (or validation, test), or 'holdout' to name the values "
            f"of the validation side. Its values: {known}."
        )
    left_out = {value: count for value, count in sorted(counts.items()) if value not in side}
    return AttributeSplit(train, validation, left_out, len(ids) - len(of_frames))


def _sides(counts: Mapping[str, int]) -> dict[str, str]:
    words = {value: value.strip().lower() for value in counts}
    side = {value: "train" for value, word in words.items() if word in _TRAIN}
    side |= {value: "validation" for value, word in words.items() if word in _VALIDATION}
    if "validation" not in side.values():
        side |= {value: "validation" for value, word in words.items() if word in _TEST}
    return side


def _values(frames: Any, labels: Any, by: str) -> dict[str, str]:
    """Give the attribute's value by frame ref."""
    of_labels: set[str] = set()
    if labels is not None:
        table = labels.to_table(columns=["frame_id", "frame_attributes"])
        found: dict[str, str] = {}
        for id_, pairs in zip(table["frame_id"].to_pylist(), table["frame_attributes"].to_pylist(), strict=True):
            for name, value in pairs or ():
                of_labels.add(name)
                if name == by and found.setdefault(id_, value) != value:
                    raise tc.UsageProblem(f"The labels give the frame {id_} two values of '{by}': '{found[id_]}' and '{value}'.")
        if found:
            return found
    if by in _COLUMNS:
        table = frames.to_table(columns=["frame_id", by])
        return {id_: value for id_, value in zip(table["frame_id"].to_pylist(), table[by].to_pylist(), strict=True) if value is not None}
    known = [*sorted(of_labels), *_COLUMNS]
    near = nearest(by, known)
    hint = f" Did you mean '{near}'?" if near else ""
    source = "" if labels is not None else " The input 'labels' is not wired, so attributes of labeled images are not known."
    raise tc.UsageProblem(f"No frame has an attribute '{by}' to split by.{hint} Attributes: {', '.join(known)}.{source}")
