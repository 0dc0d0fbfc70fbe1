"""Judge a drive file whole, before any of its rows goes anywhere: structure, checksums, and that each message is what its schema says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from mcap import records as layout

from tracecore.stage import SourceFile
from tracecore_ingest.damage import Damaged
from tracecore_ingest.drive import MEASURED, UNSTATED, Drive, ImageColumn, TopicFacts
from tracecore_ingest.images import DECODED, encoding_of, look_at
from tracecore_ingest.log import Log
from tracecore_ingest.messages import Role, image_reader, role_of, signal_reader
from tracecore_ingest.places import Fixes
from tracecore_ingest.scan import OnMessage, scan

__all__ = ["judge"]


def judge(source: SourceFile, sensors: Sequence[str] | None = None, progress: Callable[[int], None] | None = None) -> Drive:
    """Read a drive file whole and say what it is.

    Args:
        source: the file.
        sensors: cameras whose images are wanted; None for all. Others are counted but not decoded.
        progress: told the bytes read so far.

    Raises:
        Damaged: the file is not sound, with the reason.
    """
    reading = _Judgement(sensors)
    log = scan(source.path, reading.open_channel, progress)
    return reading.drive(source, log)


class _Judgement:
    """What gathers while one file is read."""

    def __init__(self, sensors: Sequence[str] | None) -> None:
        self._sensors = sensors
        self._fixes = Fixes()
        self._images: dict[int, ImageColumn] = {}
        self._inexact: Counter[str] = Counter()
        self._undecoded: Counter[tuple[str, str]] = Counter()

    def open_channel(self, channel: layout.Channel, schema: layout.Schema | None) -> OnMessage | None:
        match role_of(channel, schema):
            case Role.FRAME if self._sensors is None or channel.topic in self._sensors:
                return self._image_taker(channel, schema)
            case Role.SIGNAL:
                return self._signal_taker(channel, schema)
        return None

    def _image_taker(self, channel: layout.Channel, schema: layout.Schema | None) -> OnMessage:
        read = image_reader(channel, schema)
        column = self._images.setdefault(channel.id, ImageColumn())

        def take(_: int, data: bytes) -> None:
            format_, image = read(data)
            encoding = encoding_of(format_)
            if encoding not in DECODED:
                self._undecoded[channel.topic, f"image format {format_!r}"] += 1
                column.encodings.append(None)
                facts = None
            else:
                facts = look_at(image, encoding)
                column.encodings.append(encoding)
            column.widths.append(facts.width if facts else 0)
            column.heights.append(facts.height if facts else 0)
            column.lumas.append(facts.luma if facts else 0.0)
            column.hashes.append(facts.dhash if facts else 0)

        return take

    def _signal_taker(self, channel: layout.Channel, schema: layout.Schema | None) -> OnMessage:
        read = signal_reader(channel, schema)

        def take(log_time: int, data: bytes) -> None:
            message = read(data)
            if not message.exact:
                self._inexact[channel.topic] += 1
            self._fixes.see(log_time, message.value)

        return take

    def drive(self, source: SourceFile, log: Log) -> Drive:
        metadata = _drive_metadata(log)
        self._refuse_twins(log)
        topics = []
        for _, index in log.used():
            role = role_of(index.channel, index.schema)
            if role is Role.UNDECODED:
                self._undecoded[index.channel.topic, _why(index.channel, index.schema)] += len(index)
            topics.append(TopicFacts(index.channel.topic, index.schema_name, index.channel.message_encoding, len(index), role))
        clock = metadata.get("clock", "").strip() or (MEASURED if self._fixes.confirm_clock() else UNSTATED)
        return Drive(
            source=source,
            path=source.path,
            name=metadata.get("drive", "").strip() or source.path.stem,
            metadata=metadata,
            clock=clock,
            topics=tuple(sorted(topics, key=lambda topic: (topic.topic, topic.schema or "", topic.encoding))),
            start_ns=min((min(index.times) for _, index in log.used()), default=None),
            end_ns=max((max(index.times) for _, index in log.used()), default=None),
            fixes=self._fixes,
            images=self._images,
            attachments=tuple(log.attachments),
            profile=log.profile,
            library=log.library,
            inexact=self._inexact,
            undecoded=self._undecoded,
            unchecked=log.unchecked_messages,
            data_section_checked=log.data_section_checked,
        )

    def _refuse_twins(self, log: Log) -> None:
        """A frame is named by drive, sensor and time: two images of one sensor at one time could not be told apart."""
        seen: set[tuple[str, int]] = set()
        for id_, column in self._images.items():
            index = log.channels[id_]
            for encoding, time in zip(column.encodings, index.times, strict=True):
                if encoding is None:
                    continue
                if (index.channel.topic, time) in seen:
                    raise Damaged(f"two images of sensor {index.channel.topic!r} have the log time {time} ns, by which a frame is named")
                seen.add((index.channel.topic, time))


def _drive_metadata(log: Log) -> dict[str, str]:
    records = [pairs for name, pairs in log.metadata if name == "drive"]
    names = {pairs["drive"] for pairs in records if "drive" in pairs}
    if len(names) > 1:
        raise Damaged(f"its metadata records name {len(names)} different drives: {', '.join(sorted(names))}")
    return {key: value for pairs in records for key, value in pairs.items()}


def _why(channel: layout.Channel, schema: layout.Schema | None) -> str:
    encoding = channel.message_encoding or "no encoding"
    return encoding if schema is None else f"{encoding}, {schema.name}"
