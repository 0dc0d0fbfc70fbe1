"""Three ways to split frames: by an attribute, by groups of unrelated drives, and in blocks of time."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import tracecore as tc
from tracecore.errors import nearest
from tracecore_curation.frame_facts import FrameFacts, FramePair, Pairs
from tracecore_curation.frame_filter import condition_names, read_conditions
from tracecore_curation.leaks import Limits, describe_pair
from tracecore_curation.near_duplicates import Thumbnails, near_duplicates
from tracecore_curation.proximity import neighbors
from tracecore_schemas.canonical import JSON

__all__ = ["Group", "Joint", "TimeBlocks", "choose_drives", "cut_blocks", "drive_groups", "split_by_attribute"]

_COLUMNS = ("drive", "sensor", "encoding", "clock")
_WORDS = {"train": {"train", "training"}, "validation": {"val", "valid", "validation", "dev"}, "test": {"test", "testing"}}


def split_by_attribute(frames: Any, labels: Any, ids: Sequence[str], by: str, holdout: Sequence[str]) -> tuple[dict[str, str], dict[str, JSON]]:
    """Split frames by an attribute of the labeled images, a condition, or a column of the frame table.

    Returns the side (`train`, `validation` or `test`) by frame ref, and members of the facet: the number of frames on no side, by value
    (`left_out`), the number of frames without a value (`without`), and a sentence that lists the values of each side (`said`).

    With `holdout`, frames with its values are the test side, values that mean validation the validation side, values that mean test on no side, and
    all others the training side. Without it, values must mean a side: train; val, valid, validation or dev; test. If none means test, the validation
    frames are the test side.

    Raises:
        UsageError: no frame has the attribute, its values name no sides, or the training or test side would be empty.
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
            raise tc.UsageError(f"The holdout '{value}' is not a value of the attribute '{by}' of these frames. {hint}")
    side = _sides(counts, holdout)
    for name in ("train", "test"):
        if name not in side.values():
            empty = "training" if name == "train" else "test"
            raise tc.UsageError(
                f"Split by '{by}', the {empty} side has no frame: expected values train and val (or validation, test), or 'holdout' to name "
                f"the values of the test side. Its values: {known}."
            )
    left_out: dict[str, JSON] = {value: count for value, count in sorted(counts.items()) if value not in side}
    sides = {id_: side[value] for id_, value in of_frames.items() if value in side}
    words = "; ".join(f"{name} is {', '.join(sorted(value for value in side if side[value] == name))}" for name in sorted(set(side.values())))
    return sides, {"left_out": left_out, "without": len(ids) - len(of_frames), "said": f"By the values of {by}, {words}."}


def _sides(counts: Mapping[str, int], holdout: Sequence[str]) -> dict[str, str]:
    """Map attribute values to `train`, `validation` or `test`: those in `holdout` to `test`, others by wording; values on no side are left out."""
    words = {value: value.strip().lower() for value in counts}
    if holdout:
        side = {value: "validation" if word in _WORDS["validation"] else "train" for value, word in words.items() if word not in _WORDS["test"]}
        return side | dict.fromkeys(holdout, "test")
    named = {value: name for value, word in words.items() for name, known in _WORDS.items() if word in known}
    if "test" not in named.values():
        named = {value: "test" if name == "validation" else name for value, name in named.items()}
    return named


def _values(frames: Any, labels: Any, by: str) -> dict[str, str]:
    """Return each frame's value of the attribute `by`, by frame ref: from the labels if they have it, else from the frame table."""
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


_ROUNDS = 256
_GOOD_ENOUGH = 0.005  # of all frames: the difference to the asked share at which an order of drives is accepted


@dataclass(frozen=True, slots=True)
class Joint:
    """Reason to keep two drives together: the number of matching pairs of frames, and the nearest pair."""

    drives: tuple[str, str]
    reason: str
    count: int
    pair: FramePair


@dataclass(frozen=True, slots=True)
class Group:
    """Drives that must be on one side together, sorted, and their number of frames."""

    drives: tuple[str, ...]
    frames: int


def drive_groups(facts: FrameFacts, thumbnails: Thumbnails, limits: Limits) -> tuple[list[Group], list[Joint]]:
    """Group drives that were at one time and place or show the same picture; return the groups and, for each two joined drives, the reason."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    joints = [
        *_joints(facts, neighbors(facts, facts, seconds=limits.seconds, meters=limits.meters), "time_and_place"),
        *_joints(facts, near_duplicates(facts, facts, thumbnails, likeness=limits.likeness, across_drives=True), "near_duplicate"),
    ]
    names, rows = facts.drive_names, facts.by_drive
    place = {name: number for number, name in enumerate(names)}
    ends = np.array([[place[drive] for drive in joint.drives] for joint in joints], dtype=np.intp).reshape(-1, 2)
    edges = coo_array((np.ones(len(ends), dtype=bool), (ends[:, 0], ends[:, 1])), shape=(len(names), len(names)))
    members: dict[int, list[str]] = {}
    for name, component in zip(names, connected_components(edges, directed=False)[1].tolist(), strict=True):
        members.setdefault(component, []).append(name)
    return [Group(tuple(drives), sum(len(rows[drive]) for drive in drives)) for drives in members.values()], joints


def choose_drives(groups: Sequence[Group], share: float, seed: int) -> set[str]:
    """Return the drives of one side: whole groups whose number of frames is close to a share (0 to 1) of all frames.

    Orders of the groups, derived from `seed`, are tried until the share is met within 0.5 % of all frames; else the closest result is used.
    """
    total = sum(group.frames for group in groups)
    wanted = share * total
    best: tuple[float, list[Group]] | None = None
    for round_ in range(_ROUNDS):
        chosen: list[Group] = []
        frames = 0
        for group in sorted(groups, key=lambda group: hashlib.sha256(f"{seed}/{round_}/{group.drives[0]}".encode()).digest()):
            nearer = abs(frames + group.frames - wanted) < abs(frames - wanted)
            # The first group is taken whatever its size, so that the side is not empty.
            if (nearer or not chosen) and len(chosen) < len(groups) - 1:
                chosen.append(group)
                frames += group.frames
        off = abs(frames - wanted)
        if best is None or off < best[0]:
            best = (off, chosen)
        if off <= _GOOD_ENOUGH * total:
            break
    assert best is not None
    return {drive for group in best[1] for drive in group.drives}


def _joints(facts: FrameFacts, blocks: Iterator[Pairs], reason: str) -> list[Joint]:
    """Return, for each two drives with frame pairs in `blocks`, the number of these pairs and the nearest pair, sorted by drives."""
    names = facts.drive_names
    code = {name: number for number, name in enumerate(names)}
    codes = np.array([code[name] for name in facts.drives.tolist()], dtype=np.int64)
    found: dict[int, tuple[int, tuple[float, float, int, int]]] = {}
    for block in blocks:
        once = np.flatnonzero(codes[block.a] < codes[block.b])  # each pair comes both ways
        pairs = block.take(once)
        joined = codes[pairs.a] * len(names) + codes[pairs.b]
        order = np.lexsort((pairs.b, pairs.a, pairs.also, pairs.near, joined))
        keys, first, counts = np.unique(joined[order], return_index=True, return_counts=True)
        for key, row, count in zip(keys.tolist(), order[first].tolist(), counts.tolist(), strict=True):
            nearest = (float(pairs.near[row]), float(pairs.also[row]), int(pairs.a[row]), int(pairs.b[row]))
            before, best = found.get(key, (0, nearest))
            found[key] = (before + count, min(best, nearest))
    joints = []
    for key, (count, (near_, also_, i, j)) in sorted(found.items()):
        first_drive, second_drive = divmod(key, len(names))
        pair = FramePair(facts.ids[i], facts.ids[j], describe_pair(reason, near_, also_))
        joints.append(Joint((names[first_drive], names[second_drive]), reason, count, pair))
    return joints


@dataclass(frozen=True, slots=True)
class TimeBlocks:
    """Number of blocks of time, and masks of the frames in them (`held`) and of those only within their gaps (`near`)."""

    held: NDArray[np.bool_]
    near: NDArray[np.bool_]
    count: int


def cut_blocks(facts: FrameFacts, share: float, seconds: float, gap: float) -> TimeBlocks | None:
    """Return blocks of time that cover a share of each drive, spread over it; None with fewer than two moments (distinct times of a drive).

    A drive is cut into equal parts, and the end of each part is a block. Frames of one moment (several cameras) stay together. Drives too short for
    their share are in a block as a whole or not at all, so that the share over all drives is met.

    Args:
        share: share of the moments, 0 to 1; at least one moment is in a block and one is not.
        seconds: length of a block; less if a drive's share is shorter. With the clock `index`, a frame counts as one second.
        gap: seconds next to a block whose frames are on no side; at most a quarter of the block.
    """
    drives = list(facts.by_drive.values())
    moments = [np.unique(facts.times[rows], return_inverse=True) for rows in drives]
    total = sum(len(times) for times, _ in moments)
    if total < 2:
        return None
    wanted = min(max(round(share * total), 1), total - 1)
    held, near = np.zeros(len(facts), dtype=bool), np.zeros(len(facts), dtype=bool)
    seen = count = 0
    for rows, (times, moment) in zip(drives, moments, strict=True):
        before, seen = seen, seen + len(times)
        # Rounded over all drives before it, so that short drives add up to the share.
        due = _rounded(seen * wanted, total) - _rounded(before * wanted, total)
        if due:
            by_index = (facts.clocks[rows] == "index").all()
            inside, next_to, blocks = _of_drive((times - times[0]) / (1 if by_index else 1e9), due, seconds, gap)
            held[rows], near[rows] = inside[moment], next_to[moment]
            count += blocks
    return TimeBlocks(held, near, count)


def _of_drive(times: NDArray[np.float64], due: int, seconds: float, gap: float) -> tuple[NDArray[np.bool_], NDArray[np.bool_], int]:
    """Return masks of a drive's moments (`times`, s from 0), the `due` ones in blocks and those in gaps next to blocks, and the number of blocks."""
    duration = times[-1] * due / len(times)
    blocks = min(max(round(duration / seconds), 1), due)
    held = np.zeros(len(times), dtype=bool)
    for number in range(blocks):
        start, end = (len(times) * edge // blocks for edge in (number, number + 1))
        length = due * (number + 1) // blocks - due * number // blocks
        held[max(start, end - length) : end] = True
    # Rounding may leave a block larger than its part.
    held[np.flatnonzero(~held)[: due - int(held.sum())]] = True
    places = np.flatnonzero(held)
    after = places[np.clip(np.searchsorted(places, np.arange(len(times))), 0, len(places) - 1)]
    before = places[np.clip(np.searchsorted(places, np.arange(len(times)), "right") - 1, 0, len(places) - 1)]
    apart = np.minimum(np.abs(times[after] - times), np.abs(times - times[before]))
    near = ~held & (apart <= min(gap, duration / blocks / 4))
    # No gap where it would leave nothing of the drive.
    return held, near if (~held & ~near).any() else np.zeros_like(near), blocks


def _rounded(number: int, by: int) -> int:
    """Return `number` / `by` as an integer, rounded half up without floating point."""
    return (2 * number + by) // (2 * by)
