"""Numbers against independent references: pycocotools for average precision, motmetrics for tracking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from made_scene import CLASSES, CONFIG, judged, made_scene, rates_of

from tracecore_evaluation.detections import Detections, Frame, GroundTruth, iou_matrix
from tracecore_evaluation.obstacle_kpis import AREAS, average_precision
from tracecore_evaluation.online_metrics import tracks_table
from tracecore_schemas.arrow_tables import TRACKS


def pycocotools_precision(frames: Sequence[Frame], truth: Mapping[str, GroundTruth], seen: Mapping[str, Detections], classes: int) -> Any:
    """Return precision [overlap, recall, class, area] as pycocotools gives it."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    true, found = [], []
    for image, frame in enumerate(frames):
        of_frame, given = truth[frame.id], seen[frame.id]
        for box, class_, area, crowd in zip(of_frame.boxes.tolist(), of_frame.classes, of_frame.areas, of_frame.crowd, strict=True):
            true.append({"image_id": image, "category_id": int(class_), "bbox": box, "area": float(area), "iscrowd": int(crowd), "id": len(true) + 1})
        for box, class_, score in zip(given.boxes.tolist(), given.classes, given.scores, strict=True):
            found.append({"image_id": image, "category_id": int(class_), "bbox": box, "score": float(score)})
    coco = COCO()
    coco.dataset = {
        "info": {}, "images": [{"id": image} for image in range(len(frames))], "annotations": true, "categories": [{"id": n} for n in range(classes)]
    }  # fmt: skip
    coco.createIndex()
    evaluation = COCOeval(coco, coco.loadRes(found), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    return evaluation.eval["precision"][..., -1]


def mean(values: Any) -> float | None:
    known = values[values > -1]
    return float(known.mean()) if known.size else None


@pytest.mark.parametrize("seed", range(3))
def test_average_precision_is_that_of_pycocotools_with_crowds_and_what_nobody_could_label(seed: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Made sets of three classes: objects of all sizes, a fifth of them crowds or ignored, detections near them and elsewhere."""
    rng = np.random.default_rng(seed)
    frames = [Frame(f"frame/d/s/{number}", "d", "s", number, 640, 480) for number in range(40)]
    truth, seen = {}, {}
    for frame in frames:
        count = int(rng.integers(0, 8))
        boxes = np.c_[rng.uniform(0, 400, (count, 2)), rng.uniform(8, 160, (count, 2))]
        classes = rng.integers(3, size=count)
        truth[frame.id] = GroundTruth(boxes, classes, boxes[:, 2] * boxes[:, 3], rng.random(count) < 0.2, tuple(map(str, range(count))))
        near = boxes + rng.normal(0, 6, boxes.shape)
        other = np.c_[rng.uniform(0, 400, (4, 2)), rng.uniform(8, 160, (4, 2))]
        all_boxes = np.concatenate([near, other])
        scores = np.sort(rng.random(len(all_boxes)))[::-1]
        kinds = np.where(rng.random(len(all_boxes)) < 0.8, np.concatenate([classes, rng.integers(3, size=4)]), rng.integers(3, size=len(all_boxes)))
        order = rng.permutation(len(all_boxes))
        seen[frame.id] = Detections(np.abs(all_boxes[order]), scores, kinds[order])
    ours, reference = average_precision(frames, truth, seen, 3), pycocotools_precision(frames, truth, seen, 3)
    capsys.readouterr()
    for place, area in enumerate(AREAS):
        for class_ in range(3):
            assert ours.ap50[area][class_] == pytest.approx(mean(reference[0, :, class_, place]), abs=1e-6), (area, class_)
            assert ours.ap[area][class_] == pytest.approx(mean(reference[:, :, class_, place]), abs=1e-6), (area, class_)


def motmetrics_of(rows: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """Return MOTA and IDF1 that motmetrics computes from the counted rows of a table of tracks."""
    import motmetrics

    numbers: dict[tuple[str, str], int] = {}
    accumulators = []
    counted = [row for row in rows if row["counted"]]
    for camera in sorted({(row["drive"], row["sensor"]) for row in counted}):
        accumulator = motmetrics.MOTAccumulator(auto_id=True)
        own = [row for row in counted if (row["drive"], row["sensor"]) == camera]
        for time in sorted({row["timestamp_ns"] for row in own}):
            true, found = ([row for row in own if row["timestamp_ns"] == time and row["side"] == side] for side in ("truth", "seen"))
            boxes = [np.array([[row[name] for name in ("x", "y", "width", "height")] for row in side]).reshape(-1, 4) for side in (true, found)]
            overlaps = iou_matrix(*boxes)
            same = np.array([[one["category"] == other["category"] for other in found] for one in true], dtype=bool).reshape(overlaps.shape)
            distances = np.where(same & (overlaps >= 0.5), 1 - overlaps, np.nan)
            ids = [[numbers.setdefault((row["side"], row["track"]), len(numbers)) for row in side] for side in (true, found)]
            accumulator.update(*ids, distances)
        accumulators.append(accumulator)
    host = motmetrics.metrics.create()
    table = host.compute_many(accumulators, metrics=["mota", "idf1"], generate_overall=True)
    return float(table["mota"].iloc[-1]), float(table["idf1"].iloc[-1])


@pytest.mark.parametrize("seed", range(2))
def test_mota_and_idf1_can_be_computed_again_from_the_table_of_tracks(seed: int) -> None:
    """Two drives with crowds, objects too low to count, and a break of 5 s in one of them."""
    first = made_scene(seed, 60, crowds=True, drive="a")
    second = made_scene(seed + 10, 40, crowds=True, drive="b")
    frames = [frame for frame in [*first[0], *second[0]][::5] if not (frame.drive == "a" and 20 * 10**9 < frame.timestamp_ns < 25 * 10**9)]
    driving = judged(frames, {**first[1], **second[1]}, {**first[2], **second[2]})
    table = tracks_table(driving, CONFIG)
    assert table.schema.names == TRACKS.names
    assert len(driving.followed) == 3
    rows = table.to_pylist()
    assert {row["category"] for row in rows} == set(CLASSES)
    assert any(not row["counted"] for row in rows if row["side"] == "seen"), "some of what is seen lies on what doesn't count"
    keys = [(row["frame_id"], row["side"], row["track"]) for row in rows]
    assert len(set(keys)) == len(keys)
    kpis = rates_of(frames, driving)
    assert (kpis["mota"], kpis["idf1"]) == pytest.approx(motmetrics_of(rows), abs=1e-9)
