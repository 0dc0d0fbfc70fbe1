"""Blocks of time over any drives: the share is met, no side is empty, nothing near a block is trained on."""

from __future__ import annotations

import numpy as np
import pytest

from tracecore_curation.frame_facts import FrameFacts
from tracecore_curation.splits import cut_blocks


def facts(drives: list[int], rng: np.random.Generator, clock: str = "measured") -> FrameFacts:
    """Return frames of drives by their numbers of frames, at uneven times."""
    names = np.array([f"drive-{number}" for number, count in enumerate(drives) for _ in range(count)], dtype=object)
    times = np.concatenate([np.sort(rng.choice(10**4, count, replace=False)) for count in drives]) * 10**7
    ids = np.array([f"frame/{name}/{number}" for number, name in enumerate(names)], dtype=object)
    return FrameFacts(ids, names, times, np.arange(len(ids)), np.full(len(ids), clock, dtype=object), np.full((len(ids), 2), np.nan))


@pytest.mark.parametrize("seed", range(200))
def test_a_share_of_moments_is_held_and_no_side_is_empty(seed: int) -> None:
    rng = np.random.default_rng(seed)
    frames = facts(rng.integers(1, 60, rng.integers(1, 6)).tolist(), rng)
    share, seconds, gap = rng.uniform(0.01, 0.99), rng.uniform(0.1, 60), rng.uniform(0, 30)
    cut = cut_blocks(frames, share, seconds, gap)
    if len(frames) < 2:
        assert cut is None
        return
    assert cut is not None
    assert cut.held.sum() == min(max(round(share * len(frames)), 1), len(frames) - 1)
    assert (~cut.held & ~cut.near).any()
    assert not (cut.held & cut.near).any()
    for drive in frames.drive_names:
        own = frames.drives == drive
        for near in frames.times[own & cut.near]:
            assert np.abs(frames.times[own & cut.held] - near).min() <= gap * 1e9


def test_a_gap_of_nothing_leaves_nothing_out() -> None:
    cut = cut_blocks(facts([50, 20], np.random.default_rng(1)), 0.2, 10, 0)
    assert cut is not None
    assert not cut.near.any()


def test_frames_without_a_clock_are_cut_by_their_number() -> None:
    frames = facts([100], np.random.default_rng(1), "index")
    frames.times[:] = np.arange(100)
    cut = cut_blocks(frames, 0.2, 10, 1)
    assert cut is not None
    assert np.flatnonzero(cut.held).tolist() == [*range(40, 50), *range(90, 100)]
    assert np.flatnonzero(cut.near).tolist() == [39, 50, 89]
