"""Read LiDAR sweeps from messages: points of any layout become x, y, z and intensity.

Sources: foxglove.PointCloud (https://docs.foxglove.dev/docs/sdk/schemas/point-cloud), sensor_msgs/PointCloud2 and sensor_msgs/PointField of ROS 2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from mcap import records as layout

from tracecore import geometry
from tracecore_ingest.errors import Damaged
from tracecore_ingest.messages import Dialect, bytes_of, dialect_of, field, int_of, object_reader, text_of, type_of
from tracecore_schemas.arrow_tables import POINTS_DTYPE

__all__ = ["RecordedCloud", "cloud_reader", "full_scale"]

_FOXGLOVE_TYPES = {1: "u1", 2: "i1", 3: "u2", 4: "i2", 5: "u4", 6: "i4", 7: "f4", 8: "f8"}
_FOXGLOVE_NAMES = {"UINT8": 1, "INT8": 2, "UINT16": 3, "INT16": 4, "UINT32": 5, "INT32": 6, "FLOAT32": 7, "FLOAT64": 8}
_ROS_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 8: "f8"}
_BRIGHTNESS = ("intensity", "reflectivity", "reflectance", "i")
_LARGEST_POINT = 65536  # bytes; those of real sensors have less than a hundred
_SCALES = (1.0, 255.0, 65535.0)


@dataclass(frozen=True, slots=True)
class RecordedCloud:
    """Points of one sweep in its coordinate frame.

    Attributes:
        places: (points, 3) m, float32; without non-finite points (NaN: no echo; infinity: out of range, REP 117).
        brightness: (points,) as recorded, float32; None if the sweep has none.
        top: largest brightness, or 255 or 65535 for a `uint8` or `uint16` field; 0 without brightness.
    """

    frame: str
    places: npt.NDArray[np.float32]
    brightness: npt.NDArray[np.float32] | None
    top: float

    def points(self, scale: float) -> bytes:
        """Return the points as bytes (x, y, z, intensity; `POINTS_DTYPE`). Intensity is brightness divided by `scale`, clipped to 0 to 1."""
        found = np.zeros(len(self.places), dtype=POINTS_DTYPE)
        for column, name in enumerate("xyz"):
            found[name] = self.places[:, column]
        if self.brightness is not None:
            found["intensity"] = np.clip(np.nan_to_num(self.brightness / np.float32(scale), nan=0.0), 0, 1)
        return found.tobytes()


def full_scale(top: float) -> float:
    """Return the brightness that becomes intensity 1: the least of 1, 255 and 65535 that is at least `top`; if all are less, `top`."""
    return next((scale for scale in _SCALES if top <= scale), top)


def cloud_reader(channel: layout.Channel, schema: layout.Schema | None) -> Callable[[bytes], RecordedCloud]:
    """Return a function that decodes a LiDAR channel's messages to sweeps. Raises Damaged if the channel's recorded schema can't be used."""
    read = object_reader(channel, schema)
    kind = type_of(schema)
    if dialect_of(channel, schema) is Dialect.ROS:
        return lambda data: _ros(read(data), kind)
    return lambda data: _foxglove(read(data), kind)


def _foxglove(message: Any, kind: str) -> RecordedCloud:
    stride = int_of(message, "point_stride", kind)
    data = bytes_of(message, "data", kind)
    dtype = _layout(message, kind, stride, _FOXGLOVE_TYPES, "type", "<")
    if len(data) % stride:
        raise Damaged(f"is not a valid {kind}: its {len(data)} bytes are not a whole number of points of {stride} bytes")
    cloud = _cloud(np.frombuffer(data, dtype), text_of(message, "frame_id", kind))
    pose = getattr(message, "pose", None)
    return cloud if pose is None else _posed(cloud, pose, kind)


def _ros(message: Any, kind: str) -> RecordedCloud:
    stride, row, width, height = (int_of(message, name, kind) for name in ("point_step", "row_step", "width", "height"))
    data = bytes_of(message, "data", kind)
    dtype = _layout(message, kind, stride, _ROS_TYPES, "datatype", ">" if field(message, "is_bigendian", kind) else "<")
    if len(data) < row * height or row < width * stride:
        raise Damaged(f"is not a valid {kind}: {len(data)} bytes in {height} rows of {row} can't hold {width} points of {stride} bytes a row")
    rows = np.frombuffer(data, np.uint8, row * height).reshape(height, row)[:, : width * stride]
    return _cloud(np.ascontiguousarray(rows).reshape(-1).view(dtype), text_of(field(message, "header", kind), "frame_id", kind))


def _layout(message: Any, kind: str, stride: int, types: dict[int, str], type_field: str, order: str) -> np.dtype[Any]:
    """Return the dtype of one point with x, y, z and, if present, brightness. Raises Damaged if a field is missing or not valid.

    `stride`: bytes of a point; `types`: NumPy type by the code in the message field `type_field`; `order`: byte order, `<` or `>`.
    """
    if stride > _LARGEST_POINT:
        raise Damaged(f"is not a valid {kind}: it claims {stride} bytes a point; more than {_LARGEST_POINT} are not taken")
    offered: dict[str, tuple[str, int]] = {}
    for each in field(message, "fields", kind):
        code = field(each, type_field, kind)
        code = _FOXGLOVE_NAMES.get(code, code) if isinstance(code, str) else code
        name, offset = text_of(each, "name", kind), int_of(each, "offset", kind)
        if code not in types:
            raise Damaged(f"is not a valid {kind}: its field '{name}' is of the unknown number type {code!r}")
        offered[name] = (order + types[code], offset)
    missing = next((axis for axis in "xyz" if axis not in offered), None)
    if missing:
        raise Damaged(f"is not a valid {kind}: its points have no field '{missing}'")
    bright = next((name for name in _BRIGHTNESS if name in offered), None)
    taken = {axis: offered[axis] for axis in "xyz"} | ({"brightness": offered[bright]} if bright else {})
    for name, (format_, offset) in taken.items():
        if offset + np.dtype(format_).itemsize > stride:
            raise Damaged(f"is not a valid {kind}: its field '{name}' at byte {offset} reaches beyond the {stride} bytes of a point")
    return np.dtype(
        {"names": list(taken), "formats": [format_ for format_, _ in taken.values()], "offsets": [offset for _, offset in taken.values()],
         "itemsize": stride}
    )  # fmt: skip


def _cloud(values: npt.NDArray[Any], frame: str) -> RecordedCloud:
    places = np.stack([values[axis].astype(np.float32) for axis in "xyz"], axis=1)
    whole = np.isfinite(places).all(axis=1)
    brightness, top = None, 0.0
    if "brightness" in (values.dtype.names or ()):
        brightness = values["brightness"].astype(np.float32)[whole]
        stored = values.dtype["brightness"]
        if stored.kind == "u" and stored.itemsize <= 2:
            top = float(np.iinfo(stored).max)
        elif (finite := brightness[np.isfinite(brightness)]).size:
            top = float(finite.max())
    return RecordedCloud(frame, places[whole], brightness, top)


def _posed(cloud: RecordedCloud, pose: Any, kind: str) -> RecordedCloud:
    """Return the point cloud transformed by the pose in its message; if the pose is not set, the cloud is returned unchanged."""
    position, turn = getattr(pose, "position", None), getattr(pose, "orientation", None)
    offset = [float(getattr(position, axis, 0.0)) for axis in "xyz"]
    quaternion = [float(getattr(turn, axis, 0.0)) for axis in "xyzw"]
    if not any(quaternion):  # an unset pose in protobuf is all zeros
        quaternion = [0.0, 0.0, 0.0, 1.0]
    if not any(offset) and quaternion[:3] == [0.0, 0.0, 0.0]:
        return cloud
    if not np.isfinite([*offset, *quaternion]).all():
        raise Damaged(f"is not a valid {kind}: its pose is not finite")
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = geometry.quaternion_matrix(quaternion), offset
    return RecordedCloud(cloud.frame, geometry.transform(cloud.places, matrix).astype(np.float32), cloud.brightness, cloud.top)
