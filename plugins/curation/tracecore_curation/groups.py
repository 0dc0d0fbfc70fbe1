"""Groups of drives that belong on one side of a split, and the sides they are given."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tracecore_curation.frame_facts import FrameFacts
from tracecore_curation.leaks import Limits, in_words
from tracecore_curation.near_duplicates import Thumbnails, near_duplicates
from tracecore_curation.neighborhood import neighbors
from tracecore_curation.pairs import FramePair, Pairs

__all__ = ["Group", "Joint", "choose_validation", "drive_groups"]

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
        *_joints(facts, near_duplicates(facts, facts, thumbnails, bits=limits.bits, likeness=limits.likeness, across_drives=True), "near_duplicate"),
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
    for drive in facts.drive_names:
        members.setdefault(root(drive), []).append(drive)
    counts = {drive: int((facts.drives == drive).sum()) for drive in facts.drive_names}
    return [Group(tuple(drives), sum(counts[drive] for drive in drives)) for drives in members.values()], joints


def choose_validation(groups: Sequence[Group], share: float, seed: int) -> set[str]:
    """Choose the drives of the validation side: whole groups, in an order the seed gives, whose frames come near to a share of all.

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
    found: dict[tuple[str, str], tuple[int, tuple[float, float, int, int]]] = {}
    for block in blocks:
        rows = zip(block.near.tolist(), block.also.tolist(), block.a.tolist(), block.b.tolist(), strict=True)
        for nearness in rows:
            _, _, i, j = nearness
            if facts.drives[i] < facts.drives[j]:  # each pair comes both ways
                drives = (facts.drives[i], facts.drives[j])
                count, best = found.get(drives, (0, nearness))
                found[drives] = (count + 1, min(best, nearness))
    return [
        Joint(drives, reason, count, FramePair(facts.ids[best[2]], facts.ids[best[3]], in_words(reason, best[0], best[1])))
        for drives, (count, best) in sorted(found.items())
    ]
