"""How a drive's sensors are calibrated: camera models and constant transforms, as rows of the calibrations table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tracecore_ingest.damage import Damaged
from tracecore_ingest.frame_tree import Chain, FrameTree, clean_frame

__all__ = ["Calibrations", "CameraModel", "calibrate", "camera_model"]


_LARGEST = (1 << 31) - 1  # px that a table holds


@dataclass(frozen=True, slots=True)
class CameraModel:
    """One camera calibration message.

    Attributes:
        topic: of the message.
        time_ns: its log time.
        frame: the camera's optical frame.
        width: of the image, px.
        height: px.
        projection: 3x4 row-major; None where the message holds zeros (an uncalibrated camera).
        distorted: whether it names lens distortion: the projection then holds for the rectified image.
    """

    topic: str
    time_ns: int
    frame: str
    width: int
    height: int
    projection: tuple[float, ...] | None
    distorted: bool

    def same_as(self, other: CameraModel) -> bool:
        """Whether both say the same, at whatever time."""
        return (self.frame, self.width, self.height, self.projection) == (other.frame, other.width, other.height, other.projection)


@dataclass(frozen=True, slots=True)
class Calibrations:
    """The rows of one drive, and what they leave unknown as (what, why)."""

    rows: tuple[Mapping[str, Any], ...]
    unknowns: tuple[tuple[str, str], ...]


def camera_model(topic: str, time_ns: int, message: Any) -> CameraModel:
    """Read a calibration message (foxglove.CameraCalibration, sensor_msgs/CameraInfo) given as JSON values.

    Raises:
        Damaged: a matrix that has not its size, or an image size that is none.
    """
    if not isinstance(message, dict):
        raise Damaged("is no camera calibration: expected an object")
    frame = message.get("frame_id", (message.get("header") or {}).get("frame_id", ""))
    width, height = message.get("width"), message.get("height")
    if type(width) is not int or type(height) is not int or not 0 <= min(width, height) <= max(width, height) <= _LARGEST or type(frame) is not str:
        raise Damaged(f"is no camera calibration: frame {frame!r}, width {width!r}, height {height!r}")
    p, k, d = (message.get(name, message.get(name.lower())) or [] for name in "PKD")
    for name, values, sizes in (("P", p, (0, 12)), ("K", k, (0, 9))):
        if not isinstance(values, list) or len(values) not in sizes or not all(type(value) in (int, float) for value in values):
            raise Damaged(f"is no camera calibration: expected {sizes[1]} finite numbers as '{name}', found {values!r:.80}")
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
) -> Calibrations:
    """Put a drive's calibrations together.

    Args:
        drive: its name.
        start_ns: its first log time: the first calibration of a sensor holds from there on.
        models: its calibration messages in the order of time.
        cameras: coordinate frame by camera topic.
        lidars: coordinate frame by LiDAR topic.
        tree: its transforms.
        vehicle_frames: names that the vehicle's frame goes by.
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
    return Calibrations(tuple(rows), tuple(unknowns))


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
    """Give (camera, calibration, whether it is the camera's first) wherever a camera's calibration begins or changes."""
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
    """Find the image topics that a calibration speaks of: those of its frame below its own namespace, else of its frame, else below it."""
    namespace = model.topic.rpartition("/")[0] + "/"
    framed = [topic for topic, frame in cameras.items() if model.frame and clean_frame(frame) == model.frame]
    below = [topic for topic in cameras if topic.startswith(namespace)] if namespace != "/" else []
    return sorted(set(framed) & set(below)) or sorted(framed) or sorted(below)
