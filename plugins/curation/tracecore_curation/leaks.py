"""Leaks between two sides of a split: shared frames, drives, times and places, and near-duplicates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

import tracecore as tc
from tracecore_curation.frame_facts import FACT_COLUMNS, UNKNOWN, FrameFacts, FramePair, Pairs
from tracecore_curation.near_duplicates import LIKENESS, Thumbnails, near_duplicates
from tracecore_curation.proximity import neighbors

__all__ = ["KEPT", "NEEDED", "Leak", "Limits", "Side", "counted", "describe_pair", "find_leaks", "shared_frames"]

KEPT = 20
"""Most pairs or names kept per leak, nearest first; counts include all."""


NEEDED = frozenset({*FACT_COLUMNS, "image"})
"""Columns of a table whose frames can be compared with all of these."""


class Limits(tc.Params):
    """Limits within which two frames leak."""

    seconds: float = tc.Field(60.0, gt=0, description="frames of two drives within this much time of each other are of the same time")
    meters: float = tc.Field(50.0, gt=0, description="frames of two drives within this distance of each other are of the same place")
    likeness: float = tc.Field(LIKENESS, gt=0, le=1, description="least correlation of two near-duplicates, 1 for the same picture")


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a split: port name and frames."""

    name: str
    frames: FrameFacts


@dataclass(frozen=True, slots=True)
class Leak:
    """One kind of leak between two sides.

    Attributes:
        reason: `shared_frame`, `shared_drive`, `time_and_place` or `near_duplicate`.
        drives: drives of the kept pairs, sorted.
        found: the finding in words, to follow `train and validation: `.
        count: number of frames or pairs.
        pairs: the nearest pairs, at most `KEPT`.
    """

    reason: str
    sides: tuple[str, str]
    drives: tuple[str, ...]
    found: str
    count: int
    pairs: tuple[FramePair, ...]


def find_leaks(a: Side, b: Side, thumbnails: Thumbnails | None, limits: Limits) -> list[Leak]:
    """Return every leak between two sides of a split; without `thumbnails` (None), only frames and drives that are on both sides."""
    shared = [*shared_frames(a, b), *_shared_drives(a, b, timed=thumbnails is not None)]
    if thumbnails is None:
        return shared
    near = neighbors(a.frames, b.frames, seconds=limits.seconds, meters=limits.meters)
    alike = near_duplicates(a.frames, b.frames, thumbnails, likeness=limits.likeness)
    return [*shared, *_of_pairs("time_and_place", a, b, near, limits), *_of_pairs("near_duplicate", a, b, alike, limits)]


def counted(number: int, what: str) -> str:
    """Return a number followed by the noun `what`, plural unless the number is 1."""
    return f"{number} {what}{'s' * (number != 1)}"


def _are(number: int) -> str:
    return "is" if number == 1 else "are"


def describe_pair(reason: str, near: float, also: float) -> str:
    """Return in words how close two frames are: by `near` s and `also` m for `time_and_place`, else likeness 1 - `near`, mirrored if `also` is 1."""
    if reason == "time_and_place":
        return f"{near:.1f} s and {also:.0f} m apart"
    return f"likeness {1 - near:.3f}{', mirrored' if also else ''}"


def shared_frames(a: Side, b: Side) -> list[Leak]:
    """Return a list with one leak that counts the frames on both sides; an empty list if the sides share none."""
    shared = sorted(set(a.frames.ids.tolist()) & set(b.frames.ids.tolist()))
    if not shared:
        return []
    drives = sorted(set(a.frames.drives[np.isin(a.frames.ids, shared)].tolist()))
    pairs = tuple(FramePair(id_, id_, "one frame") for id_ in shared[:KEPT])
    return [Leak("shared_frame", (a.name, b.name), tuple(drives), f"{counted(len(shared), 'frame')} {_are(len(shared))} in both", len(shared), pairs)]


def _shared_drives(a: Side, b: Side, *, timed: bool) -> list[Leak]:
    """Return one leak for each drive with frames on both sides; with `timed`, it lists pairs of these frames, nearest in time first."""
    found = []
    rows_a, rows_b = a.frames.by_drive, b.frames.by_drive
    for drive in sorted(rows_a.keys() & rows_b.keys() - {UNKNOWN}):
        of_a, of_b = a.frames.take(rows_a[drive]), b.frames.take(rows_b[drive])
        pairs = _nearest_in_time(of_a, of_b) if timed else ()
        words = f"drive {drive} is in both ({len(of_a)} and {counted(len(of_b), 'frame')}"
        words += f", nearest {pairs[0].apart})" if pairs else ")"
        found.append(Leak("shared_drive", (a.name, b.name), (drive,), words, len(of_a) + len(of_b), pairs))
    return found


def _nearest_in_time(a: FrameFacts, b: FrameFacts) -> tuple[FramePair, ...]:
    """Pair each frame of `b` with the frame of `a` (same drive) nearest in time; return up to `KEPT` pairs of different frames, nearest first."""
    order = np.argsort(a.times, kind="stable")
    times = a.times[order]
    after = np.clip(np.searchsorted(times, b.times), 0, len(times) - 1)
    before = np.clip(after - 1, 0, None)
    chosen = np.where(np.abs(times[after] - b.times) < np.abs(times[before] - b.times), after, before)
    apart = np.abs(times[chosen] - b.times)
    other = a.ids[order[chosen]] != b.ids
    ranked = np.lexsort((b.times, apart))
    by_index = bool((a.clocks == "index").any())
    return tuple(
        FramePair(a.ids[order[chosen[row]]], b.ids[row], _time_in_words(int(apart[row]), by_index=by_index))
        for row in ranked[other[ranked]][:KEPT].tolist()
    )


def _time_in_words(apart: int, *, by_index: bool) -> str:
    """Return the time between two frames in words; `apart` is in ns or, with `by_index`, a number of frames."""
    if by_index:
        return f"{counted(apart, 'frame')} apart"
    return f"{apart / 1e9:.1f} s apart" if apart >= 50_000_000 else f"{apart / 1e6:.1f} ms apart"


def _of_pairs(reason: str, a: Side, b: Side, blocks: Iterator[Pairs], limits: Limits) -> list[Leak]:
    """Return one leak that counts all pairs of frames and lists the nearest `KEPT`, ties broken by row number; an empty list without pairs."""
    count = 0
    in_a, in_b = np.zeros(len(a.frames), dtype=bool), np.zeros(len(b.frames), dtype=bool)
    best = Pairs(np.empty(0, np.intp), np.empty(0, np.intp), np.empty(0), np.empty(0))
    for block in blocks:
        count += len(block)
        in_a[block.a] = True
        in_b[block.b] = True
        merged = Pairs.concatenate([best, block])
        best = merged.take(np.lexsort((merged.b, merged.a, merged.also, merged.near))[:KEPT])
    if not count:
        return []
    frames_a, frames_b = int(in_a.sum()), int(in_b.sum())
    words = f"{counted(frames_b, 'frame')} of {b.name} "
    if reason == "time_and_place":
        words += f"{_are(frames_b)} within {limits.seconds:g} s and {limits.meters:g} m of {counted(frames_a, 'frame')} of other drives in {a.name}"
    else:
        words += f"{'shows' if frames_b == 1 else 'show'} nearly the same picture as {frames_a} of {a.name} ({counted(count, 'pair')})"
    drives = sorted({*a.frames.drives[best.a].tolist(), *b.frames.drives[best.b].tolist()})
    rows = zip(best.a.tolist(), best.b.tolist(), best.near.tolist(), best.also.tolist(), strict=True)
    pairs = tuple(FramePair(a.frames.ids[i], b.frames.ids[j], describe_pair(reason, near, also)) for i, j, near, also in rows)
    return [Leak(reason, (a.name, b.name), tuple(drives), words, count, pairs)]
