"""Drive files as recorders write them, for the tests of this plugin."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from foxglove_messages import Proto
from mcap.writer import CompressionType, Writer
from PIL import Image

from tracecore import Check, CheckContext, CheckResult, SourceFile, SuiteCheck, Workspace
from tracecore.testing.worlds import StageWorld
from tracecore_schemas.canonical import digest_file

START = 1_791_000_000_000_000_000


class DriveFile:
    """Writes one MCAP file message by message."""

    def __init__(self, path: Path, **options: Any) -> None:
        self.path = path
        self._stream = path.open("wb")
        options = {"compression": CompressionType.ZSTD, "enable_data_crcs": True} | options
        self._writer = Writer(self._stream, **options)
        self._writer.start(library="test")
        self._channels: dict[str, int] = {}
        self.image = Proto("foxglove.CompressedImage")
        self.fix = Proto("foxglove.LocationFix")

    def drive(self, **pairs: str) -> DriveFile:
        self._writer.add_metadata("drive", pairs)
        return self

    def channel(self, topic: str, encoding: str, schema: tuple[str, str, bytes] | None = None) -> int:
        if topic not in self._channels:
            schema_id = 0 if schema is None else self._writer.register_schema(*schema)
            self._channels[topic] = self._writer.register_channel(topic, encoding, schema_id)
        return self._channels[topic]

    def raw(self, topic: str, time: int, data: bytes, encoding: str = "json", schema: tuple[str, str, bytes] | None = None) -> DriveFile:
        channel = self.channel(topic, encoding, schema)
        self._writer.add_message(channel, log_time=time, publish_time=time, data=data)
        return self

    def say(self, topic: str, time: int, value: Any, schema: str | None = None) -> DriveFile:
        described = None if schema is None else (schema, "jsonschema", b"{}")
        return self.raw(topic, time, value if isinstance(value, bytes) else json.dumps(value).encode(), "json", described)

    def see(self, time: int, image: bytes, topic: str = "/camera", format_: str = "jpeg") -> DriveFile:
        message = self.image.message(time, data=image, format=format_, frame_id="c")
        return self.raw(topic, time, message, "protobuf", (self.image.name, "protobuf", self.image.schema))

    def locate(self, time: int, latitude: float, longitude: float, topic: str = "/gnss") -> DriveFile:
        message = self.fix.message(time, latitude=latitude, longitude=longitude)
        return self.raw(topic, time, message, "protobuf", (self.fix.name, "protobuf", self.fix.schema))

    def tell(self, topic: str, time: int, name: str, *, stamped: bool = True, **fields: Any) -> DriveFile:
        """Write a protobuf message of a known type."""
        proto = Proto(name)
        return self.raw(topic, time, proto.message(time if stamped else None, **fields), "protobuf", proto.mcap)

    def attach(self, name: str, data: bytes) -> DriveFile:
        self._writer.add_attachment(1, 2, name, "application/octet-stream", data)
        return self

    def done(self) -> Path:
        self._writer.finish()
        self._stream.close()
        return self.path


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A fresh workspace."""
    return Workspace.create(tmp_path / "workspace", slug="test")


@pytest.fixture
def drive_file(tmp_path: Path) -> Callable[..., DriveFile]:
    """Begin a drive file: `drive_file("a.mcap")`."""

    def begin(name: str = "a.mcap", **options: Any) -> DriveFile:
        (tmp_path / "drives").mkdir(exist_ok=True)
        return DriveFile(tmp_path / "drives" / name, **options)

    return begin


def picture(seed: int = 0, *, size: tuple[int, int] = (64, 48), format_: str = "JPEG", level: int | None = None) -> bytes:
    """An encoded picture: noise over a slope, or all of one gray level."""
    width, height = size
    rng = np.random.default_rng(seed)
    pixels = np.linspace(40, 200, width)[None, :, None] + rng.normal(0, 12, (height, width, 3))
    if level is not None:
        pixels = np.full((height, width, 3), float(level))
    stream = BytesIO()
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(stream, format_)
    return stream.getvalue()


@pytest.fixture(name="picture")
def picture_fixture() -> Callable[..., bytes]:
    """Draw an encoded picture."""
    return picture


@pytest.fixture
def source() -> Callable[[Path], SourceFile]:
    """Name a file as the kernel does."""
    return lambda path: SourceFile(path, path.name, digest_file(path), path.stat().st_size)


@pytest.fixture
def small_drive(drive_file: Callable[..., DriveFile]) -> Callable[..., Path]:
    """A whole small drive: three pictures, five signals, two fixes, one attachment."""

    def write(name: str = "a.mcap", *, drive: str | None = "alpha", start: int = START, **options: Any) -> Path:
        file = drive_file(name, **options)
        if drive is not None:
            file.drive(drive=drive, region="DE", time_of_day="day", clock="measured")
        for index in range(3):
            file.see(start + index * 500_000_000, picture(index))
        for index in range(5):
            file.say("/car/speed", start + index * 200_000_000, {"speed_mps": 1.5 * index}, "Speed")
        for index in range(2):
            file.locate(start + index * 900_000_000, 48.0 + index / 1000, 9.0)
        return file.attach("note.txt", b"hello").done()

    return write


def rows(batches: Sequence[Any]) -> list[dict[str, Any]]:
    """Return the rows of batches."""
    return [row for batch in batches for row in batch.to_pylist()]


@pytest.fixture(name="rows")
def rows_fixture() -> Callable[..., list[dict[str, Any]]]:
    """Return the rows of batches."""
    return rows


class _Agreeing(Check):
    """Represents a suite: Great Expectations' import costs seconds, and its suites have tests of their own."""

    def __init__(self, name: str) -> None:
        self.name = name

    def run(self, context: CheckContext) -> CheckResult:
        return CheckResult(success=True, message=f"{context.read().count_rows()} rows")


@pytest.fixture
def ingesting(tmp_path: Path) -> Iterator[StageWorld]:
    """A world with the ingest plugin only."""
    world = StageWorld.at(tmp_path, "ingest")
    assert not world.host.broken
    yield world
    world.record.close()


@pytest.fixture
def quick(ingesting: StageWorld) -> StageWorld:
    """The same world, its suites replaced by checks that cost nothing."""
    for stage in ingesting.host.stages:
        for name in {name for port in stage.stage_class.outputs().values() for name in port.checks}:
            if isinstance(ingesting.host.check(name).item, SuiteCheck):
                [registered, *_] = ingesting.host.checks[name]
                ingesting.host.checks[name] = [replace(registered, item=_Agreeing(name))]
    return ingesting
