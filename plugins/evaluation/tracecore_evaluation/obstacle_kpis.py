"""KPIs of the head `obstacles`: average precision, precision and recall by class and slice, and matching of detections with objects.

Names: `ap50.<class>`, `ap.<class>`, `precision.<class>`, `recall.<class>`, each with `.<slice>` for a subset of frames or objects
(`recall.pedestrian.night`), and `map50`, `map`, the means of `ap50` and `ap` over the classes that have objects. Slices by distance have only
recall, since a false box has no distance.

Matching follows COCO (Lin et al. 2014, pycocotools `evaluateImg`): in order of score each detection takes the unmatched object of its class with the
greatest sufficient overlap; a detection left over that lies on a crowd counts neither as right nor as wrong.

Average precision follows COCO's protocol, computed by faster-coco-eval (Apache-2.0), a maintained C++ port of pycocotools.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tracecore_evaluation.detections import SIZES, Detections, Frame, GroundTruth, iou_matrix, size_of
from tracecore_evaluation.slices import Slicing, endings, slice_names

__all__ = ["AREAS", "Counts", "Curve", "Kpis", "Match", "Precision", "average_precision", "kpis", "match"]

AREAS = ("all", "small", "medium", "large")
_DETECTIONS = 100


@dataclass(frozen=True, slots=True)
class Curve:
    """Precision at 101 recall levels from 0 to 1, at IoU 0.5."""

    recall: tuple[float, ...]
    precision: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Precision:
    """Results of COCO's protocol by area range (`AREAS`) and class index, curves by class over all areas; None for a class without objects.

    Attributes:
        ap50: average precision at IoU 0.5.
        ap: mean over IoU 0.5, 0.55, ... 0.95.
    """

    ap50: Mapping[str, tuple[float | None, ...]]
    ap: Mapping[str, tuple[float | None, ...]]
    curves: tuple[Curve | None, ...]


def average_precision(frames: Sequence[Frame], truth: Mapping[str, GroundTruth], seen: Mapping[str, Detections], classes: int) -> Precision:
    """Return COCO's average precision and precision-recall curves by class; only the 100 best detections per class and frame count."""
    from faster_coco_eval import COCO, COCOeval_faster

    images = [{"id": number, "width": frame.width, "height": frame.height} for number, frame in enumerate(frames)]
    categories = [{"id": number, "name": str(number)} for number in range(classes)]
    true_boxes, seen_boxes = _annotations(frames, truth), _annotations(frames, seen)
    if not seen_boxes:
        return _nothing_seen(frames, truth, classes)
    shared = {"info": {}, "images": images, "categories": categories}
    evaluation = COCOeval_faster(
        COCO({**shared, "annotations": true_boxes}), COCO({**shared, "annotations": seen_boxes}), iouType="bbox", print_function=lambda *_: None
    )
    evaluation.params.maxDets = [1, 10, _DETECTIONS]
    evaluation.params.areaRngLbl = list(AREAS)
    evaluation.evaluate()
    evaluation.accumulate()
    precision: NDArray[np.float64] = evaluation.eval["precision"][..., -1]  # [overlap, recall, class, area]
    recalls = tuple(float(value) for value in evaluation.params.recThrs)
    return Precision(
        ap50={area: tuple(_mean_of_known(precision[:1, :, k, a]) for k in range(classes)) for a, area in enumerate(AREAS)},
        ap={area: tuple(_mean_of_known(precision[:, :, k, a]) for k in range(classes)) for a, area in enumerate(AREAS)},
        curves=tuple(
            None if precision[0, 0, k, 0] < 0 else Curve(recalls, tuple(float(value) for value in precision[0, :, k, 0])) for k in range(classes)
        ),
    )


def _annotations(frames: Sequence[Frame], boxes: Mapping[str, GroundTruth] | Mapping[str, Detections]) -> list[dict[str, object]]:
    """Return the true or detected boxes of frames as COCO annotations, frame by frame; a frame's image id is its index."""
    found: list[dict[str, object]] = []
    for number, frame in enumerate(frames):
        each = boxes[frame.id]
        rows = zip(each.boxes.tolist(), each.classes.tolist(), each.areas.tolist(), strict=True)
        own = (
            [{"iscrowd": int(crowd)} for crowd in each.crowd]
            if isinstance(each, GroundTruth)
            else [{"score": score} for score in each.scores.tolist()]
        )
        for (box, class_, area), members in zip(rows, own, strict=True):
            # Ids start at 1: pycocotools reads a match with annotation 0 as no match.
            place = {"id": len(found) + 1, "image_id": number, "category_id": class_}
            found.append(place | {"bbox": box, "area": area, "iscrowd": 0} | members)
    return found


def _nothing_seen(frames: Sequence[Frame], truth: Mapping[str, GroundTruth], classes: int) -> Precision:
    """Return AP 0 for each class that has objects, None for other classes, since faster_coco_eval refuses an empty list of detections."""

    def present(class_: int, area: str) -> bool:
        return any(
            not crowd and kind == class_ and area in {"all", size_of(size)}
            for frame in frames
            for kind, size, crowd in zip(truth[frame.id].classes, truth[frame.id].areas, truth[frame.id].crowd, strict=True)
        )

    values = {area: tuple(0.0 if present(class_, area) else None for class_ in range(classes)) for area in AREAS}
    recalls = tuple(step / 100 for step in range(101))
    return Precision(values, values, tuple(None if value is None else Curve(recalls, (0.0,) * 101) for value in values["all"]))


def _mean_of_known(values: NDArray[np.float64]) -> float | None:
    known = values[values > -1]
    return float(known.mean()) if known.size else None


@dataclass(frozen=True, slots=True)
class Match:
    """Matching of the n detections (`seen`) and m objects (`truth`) of one frame.

    Attributes:
        hit: row of the object each detection takes; -1 for a false positive, -2 on a crowd [n].
        found: whether a detection took each object; False for crowds [m].
        overlap_seen: greatest overlap of each detection with any object [n].
        overlap_true: greatest overlap of each object with any detection [m].
        overlap_other: overlap of each detection with each object of another class; 0 for the same class and crowds [n, m].
    """

    seen: Detections
    truth: GroundTruth
    hit: NDArray[np.int64]
    found: NDArray[np.bool_]
    overlap_seen: NDArray[np.float64]
    overlap_true: NDArray[np.float64]
    overlap_other: NDArray[np.float64]

    def other_class(self, row: int, iou: float) -> int | None:
        """Return the row of the object of another class that a false positive overlaps by at least `iou`, or None if there is none.

        If there are several, missed objects are preferred to found ones, then greater overlap.
        """
        near = np.flatnonzero(self.overlap_other[row] >= iou).tolist()
        return min(near, key=lambda column: (bool(self.found[column]), -self.overlap_other[row, column], column)) if near else None


def match(seen: Detections, truth: GroundTruth, iou: float) -> Match:
    """Match a frame's detections, best score first, each with the unmatched object of its class that it overlaps most, and by at least `iou`."""
    overlaps = iou_matrix(seen.boxes, truth.boxes, truth.crowd)
    hit = np.full(len(seen.scores), -1, dtype=np.int64)
    found = np.zeros(len(truth.classes), dtype=bool)
    for row in np.argsort(-seen.scores, kind="stable"):
        same = truth.classes == seen.classes[row]
        free = np.flatnonzero(same & ~truth.crowd & ~found & (overlaps[row] >= iou))
        if len(free):
            best = free[np.argmax(overlaps[row, free])]
            hit[row], found[best] = best, True
        elif (same & truth.crowd & (overlaps[row] >= iou)).any():
            hit[row] = -2
    other = np.where((seen.classes[:, None] != truth.classes[None]) & ~truth.crowd[None], overlaps, 0.0)
    return Match(seen, truth, hit, found, overlaps.max(axis=1, initial=0.0), overlaps.max(axis=0, initial=0.0), other)


@dataclass(slots=True)
class Counts:
    """Hits, false positives and misses."""

    hits: int = 0
    false_positives: int = 0
    misses: int = 0

    @property
    def precision(self) -> float | None:
        """Share of detections that are hits; None without detections."""
        return self.hits / (self.hits + self.false_positives) if self.hits + self.false_positives else None

    @property
    def recall(self) -> float | None:
        """Share of objects that were found; None without objects."""
        return self.hits / (self.hits + self.misses) if self.hits + self.misses else None


@dataclass(frozen=True, slots=True)
class Kpis:
    """Obstacle KPIs of one detector: by name (None without objects or, for precision, detections); counts and curves by class over all frames.

    Attributes:
        slices: number of frames by slice; None for slices of objects.
        matches: matching by frame ref.
    """

    values: dict[str, float | None] = field(default_factory=dict)
    counts: dict[str, Counts] = field(default_factory=dict)
    curves: dict[str, Curve | None] = field(default_factory=dict)
    slices: dict[str, int | None] = field(default_factory=dict)
    matches: dict[str, Match] = field(default_factory=dict)


def kpis(
    frames: Sequence[Frame],
    truth: Mapping[str, GroundTruth],
    seen: Mapping[str, Detections],
    classes: Sequence[str],
    score: float,
    iou: float,
    slicing: Slicing,
) -> Kpis:
    """Return the KPIs of detections `seen` (by frame ref) against true boxes: over all frames, by slice, and by objects' size and distance.

    Precision and recall count detections of at least `score`; a hit overlaps by at least `iou`. AP uses neither limit. Slices are `Frame.slices`.
    """
    sizes = tuple(SIZES) if slicing.sizes else ()
    found = Kpis(matches={frame.id: match(seen[frame.id].above(score), truth[frame.id], iou) for frame in frames})
    parts: dict[str, Sequence[Frame]] = {"": frames, **slice_names(frames, (*sizes, *slicing.distances, *endings(classes)))}
    for name, members in parts.items():
        suffix = f".{name}" if name else ""
        precision = average_precision(members, truth, seen, len(classes))
        areas = {"all": suffix} | ({size: f".{size}" for size in sizes} if not name else {})
        for area, end in areas.items():
            counts = _count([found.matches[frame.id] for frame in members], classes, None if area == "all" else area)
            for class_, category in enumerate(classes):
                found.values[f"ap50.{category}{end}"] = precision.ap50[area][class_]
                found.values[f"ap.{category}{end}"] = precision.ap[area][class_]
                found.values[f"precision.{category}{end}"] = counts[class_].precision
                found.values[f"recall.{category}{end}"] = counts[class_].recall
            found.values[f"map50{end}"] = _mean(precision.ap50[area])
            found.values[f"map{end}"] = _mean(precision.ap[area])
            if area == "all" and not name:
                found.counts.update(zip(classes, counts, strict=True))
        if name:
            found.slices[name] = len(members)
        else:
            found.curves.update(zip(classes, precision.curves, strict=True))
    by_distance = _count_by_distance(found.matches.values(), classes, slicing)
    found.values.update({f"recall.{category}.{part}": count.recall for (category, part), count in by_distance.items()})
    found.slices.update(dict.fromkeys((*sizes, *(slicing.distances if by_distance else ()))))
    return found


def _count_by_distance(matches: Iterable[Match], classes: Sequence[str], slicing: Slicing) -> dict[tuple[str, str], Counts]:
    """Count hits and misses by (class, distance range), without crowds and objects whose distance is not known; empty without ranges."""
    counts: dict[tuple[str, str], Counts] = {}
    for each in matches if slicing.bounds else ():
        for row, was_found in enumerate(each.found.tolist()):
            distance = each.truth.distance(row)
            if distance is not None and not each.truth.crowd[row]:
                count = counts.setdefault((classes[each.truth.classes[row]], slicing.distance_of(distance)), Counts())
                count.hits += was_found
                count.misses += not was_found
    return counts


def _count(matches: Iterable[Match], classes: Sequence[str], size: str | None) -> list[Counts]:
    """Return hits, misses and false positives per class, in the order of `classes`; with `size`, of objects and false boxes of that COCO size."""
    counts = [Counts() for _ in classes]
    for each in matches:
        for class_, area, crowd, was_found in zip(each.truth.classes, each.truth.areas, each.truth.crowd, each.found, strict=True):
            if not crowd and size in {None, size_of(float(area))}:
                counts[class_].hits += bool(was_found)
                counts[class_].misses += not was_found
        for class_, area, hit in zip(each.seen.classes, each.seen.areas, each.hit, strict=True):
            if hit == -1 and size in {None, size_of(float(area))}:
                counts[class_].false_positives += 1
    return counts


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
