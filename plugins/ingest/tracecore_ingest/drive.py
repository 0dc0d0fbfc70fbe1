"""A scanned drive: metadata, topics, measures of its images and LiDAR sweeps, its facet and unknowns. Message data stay in the file."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tracecore import SourceFile
from tracecore_ingest.calibration import CameraModel, FrameTree
from tracecore_ingest.errors import LeftOut
from tracecore_ingest.gnss import Fixes
from tracecore_ingest.log_index import AttachmentFacts, Log
from tracecore_ingest.messages import SIGNAL_ROLES, Role
from tracecore_schemas.canonical import JSON
from tracecore_schemas.facets import MEASURED

__all__ = ["UNSTATED", "CloudColumn", "Drive", "ImageColumn", "TopicFacts"]

UNSTATED = "unstated"
_STATED = 3  # wrong statements of a file that are listed
_NO_CONDITION = frozenset({"drive", "clock"})


@dataclass(frozen=True, slots=True)
class TopicFacts:
    """Count, schema and role of one channel's messages."""

    topic: str
    schema: str | None
    encoding: str
    messages: int
    role: Role


@dataclass(slots=True)
class ImageColumn:
    """Measures of a camera channel's decoded images in file order, see `ImageFacts`.

    Attributes:
        frame: coordinate frame of the last image that names one, decoded or not.
        raw: pixel formats of its raw images.
    """

    topic: str
    frame: str = ""
    raw: set[str] = field(default_factory=set)
    encodings: list[str] = field(default_factory=list)
    widths: array[int] = field(default_factory=lambda: array("l"))
    heights: array[int] = field(default_factory=lambda: array("l"))
    lumas: array[float] = field(default_factory=lambda: array("d"))
    hashes: array[int] = field(default_factory=lambda: array("Q"))
    orientations: array[int] = field(default_factory=lambda: array("b"))

    @property
    def decoded(self) -> int:
        """The number of decoded images of this camera channel."""
        return len(self.encodings)


@dataclass(slots=True)
class CloudColumn:
    """Counts of a LiDAR topic's sweeps: all, and those without brightness (`dim`).

    Attributes:
        frame: coordinate frame of the last sweep that names one.
        top: the largest brightness, see `RecordedCloud.top`.
    """

    frame: str = ""
    sweeps: int = 0
    dim: int = 0
    top: float = 0.0

    def join(self, other: CloudColumn) -> None:
        """Add the counts of a LiDAR topic's sweeps in another file of the drive."""
        self.frame = other.frame or self.frame
        self.sweeps += other.sweeps
        self.dim += other.dim
        self.top = max(self.top, other.top)


@dataclass(slots=True)
class Drive:
    """One scanned drive.

    Attributes:
        path: file to read: as found, then as stored, or an unpacked copy.
        name: from the metadata record `drive`, else the file's stem.
        metadata: key-value pairs of that record.
        clock: `measured`, `unstated`, or the metadata's own value.
        start_ns: first log time; None without messages.
        images: by channel id.
        library: name of the program that wrote the file.
        inexact: number of messages with NaN or infinities, by topic.
        undecoded: number of messages that were not decoded, by (topic, reason).
        data_section_checked: whether one checksum covers the whole data section.
        joined: one drive per file, if recorded into several.
        bag: (what, why) of wrong statements in a ROS 2 bag's metadata.
        assumed: message types defined by ROS 2 Humble instead of by the file.
        skipped: positions of messages that yield no row, by channel id.
        cameras: image topics, decoded or not.
        misstated: statements of the file that its data contradict.
        log: index of its messages; None if the file must be indexed again.
    """

    source: SourceFile
    path: Path
    name: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    clock: str = UNSTATED
    topics: tuple[TopicFacts, ...] = ()
    start_ns: int | None = None
    end_ns: int | None = None
    fixes: Fixes = field(default_factory=Fixes)
    images: dict[int, ImageColumn] = field(default_factory=dict)
    clouds: dict[str, CloudColumn] = field(default_factory=dict)
    models: list[CameraModel] = field(default_factory=list)
    tree: FrameTree = field(default_factory=FrameTree)
    attachments: tuple[AttachmentFacts, ...] = ()
    profile: str = ""
    library: str = ""
    inexact: Counter[str] = field(default_factory=Counter)
    undecoded: Counter[tuple[str, str]] = field(default_factory=Counter)
    unchecked: int = 0
    data_section_checked: bool = False
    joined: tuple[Drive, ...] = ()
    bag: tuple[tuple[str, str], ...] = ()
    assumed: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    skipped: Mapping[int, frozenset[int]] = field(default_factory=dict)
    cameras: tuple[str, ...] = ()
    misstated: tuple[str, ...] = ()
    log: Log | None = None
    write_ahead_log: SourceFile | None = None

    @property
    def parts(self) -> tuple[Drive, ...]:
        """One drive per file if this drive was recorded into several files, else only this drive."""
        return self.joined or (self,)

    @property
    def messages(self) -> int:
        """The number of the drive's messages, in all files."""
        return sum(topic.messages for topic in self.topics)

    @property
    def sensors(self) -> list[str]:
        """Topics of the drive's cameras whose messages can be decoded, sorted."""
        return sorted({topic.topic for topic in self.topics if topic.role is Role.FRAME})

    @property
    def signals(self) -> list[str]:
        """Topics of the drive's signals (decoded messages other than images and sweeps), sorted."""
        return sorted({topic.topic for topic in self.topics if topic.role in SIGNAL_ROLES})

    @property
    def lidars(self) -> list[str]:
        """Topics of the drive's LiDARs, sorted."""
        return sorted({topic.topic for topic in self.topics if topic.role is Role.SWEEP})

    @property
    def camera_frames(self) -> dict[str, str]:
        """Coordinate frame by camera topic; an empty string if the topic's images name none or were not decoded."""
        named = {column.topic: column.frame for column in self.images.values() if column.frame}
        return dict.fromkeys(self.sensors, "") | named

    @property
    def lidar_frames(self) -> dict[str, str]:
        """Coordinate frame by LiDAR topic, for topics with decoded sweeps."""
        return {topic: column.frame for topic, column in self.clouds.items() if column.sweeps}

    def stated_clock(self) -> str:
        """Return the kind of clock that the drive's metadata state; without it `measured` if GNSS times confirm the log times, else `unstated`."""
        return self.metadata.get("clock", "").strip() or (MEASURED if self.fixes.confirm_clock() else UNSTATED)

    def log_name(self, number: int) -> str:
        """Return the name of the drive log (stored file) with this number: `<drive>` for the first (0), then `<drive>.<number>`."""
        return f"{self.name}.{number}" if number else self.name

    def facet(self) -> dict[str, JSON]:
        """Return the drive's facts (times, topics, metadata, clock, place, checksums) as the value of the facet `tracecore_drive`."""
        bounds = self.fixes.bounds()
        return {
            "drive": self.name,
            "start_ns": None if self.start_ns is None else str(self.start_ns),
            "end_ns": None if self.end_ns is None else str(self.end_ns),
            "topics": [
                {"topic": topic.topic, "schema": topic.schema, "encoding": topic.encoding, "messages": topic.messages} for topic in self.topics
            ],
            "messages": self.messages,
            "metadata": dict(self.metadata),
            "clock": self.clock,
            "place": None if bounds is None else {"bounds": bounds._asdict(), "fixes": len(self.fixes)},
            "sensors": list(self.sensors),
            "lidars": list(self.lidars),
            "attachments": [{"name": item.name, "media_type": item.media_type, "size_bytes": item.size_bytes} for item in self.attachments],
            "profile": self.profile,
            "library": self.library,
            "checksums": {"data_section": self.data_section_checked, "messages_without": self.unchecked},
            **({"left_out": [each.document() for each in self.left_out]} if self.left_out else {}),
        }

    @property
    def conditions(self) -> dict[str, str]:
        """The driving conditions (such as weather) by name: every nonempty value of the drive's metadata except its name and clock."""
        return {name: text for name, value in sorted(self.metadata.items()) if name not in _NO_CONDITION and (text := str(value).strip())}

    def without_time_or_place(self) -> list[str]:
        """Return the reasons why the drive's time or place was not measured; empty if both were."""
        found = []
        if self.clock == UNSTATED:
            found.append("nothing says that its clock is a measured one")
        elif self.clock != MEASURED:
            found.append(f"its clock is '{self.clock}'")
        if not len(self.fixes):
            found.append("it holds no GNSS fix")
        return found

    def unknowns(self) -> list[tuple[str, str]]:
        """Return (what, why) of each fact about the drive that its file lacks or states wrongly, or that was not read."""
        found: list[tuple[str, str]] = [*self.bag]
        if self.assumed:
            why = f"drive {self.name}: the bag does not hold them; those of ROS 2 Humble were taken for {', '.join(self.assumed)}"
            found.append(("message definitions", why))
        if missing := self.without_time_or_place():
            found.append(("time and place", f"drive {self.name}: {' and '.join(missing)}"))
        if self.undecoded:
            listed = ", ".join(f"{count} of {topic} ({why})" for (topic, why), count in sorted(self.undecoded.items()))
            found.append(("messages not decoded", f"drive {self.name}: counted and kept in the drive log, but in no table: {listed}"))
        if self.left_out:
            listed = ", ".join(each.sentence() for each in self.left_out)
            found.append(("messages left out", f"drive {self.name}: kept in the drive log, but in no table: {listed}"))
        if self.misstated:
            listed = "; ".join(self.misstated[:_STATED]) + ("; …" if len(self.misstated) > _STATED else "")
            found.append(("index of the file", f"drive {self.name}: the file was written with an index or statistics that are wrong: {listed}"))
        if self.inexact:
            listed = ", ".join(f"{count} of {topic}" for topic, count in sorted(self.inexact.items()))
            found.append(
                ("numbers that are none", f"drive {self.name}: messages hold NaN or Infinity, which JSON does not know; they read as null: {listed}")
            )
        if self.unchecked:
            found.append(
                (
                    "content checksums",
                    f"drive {self.name}: no checksum covers {self.unchecked} of its {self.messages} messages, so damage could go unseen",
                )
            )
        return found
