"""Frames drawn with their overlays: single, as a contact sheet, or as a file for the Rerun viewer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tracecore.errors import UsageError
from tracecore.geometry import CUBOID_EDGES, cuboid_corners
from tracecore.images import AnnotatedImage, Line, Mark, color_of, contact_sheet, decode_rgb, draw_tile
from tracecore_lineage.present.frame_layers import View
from tracecore_lineage.present.scene import Scene

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["drawn", "picture_of", "write_rerun"]

_MISTAKE = "#ff2d55"
_NOT_SEEN = frozenset({"miss", "lost_track"})
_PATH_TRUE, _PATH_SEEN = "#2ee66b", "#ff9f1c"
_NEAR_TO_FAR = ("#ff4d4d", "#ffb347", "#f7f75c", "#7cf57c", "#5cd6f7", "#7a8cff")
_STEP_M = 10.0  # distance range of each point color
_OUTSIDE = 3.0  # times the image size: lines to points farther out are noise


def drawn(view: View, *, whole: bool) -> AnnotatedImage:
    """Return a frame's image with marks for labels, detections and their errors. `whole` adds LiDAR points, and cuboids where 2D boxes exist."""
    lines = list(_paths(view))
    has_boxes = any(row["geometry"] == "box2d" for row in view.labels)
    if whole or not has_boxes:
        lines = [*(_cuboids(view)), *lines]
    if whole:
        lines = [*_points(view), *lines]
    row = view.row
    conditions = " ".join(str(row[name]) for name in ("time_of_day", "region") if row.get(name))
    caption = f"{row['drive']}  {row['timestamp_ns']}  {conditions}".rstrip()
    return AnnotatedImage(row["image"], caption, list(_marks(view)), lines, list(_notes(view)))


def _cuboid_in_vehicle(view: View, row: Mapping[str, Any]) -> Any:
    """Return the corners of a label row's cuboid in the vehicle frame, (8, 3) in m; None if the cuboid's coordinate frame isn't calibrated."""
    frame = row.get("cuboid_frame") or "vehicle"
    matrix = view.rig.to_vehicle(view.row["drive"], frame, view.row["timestamp_ns"])
    if matrix is None:
        return None
    return cuboid_corners(row["cuboid"]) @ matrix[:3, :3].T + matrix[:3, 3]


def _marks(view: View) -> Iterator[Mark]:
    for row in view.labels:
        if row["geometry"] == "box2d":
            yield Mark(*_box(row), "" if view.seen else str(row["category"]), color_of(row["category"]), dashed=bool(view.seen))
    for row in view.seen:
        if row["geometry"] == "box2d":
            yield Mark(*_box(row), f"{row['category']} {row['score'] or 0:.2f}", color_of(row["category"]))
    for row in view.events:
        if row["width"] < view.row["width"] or row["height"] < view.row["height"]:
            yield Mark(*_box(row), _mistake(row), _MISTAKE, dashed=row["type"] in _NOT_SEEN)


def _mistake(row: Mapping[str, Any]) -> str:
    category, words = str(row["category"]).replace("_", " "), str(row["type"]).replace("_", " ")
    return words if category in words else f"{category} {words}"


def _box(row: Mapping[str, Any]) -> tuple[float, float, float, float]:
    return row["x"], row["y"], row["width"], row["height"]


def _notes(view: View) -> Iterator[tuple[str, str]]:
    for row in view.events:
        if row["width"] >= view.row["width"] and row["height"] >= view.row["height"]:
            seen_as = f": {row['expected']} seen as {row['found']}" if row.get("expected") and row.get("found") else ""
            off = f", off by {row['error']:.2f}" if row.get("error") is not None else ""
            yield f"{_mistake(row)}{seen_as}{off}", _MISTAKE
    for rows, word in ((view.labels, "true"), (view.seen, "seen")):
        for row in rows:
            if row["geometry"] == "tag" and row.get("value"):
                yield f"{row['category'].replace('_', ' ')} {word}: {row['value']}", "white"


def _paths(view: View) -> Iterator[Line]:
    if view.camera is None:
        return
    for rows, color in ((view.labels, _PATH_TRUE), (view.seen, _PATH_SEEN)):
        for row in rows:
            if row["geometry"] == "path" and row.get("path"):
                yield Line(view.camera.ground(row["path"]), color)


def _cuboids(view: View) -> Iterator[Line]:
    if view.camera is None:
        return
    for row in view.labels:
        if row["geometry"] != "cuboid" or not row.get("cuboid"):
            continue
        if row.get("cuboid_frame") == view.row["sensor"]:
            at, ahead = view.camera.of_own(cuboid_corners(row["cuboid"]))
        else:
            corners = _cuboid_in_vehicle(view, row)
            if corners is None:
                continue
            at, ahead = view.camera.of_vehicle(corners)
        yield from _edges(at, ahead, color_of(row["category"]), max(view.row["width"], view.row["height"]))


def _edges(at: Any, ahead: Any, color: str, size: int) -> Iterator[Line]:
    shown = ahead & (np.abs(at) < _OUTSIDE * size).all(axis=1)
    for start, end in CUBOID_EDGES:
        if shown[start] and shown[end]:
            yield Line(((float(at[start, 0]), float(at[start, 1])), (float(at[end, 0]), float(at[end, 1]))), color)


def _points(view: View) -> Iterator[Line]:
    if view.camera is None or view.points is None:
        return
    at, ahead = view.camera.of_vehicle(view.points[:, :3])
    inside = ahead & (at[:, 0] >= 0) & (at[:, 1] >= 0) & (at[:, 0] < view.row["width"]) & (at[:, 1] < view.row["height"])
    far = np.linalg.norm(view.points[:, :2], axis=1)
    band = np.minimum(far // _STEP_M, len(_NEAR_TO_FAR) - 1).astype(int)
    for number, color in enumerate(_NEAR_TO_FAR):
        chosen = at[inside & (band == number)]
        if len(chosen):
            yield Line(tuple((float(u), float(v)) for u, v in chosen), color, dots=True)


_ALONE, _FEW, _MANY = 1280, 480, 320
_FILE_WIDTH = 900


def picture_of(scene: Scene) -> Image:
    """Return one image of a scene's frames or picture files, as a contact sheet if there are several; UsageError if none can be decoded."""
    count = len(scene.pictures or scene.views)
    if scene.pictures:
        drawn_tiles = [draw_tile(AnnotatedImage(path.read_bytes(), path.name), _FILE_WIDTH) for path in scene.pictures]
    else:
        width = _ALONE if count == 1 else _FEW if count <= 4 else _MANY
        drawn_tiles = [draw_tile(drawn(view, whole=count == 1), width) for view in scene.views]
    tiles = [tile for tile in drawn_tiles if tile is not None]
    if not tiles:
        raise UsageError(f"{scene.ref} has nothing to look at: none of its images can be decoded.")
    if scene.pictures:
        return contact_sheet(tiles, min(len(tiles), 2))
    return contact_sheet(tiles, 1 if len(tiles) == 1 else 2 if len(tiles) <= 4 else 3 if len(tiles) <= 12 else 4)


_MEDIA = {"jpeg": "image/jpeg", "jpg": "image/jpeg", "png": "image/png", "webp": "image/webp"}
_TRUE, _SEEN, _WRONG = (46, 230, 107), (255, 159, 28), (255, 45, 85)
_LINKS = (0, 1, 2, 3, 0, 4, 5, 1, 5, 6, 2, 6, 7, 3, 7, 4)  # one strip over all edges of a cuboid


def write_rerun(views: Sequence[View], path: Path, name: str) -> None:
    """Write frames with labels, detections, errors and points to an .rrd file, `name` as recording id; UsageError if Rerun is not installed."""
    try:
        import rerun as rr
    except ImportError as error:
        raise UsageError('--rerun needs the Rerun SDK: pip install "tracecore[rerun]"') from error
    recording = rr.RecordingStream("tracecore look", recording_id=name)
    recording.save(path)
    for view in views:
        recording.set_time("log_time", timestamp=np.datetime64(view.row["timestamp_ns"], "ns"))
        place = f"{view.row['drive']}/{view.row['sensor'].strip('/')}"
        recording.log(f"{place}/image", _rerun_image(rr, view.row))
        for layer, rows, color in (("true", view.labels, _TRUE), ("seen", view.seen, _SEEN), ("mistakes", view.events, _WRONG)):
            recording.log(f"{place}/image/{layer}", _rerun_boxes(rr, rows, color))
        world = f"{view.row['drive']}/vehicle"
        recording.log(f"{world}/paths", _rerun_paths(rr, view))
        recording.log(f"{world}/cuboids", _rerun_cuboids(rr, view))
        points = np.empty((0, 3)) if view.points is None else view.points[:, :3]
        recording.log(f"{world}/points", rr.Points3D(points, radii=0.04))
    recording.flush()
    recording.disconnect()


def _rerun_image(rr: Any, row: Mapping[str, Any]) -> Any:
    """Return a frame row's image as a Rerun archetype: encoded if stored upright, else decoded and rotated upright to match its boxes."""
    if row.get("orientation", 1) == 1:
        return rr.EncodedImage(contents=row["image"], media_type=_MEDIA.get(row["encoding"]))
    return rr.Image(decode_rgb(row["image"], row["encoding"], row["frame_id"]))


def _rerun_boxes(rr: Any, rows: Sequence[Mapping[str, Any]], color: tuple[int, int, int]) -> Any:
    boxes = [row for row in rows if row.get("geometry", "box2d") == "box2d"]
    return rr.Boxes2D(
        array=np.array([[row["x"], row["y"], row["width"], row["height"]] for row in boxes], dtype=np.float64).reshape(-1, 4),
        array_format=rr.Box2DFormat.XYWH,
        labels=[str(row["category"]) for row in boxes],
        colors=[color] * len(boxes),
    )


def _rerun_paths(rr: Any, view: View) -> Any:
    strips, colors = [], []
    for rows, color in ((view.labels, _TRUE), (view.seen, _SEEN)):
        for row in rows:
            if row["geometry"] == "path" and row.get("path"):
                flat = np.asarray(row["path"], dtype=np.float64).reshape(-1, 2)
                strips.append(np.column_stack([flat, np.zeros(len(flat))]))
                colors.append(color)
    return rr.LineStrips3D(strips, colors=colors)


def _rerun_cuboids(rr: Any, view: View) -> Any:
    known = [(row, _cuboid_in_vehicle(view, row)) for row in view.labels if row["geometry"] == "cuboid" and row.get("cuboid")]
    placed = [(row, corners) for row, corners in known if corners is not None]
    colors = [tuple(int(color_of(row["category"])[at : at + 2], 16) for at in (1, 3, 5)) for row, _ in placed]
    return rr.LineStrips3D([corners[list(_LINKS)] for _, corners in placed], colors=colors, labels=[str(row["category"]) for row, _ in placed])
