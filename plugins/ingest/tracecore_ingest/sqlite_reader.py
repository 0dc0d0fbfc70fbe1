"""Index ROS 2 bags in SQLite storage (`.db3`), like MCAP files.

Source: rosbag2_storage_sqlite3, schema versions 1 to 4 (tables `topics`, `messages`, since version 4 `message_definitions`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import cache
from pathlib import Path

from mcap import records as layout
from rosbags.typesys import Stores, get_typestore

from tracecore_ingest.errors import Damaged
from tracecore_ingest.log_index import LATEST, NO_TIME, UNCHUNKED, ChannelIndex, Log, OnMessage, Opener
from tracecore_ingest.message_decoders import ros_name

__all__ = ["MAGIC", "read_rows", "scan_sqlite"]

MAGIC = b"SQLite format 3\0"


def _opened(path: Path) -> closing[sqlite3.Connection]:
    """Open an SQLite database read-only for a block; the URI option `immutable` keeps SQLite from creating other files."""
    return closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True))


def scan_sqlite(path: Path, opener: Opener | None = None, progress: Callable[[int], None] | None = None) -> Log:
    """Verify a whole SQLite bag and return the index of its messages. Raises Damaged if it is not valid.

    `opener` returns a channel's message callback or None; without `opener` only the index is made. `progress` is called once with the file's size.
    """
    log = Log(path, profile="ros2", library="rosbag2 sqlite3", storage="sqlite3")
    try:
        with _opened(path) as connection:
            verdict = connection.execute("PRAGMA integrity_check(1)").fetchone()
            if verdict is None or verdict[0] != "ok":
                raise Damaged(f"SQLite finds it damaged: {verdict[0] if verdict else 'no answer'}")
            _topics(connection, log)
            _messages(connection, log, opener)
    except (sqlite3.Error, UnicodeDecodeError) as problem:
        raise Damaged(f"SQLite can't read it as a bag: {problem}") from problem
    log.unchecked_messages = len(log)  # SQLite keeps no checksums
    if progress is not None:
        progress(path.stat().st_size)
    return log


def _topics(connection: sqlite3.Connection, log: Log) -> None:
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not {"topics", "messages"} <= tables:
        raise Damaged("it is not a bag's: expected the tables 'topics' and 'messages'")
    recorded: dict[str, tuple[str, str]] = {}
    if "message_definitions" in tables:
        query = "SELECT topic_type, encoding, encoded_message_definition FROM message_definitions ORDER BY id"
        recorded = {kind: (encoding, text) for kind, encoding, text in connection.execute(query) if isinstance(text, str)}
    for id_, name, kind, encoding in connection.execute("SELECT id, name, type, serialization_format FROM topics ORDER BY id"):
        if not isinstance(id_, int) or not all(isinstance(each, str) for each in (name, kind, encoding)):
            raise Damaged(f"topic {id_!r} has no name, type or format that is text")
        schema_encoding, text = recorded.get(kind) or ("", "")
        if not text:
            schema_encoding, text = "ros2msg", _known_definition(ros_name(kind)) or ""
            if text:
                log.assumed.append(kind)
        schema = layout.Schema(id=id_, data=text.encode(), encoding=schema_encoding, name=kind)
        log.schemas[id_] = schema
        log.channels[id_] = ChannelIndex(layout.Channel(id=id_, topic=name, message_encoding=encoding, metadata={}, schema_id=id_), schema)


@cache
def _known_definition(kind: str) -> str | None:
    """Return ROS 2 Humble's definition of a message type, for old bags without definitions; None if Humble does not have the type."""
    store = get_typestore(Stores.ROS2_HUMBLE)
    return store.generate_msgdef(kind, ros_version=2)[0] if kind in store.fielddefs else None


def _messages(connection: sqlite3.Connection, log: Log, opener: Opener | None) -> None:
    wanted: dict[int, OnMessage | None] = {}
    for row, topic, time, data in connection.execute("SELECT id, topic_id, timestamp, data FROM messages ORDER BY timestamp, id"):
        index = log.channels.get(topic)
        if index is None:
            log.unplaced.append((f"topic {topic!r}", "is of a topic that the table 'topics' does not hold"))
            continue
        timed = isinstance(time, int) and 0 <= time <= LATEST
        valid = timed and isinstance(row, int) and row >= 0 and isinstance(data, bytes)
        index.times.append(time if timed else NO_TIME)
        index.chunks.append(UNCHUNKED)
        index.offsets.append(row if valid else 0)
        index.sizes.append(len(data) if valid else 0)
        if not valid:
            log.leave_out(topic, "has no bytes, no time from 1970 to 2262, or no id from 0 on")
            continue
        if topic not in wanted:
            wanted[topic] = opener(index.channel, index.schema) if opener else None
        take = wanted[topic]
        if take is not None:
            log.deliver(topic, take, time, data)


def read_rows(path: Path, rows: Sequence[int]) -> list[bytes]:
    """Return the data of the messages with the row ids `rows`, in the given order, from an SQLite bag that was verified before."""
    with _opened(path) as connection:
        return [bytes(connection.execute("SELECT data FROM messages WHERE id = ?", (row,)).fetchone()[0]) for row in rows]
