"""Image folders and the label files of them, taken by the stages of ingest and labeling: what comes out, image by image."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tracecore.testing.worlds import Outcome, StageWorld, given

__all__ = ["ImportResult", "coco", "picture", "take", "write"]

WIDTH, HEIGHT = 96, 64


class ImportResult:
    """A label batch of ingested images."""

    def __init__(self, world: StageWorld, frames: Outcome, labels: Outcome) -> None:
        self.files = {row["frame_id"]: row["file"] for row in world.read(frames, "frames").to_pylist()}
        self.rows: list[dict[str, Any]] = world.read(labels, "labels").to_pylist()
        self.facet = labels.outputs["labels"].facets["tracecore_labels"]
        self.unknowns = {unknown.what: unknown.why for unknown in labels.outputs["labels"].unknowns}
        self.failed = [check.message for check in labels.checks if not check.success]

    def boxes(self) -> dict[str, list[tuple[float, ...]]]:
        """Return x, y, width, height of the labels of each file; an empty list where the file is stated to hold no object."""
        found: dict[str, list[tuple[float, ...]]] = {}
        for row in self.rows:
            of_file = found.setdefault(self.files[row["frame_id"]], [])
            if row["geometry"] != "none":
                of_file.append(tuple(round(row[side], 4) for side in ("x", "y", "width", "height")))
        return {file: sorted(of_file) for file, of_file in found.items()}


def take(world: StageWorld, stage: str, folders: list[str], paths: list[str], **params: Any) -> ImportResult:
    """Ingest folders of images below the world's base, and take label files of them."""
    ingested = world.run("ingest", "images", {}, asset="drives", paths=folders)
    return ImportResult(world, ingested, world.run("label", stage, {"frames": given(ingested, "frames")}, asset="labels", paths=paths, **params))


def picture(seed: int, *, orientation: int = 1, form: str = "PNG", size: tuple[int, int] = (WIDTH, HEIGHT)) -> bytes:
    """Draw an image that differs by its seed."""
    pixels = np.random.default_rng(seed).integers(0, 255, (size[1] // 8, size[0] // 8, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    Image.fromarray(pixels).resize(size).save(buffer, form, **({"exif": exif.tobytes()} if orientation != 1 else {}))
    return buffer.getvalue()


def write(base: Path, files: Mapping[str, bytes | str]) -> None:
    """Write files below a folder."""
    for name, content in files.items():
        (base / name).parent.mkdir(parents=True, exist_ok=True)
        (base / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def coco(names: Mapping[str, float], **of_image: Any) -> str:
    """Write a COCO file: of each image one box, that many px from the left."""
    images = [{"id": number, "file_name": name, "width": WIDTH, "height": HEIGHT} | of_image for number, name in enumerate(names)]
    annotations = [{"id": number, "image_id": number, "category_id": 1, "bbox": [left, 2, 30, 20]} for number, left in enumerate(names.values())]
    return json.dumps({"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "car"}]})
