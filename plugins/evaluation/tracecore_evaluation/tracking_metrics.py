"""Tracking metrics (MOTA and IDF1) and the true tracks that they compare with.

Sources: CLEAR MOT (Bernardin and Stiefelhagen 2008): pairs of the previous frame stay paired while they overlap enough, the rest is paired by
greatest overlap; MOTA = 1 - (misses + false boxes + switches) / objects. Identity scores (Ristani et al. 2016): IDF1 = 2 IDTP / (objects + boxes),
where IDTP is the greatest number of boxes that a one-to-one pairing of true and computed tracks explains.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from tracecore_evaluation.detections import NO_DETECTIONS, Detections, Frame, GroundTruth, iou_matrix
from tracecore_evaluation.driving_time import seconds_between
from tracecore_evaluation.tracker import Tracked, Tracker, TrackerSettings, assign

__all__ = ["COUNTS", "Relevance", "Scores", "Stretch", "TrackedFrame", "followed", "moments_of", "of_class", "true_stretch", "unusable_tracks"]

COUNTS = ("objects", "boxes", "misses", "false_boxes", "switches", "identical")
"""Counts of each frame, see `Scores`."""


@dataclass(frozen=True, slots=True)
class TrackedFrame:
    """The true boxes of one frame, their track names, whether each must be seen (others don't count), and the tracks that the tracker outputs."""

    truth: GroundTruth
    names: tuple[str, ...]
    relevant: NDArray[np.bool_]
    tracked: Tracked


@dataclass(slots=True)
class Scores:
    """Tracking counts of one stretch.

    Attributes:
        by_moment: [frames, 6], in the order of `COUNTS`: relevant true boxes; tracked boxes that count (not those on irrelevant objects); relevant
            true boxes without a track; tracked boxes on nothing; changes of the track that follows an object; boxes that the best pairing of tracks
            explains over the whole stretch (IDTP).
        seen: per frame, whether each true box is followed.
        counted: per frame, whether each tracked box counts.
        nothing: track numbers that never overlapped anything labeled, with the indices of their frames.
    """

    by_moment: NDArray[np.int64]
    seen: list[NDArray[np.bool_]] = field(default_factory=list)
    counted: list[NDArray[np.bool_]] = field(default_factory=list)
    nothing: dict[int, list[int]] = field(default_factory=dict)


NOTHING = 0.1
"""Overlap with any label below which a track is on nothing; between this and the least overlap of a hit it is merely imprecise."""


def followed(moments: Sequence[TrackedFrame], iou: float) -> Scores:
    """Return the tracking counts of one camera's consecutive frames; a track follows a true object if their boxes overlap by at least `iou`."""
    found = Scores(np.zeros((len(moments), len(COUNTS)), dtype=np.int64))
    last: dict[str, int] = {}
    explained: dict[tuple[str, int], list[int]] = {}
    touched: set[int] = set()
    there: dict[int, list[int]] = {}
    for place, moment in enumerate(moments):
        overlaps = iou_matrix(moment.tracked.boxes, moment.truth.boxes)
        allowed = np.asarray(_same_class(moment) & ~moment.truth.crowd[None] & (overlaps >= iou))
        pairs = _pairs(moment, allowed, last)
        overlaps = iou_matrix(moment.tracked.boxes, moment.truth.boxes, moment.truth.crowd)
        on_crowd = np.any((overlaps >= iou) & _same_class(moment) & moment.truth.crowd[None], axis=1).tolist()
        of_row = dict(pairs)
        counts = [bool(moment.relevant[of_row[row]]) if row in of_row else not of_crowd for row, of_crowd in enumerate(on_crowd)]
        counted: NDArray[np.bool_] = np.array(counts, dtype=np.bool_)
        for row, column in np.argwhere(allowed & counted[:, None] & moment.relevant[None]).tolist():
            explained.setdefault((moment.names[column], moment.tracked.numbers[row]), []).append(place)
        seen = np.zeros(len(moment.names), dtype=bool)
        switches = 0
        for row, column in pairs:
            number, name = moment.tracked.numbers[row], moment.names[column]
            seen[column] = True
            if moment.relevant[column]:
                switches += int(last.get(name, number) != number)
                last[name] = number
        for row, number in enumerate(moment.tracked.numbers):
            there.setdefault(number, []).append(place)
            touched |= {number} if overlaps[row].max(initial=0.0) >= NOTHING else set()
        false_boxes = sum(each and row not in of_row for row, each in enumerate(counts))
        misses = int((moment.relevant & ~seen).sum())
        found.by_moment[place] = [int(moment.relevant.sum()), int(counted.sum()), misses, false_boxes, switches, 0]
        found.seen.append(seen)
        found.counted.append(counted)
    for places in _best(explained):
        found.by_moment[places, COUNTS.index("identical")] += 1
    found.nothing = {number: places for number, places in sorted(there.items()) if number not in touched}
    return found


def _same_class(moment: TrackedFrame) -> NDArray[np.bool_]:
    return np.asarray(moment.tracked.classes[:, None] == moment.truth.classes[None])


def _pairs(moment: TrackedFrame, allowed: NDArray[np.bool_], last: Mapping[str, int]) -> list[tuple[int, int]]:
    """Return `allowed` (track row, box row) pairs: objects with their track in `last`, then as many more as possible, by greatest overlap."""
    free = allowed.copy()
    row_of = {number: row for row, number in enumerate(moment.tracked.numbers)}
    kept: list[tuple[int, int]] = []
    for column, name in enumerate(moment.names):
        row = row_of.get(last[name]) if name in last else None
        if row is not None and free[row, column]:
            kept.append((row, column))
            free[row, :] = False
            free[:, column] = False
    return sorted(kept + assign(iou_matrix(moment.tracked.boxes, moment.truth.boxes), free))


def _best(explained: Mapping[tuple[str, int], list[int]]) -> Iterator[list[int]]:
    """Yield, for each (object, track) in the best one-to-one pairing over all frames, the indices of the frames on which the two match.

    Each connected component is solved separately: the full matrix of a long drive would not fit into memory.
    """
    from scipy.optimize import linear_sum_assignment
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if not explained:
        return
    places = list(explained.values())
    rows, columns = (np.unique(ends, return_inverse=True)[1] for ends in zip(*explained, strict=True))
    count = int(rows.max()) + 1 + int(columns.max()) + 1
    links = coo_array((np.ones(len(places)), (rows, rows.max() + 1 + columns)), shape=(count, count))
    parts: dict[int, list[int]] = {}
    for pair, part in enumerate(connected_components(links, directed=False)[1][rows].tolist()):
        parts.setdefault(part, []).append(pair)
    for pairs in parts.values():
        row, column = (np.unique(ends[pairs], return_inverse=True)[1] for ends in (rows, columns))
        pair_at = np.full((row.max() + 1, column.max() + 1), -1)
        pair_at[row, column] = pairs
        table = np.zeros(pair_at.shape, dtype=np.int64)
        table[row, column] = [len(places[pair]) for pair in pairs]
        yield from (places[pair] for pair in pair_at[linear_sum_assignment(table, maximize=True)].tolist() if pair >= 0)


@dataclass(frozen=True, slots=True)
class Relevance:
    """Which objects must be seen: those within `distance` m, or, where the distance is unknown, those at least `height` px high."""

    distance: float
    height: float

    def of(self, truth: GroundTruth) -> NDArray[np.bool_]:
        """Return whether each true box must be seen: it is near or, if its distance is not known, high enough; False for crowds."""
        known = [truth.distance(row) for row in range(len(truth.ids))]
        near = [high >= self.height if far is None else far <= self.distance for far, high in zip(known, truth.boxes[:, 3].tolist(), strict=True)]
        return np.array(near, dtype=bool) & ~truth.crowd


@dataclass(frozen=True, slots=True)
class Stretch:
    """Consecutive frames of one camera with box labels; per frame, its true boxes, their tracks, and whether each must be seen."""

    frames: tuple[Frame, ...]
    truths: tuple[GroundTruth, ...]
    names: tuple[tuple[str, ...], ...]
    relevant: tuple[NDArray[np.bool_], ...]


def unusable_tracks(frames: Sequence[Frame], truth: Mapping[str, GroundTruth]) -> tuple[set[str], set[str]]:
    """Return two sets of drives: those whose labels have objects but no tracks, and those with a frame on which one track has two boxes."""
    named: dict[str, bool] = {}
    repeated = set()
    for frame in frames:
        if frame.id in truth:
            tracks = [truth[frame.id].track(row) for row in np.flatnonzero(~truth[frame.id].crowd).tolist()]
            known = [track for track in tracks if track is not None]
            if tracks:
                named[frame.drive] = named.get(frame.drive, False) or bool(known)
            if len(set(known)) < len(known):
                repeated.add(frame.drive)
    return {drive for drive, is_named in named.items() if not is_named}, repeated


def true_stretch(
    frames: Sequence[Frame], truth: Mapping[str, GroundTruth], settings: TrackerSettings, relevance: Relevance, *, track: bool
) -> Stretch:
    """Return the ground truth of consecutive frames of one camera; with `track`, tracks are computed from the boxes, not read from the labels."""
    truths = tuple(truth[frame.id] for frame in frames)
    names = (
        tuple(_tracked(frames, truths, settings))
        if track
        else tuple(
            # a crowd or a box without a track gets its label id as the track
            tuple((None if each.crowd[row] else each.track(row)) or id_ for row, id_ in enumerate(each.ids))
            for each in truths
        )
    )
    return Stretch(tuple(frames), truths, names, tuple(relevance.of(each) for each in truths))


def _tracked(frames: Sequence[Frame], truths: Sequence[GroundTruth], settings: TrackerSettings) -> Iterator[tuple[str, ...]]:
    """Yield, for each frame, the computed track names of its true boxes, in their order; a single box is enough to start a track."""
    boxes = [Detections(truth.boxes, np.ones(len(truth.classes)), truth.classes) for truth in truths]
    for truth, tracked in zip(truths, _follow(frames, boxes, replace(settings, confirm=0.0)), strict=True):
        names = {row: f"{frames[0].timestamp_ns}-{number}" for row, number in zip(tracked.rows, tracked.numbers, strict=True)}
        yield tuple(names[row] for row in range(len(truth.ids)))


def _follow(frames: Sequence[Frame], seen: Sequence[Detections], settings: TrackerSettings) -> Iterator[Tracked]:
    """Yield the confirmed tracks that a tracker computes from the detections on each of the consecutive frames of one camera."""
    tracker, before = Tracker(settings), frames[0]
    for frame, detections in zip(frames, seen, strict=True):
        yield tracker.step(detections, seconds_between(before, frame))
        before = frame


def moments_of(stretch: Stretch, seen: Mapping[str, Detections], settings: TrackerSettings) -> list[TrackedFrame]:
    """Run a tracker over a stretch's detections (by frame ref); return each frame with its true boxes, their track names and computed tracks."""
    tracked = _follow(stretch.frames, [seen.get(frame.id, NO_DETECTIONS) for frame in stretch.frames], settings)
    return [TrackedFrame(*of_frame) for of_frame in zip(stretch.truths, stretch.names, stretch.relevant, tracked, strict=True)]


def of_class(moment: TrackedFrame, class_: int) -> TrackedFrame:
    """Return a copy of a tracked frame with only the true boxes and tracks of class index `class_`."""
    truth, tracked = moment.truth, moment.tracked
    true, seen = np.flatnonzero(truth.classes == class_), np.flatnonzero(tracked.classes == class_)
    return TrackedFrame(truth.take(true), tuple(moment.names[row] for row in true.tolist()), moment.relevant[true], tracked.take(seen))
