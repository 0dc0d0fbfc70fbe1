"""Groups of drives that belong on one side of a split, and the sides they are given."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tracecore_curation.frame_facts import FrameFacts
from tracecore_curation.leaks import Limits, in_words
from tracecore_curation.near_duplicates import Thumbnails, near_duplicates
from tracecore_curation.neighborhood import neighbors
from tracecore_curation.pairs import FramePair, Pairs

__all__ = ["Group", "Joint", "choose_drives", "drive_groups"]

_ROUNDS = 256
_GOOD_ENOUGH = 0.005  # of all frames: an order of drives that comes this near to the asked share is taken


@dataclass(frozen=True, slots=True)
class Joint:
    """Why two drives belong together: how many pairs of their frames, and the nearest of them."""

    drives: tuple[str, str]
    reason: str
    count: int
    pair: FramePair


@dataclass(frozen=True, slots=True)
class Group:
    """Drives that go to one side together, sorted, and how many frames they have."""

    drives: tuple[str, ...]
    frames: int


def drive_groups(facts: FrameFacts, thumbnails: Thumbnails, limits: Limits) -> tuple[list[Group], list[Joint]]:
    """Join drives that were at one time and place, or show the same pictures.

    Returns:
        The groups, by their first drive, and what joined them, in order of drives.
    """
    joints = [
        *_joints(facts, neighbors(facts, facts, seconds=limits.seconds, meters=limits.meters), "time_and_place"),
        *_joints(facts, near_duplicates(facts, facts, thumbnails, likeness=limits.likeness, across_drives=True), "near_duplicate"),
    ]
    parent = {drive: drive for drive in facts.drive_names}

    def root(drive: str) -> str:
        while parent[drive] != drive:
            drive = parent[drive]
        return drive

    for joint in joints:
        first, second = sorted(root(drive) for drive in joint.drives)
        parent[second] = first
    members: dict[str, list[str]] = {}
    rows = facts.by_drive
    for drive in rows:
        members.setdefault(root(drive), []).append(drive)
    return [Group(tuple(drives), sum(len(rows[drive]) for drive in drives)) for drives in members.values()], joints


def choose_drives(groups: Sequence[Group], share: float, seed: int) -> set[str]:
    """Return the drives of one side: whole groups, in an order that the seed gives, whose frames come near to a share of all.

    Orders are tried until one comes within half a percent, else the nearest of them is taken: with few groups it is the nearest there is.

    Args:
        groups: at least two.
        share: of all frames, 0 to 1.
        seed: gives the orders; the same seed and groups give the same drives on any machine.
    """
    total = sum(group.frames for group in groups)
    wanted = share * total
    best: tuple[float, list[Group]] | None = None
    for round_ in range(_ROUNDS):
        chosen: list[Group] = []
        frames = 0
        for group in sorted(groups, key=lambda group: hashlib.sha256(f"{seed}/{round_}/{group.drives[0]}".encode()).digest()):
            nearer = abs(frames + group.frames - wanted) < abs(frames - wanted)
            # The first is taken whatever its size: an empty side is no split.
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
    """Sum pairs of frames up by their two drives: how many, and the nearest."""
    names = facts.drive_names
    code = {name: number for number, name in enumerate(names)}
    codes = np.array([code[name] for name in facts.drives.tolist()], dtype=np.int64)
    found: dict[int, tuple[int, tuple[float, float, int, int]]] = {}
    for block in blocks:
        once = np.flatnonzero(codes[block.a] < codes[block.b])  # each pair comes both ways
        a, b, near, also = block.a[once], block.b[once], block.near[once], block.also[once]
        joined = codes[a] * len(names) + codes[b]
        order = np.lexsort((b, a, also, near, joined))
        keys, first, counts = np.unique(joined[order], return_index=True, return_counts=True)
        for key, row, count in zip(keys.tolist(), order[first].tolist(), counts.tolist(), strict=True):
            nearest = (float(near[row]), float(also[row]), int(a[row]), int(b[row]))
            before, best = found.get(key, (0, nearest))
            found[key] = (before + count, min(best, nearest))
    joints = []
    for key, (count, (near_, also_, i, j)) in sorted(found.items()):
        first_drive, second_drive = divmod(key, len(names))
        pair = FramePair(facts.ids[i], facts.ids[j], in_words(reason, near_, also_))
        joints.append(Joint((names[first_drive], names[second_drive]), reason, count, pair))
    return joints
