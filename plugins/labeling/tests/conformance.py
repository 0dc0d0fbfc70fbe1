"""What the label stages are tried on: labels of the built-in frames, in each format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tracecore.testing import Sample, samples

__all__ = ["tracecore_samples"]


def tracecore_samples(stage: str, folder: Path) -> Sample | None:
    """Return what a stage is tried on."""
    if stage == "campaign":
        return Sample(params={"labelers": 3}, inputs={"truth": samples.labels()})
    if stage == "kitti":
        return Sample(params={"paths": [str(_kitti(folder))], "sensor": _frames()[0]["sensor"]})
    write = {"coco": _coco, "cvat": _cvat, "openlabel": _openlabel, "yolo": _yolo}.get(stage)
    return None if write is None else Sample(params={"paths": [str(write(folder))]})


def _frames() -> list[dict[str, Any]]:
    return samples.frames().to_pylist()


def _coco(folder: Path) -> Path:
    images = [
        {
            "id": number,
            "file_name": f"{frame['drive']}/{frame['index']}.jpg",
            "drive": frame["drive"],
            "log_time_ns": str(frame["timestamp_ns"]),
            "width": frame["width"],
            "height": frame["height"],
        }
        for number, frame in enumerate(_frames())
    ]
    annotations = [{"id": number, "image_id": number, "category_id": 1, "bbox": [5, 6, 20, 10], "area": 200} for number in range(len(images))]
    file = folder / "labels.json"
    document = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "car"}]}
    file.write_text(json.dumps(document), encoding="utf-8")
    return file


def _cvat(folder: Path) -> Path:
    box = '<box label="car" occluded="0" xtl="5.0" ytl="6.0" xbr="25.0" ybr="16.0" z_order="0"/>'
    images = [
        f'<image id="{number}" name="{frame["drive"]}/{frame["index"]:06}.jpg" width="{frame["width"]}" height="{frame["height"]}">{box}</image>'
        for number, frame in enumerate(_frames())
    ]
    file = folder / "annotations.xml"
    file.write_text("\n".join(["<annotations><version>1.1</version>", *images, "</annotations>"]), encoding="utf-8")
    return file


def _kitti(folder: Path) -> Path:
    labels = folder / _frames()[0]["drive"] / "label_2"
    labels.mkdir(parents=True)
    (labels / "000000.txt").write_text("Car 0.00 0 -1.58 10.0 20.0 40.0 50.0 1.65 1.67 3.64 -0.65 1.71 46.70 -1.59\n", encoding="utf-8")
    return labels.parent


def _openlabel(folder: Path) -> Path:
    cuboid = {"name": "shape", "val": [10.0, 1.0, 0.8, 0.0, 0.0, 0.0, 1.0, 4.0, 1.8, 1.6]}
    objects = {"0": {"object_data": {"cuboid": [cuboid]}}}
    document = {
        "openlabel": {
            "metadata": {"schema_version": "1.0.0"},
            "objects": {"0": {"name": "car0", "type": "car"}},
            "frames": {"0": {"objects": objects}},
        }
    }
    file = folder / "drive.json"
    file.write_text(json.dumps(document), encoding="utf-8")
    return file


def _yolo(folder: Path) -> Path:
    (folder / "labels").mkdir()
    (folder / "data.yaml").write_text("names: [car, pedestrian]\n", encoding="utf-8")
    for frame in _frames():
        (folder / "labels" / f"{frame['drive']}_{frame['index']:06}.txt").write_text("0 0.5 0.5 0.25 0.25\n", encoding="utf-8")
    return folder
