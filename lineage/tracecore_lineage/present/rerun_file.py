"""A scene as a file for the Rerun viewer: images with boxes, cuboids, points and paths on a timeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tracecore.errors import UsageError
from tracecore.images import color_of, decode_rgb
from tracecore_lineage.present.drawing import cuboid_in_vehicle
from tracecore_lineage.present.frame_layers import View

__all__ = ["write_rerun"]

_MEDIA = {"jpeg": "image/jpeg", "jpg": "image/jpeg", "png": "image/png", "webp": "image/webp"}
_TRUE, _SEEN, _WRONG = (46, 230, 107), (255, 159, 28), (255, 45, 85)
_LINKS = (0, 1, 2, 3, 0, 4, 5, 1, 5, 6, 2, 6, 7, 3, 7, 4)  # one strip over all edges of a cuboid


def write_rerun(views: Sequence[View], path: Path, name: str) -> None:
    """Write views as an .rrd file; `name` is the viewer's recording id.

    Raises:
        UsageError: Rerun is not installed.
    """
    try:
        import rerun as rr
    except ImportError as error:
        raise UsageError('--rerun needs the Rerun SDK: pip install "tracecore[rerun]"') from error
    recording = rr.RecordingStream("tracecore look", recording_id=name)
    recording.save(path)
    for view in views:
        recording.set_time("log_time", timestamp=np.datetime64(view.row["timestamp_ns"], "ns"))
        place = f"{view.row['drive']}/{view.row['sensor'].strip('/')}"
        recording.log(f"{place}/image", _image(rr, view.row))
        for layer, rows, color in (("true", view.labels, _TRUE), ("seen", view.seen, _SEEN), ("mistakes", view.events, _WRONG)):
            recording.log(f"{place}/image/{layer}", _boxes(rr, rows, color))
        world = f"{view.row['drive']}/vehicle"
        recording.log(f"{world}/paths", _paths(rr, view))
        recording.log(f"{world}/cuboids", _cuboids(rr, view))
        points = np.empty((0, 3)) if view.points is None else view.points[:, :3]
        recording.log(f"{world}/points", rr.Points3D(points, radii=0.04))
    recording.flush()
    recording.disconnect()


def _image(rr: Any, row: Mapping[str, Any]) -> Any:
    """Return the image as recorded; a rotated one upright, like its boxes."""
    if row.get("orientation", 1) == 1:
        return rr.EncodedImage(contents=row["image"], media_type=_MEDIA.get(row["encoding"]))
    return rr.Image(decode_rgb(row["image"], row["encoding"], row["frame_id"]))


def _boxes(rr: Any, rows: Sequence[Mapping[str, Any]], color: tuple[int, int, int]) -> Any:
    boxes = [row for row in rows if row.get("geometry", "box2d") == "box2d"]
    return rr.Boxes2D(
        array=np.array([[row["x"], row["y"], row["width"], row["height"]] for row in boxes], dtype=np.float64).reshape(-1, 4),
        array_format=rr.Box2DFormat.XYWH,
        labels=[str(row["category"]) for row in boxes],
        colors=[color] * len(boxes),
    )


def _paths(rr: Any, view: View) -> Any:
    strips, colors = [], []
    for rows, color in ((view.labels, _TRUE), (view.seen, _SEEN)):
        for row in rows:
            if row["geometry"] == "path" and row.get("path"):
                flat = np.asarray(row["path"], dtype=np.float64).reshape(-1, 2)
                strips.append(np.column_stack([flat, np.zeros(len(flat))]))
                colors.append(color)
    return rr.LineStrips3D(strips, colors=colors)


def _cuboids(rr: Any, view: View) -> Any:
    known = [(row, cuboid_in_vehicle(view, row)) for row in view.labels if row["geometry"] == "cuboid" and row.get("cuboid")]
    placed = [(row, corners) for row, corners in known if corners is not None]
    colors = [tuple(int(color_of(row["category"])[at : at + 2], 16) for at in (1, 3, 5)) for row, _ in placed]
    return rr.LineStrips3D([corners[list(_LINKS)] for _, corners in placed], colors=colors, labels=[str(row["category"]) for row, _ in placed])
