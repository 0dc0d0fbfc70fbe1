"""Compute sensor calibrations of a drive: transforms to the vehicle's frame, camera models, rows of the calibrations table.

A transform maps coordinates in the child frame to its parent: p_parent = R p_child + t (foxglove.FrameTransform, geometry_msgs/TransformStamped).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from tracecore.geometry import quaternion_matrix
from tracecore_ingest.errors import Damaged

__all__ = ["VEHICLE_FRAMES", "CameraModel", "Chain", "FrameTree", "calibrate", "camera_model", "clean_frame", "transforms_of"]

VEHICLE_FRAMES = ("vehicle", "ego_vehicle", "ego", "base_link", "base_footprint")
"""Usual names of the vehicle's coordinate frame; the first that occurs in a drive is used."""

Matrix = npt.NDArray[np.float64]


def clean_frame(name: str) -> str:
    """Return a coordinate frame's name without surrounding spaces and without the leading slash that ROS 1 writes."""
    return name.strip().removeprefix("/")


@dataclass(frozen=True, slots=True)
class Chain:
    """Transform from a frame to the vehicle's: `matrix` (4, 4), m, and the `topics` it came from; or None, and the reason in `why`."""

    matrix: Matrix | None
    topics: tuple[str, ...] = ()
    why: str = ""


@dataclass(slots=True)
class FrameTree:
    """Transforms of one drive: `edges` has (matrix, topic) by (parent, child); those that change during the drive are in `moving` and not used."""

    edges: dict[tuple[str, str], tuple[Matrix, str]] = field(default_factory=dict)
    moving: set[tuple[str, str]] = field(default_factory=set)

    def see(self, topic: str, message: Any) -> None:
        """Add the transforms between coordinate frames in a message. Raises Damaged if the message is not a valid transform."""
        for parent, child, matrix in transforms_of(message):
            self._add((parent, child), matrix, topic)

    def join(self, other: FrameTree) -> None:
        """Add the transforms that another file of the same drive contains."""
        for edge, (matrix, topic) in other.edges.items():
            self._add(edge, matrix, topic)
        self.moving |= other.moving

    def _add(self, edge: tuple[str, str], matrix: Matrix, topic: str) -> None:
        """Add a transform between two coordinate frames unless one is known; if the known one differs, mark the pair as moving."""
        known, _ = self.edges.setdefault(edge, (matrix, topic))
        if known is not matrix and not np.array_equal(known, matrix):
            self.moving.add(edge)

    def vehicle_frame(self, named: Sequence[str] = VEHICLE_FRAMES) -> str | None:
        """Return the first name in `named` that is a coordinate frame of this drive's transforms; None if none is."""
        known = {frame for edge in self.edges for frame in edge}
        return next((name for name in named if name in known), None)

    def to_vehicle(self, frame: str, named: Sequence[str] = VEHICLE_FRAMES) -> Chain:
        """Return the transform from a coordinate frame to the vehicle's by the fewest constant steps; without any, a Chain with the reason `why`."""
        frame = clean_frame(frame)
        if not frame:
            return Chain(None, why="its messages name no coordinate frame")
        if frame in named:
            return Chain(np.eye(4))
        goal = self.vehicle_frame(named)
        if goal is None:
            return Chain(None, why="no transform names the vehicle's frame" if self.edges else "the drive holds no transforms")
        waiting: deque[tuple[str, Matrix, tuple[str, ...]]] = deque([(frame, np.eye(4), ())])
        seen = {frame}
        while waiting:
            at, matrix, topics = waiting.popleft()
            if at == goal:
                return Chain(matrix, tuple(sorted(set(topics))))
            for other, step, topic in self._from(at):
                if other not in seen:
                    seen.add(other)
                    waiting.append((other, step @ matrix, (*topics, topic)))
        moving = sorted(f"{child} in {parent}" for parent, child in self.moving)
        changing = f"; {', '.join(moving)} changes while driving" if moving else ""
        return Chain(None, why=f"no constant transforms lead from {frame} to {goal}{changing}")

    def _from(self, frame: str) -> Iterator[tuple[str, Matrix, str]]:
        for (parent, child), (matrix, topic) in sorted(self.edges.items(), key=lambda entry: entry[0]):
            if (parent, child) in self.moving:
                continue
            if child == frame:
                yield parent, matrix, topic
            elif parent == frame:
                yield child, np.asarray(np.linalg.inv(matrix), dtype=np.float64), topic


def transforms_of(message: Any) -> Iterator[tuple[str, str, Matrix]]:
    """Yield (parent frame, child frame, 4x4 matrix) of each transform in a FrameTransform, FrameTransforms or TFMessage decoded to JSON values.

    Raises Damaged if it is not a transform: a frame without a name, a zero rotation, or values that are not numbers.
    """
    listed = message.get("transforms", [message]) if isinstance(message, dict) else None
    if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
        raise Damaged("is not a transform: expected an object, or a list of them as 'transforms'")
    for each in listed:
        inner = each.get("transform", each)
        header = each.get("header", {})
        parent, child = each.get("parent_frame_id", header.get("frame_id", "")), each.get("child_frame_id", "")
        if not parent or not child:
            raise Damaged("is not a transform: it names no parent or no child frame")
        moved, turned = inner.get("translation") or {}, inner.get("rotation") or {}
        matrix = np.eye(4)
        try:
            quaternion = [float(turned.get(axis, 0.0)) for axis in "xyzw"]
            matrix[:3, :3] = quaternion_matrix(quaternion if any(quaternion) or turned else [0, 0, 0, 1])
            matrix[:3, 3] = [float(moved.get(axis, 0.0)) for axis in "xyz"]
        except (TypeError, ValueError) as problem:
            raise Damaged(f"is not a transform from  {child} to {parent}: {problem}") from problem
        yield clean_frame(parent), clean_frame(child), matrix


_LARGEST = (1 << 31) - 1  # px that a table holds


@dataclass(frozen=True, slots=True)
class CameraModel:
    """One camera calibration message.

    Attributes:
        frame: the camera's optical frame.
        projection: 3x4 row-major; None for zeros (an uncalibrated camera).
        distorted: whether it has lens distortion; the projection then applies to the rectified image only.
    """

    topic: str
    time_ns: int
    frame: str
    width: int
    height: int
    projection: tuple[float, ...] | None
    distorted: bool

    def same_as(self, other: CameraModel) -> bool:
        """Whether two calibrations have the same coordinate frame, image size and projection; topic and time are ignored."""
        return (self.frame, self.width, self.height, self.projection) == (other.frame, other.width, other.height, other.projection)


def camera_model(topic: str, time_ns: int, message: Any) -> CameraModel:
    """Return the camera model in a decoded CameraCalibration or CameraInfo. Its projection is the matrix P; if P is zero, K with a zero column added.

    Raises Damaged for a matrix of the wrong size, or an invalid image size or frame name.
    """
    if not isinstance(message, dict):
        raise Damaged("is not a camera calibration: expected an object")
    frame = message.get("frame_id", (message.get("header") or {}).get("frame_id", ""))
    width, height = message.get("width"), message.get("height")
    if type(width) is not int or type(height) is not int or not 0 <= min(width, height) <= max(width, height) <= _LARGEST or type(frame) is not str:
        raise Damaged(f"is not a camera calibration: frame {frame!r}, width {width!r}, height {height!r}")
    p, k, d = (message.get(name, message.get(name.lower())) or [] for name in "PKD")
    for name, values, sizes in (("P", p, (0, 12)), ("K", k, (0, 9))):
        if not isinstance(values, list) or len(values) not in sizes or not all(type(value) in (int, float) for value in values):
            raise Damaged(f"is not a camera calibration: expected {sizes[1]} finite numbers as '{name}', found {values!r:.80}")
    if any(p):
        projection: tuple[float, ...] | None = tuple(float(value) for value in p)
    elif any(k):
        projection = tuple(float(value) for row in range(3) for value in (*k[3 * row : 3 * row + 3], 0.0))
    else:
        projection = None
    return CameraModel(topic, time_ns, clean_frame(frame), width, height, projection, any(value for value in d))


def calibrate(
    drive: str,
    start_ns: int,
    models: Iterable[CameraModel],
    cameras: Mapping[str, str],
    lidars: Mapping[str, str],
    tree: FrameTree,
    vehicle_frames: Sequence[str],
) -> tuple[list[dict[str, Any]], list[tuple[str, str]]]:
    """Return (rows, unknowns) of a drive: its calibration rows by sensor and time, and (what, why) for each fact that is not known.

    A camera has a row for each change of its calibration, or one if only its place on the vehicle is known; a LiDAR has one row.

    Args:
        start_ns: first log time; a sensor's first calibration is valid from here.
        models: calibration messages in order of time.
        cameras: coordinate frame by camera topic; `lidars`: the same for LiDAR topics.
        vehicle_frames: possible names of the vehicle's coordinate frame.
    """
    rows: list[dict[str, Any]] = []
    unknowns: dict[tuple[str, str], None] = {}

    def place(sensor: str, frame: str) -> Chain:
        chain = tree.to_vehicle(frame, vehicle_frames)
        if chain.matrix is None:
            unknowns[("place of a sensor on the vehicle", f"drive {drive}: {sensor}: {chain.why}")] = None
        return chain

    for sensor, model, first in _changes(drive, models, cameras, unknowns):
        chain = place(sensor, model.frame)
        rows.append(
            _row(drive, sensor, start_ns if first else model.time_ns, model.frame, chain, model.topic)
            | {"width": model.width, "height": model.height, "projection": model.projection}
        )
        if model.projection is None:
            unknowns[("projection", f"drive {drive}: the calibration {model.topic} of {sensor} holds zeros")] = None
        elif model.distorted:
            why = f"drive {drive}: {model.topic} names lens distortion, so its projection holds for the rectified image of {sensor}"
            unknowns[("lens distortion", why)] = None
    for sensor, frame in sorted(lidars.items()):
        rows.append(_row(drive, sensor, start_ns, clean_frame(frame), place(sensor, frame), sensor))
    for sensor in sorted(set(cameras) - {row["sensor"] for row in rows}):
        chain = tree.to_vehicle(cameras[sensor], vehicle_frames)
        if chain.matrix is not None and chain.topics:
            rows.append(_row(drive, sensor, start_ns, clean_frame(cameras[sensor]), chain, sensor))
    rows.sort(key=lambda row: (row["sensor"], row["timestamp_ns"]))
    return rows, list(unknowns)


def _row(drive: str, sensor: str, time_ns: int, frame: str, chain: Chain, source: str) -> dict[str, Any]:
    return {
        "drive": drive,
        "sensor": sensor,
        "timestamp_ns": time_ns,
        "frame": frame,
        "to_vehicle": None if chain.matrix is None else chain.matrix.ravel().tolist(),
        "source": ", ".join(dict.fromkeys((source, *chain.topics))),
    }


def _changes(
    drive: str, models: Iterable[CameraModel], cameras: Mapping[str, str], unknowns: dict[tuple[str, str], None]
) -> list[tuple[str, CameraModel, bool]]:
    """Return (camera topic, calibration, whether it is the camera's first) for each change of a camera's calibration during the drive.

    A calibration that belongs to no camera is added to `unknowns`, the (what, why) of facts that are not known.
    """
    found: list[tuple[str, CameraModel, bool]] = []
    last: dict[str, CameraModel] = {}
    for model in models:
        sensors = _cameras_of(model, cameras)
        if not sensors:
            unknowns[("camera of a calibration", f"drive {drive}: no camera of {model.topic} (frame '{model.frame}') is among the frames")] = None
        for sensor in sensors:
            before = last.get(sensor)
            if before is None or (not before.same_as(model) and before.time_ns < model.time_ns):
                found.append((sensor, model, before is None))
                last[sensor] = model
    return found


def _cameras_of(model: CameraModel, cameras: Mapping[str, str]) -> list[str]:
    """Return the image topics of a calibration: those in its coordinate frame and namespace, else those in its frame, else in its namespace."""
    namespace = model.topic.rpartition("/")[0] + "/"
    framed = [topic for topic, frame in cameras.items() if model.frame and clean_frame(frame) == model.frame]
    below = [topic for topic in cameras if topic.startswith(namespace)] if namespace != "/" else []
    return sorted(set(framed) & set(below)) or sorted(framed) or sorted(below)
