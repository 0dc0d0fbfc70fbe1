"""Messages come back in the order of time whatever order they lie in, in portions that memory holds."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest

from tracecore_ingest import drive_tables
from tracecore_ingest.mcap_reader import scan_mcap
from tracecore_ingest.recording import Recording, TopicMessages, fetch, portions
from tracecore_ingest.scan import scan_drive

START = 1_791_000_000_000_000_000


@pytest.mark.parametrize("options", [{"chunk_size": 64}, {"chunk_size": 1 << 20}, {"use_chunking": False}])
def test_messages_out_of_order_come_back_in_order(drive_file: Any, options: dict[str, Any]) -> None:
    file = drive_file(**options)
    order = np.random.default_rng(1).permutation(50).tolist()
    for number in order:
        file.say("/b", START + number // 2, number).say("/a", START - number, -number)
    recording = Recording([scan_mcap(file.done())])
    keys = {key for key, _ in recording.used()}
    for topic, expected in (
        ("/b", sorted(order, key=lambda number: (number // 2, order.index(number)))),
        ("/a", sorted(-number for number in order)),
    ):
        place = recording.topic(topic, keys, {})
        for limit in (1, 7, 1 << 20):
            found = [int(data) for group in portions([place], limit, 1000) for data in fetch(recording, group)]
            assert found == expected


def test_memory_stays_bounded_whatever_a_drive_weighs(drive_file: Any, picture: Any, source: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forty megabytes of images in batches of four: no more than two batches and a chunk are held at a time."""
    image = picture(size=(1600, 1200))
    file = drive_file("long.mcap", enable_data_crcs=False)
    count = 40_000_000 // len(image)
    for index in range(count):
        file.see(START + index, image)
    drive = scan_drive(source(file.done()))
    monkeypatch.setattr(drive_tables, "FRAME_BYTES", 4_000_000)
    tracemalloc.start()
    try:
        found = [(batch.num_rows, batch.nbytes) for batch in drive_tables.frame_batches(drive)]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sum(rows for rows, _ in found) == count
    assert max(size for _, size in found) < 4_500_000
    assert peak < 16_000_000


def _place(topic: str, sizes: list[int]) -> TopicMessages:
    zeros = np.zeros(len(sizes), dtype=np.int64)
    return TopicMessages(topic, zeros, zeros, zeros, zeros, zeros, zeros, np.asarray(sizes, dtype=np.int64))


def test_portions_keep_the_order_and_the_limits() -> None:
    places = [_place("a", [10, 10, 10]), _place("b", []), _place("c", [50, 1]), _place("d", [5] * 7)]
    for limit_bytes, limit_messages in ((20, 100), (1000, 3), (1, 1), (1000, 1000)):
        groups = list(portions(places, limit_bytes, limit_messages))
        flat = [(portion.place.topic, index) for group in groups for portion in group for index in range(portion.start, portion.stop)]
        assert flat == [(place.topic, index) for place in places for index in range(len(place))]
        for group in groups:
            total = sum(int(portion.place.sizes[portion.start : portion.stop].sum()) for portion in group)
            count = sum(len(portion) for portion in group)
            assert count <= limit_messages
            assert total <= limit_bytes or count == 1
    assert len(list(portions(places, 1000, 1000))) == 1
