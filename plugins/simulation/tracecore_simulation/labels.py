"""Labels of simulated drives, as a label table and as a COCO file with labeler, time, tool and guideline."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import numpy as np

import tracecore as tc
from tracecore_schemas.canonical import JSON, digest_json, hex_of
from tracecore_schemas.refs import frame_ref
from tracecore_simulation.drive import Drive
from tracecore_simulation.ground_truth import FrameTruth
from tracecore_simulation.recording import CAMERA
from tracecore_simulation.scene import Box

__all__ = ["CATEGORIES", "LIGHT", "facet_of", "label_file", "label_rows"]

LIGHT = "light_state"
_VEHICLE = "vehicle"


def label_rows(drives: Sequence[Drive], *, seed: int, size: tuple[int, int], tool: str) -> Iterator[dict[str, Any]]:
    """Yield the drives' true labels as rows of a label table, drive by drive and frame by frame. Label ids are derived from `seed`.

    Each visible object has a box and a cuboid with the same track, both with `ignore` if a person could not label it. Each frame has the
    state of the traffic light ahead, a path if the way is free, and a row of geometry `none` if no object is visible.
    """
    for drive in drives:
        for truth in drive.frames:
            common = {
                "drive": drive.plan.name,
                "sensor": CAMERA,
                "timestamp_ns": truth.time,
                "frame_id": frame_ref(drive.plan.name, CAMERA, truth.time),
                "revision": 0,
                "crowd": False,
                "image_width": size[0],
                "image_height": size[1],
                "tool": tool,
                "frame_attributes": {"weather": drive.plan.weather},
            }
            for geometry, what, own in _of_frame(truth):
                label_id = hex_of(digest_json([seed, drive.plan.name, str(truth.time), geometry, what]))[:32]
                yield common | {"label_id": label_id, "geometry": geometry, "ignore": False} | own


def _of_frame(truth: FrameTruth) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield (geometry, id of the label within the frame, values of its other label table columns by name) for each true label of one frame."""
    if not truth.boxes:
        yield "none", "", {}
    for box in truth.boxes:
        yield "box2d", str(box.track), _box(box)
    for box in truth.boxes:
        cuboid = [round(value, 6) for value in box.cuboid]
        own = {"category": box.category, "track": str(box.track), "cuboid": cuboid, "cuboid_frame": _VEHICLE, "ignore": box.ignore}
        yield "cuboid", str(box.track), own
    if truth.path:
        yield "path", "", {"path": list(truth.path)}
    yield "tag", LIGHT, {"category": LIGHT, "value": truth.light}


def _box(box: Box) -> dict[str, Any]:
    return {
        "category": box.category,
        "x": float(box.x),
        "y": float(box.y),
        "width": float(box.width),
        "height": float(box.height),
        "area": float(box.area),
        "track": str(box.track),
        "ignore": box.ignore,
        "attributes": {"visible": f"{box.visible:.2f}", "height_px": str(box.height), "contrast": f"{box.contrast:.2f}"}
        | ({"state": box.state} if box.state else {}),
    }


def facet_of(drives: Sequence[Drive], tool: str) -> dict[str, JSON]:
    """Return the facet `tracecore_labels` of the drives' true labels: counts, categories and the tool."""
    frames = [truth for drive in drives for truth in drive.frames]
    boxes = [box for truth in frames for box in truth.boxes]
    ignored = sum(box.ignore for box in boxes)
    held = f"{tc.count(len(boxes), 'box')}, {tc.count(len(boxes), 'cuboid')} on {tc.count(len(frames), 'frame')}"
    return {
        "summary": tc.summarize(held, f"{tc.count(ignored, 'object')} to be ignored" if ignored else ""),
        "boxes": len(boxes),
        "ignored": ignored,
        "frames": len(frames),
        "empty_frames": sum(not truth.boxes for truth in frames),
        "categories": dict(sorted(Counter(box.category for box in boxes).items())),
        "cuboids": len(boxes),
        "tracks": sum(len({box.track for truth in drive.frames for box in truth.boxes}) for drive in drives),
        "paths": sum(bool(truth.path) for truth in frames),
        "tags": len(frames),
        "light_states": dict(sorted(Counter(truth.light for truth in frames).items())),
        "labelers": [],
        "tools": [tool],
        "guidelines": [],
        "reviewed_share": None,
    }


CATEGORIES = ("car", "pedestrian", "bicyclist", "sign")
GUIDELINE = "drawn-v1"
TOOL = "tracecore-simulation"
_LABELERS = 3
_REVIEWED = 0.1


def label_file(drives: Sequence[Drive], *, seed: int, size: tuple[int, int], tool_version: str) -> dict[str, JSON]:
    """Return a COCO detection file of the drives' boxes without traffic lights. The labelers' pseudonyms and the reviews depend on `seed`."""
    rng = np.random.default_rng([seed, 1 << 20])
    labelers = [f"labeler-{int(rng.integers(1 << 24)):06x}" for _ in range(_LABELERS)]
    ids = {name: number for number, name in enumerate(CATEGORIES, 1)}
    images: list[JSON] = []
    annotations: list[JSON] = []
    for drive in drives:
        plan = drive.plan
        labeled_at = (plan.start + timedelta(days=2)).isoformat().replace("+00:00", "Z")
        for index, truth in enumerate(drive.frames):
            image: dict[str, JSON] = {
                "id": len(images) + 1,
                "file_name": f"{plan.name}/{index:06d}.jpg",
                "drive": plan.name,
                "sensor": CAMERA,
                "frame": index,
                "log_time_ns": str(truth.time),
                "width": size[0],
                "height": size[1],
                "time_of_day": plan.time_of_day,
            }
            images.append(image)
            labeler = labelers[len(images) % len(labelers)]
            reviewed = bool(rng.random() < _REVIEWED)
            for box in (box for box in truth.boxes if box.category in CATEGORIES):
                annotation: dict[str, JSON] = {
                    "id": len(annotations) + 1,
                    "image_id": image["id"],
                    "category_id": ids[box.category],
                    "bbox": [box.x, box.y, box.width, box.height],
                    "area": box.area,
                    "iscrowd": 0,
                    "labeler": labeler,
                    "labeled_at": labeled_at,
                    "track": str(box.track),
                    "attributes": {"visible": f"{box.visible:.2f}"},
                }
                annotations.append(annotation | ({"ignore": 1} if box.ignore else {}) | ({"qa": "accepted"} if reviewed else {}))
    return {
        "info": {
            "description": "Boxes of drawn drives: what an annotator would see of each object.",
            "tool": f"{TOOL} {tool_version}",
            "guideline": GUIDELINE,
            "labelers": {labeler: labeler for labeler in labelers},
        },
        "images": images,
        "annotations": annotations,
        "categories": [{"id": number, "name": name} for name, number in ids.items()],
    }
