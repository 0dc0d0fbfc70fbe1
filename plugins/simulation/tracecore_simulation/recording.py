"""Record a drive as a real MCAP file: what its sensors say, where they are mounted, and what the drive says of itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
from mcap.writer import CompressionType, Writer
from PIL import Image

from tracecore_schemas.arrow_tables import POINTS_DTYPE
from tracecore_schemas.canonical import JSON
from tracecore_simulation.foxglove_schemas import (
    CAMERA_CALIBRATION,
    COMPRESSED_IMAGE,
    FLOAT32,
    FRAME_TRANSFORMS,
    LOCATION_FIX,
    POINT_CLOUD,
    file_descriptor_set,
    message_class,
)
from tracecore_simulation.rig import BASE, CAMERA_FRAME, CAMERA_PLACE, LIDAR_FRAME, LIDAR_PLACE, OPTICAL, Mount
from tracecore_simulation.signals import CAN_SCHEMA, IMU_SCHEMA, STATE_SCHEMA

__all__ = ["CALIBRATION", "CAMERA", "CAN", "FIX", "IMU", "LIDAR", "MOUNTING", "STATE", "Recording"]

CAMERA, CALIBRATION = "/camera/front/image", "/camera/front/calibration"
LIDAR, MOUNTING = "/lidar/top/points", "/tf_static"
FIX, IMU, CAN, STATE = "/gnss/fix", "/imu", "/can", "/vehicle/state"
_PROTOBUF = {
    CAMERA: COMPRESSED_IMAGE, CALIBRATION: CAMERA_CALIBRATION, LIDAR: POINT_CLOUD, MOUNTING: FRAME_TRANSFORMS, FIX: LOCATION_FIX,
}  # fmt: skip
_JSON: dict[str, tuple[str, JSON]] = {IMU: ("Imu", IMU_SCHEMA), CAN: ("CanFrame", CAN_SCHEMA), STATE: ("VehicleState", STATE_SCHEMA)}
_SECOND = 1_000_000_000
_QUALITY = 88


class Recording:
    """One MCAP file while it is written.

    Args:
        metadata: what the drive says of itself.
        lidar: whether it has a LiDAR.
    """

    def __init__(self, metadata: Mapping[str, str], *, lidar: bool) -> None:
        self._stream = BytesIO()
        self._writer = Writer(self._stream, compression=CompressionType.ZSTD, enable_data_crcs=True)
        self._writer.start(library="tracecore-simulation")
        self._classes: dict[str, Any] = {}
        self._channels: dict[str, int] = {}
        self._sequence: dict[str, int] = {}
        for topic, name in _PROTOBUF.items():
            if topic != LIDAR or lidar:
                schema = self._writer.register_schema(name, "protobuf", file_descriptor_set(name))
                self._classes[topic], self._channels[topic] = message_class(name), self._writer.register_channel(topic, "protobuf", schema)
        for topic, (title, definition) in _JSON.items():
            schema = self._writer.register_schema(title, "jsonschema", json.dumps(definition).encode())
            self._channels[topic] = self._writer.register_channel(topic, "json", schema)
        self._writer.add_metadata("drive", dict(metadata))

    def mounting(self, time: int, mount: Mount, size: tuple[int, int], *, lidar: bool) -> None:
        """Say how the camera projects and where the sensors sit in the vehicle's frame.

        Args:
            time: ns since the Unix epoch, as in all methods.
            mount: of the camera.
            size: (width, height) of the pictures in px.
            lidar: whether there is a LiDAR.
        """
        focal, u, v = mount.intrinsics(*size)
        calibration = self._classes[CALIBRATION](
            frame_id=CAMERA_FRAME,
            width=size[0],
            height=size[1],
            distortion_model="plumb_bob",
            D=[0.0] * 5,
            K=[focal, 0.0, u, 0.0, focal, v, 0.0, 0.0, 1.0],
            R=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
            P=[focal, 0.0, u, 0.0, 0.0, focal, v, 0.0, 0.0, 0.0, 1.0, 0.0],
        )
        transforms = self._classes[MOUNTING]()
        places = [(CAMERA_FRAME, CAMERA_PLACE, OPTICAL), *([(LIDAR_FRAME, LIDAR_PLACE, (0.0, 0.0, 0.0, 1.0))] if lidar else [])]
        for frame, place, rotation in places:
            transform = transforms.transforms.add(parent_frame_id=BASE, child_frame_id=frame)
            _stamp(transform, time)
            for axis, value in zip("xyz", place, strict=True):
                setattr(transform.translation, axis, value)
            for axis, value in zip("xyzw", rotation, strict=True):
                setattr(transform.rotation, axis, value)
        self._protobuf(MOUNTING, time, transforms, stamped=False)
        self._protobuf(CALIBRATION, time, calibration)

    def image(self, time: int, picture: npt.NDArray[np.uint8]) -> None:
        """Add a camera image (height, width, 3), as JPEG."""
        encoded = BytesIO()
        Image.fromarray(picture).save(encoded, "JPEG", quality=_QUALITY)
        self._protobuf(CAMERA, time, self._classes[CAMERA](frame_id=CAMERA_FRAME, format="jpeg", data=encoded.getvalue()))

    def points(self, time: int, points: npt.NDArray[np.void]) -> None:
        """Add a turn of the LiDAR: points of dtype `POINTS_DTYPE`."""
        message = self._classes[LIDAR](frame_id=LIDAR_FRAME, point_stride=points.dtype.itemsize, data=points.tobytes())
        message.pose.orientation.w = 1.0
        for offset, (name, _) in enumerate(POINTS_DTYPE):
            message.fields.add(name=name, offset=4 * offset, type=FLOAT32)
        self._protobuf(LIDAR, time, message)

    def fix(self, time: int, latitude: float, longitude: float) -> None:
        """Add a GNSS fix, degrees."""
        self._protobuf(FIX, time, self._classes[FIX](frame_id="gnss", latitude=latitude, longitude=longitude, altitude=100.0))

    def signal(self, topic: str, time: int, value: JSON) -> None:
        """Add a signal written as JSON."""
        self._add(topic, time, json.dumps(value, allow_nan=False).encode())

    def finish(self) -> bytes:
        """Write the summary and give the whole file."""
        self._writer.finish()
        return self._stream.getvalue()

    def _protobuf(self, topic: str, time: int, message: Any, *, stamped: bool = True) -> None:
        if stamped:
            _stamp(message, time)
        self._add(topic, time, message.SerializeToString(deterministic=True))

    def _add(self, topic: str, time: int, data: bytes) -> None:
        sequence = self._sequence.get(topic, 0)
        self._sequence[topic] = sequence + 1
        self._writer.add_message(self._channels[topic], log_time=time, publish_time=time, data=data, sequence=sequence)


def _stamp(message: Any, time: int) -> None:
    message.timestamp.seconds, message.timestamp.nanos = divmod(time, _SECOND)
