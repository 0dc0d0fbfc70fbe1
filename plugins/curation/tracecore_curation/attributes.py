"""A split that someone else decided: the values of an attribute say which side each frame is on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tracecore as tc
from tracecore.errors import nearest
from tracecore_curation.conditions import condition_names, read_conditions

__all__ = ["AttributeSplit", "split_by_attribute"]

_COLUMNS = ("drive", "sensor", "encoding", "clock")
_WORDS = {"train": {"train", "training"}, "validation": {"val", "valid", "validation", "dev"}, "test": {"test", "testing"}}


@dataclass(frozen=True, slots=True)
class AttributeSplit:
    """Which frames are on which side.

    Attributes:
        sides: by frame ref `train`, `validation` or `test`; there may be no `validation`.
        left_out: frames by the value that put them on no side.
        without: frames that have no value.
        said: which values are which side, in words.
    """

    sides: Mapping[str, str]
    left_out: Mapping[str, int]
    without: int
    said: str


def split_by_attribute(frames: Any, labels: Any, ids: Sequence[str], by: str, holdout: Sequence[str]) -> AttributeSplit:
    """Put frames on sides as an attribute of the labeled images, a condition or a column of the frame table says.

    With `holdout` those values are the test side; of the other values, words for validation are the validation side, words for test are left out, and
    all others are the training side. Without `holdout` the values must be words for sides: train; val, valid, validation or dev; test. Where no value
    is test, validation is: frames that someone set apart to judge by.

    Args:
        frames: the frame table.
        labels: the label table, or None.
        ids: refs of the frames to split.
        by: name of the attribute.
        holdout: values of the test side.

    Raises:
        UsageError: nothing has such an attribute (those that exist are named), its values say nothing of sides, or the training or test side
            would be empty.
    """
    values = _values(frames, labels, by)
    of_frames = {id_: values[id_] for id_ in ids if id_ in values}
    counts = Counter(of_frames.values())
    known = ", ".join(f"{value} ({tc.count(count, 'frame')})" for value, count in sorted(counts.items())) or "none"
    if not counts:
        raise tc.UsageError(f"None of the {len(ids)} frames has a value of the attribute '{by}' to split by.")
    for value in holdout:
        if value not in counts:
            near = nearest(value, counts)
            hint = f"Did you mean '{near}'?" if near else f"Its values: {known}."
            raise tc.UsageError(f"The holdout '{value}' is no value of the attribute '{by}' of these frames. {hint}")
    side = _sides(counts, holdout)
    for name in ("train", "test"):
        if name not in side.values():
            empty = "training" if name == "train" else "test"
            raise tc.UsageError(
                f"Split by '{by}', the {empty} side has no frame: expected values train and val (or validation, test), or 'holdout' to name "
                f"the values of the test side. Its values: {known}."
            )
    left_out = {value: count for value, count in sorted(counts.items()) if value not in side}
    sides = {id_: side[value] for id_, value in of_frames.items() if value in side}
    said = "; ".join(f"{name} is {', '.join(sorted(value for value in side if side[value] == name))}" for name in sorted(set(side.values())))
    return AttributeSplit(sides, left_out, len(ids) - len(of_frames), said)


def _sides(counts: Mapping[str, int], holdout: Sequence[str]) -> dict[str, str]:
    """Return the side of each value that has one."""
    words = {value: value.strip().lower() for value in counts}
    if holdout:
        side = {value: "validation" if word in _WORDS["validation"] else "train" for value, word in words.items() if word not in _WORDS["test"]}
        return side | dict.fromkeys(holdout, "test")
    named = {value: name for value, word in words.items() for name, known in _WORDS.items() if word in known}
    if "test" not in named.values():
        named = {value: "test" if name == "validation" else name for value, name in named.items()}
    return named


def _values(frames: Any, labels: Any, by: str) -> dict[str, str]:
    """Return the attribute's value by frame ref: as the labels say, else the frames' conditions, else their columns."""
    of_labels: set[str] = set()
    if labels is not None:
        table = labels.to_table(columns=["frame_id", "frame_attributes"])
        found: dict[str, str] = {}
        for id_, pairs in zip(table["frame_id"].to_pylist(), table["frame_attributes"].to_pylist(), strict=True):
            for name, value in pairs or ():
                of_labels.add(name)
                if name == by and found.setdefault(id_, value) != value:
                    raise tc.UsageError(f"The labels give the frame {id_} two values of '{by}': '{found[id_]}' and '{value}'.")
        if found:
            return found
    if by in _COLUMNS:
        table = frames.to_table(columns=["frame_id", by])
        return {id_: value for id_, value in zip(table["frame_id"].to_pylist(), table[by].to_pylist(), strict=True) if value is not None}
    conditions = read_conditions(frames)
    of_frames = {id_: values[by] for id_, values in conditions.items() if by in values}
    if of_frames or by in ("region", "time_of_day"):
        return of_frames
    known = list(dict.fromkeys([*sorted(of_labels), *condition_names(conditions), *_COLUMNS]))
    near = nearest(by, known)
    hint = f" Did you mean '{near}'?" if near else ""
    source = "" if labels is not None else " The input 'labels' is not wired, so attributes of labeled images are not known."
    raise tc.UsageError(f"No frame has an attribute '{by}' to split by.{hint} Attributes: {', '.join(known)}.{source}")
