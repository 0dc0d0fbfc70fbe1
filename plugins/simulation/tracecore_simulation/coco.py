"""The boxes of drawn drives as a COCO label file, with who labeled, when, with what and by which guideline."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import numpy as np

from tracecore_schemas.canonical import JSON
from tracecore_simulation.drive import Drive
from tracecore_simulation.recording import CAMERA

__all__ = ["CATEGORIES", "label_file"]

CATEGORIES = ("car", "pedestrian", "bicyclist", "sign")
GUIDELINE = "drawn-v1"
TOOL = "tracecore-simulation"
_LABELERS = 3
_REVIEWED = 0.1


def label_file(drives: Sequence[Drive], *, seed: int, size: tuple[int, int], tool_version: str) -> dict[str, JSON]:
    """Give a COCO detection file.

    Args:
        drives: with the truth of their frames; traffic lights are left out, which these files never had.
        seed: the labelers' pseudonyms come from it.
        size: (width, height) of the pictures in px.
        tool_version: of what drew the boxes.
    """
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
