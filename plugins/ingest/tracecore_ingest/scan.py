"""Scan a whole drive file before any of its rows is written: structure, checksums, and each message against its schema."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from mcap import records as layout

from tracecore import SourceFile
from tracecore_ingest.calibration import CameraModel, camera_model
from tracecore_ingest.camera_images import DECODED, RecordedImage, encoding_in, encoding_of, image_reader, measure_image
from tracecore_ingest.drive import CloudColumn, Drive, ImageColumn, TopicFacts
from tracecore_ingest.drive_files import read_log, stem_of
from tracecore_ingest.errors import Damaged, Undecoded, gather
from tracecore_ingest.lidar_sweeps import cloud_reader
from tracecore_ingest.log_index import LATEST, NO_TIME, Log, OnMessage
from tracecore_ingest.messages import Role, role_of, shows_images, signal_reader, why_undecoded

__all__ = ["scan_drive"]


def scan_drive(
    source: SourceFile,
    sensors: Sequence[str] | None = None,
    progress: Callable[[int], None] | None = None,
    lidars: Sequence[str] | None = None,
    path: Path | None = None,
) -> Drive:
    """Read and verify a whole drive file, and return its drive: topics, facts on images and sweeps, message index. Raises Damaged if not valid.

    Args:
        sensors: camera topics to decode; `lidars`: LiDAR topics; None for all. Messages of other cameras and LiDARs are only counted.
        progress: called with the number of bytes read so far.
        path: file to read instead of the source, such as an unpacked copy.
    """
    scan = _DriveScan(Drive(source, path or source.path), sensors, lidars)
    scan.complete(read_log(scan.drive.path, scan.open_channel, progress))
    return scan.drive


class _DriveScan:
    """Fills a drive with what the messages of its file contain. `sensors` and `lidars`: topics to decode; None for all."""

    def __init__(self, drive: Drive, sensors: Sequence[str] | None, lidars: Sequence[str] | None) -> None:
        self.drive = drive
        self._sensors = sensors
        self._lidars = lidars
        self._named: set[tuple[str, int]] = set()

    def open_channel(self, channel: layout.Channel, schema: layout.Schema | None) -> OnMessage | None:
        match role_of(channel, schema):
            case Role.FRAME if self._sensors is None or channel.topic in self._sensors:
                return self._image_taker(channel, schema)
            case Role.SWEEP if self._lidars is None or channel.topic in self._lidars:
                return self._cloud_taker(channel, schema)
            case Role.SIGNAL | Role.CALIBRATION | Role.TRANSFORM as role:
                return self._signal_taker(channel, schema, role)
        return None

    def _image_taker(self, channel: layout.Channel, schema: layout.Schema | None) -> OnMessage:
        read = image_reader(channel, schema)
        column = self.drive.images.setdefault(channel.id, ImageColumn(channel.topic))

        def take(log_time: int, data: bytes) -> None:
            image = read(data)
            column.frame = image.frame or column.frame
            encoding = _encoding(image)
            facts = measure_image(image.data, encoding)
            self._require_distinct(channel.topic, log_time, "image")
            if image.raw:
                column.raw.add(image.raw)
            column.encodings.append(encoding)
            column.widths.append(facts.width)
            column.heights.append(facts.height)
            column.lumas.append(facts.luma)
            column.hashes.append(facts.dhash)
            column.orientations.append(facts.orientation)

        return take

    def _cloud_taker(self, channel: layout.Channel, schema: layout.Schema | None) -> OnMessage:
        read = cloud_reader(channel, schema)
        column = self.drive.clouds.setdefault(channel.topic, CloudColumn())

        def take(log_time: int, data: bytes) -> None:
            cloud = read(data)
            self._require_distinct(channel.topic, log_time, "sweep")
            column.frame = cloud.frame or column.frame
            column.sweeps += 1
            column.dim += cloud.brightness is None
            column.top = max(column.top, cloud.top)

        return take

    def _require_distinct(self, topic: str, log_time: int, what: str) -> None:
        """Raise Damaged if the topic already has an image or sweep with this log time, since both would have the same id."""
        if (topic, log_time) in self._named:
            raise Damaged(f"is the second {what} at its log time, by which it is named")
        self._named.add((topic, log_time))

    def _signal_taker(self, channel: layout.Channel, schema: layout.Schema | None, role: Role) -> OnMessage:
        read = signal_reader(channel, schema)

        def take(log_time: int, data: bytes) -> None:
            message = read(data)
            if not message.exact:
                self.drive.inexact[channel.topic] += 1
            if role is Role.CALIBRATION:
                self._keep_calibration(camera_model(channel.topic, log_time, message.value))
            elif role is Role.TRANSFORM:
                self.drive.tree.see(channel.topic, message.value)
            else:
                self.drive.fixes.see(log_time, message.value)

        return take

    def _keep_calibration(self, model: CameraModel) -> None:
        """Add a camera calibration to the drive unless it equals the last one of its topic; some drivers send one with every image."""
        known = next((each for each in reversed(self.drive.models) if each.topic == model.topic), None)
        if known is None or not known.same_as(model):
            self.drive.models.append(model)

    def complete(self, log: Log) -> None:
        """Fill in the drive's facts that are known once its whole file is indexed. Raises Damaged if its metadata name several drives."""
        drive = self.drive
        records = [pairs for name, pairs in log.metadata if name == "drive"]
        names = {pairs["drive"] for pairs in records if "drive" in pairs}
        if len(names) > 1:
            raise Damaged(f"its metadata records name {len(names)} different drives: {', '.join(sorted(names))}")
        drive.metadata = {key: value for pairs in records for key, value in pairs.items()}
        topics: list[TopicFacts] = []
        times: list[int] = []
        left: list[tuple[str, int | None, str]] = [(topic, None, reason) for topic, reason in log.unplaced]
        for id_, index in log.used():
            odd = log.left_out.get(id_, {})
            left += [(index.channel.topic, None if index.times[place] == NO_TIME else index.times[place], reason) for place, reason in odd.items()]
            drive.undecoded.update((index.channel.topic, reason) for reason in log.undecoded.get(id_, {}).values())
            known = np.asarray(index.times)
            known = known[known <= LATEST]
            times += [int(known.min()), int(known.max())] if len(known) else []
            role = role_of(index.channel, index.schema)
            if role is Role.UNDECODED and len(index) > len(odd):
                drive.undecoded[index.channel.topic, why_undecoded(index.channel, index.schema)] += len(index) - len(odd)
            topics.append(TopicFacts(index.channel.topic, index.schema_name, index.channel.message_encoding, len(index), role))
        drive.name = drive.metadata.get("drive", "").strip() or stem_of(drive.source.path)
        drive.clock = drive.stated_clock()
        drive.topics = tuple(sorted(topics, key=lambda topic: (topic.topic, topic.schema or "", topic.encoding)))
        drive.start_ns, drive.end_ns = min(times, default=None), max(times, default=None)
        drive.models.sort(key=lambda model: model.time_ns)
        drive.attachments, drive.misstated = tuple(log.attachments), tuple(log.misstated)
        drive.profile, drive.library = log.profile, log.library
        drive.unchecked, drive.data_section_checked = log.unchecked_messages, log.data_section_checked
        drive.left_out = gather(left)
        drive.skipped = {id_: places for id_, _ in log.used() if (places := log.skipped(id_))}
        drive.cameras = tuple(sorted({index.channel.topic for _, index in log.used() if shows_images(index.schema)}))
        drive.assumed = tuple(sorted({kind for kind in log.assumed if any(index.schema_name == kind for _, index in log.used())}))
        drive.log = log


def _encoding(image: RecordedImage) -> str:
    """Return an image's encoding, detected from its bytes. Raises Undecoded if its message names an unsupported format, Damaged if not valid."""
    stated = encoding_of(image.format)
    if image.raw and not image.data:
        raise Undecoded(f"image format {image.format!r}")
    try:
        return encoding_in(image.data)
    except Damaged:
        if image.data and stated and stated not in DECODED:
            raise Undecoded(f"image format {image.format!r}") from None
        raise
