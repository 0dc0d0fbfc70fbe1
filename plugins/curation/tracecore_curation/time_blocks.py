"""Selection frames cut from training drives in blocks of time, where there are too few drives to give some of them away whole."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tracecore_curation.frame_facts import FrameFacts

__all__ = ["TimeBlocks", "cut_blocks"]


@dataclass(frozen=True, slots=True)
class TimeBlocks:
    """Which frames are in a block and which are too near to one; both masks have one entry a frame.

    Attributes:
        held: frames of the blocks.
        near: frames within the gap of a block, outside of it.
        count: number of blocks.
    """

    held: NDArray[np.bool_]
    near: NDArray[np.bool_]
    count: int


def cut_blocks(facts: FrameFacts, share: float, seconds: float, gap: float) -> TimeBlocks | None:
    """Cut a share of each drive's time out, in blocks spread over the drive.

    A drive is cut into equal parts, and the end of each part is a block. Frames of one moment (several cameras) stay together. A drive that is too
    short for its share (a drive of one frame) is held as a whole or not at all, so that the share of all drives is met.

    Args:
        facts: the frames.
        share: of the moments, 0 to 1; at least one moment is held and one is left.
        seconds: how long a block is, in s; shorter where a drive's share is less. Where the clock is the file's index, an image counts as a second.
        gap: frames within this many seconds of a block are in neither part; at most a quarter of the block.

    Returns:
        The blocks, or None where all frames are of one moment.
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
            inside, beside, blocks = _of_drive((times - times[0]) / (1 if by_index else 1e9), due, seconds, gap)
            held[rows], near[rows] = inside[moment], beside[moment]
            count += blocks
    return TimeBlocks(held, near, count)


def _of_drive(times: NDArray[np.float64], due: int, seconds: float, gap: float) -> tuple[NDArray[np.bool_], NDArray[np.bool_], int]:
    """Return which of a drive's moments are held, which are too near to a held one, and the number of blocks."""
    duration = times[-1] * due / len(times)
    blocks = min(max(round(duration / seconds), 1), due)
    held = np.zeros(len(times), dtype=bool)
    for number in range(blocks):
        start, end = (len(times) * edge // blocks for edge in (number, number + 1))
        length = due * (number + 1) // blocks - due * number // blocks
        held[max(start, end - length) : end] = True
    # Where parts and blocks round differently, a block may not have fit into its part.
    held[np.flatnonzero(~held)[: due - int(held.sum())]] = True
    places = np.flatnonzero(held)
    after = places[np.clip(np.searchsorted(places, np.arange(len(times))), 0, len(places) - 1)]
    before = places[np.clip(np.searchsorted(places, np.arange(len(times)), "right") - 1, 0, len(places) - 1)]
    apart = np.minimum(np.abs(times[after] - times), np.abs(times - times[before]))
    near = ~held & (apart <= min(gap, duration / blocks / 4))
    # A gap that leaves nothing of the drive would cost more than it protects from.
    return held, near if (~held & ~near).any() else np.zeros_like(near), blocks


def _rounded(number: int, by: int) -> int:
    """Return a quotient of whole numbers, rounded half up: the same on any machine."""
    return (2 * number + by) // (2 * by)
