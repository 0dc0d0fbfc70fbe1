"""ROS 2 bags: what a folder's `metadata.yaml` says of the storage files beside it.

Source: rosbag2's metadata format, versions 1 to 9 (https://github.com/ros2/rosbag2, rosbag2_storage/include/rosbag2_storage/bag_metadata.hpp).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from tracecore.stage import SourceFile
from tracecore_ingest.damage import Damaged
from tracecore_ingest.unpacking import stem_of

__all__ = ["METADATA", "Bag", "read_bag"]

METADATA = "metadata.yaml"
"""Name of the file that makes a folder a bag."""

_LARGEST = 16 << 20  # bytes; a bag of thousands of topics has one
_KEY = "rosbag2_bagfile_information"


@dataclass(frozen=True, slots=True)
class Bag:
    """What a bag says of itself.

    Attributes:
        source: its metadata file.
        name: of the drive: what the names of its storage files have in common.
        files: its storage files in the order of the recording, where they lie.
        counts: messages by topic.
        start_ns: time of its first message; None where it does not say.
        packed: the format in which each message is compressed by itself (`zstd`), which is not read; empty for none.
    """

    source: SourceFile
    name: str
    files: tuple[Path, ...]
    counts: Mapping[str, int]
    start_ns: int | None
    packed: str


def read_bag(source: SourceFile) -> Bag | None:
    """Read a metadata file.

    Returns:
        What it says; None where it is not a bag's.

    Raises:
        Damaged: it is no YAML, or says something else than a bag's metadata would.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    if source.size_bytes > _LARGEST:
        raise Damaged(f"has {source.size_bytes} bytes; more than {_LARGEST} are not taken")
    try:
        document = YAML(typ="safe", pure=True).load(source.path.read_text("utf-8-sig"))
    except (YAMLError, UnicodeDecodeError, ValueError, RecursionError) as problem:
        raise Damaged(f"is no YAML: {' '.join(str(problem).split())}") from problem
    if not isinstance(document, dict) or _KEY not in document:
        return None
    said = document[_KEY]
    if not isinstance(said, dict):
        raise Damaged(f"is no bag's metadata: expected a mapping as '{_KEY}'")
    names = said.get("relative_file_paths")
    if not isinstance(names, list) or not names or not all(isinstance(name, str) and name for name in names):
        raise Damaged("is no bag's metadata: expected a list of file names as 'relative_file_paths'")
    packed = str(said.get("compression_format") or "unknown") if str(said.get("compression_mode") or "").lower() == "message" else ""
    files = tuple(source.path.parent / PurePosixPath(name).name for name in names)
    start = said.get("starting_time")
    begins = start.get("nanoseconds_since_epoch") if isinstance(start, dict) else None
    return Bag(source, _name(files), files, _counts(said.get("topics_with_message_count")), begins if type(begins) is int else None, packed)


def _counts(listed: Any) -> dict[str, int]:
    counts: dict[str, int] = {}
    try:
        for each in listed or ():
            counts[str(each["topic_metadata"]["name"])] = int(each["message_count"])
    except (TypeError, KeyError, ValueError) as problem:
        raise Damaged("is no bag's metadata: expected a name and a count of each topic in 'topics_with_message_count'") from problem
    return counts


def _name(files: Sequence[Path]) -> str:
    """Give the name that rosbag2 made its files' names from: `rosbag2_x_0.mcap`, `rosbag2_x_1.mcap` come from `rosbag2_x`."""
    number = r"_0$" if len(files) == 1 else r"_\d+$"
    stems = {re.sub(number, "", stem_of(file)) or stem_of(file) for file in files}
    return stems.pop() if len(stems) == 1 else stem_of(files[0])
