"""A damaged file contributes nothing and says why; whatever is read is right."""

from __future__ import annotations

import csv
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mcap.writer import CompressionType, IndexType

from tracecore import SourceFile
from tracecore.testing.worlds import real_input
from tracecore_ingest.drive import Drive
from tracecore_ingest.drive_tables import frame_batches, signal_batches
from tracecore_ingest.errors import Damaged
from tracecore_ingest.mcap_records import MAGIC
from tracecore_ingest.scan import scan_drive

Judge = Callable[[Path], Drive]
START = 1_791_000_000_000_000_000


@pytest.fixture
def judged(source: Callable[[Path], SourceFile]) -> Judge:
    return lambda path: scan_drive(source(path))


def _content(drive: Drive) -> tuple[Any, ...]:
    """All that a drive gives: its rows without the digest of their file, and what is recorded of it."""
    frames = [{key: value for key, value in row.items() if key != "drive_log"} for batch in frame_batches(drive) for row in batch.to_pylist()]
    signals = [row for batch in signal_batches(drive) for row in batch.to_pylist()]
    facet = {key: value for key, value in drive.facet().items() if key != "checksums"}
    return frames, signals, facet


def _reason(judged: Judge, path: Path) -> str:
    with pytest.raises(Damaged) as found:
        judged(path)
    return str(found.value)


@pytest.mark.parametrize("compression", [CompressionType.NONE, CompressionType.ZSTD, CompressionType.LZ4])
def test_whatever_bit_flips_the_file_is_left_out_or_its_content_is_right(small_drive: Any, judged: Judge, compression: CompressionType) -> None:
    """One bit of every fifth byte (of every byte, when the plugin was written): no flip may change what is ingested."""
    path = small_drive(compression=compression)
    whole = path.read_bytes()
    right = _content(judged(path))
    harmless = 0
    step = 5 if compression == CompressionType.ZSTD else 23
    for place in range(0, len(whole), step):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << (place % 8)
        path.write_bytes(damaged)
        try:
            found = judged(path)
        except Damaged:
            continue
        harmless += 1
        assert _content(found) == right, f"a flip at byte {place} went unseen"
    assert harmless < len(whole) / step / 10, "almost every flip is seen"


def test_without_a_checksum_of_the_data_section_the_messages_are_right_all_the_same(small_drive: Any, judged: Judge) -> None:
    """Chunks have checksums of their own; only what lies outside them (metadata) can be changed unseen."""
    path = small_drive(enable_data_crcs=False)
    whole = path.read_bytes()
    right = _content(judged(path))
    for place in range(0, len(whole), 13):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << (place % 8)
        path.write_bytes(damaged)
        try:
            drive = judged(path)
        except Damaged:
            continue
        frames, signals, _ = _content(drive)
        assert [row["image"] for row in frames] == [row["image"] for row in right[0]]
        assert [row["message"] for row in signals] == [row["message"] for row in right[1]]


def test_wherever_a_file_is_cut_off_it_is_left_out(small_drive: Any, judged: Judge) -> None:
    path = small_drive()
    whole = path.read_bytes()
    for length in range(0, len(whole), 37):
        path.write_bytes(whole[:length])
        assert _reason(judged, path), length


def test_reasons_say_what_was_expected_and_what_was_found(small_drive: Any, judged: Judge) -> None:
    path = small_drive()
    whole = path.read_bytes()

    def reason(data: bytes) -> str:
        path.write_bytes(data)
        return _reason(judged, path)

    assert reason(b"") == "the file is empty (0 bytes)"
    assert reason(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n").startswith("this is a Git LFS pointer")
    assert reason(b"PK\x03\x04" + whole).startswith("does not begin as an MCAP file")
    assert reason(whole + b"more") == "4 bytes follow the end of the MCAP file: something was appended to it"
    assert reason(whole[:-8]).startswith("does not end as an MCAP file")
    assert "claims" in reason(whole[:-40])
    bomb = bytearray(whole)
    bomb[9:17] = struct.pack("<Q", 1 << 62)
    assert reason(bytes(bomb)).startswith("the Header at byte 8 claims 4611686018427387904 bytes")
    assert reason(MAGIC + whole[len(MAGIC) + 9 :]).count("at byte") <= 1


def test_a_chunk_that_would_unpack_to_more_than_it_claims_is_left_out(judged: Judge, tmp_path: Path) -> None:
    """A compression bomb: a few bytes that claim to hold little and hold much, or claim to hold petabytes."""
    import zstandard
    from lz4 import frame
    from mcap.data_stream import RecordBuilder
    from mcap.records import Chunk, DataEnd, Footer, Header

    path = tmp_path / "bomb.mcap"

    def write(compression: str, data: bytes, claimed: int) -> None:
        builder = RecordBuilder()
        Header(profile="", library="").write(builder)
        Chunk(compression=compression, data=data, message_start_time=0, message_end_time=0, uncompressed_crc=0, uncompressed_size=claimed).write(
            builder
        )
        DataEnd(data_section_crc=0).write(builder)
        Footer(summary_start=0, summary_offset_start=0, summary_crc=0).write(builder)
        path.write_bytes(MAGIC + builder.end() + MAGIC)

    zeros = bytes(50_000_000)
    write("zstd", zstandard.compress(zeros), 1000)
    assert "its zstd frame holds 50000000 bytes, the chunk claims 1000" in _reason(judged, path)
    write("lz4", frame.compress(zeros), 1000)
    assert "can't be decompressed (lz4)" in _reason(judged, path)
    write("zstd", b"", 1 << 50)
    assert "more than 2147483648 are not taken" in _reason(judged, path)
    write("brotli", b"x", 1)
    assert "expected zstd, lz4 or none" in _reason(judged, path)


def test_messages_that_no_checksum_covers_are_stated(small_drive: Any, judged: Judge) -> None:
    covered = judged(small_drive("covered.mcap", use_chunking=False))
    assert not covered.unchecked
    bare = judged(small_drive("bare.mcap", use_chunking=False, enable_data_crcs=False))
    assert bare.unchecked == bare.messages == 10
    assert dict(bare.unknowns())["content checksums"] == ("drive alpha: no checksum covers 10 of its 10 messages, so damage could go unseen")


def test_a_file_without_any_index_reads_the_same(small_drive: Any, judged: Judge) -> None:
    indexed = _content(judged(small_drive("indexed.mcap")))
    bare = small_drive("bare.mcap", use_chunking=False, index_types=IndexType.NONE, use_statistics=False, use_summary_offsets=False)
    assert _content(judged(bare))[:2] == indexed[:2]


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b"{", "is not JSON: Expecting property name"),
        (b'{"speed": 1, "speed": 2}', "the key 'speed' appears twice"),
        (b'{"a": "\\ud800"}', "lone surrogate"),
        (b'{"a": "\xff"}', "is not JSON: byte 7 is not UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b"", "is not JSON"),
    ],
)
def test_a_message_that_is_no_strict_json_is_left_out(drive_file: Any, judged: Judge, said: bytes, why: str) -> None:
    path = drive_file().say("/car/speed", START, {"ok": 1}).say("/car/speed", START + 5, said).done()
    (left,) = judged(path).left_out
    assert (left.topic, left.messages, left.times_ns) == ("/car/speed", 1, (START + 5,))
    assert why in left.reason


def test_an_image_message_that_can_not_be_read_is_left_out(drive_file: Any, judged: Judge, picture: Any) -> None:
    whole = picture()
    cut = drive_file("cut.mcap").see(START, whole).see(START + 1, whole[: len(whole) // 2]).done()
    (left,) = judged(cut).left_out
    assert left.times_ns == (START + 1,)
    assert left.reason.startswith("is not a complete JPEG image")
    assert _content(judged(cut))[0][0]["timestamp_ns"] == START
    empty = drive_file("empty.mcap").see(START, b"").done()
    assert judged(empty).left_out[0].reason == "holds no image: 0 bytes"
    file = drive_file("proto.mcap")
    broken = file.raw("/camera", START, b"\xff\xff\xff\xff", "protobuf", (file.image.name, "protobuf", file.image.schema)).done()
    assert "is not a valid foxglove.CompressedImage" in judged(broken).left_out[0].reason
    other = drive_file("schema.mcap")
    other = other.raw("/camera", START, b"", "protobuf", ("foxglove.CompressedImage", "protobuf", b"\xff\xff")).done()
    drive = judged(other)
    assert dict(drive.undecoded) == {("/camera", "protobuf, foxglove.CompressedImage, whose definition can not be read"): 1}
    assert drive.cameras == ("/camera",)


def test_two_images_of_one_sensor_at_one_time_can_not_be_told_apart(drive_file: Any, judged: Judge, picture: Any) -> None:
    path = drive_file().see(START, picture(1)).see(START + 1, picture(2)).see(START, picture(3)).done()
    (left,) = judged(path).left_out
    assert (left.messages, left.times_ns, left.reason) == (1, (START,), "is the second image at its log time, by which it is named")


def test_a_large_attachment_is_verified_piece_by_piece(drive_file: Any, judged: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more than its beginning is held in memory; a flipped bit in it is seen, with or without a checksum of the data section."""
    from tracecore_ingest import mcap_reader, mcap_records

    for module in (mcap_records, mcap_reader):
        monkeypatch.setattr(module, "HELD", 1000)
    monkeypatch.setattr(mcap_records, "_PIECE", 333)
    for size in (900, 950, 952, 953, 956, 957, 1000, 2000, 5000):
        path = drive_file(enable_data_crcs=False).say("/a", START, 1).attach("big.bin", bytes(range(250)) * (size // 250)).done()
        assert [(item.name, item.size_bytes) for item in judged(path).attachments] == [("big.bin", size // 250 * 250)]
        whole = bytearray(path.read_bytes())
        whole[whole.index(b"big.bin") + 300] ^= 4
        path.write_bytes(whole)
        assert "the checksum of the Attachment at byte" in _reason(judged, path)


def test_two_metadata_records_may_not_name_different_drives(drive_file: Any, judged: Judge) -> None:
    path = drive_file().drive(drive="alpha").drive(drive="beta").say("/a", START, 1).done()
    assert _reason(judged, path) == "its metadata records name 2 different drives: alpha, beta"


def test_every_file_of_the_damaged_set_is_left_out_with_a_reason_or_right(judged: Judge) -> None:
    """The set counts ten messages (conformance base) or 1,246 (ROS 2 base) where the reference reader takes a file."""
    folder = real_input("mcap_corrupt")
    with (folder / "manifest.csv").open(newline="") as manifest:
        listed = list(csv.DictReader(manifest))
    assert len(listed) == 12
    for row in listed:
        try:
            drive = judged(folder / row["file"])
        except Damaged:
            continue
        assert drive.messages == {"conf": 10, "ros2": 1246}[row["base"]]


@pytest.mark.parametrize("name", ["conf_flip_0", "conf_flip_1", "ros2_flip_0"])
def test_flips_that_the_reference_reader_takes_for_sound_are_seen(judged: Judge, name: str) -> None:
    assert _reason(judged, real_input("mcap_corrupt", f"{name}.mcap"))
