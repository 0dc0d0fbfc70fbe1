"""ROS 2 bags: read a bag's metadata, and join its storage files to one drive.

Source: rosbag2's metadata format, versions 1 to 9 (https://github.com/ros2/rosbag2, rosbag2_storage/include/rosbag2_storage/bag_metadata.hpp).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from tracecore import SourceFile
from tracecore_ingest.calibration import FrameTree
from tracecore_ingest.drive import CloudColumn, Drive, TopicFacts
from tracecore_ingest.drive_files import stem_of
from tracecore_ingest.errors import Damaged
from tracecore_ingest.gnss import Fixes
from tracecore_ingest.recording import channel_key

__all__ = ["METADATA", "Bag", "join", "read_bag"]

METADATA = "metadata.yaml"
"""Name of the file that makes a folder a bag."""

_LARGEST = 16 << 20  # bytes; a bag of thousands of topics has one
_KEY = "rosbag2_bagfile_information"


@dataclass(frozen=True, slots=True)
class Bag:
    """Metadata of a bag.

    Attributes:
        name: drive name: the common part of its storage files' names.
        counts: number of messages by topic.
        start_ns: time of its first message; None if not stated.
        packed: compression of single messages (`zstd`), which is not supported; empty for none.
    """

    source: SourceFile
    name: str
    files: tuple[Path, ...]
    counts: Mapping[str, int]
    start_ns: int | None
    packed: str


def read_bag(source: SourceFile) -> Bag | None:
    """Return the metadata in a ROS 2 bag's YAML file; None if the file is other YAML. Raises Damaged if it is too large or not valid."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    if source.size_bytes > _LARGEST:
        raise Damaged(f"has {source.size_bytes} bytes; more than {_LARGEST} are not taken")
    try:
        document = YAML(typ="safe", pure=True).load(source.path.read_text("utf-8-sig"))
    except (YAMLError, UnicodeDecodeError, ValueError, RecursionError) as problem:
        raise Damaged(f"is not YAML: {' '.join(str(problem).split())}") from problem
    if not isinstance(document, dict) or _KEY not in document:
        return None
    metadata = document[_KEY]
    if not isinstance(metadata, dict):
        raise Damaged(f"is not a bag's metadata: expected a mapping as '{_KEY}'")
    names = metadata.get("relative_file_paths")
    if not isinstance(names, list) or not names or not all(isinstance(name, str) and name for name in names):
        raise Damaged("is not a bag's metadata: expected a list of file names as 'relative_file_paths'")
    packed = str(metadata.get("compression_format") or "unknown") if str(metadata.get("compression_mode") or "").lower() == "message" else ""
    files = tuple(source.path.parent / PurePosixPath(name).name for name in names)
    start = metadata.get("starting_time")
    begins = start.get("nanoseconds_since_epoch") if isinstance(start, dict) else None
    return Bag(source, _name(files), files, _counts(metadata.get("topics_with_message_count")), begins if type(begins) is int else None, packed)


def _counts(listed: Any) -> dict[str, int]:
    counts: dict[str, int] = {}
    try:
        for each in listed or ():
            counts[str(each["topic_metadata"]["name"])] = int(each["message_count"])
    except (TypeError, KeyError, ValueError) as problem:
        raise Damaged("is not a bag's metadata: expected a name and a count of each topic in 'topics_with_message_count'") from problem
    return counts


def _name(files: Sequence[Path]) -> str:
    """Return the common name of a bag's storage files: `rosbag2_x` for `rosbag2_x_0.mcap` and `rosbag2_x_1.mcap`; else the first file's stem."""
    number = r"_0$" if len(files) == 1 else r"_\d+$"
    stems = {re.sub(number, "", stem_of(file)) or stem_of(file) for file in files}
    return stems.pop() if len(stems) == 1 else stem_of(files[0])


def join(bag: Bag, parts: Sequence[Drive]) -> Drive:
    """Return the drives scanned from a bag's valid files (at least one, in order) as one drive. Raises Damaged if they name different drives."""
    named = {name for part in parts if (name := part.metadata.get("drive", "").strip())}
    if len(named) > 1:
        raise Damaged(f"the files of the bag name {len(named)} different drives: {', '.join(sorted(named))}")
    name = named.pop() if named else bag.name
    first = replace(parts[0], name=name, bag=tuple(_differences(bag, name, parts)))
    if len(parts) == 1:
        return first
    fixes, tree, clouds = Fixes(), FrameTree(), dict[str, CloudColumn]()
    for part in parts:
        fixes.join(part.fixes)
        tree.join(part.tree)
        for topic, column in part.clouds.items():
            clouds.setdefault(topic, CloudColumn()).join(column)
    times = [time for part in parts for time in (part.start_ns, part.end_ns) if time is not None]
    whole = replace(
        first,
        metadata={key: value for part in parts for key, value in part.metadata.items()},
        topics=_topics(parts),
        start_ns=min(times, default=None),
        end_ns=max(times, default=None),
        fixes=fixes,
        images={channel_key(number, channel): column for number, part in enumerate(parts) for channel, column in part.images.items()},
        clouds=clouds,
        models=sorted((model for part in parts for model in part.models), key=lambda model: model.time_ns),
        tree=tree,
        attachments=tuple(attachment for part in parts for attachment in part.attachments),
        inexact=sum((part.inexact for part in parts), Counter()),
        undecoded=sum((part.undecoded for part in parts), Counter()),
        assumed=tuple(sorted({kind for part in parts for kind in part.assumed})),
        left_out=tuple(each for part in parts for each in part.left_out),
        skipped={channel_key(number, channel): places for number, part in enumerate(parts) for channel, places in part.skipped.items()},
        cameras=tuple(sorted({topic for part in parts for topic in part.cameras})),
        misstated=tuple(each for part in parts for each in part.misstated),
        unchecked=sum(part.unchecked for part in parts),
        data_section_checked=all(part.data_section_checked for part in parts),
        joined=tuple(replace(part, name=name) for part in parts),
    )
    whole.clock = whole.stated_clock()
    return whole


def _topics(parts: Iterable[Drive]) -> tuple[TopicFacts, ...]:
    found: dict[tuple[str, str, str], TopicFacts] = {}
    for topic in (topic for part in parts for topic in part.topics):
        key = (topic.topic, topic.schema or "", topic.encoding)
        found[key] = replace(topic, messages=topic.messages + (found[key].messages if key in found else 0))
    return tuple(found[key] for key in sorted(found))


def _differences(bag: Bag, name: str, parts: Sequence[Drive]) -> Iterable[tuple[str, str]]:
    """Yield (what, why) for each statement in a ROS 2 bag's metadata that its files contradict. `name`: the drive's name."""
    valid = {part.source.path for part in parts}
    absent = [file.name for file in bag.files if file not in valid]
    if absent:
        yield "parts of the drive", f"drive {name}: its {bag.source.name} names {', '.join(absent)}, not among the files that were found sound"
        return
    found: Counter[str] = Counter()
    for topic in (topic for part in parts for topic in part.topics):
        found[topic.topic] += topic.messages
    counts = {topic: count for topic, count in bag.counts.items() if count}
    if counts != dict(found):
        differ = [
            f"{topic} {counts.get(topic, 0)} (found {found[topic]})" for topic in sorted({*counts, *found}) if counts.get(topic, 0) != found[topic]
        ]
        yield "messages of the bag", f"drive {name}: its {bag.source.name} counts other messages than its files hold: {', '.join(differ)}"
    start = min((part.start_ns for part in parts if part.start_ns is not None), default=None)
    if start is not None and bag.start_ns not in (None, start):
        yield "start of the bag", f"drive {name}: its {bag.source.name} says it starts at {bag.start_ns} ns, its files at {start} ns"
