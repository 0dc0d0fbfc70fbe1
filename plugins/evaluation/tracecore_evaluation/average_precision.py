"""Average precision by COCO's protocol, computed by faster-coco-eval (Apache-2.0), a maintained C++ port of pycocotools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tracecore_evaluation.detections import Detections, Frame, GroundTruth

__all__ = ["AREAS", "Curve", "Precision", "average_precision"]

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
    """Return average precision and precision-recall curves; only the 100 best detections per class and frame count, as in COCO."""
    from faster_coco_eval import COCO, COCOeval_faster

    images = [{"id": number, "width": frame.width, "height": frame.height} for number, frame in enumerate(frames)]
    categories = [{"id": number, "name": str(number)} for number in range(classes)]
    true_boxes: list[dict[str, object]] = []
    seen_boxes: list[dict[str, object]] = []
    for number, frame in enumerate(frames):
        of_frame = truth[frame.id]
        for box, class_, area, crowd in zip(of_frame.boxes, of_frame.classes, of_frame.areas, of_frame.crowd, strict=True):
            true_boxes.append(_annotation(len(true_boxes), number, int(class_), box, float(area)) | {"iscrowd": int(crowd)})
        found = seen[frame.id]
        for box, score, class_, area in zip(found.boxes, found.scores, found.classes, found.areas, strict=True):
            seen_boxes.append(_annotation(len(seen_boxes), number, int(class_), box, float(area)) | {"iscrowd": 0, "score": float(score)})
    if not seen_boxes:
        return _nothing_seen(frames, truth, classes)
    shared = {"info": {}, "images": images, "categories": categories}
    evaluation = COCOeval_faster(
        COCO({**shared, "annotations": true_boxes}), COCO({**shared, "annotations": seen_boxes}), iouType="bbox", print_function=_silent
    )
    evaluation.params.maxDets = [1, 10, _DETECTIONS]
    evaluation.params.areaRngLbl = list(AREAS)
    evaluation.evaluate()
    evaluation.accumulate()
    precision: NDArray[np.float64] = evaluation.eval["precision"][..., -1]  # [overlap, recall, class, area]
    recalls = tuple(float(value) for value in evaluation.params.recThrs)
    return Precision(
        ap50={area: tuple(_mean(precision[:1, :, k, a]) for k in range(classes)) for a, area in enumerate(AREAS)},
        ap={area: tuple(_mean(precision[:, :, k, a]) for k in range(classes)) for a, area in enumerate(AREAS)},
        curves=tuple(
            None if precision[0, 0, k, 0] < 0 else Curve(recalls, tuple(float(value) for value in precision[0, :, k, 0])) for k in range(classes)
        ),
    )


def _annotation(id_: int, image: int, class_: int, box: NDArray[np.float64], area: float) -> dict[str, object]:
    # Ids start at 1: pycocotools reads a match with annotation 0 as no match.
    return {"id": id_ + 1, "image_id": image, "category_id": class_, "bbox": [float(value) for value in box], "area": area}


def _nothing_seen(frames: Sequence[Frame], truth: Mapping[str, GroundTruth], classes: int) -> Precision:
    """Return AP 0 for every class that has objects, None for the others: the library refuses an empty list of detections."""
    from tracecore_evaluation.detections import size_of

    def present(class_: int, area: str) -> bool:
        return any(
            not crowd and kind == class_ and area in {"all", size_of(size)}
            for frame in frames
            for kind, size, crowd in zip(truth[frame.id].classes, truth[frame.id].areas, truth[frame.id].crowd, strict=True)
        )

    values = {area: tuple(0.0 if present(class_, area) else None for class_ in range(classes)) for area in AREAS}
    recalls = tuple(step / 100 for step in range(101))
    return Precision(values, values, tuple(None if value is None else Curve(recalls, (0.0,) * 101) for value in values["all"]))


def _mean(values: NDArray[np.float64]) -> float | None:
    known = values[values > -1]
    return float(known.mean()) if known.size else None


def _silent(*_: object) -> None:
    """Discard what the library would print."""
