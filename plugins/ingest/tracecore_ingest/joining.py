"""Drives that were recorded into several files: what was found in each, joined."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from tracecore_ingest.bags import Bag
from tracecore_ingest.damage import Damaged
from tracecore_ingest.drive import MEASURED, UNSTATED, CloudColumn, Drive, TopicFacts
from tracecore_ingest.frame_tree import FrameTree
from tracecore_ingest.places import Fixes
from tracecore_ingest.recording import channel_key

__all__ = ["join"]


def join(bag: Bag, parts: Sequence[Drive]) -> Drive:
    """Make one drive of a bag's files.

    Args:
        bag: what the bag says of itself.
        parts: those of its files that are sound, in the order of the recording; at least one.

    Raises:
        Damaged: the files name different drives.
    """
    named = {name for part in parts if (name := part.metadata.get("drive", "").strip())}
    if len(named) > 1:
        raise Damaged(f"the files of the bag name {len(named)} different drives: {', '.join(sorted(named))}")
    name = named.pop() if named else bag.name
    said = tuple(_said(bag, name, parts))
    first = replace(parts[0], name=name, bag=said)
    if len(parts) == 1:
        return first
    metadata = {key: value for part in parts for key, value in part.metadata.items()}
    fixes, tree, clouds = Fixes(), FrameTree(), dict[str, CloudColumn]()
    for part in parts:
        fixes.join(part.fixes)
        tree.join(part.tree)
        for topic, column in part.clouds.items():
            clouds.setdefault(topic, CloudColumn()).join(column)
    times = [time for part in parts for time in (part.start_ns, part.end_ns) if time is not None]
    return replace(
        first,
        metadata=metadata,
        clock=metadata.get("clock", "").strip() or (MEASURED if fixes.confirm_clock() else UNSTATED),
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
        misstated=tuple(said for part in parts for said in part.misstated),
        unchecked=sum(part.unchecked for part in parts),
        data_section_checked=all(part.data_section_checked for part in parts),
        joined=tuple(replace(part, name=name) for part in parts),
    )


def _topics(parts: Iterable[Drive]) -> tuple[TopicFacts, ...]:
    found: dict[tuple[str, str, str], TopicFacts] = {}
    for topic in (topic for part in parts for topic in part.topics):
        key = (topic.topic, topic.schema or "", topic.encoding)
        found[key] = replace(topic, messages=topic.messages + (found[key].messages if key in found else 0))
    return tuple(found[key] for key in sorted(found))


def _said(bag: Bag, name: str, parts: Sequence[Drive]) -> Iterable[tuple[str, str]]:
    """State where the bag's own account differs from its files."""
    sound = {part.source.path for part in parts}
    absent = [file.name for file in bag.files if file not in sound]
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
