"""The scanner that judges a withdrawal finds a drive wherever it is planted, and our scrubbing of SQLite files leaves it nothing to find."""

from __future__ import annotations

import base64
import contextlib
import gzip
import io
import json
import sqlite3
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from drive_scanner import Drive, Scan
from PIL import Image, ImageDraw

from tracecore.errors import UsageError
from tracecore_lineage.retention.redaction import scrub_pictures


def scene(seed: int) -> Image.Image:
    """Draw a street that no other seed draws."""
    random = np.random.default_rng(seed)
    picture = Image.new("RGB", (320, 180), (90, 120, 160))
    draw = ImageDraw.Draw(picture)
    for _ in range(40):
        x, y, width, height = random.integers(0, 300), random.integers(20, 170), random.integers(5, 60), random.integers(5, 50)
        draw.rectangle([int(x), int(y), int(x + width), int(y + height)], tuple(int(each) for each in random.integers(0, 255, 3)))
    return picture


def encoded(picture: Image.Image, form: str, **more: int) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, form, **more)
    return buffer.getvalue()


FRAME = encoded(scene(1), "JPEG", quality=90)
OTHER = encoded(scene(2), "JPEG", quality=90)
THUMBNAIL = encoded(scene(1).resize((120, 68)), "PNG")
LOG = np.random.default_rng(3).bytes(4000)
DRIVE = Drive.of("north", files=[LOG], texts=['{"latitude": 48.775846}'], images=[FRAME])


def sheet(*pictures: Image.Image) -> Image.Image:
    made = Image.new("RGB", (324 * len(pictures) + 4, 196), (20, 20, 20))
    for place, picture in enumerate(pictures):
        made.paste(picture, (4 + 324 * place, 4))
    return made


def found(folder: Path) -> set[str]:
    return {what for _, _, what in Scan(DRIVE).folder(folder)}


def parquet(**columns: list[object]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


def zipped(data: bytes) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inside", data)
    return sink.getvalue()


PLANTED = {
    "the log itself": (LOG, "bytes"),
    "a part of the log": (b"noise" + LOG[1200:1800], "bytes"),
    "zip": (zipped(LOG), "bytes"),
    "gzip": (gzip.compress(LOG), "bytes"),
    "zstd inside another file": (b"header" + zstandard.compress(LOG), "bytes"),
    "a frame encoded anew": (encoded(scene(1), "PNG"), "picture"),
    "a thumbnail": (THUMBNAIL, "picture"),
    "one tile of a sheet": (encoded(sheet(scene(4), scene(1), scene(5)), "JPEG", quality=70), "picture"),
    "webp": (encoded(scene(1), "WEBP", quality=60), "picture"),
    "base64 in JSON": (json.dumps({"metadata": f"![x](data:image/png;base64,{base64.b64encode(THUMBNAIL).decode()})"}).encode(), "picture"),
    "hex in a text": (b"blob: " + THUMBNAIL.hex().encode(), "picture"),
    "binary cells": (parquet(image=[OTHER, FRAME]), "bytes"),
    "rows that name it": (parquet(frame_id=["south/1", "frame/north/cam/3"]), "row"),
    "texts of rows": (parquet(message=['{"latitude": 48.775846}']), "bytes"),
    "statistics": (b'{"add":{"partitionValues":{"drive":"north"},"stats":"{\\"minValues\\":{\\"x\\":1}}"}}', "statistics"),
}  # fmt: skip


@pytest.mark.parametrize("place", PLANTED)
def test_a_planted_drive_is_found(tmp_path: Path, place: str) -> None:
    data, what = PLANTED[place]
    (tmp_path / "planted").write_bytes(data)
    assert what in found(tmp_path)


def test_other_drives_are_not_taken_for_it(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(OTHER)
    (tmp_path / "b.png").write_bytes(encoded(sheet(scene(4), scene(5)), "PNG"))
    (tmp_path / "c.parquet").write_bytes(parquet(image=[OTHER], frame_id=["northern/1"]))
    (tmp_path / "d.bin").write_bytes(np.random.default_rng(9).bytes(5000))
    assert found(tmp_path) == set()


def event_log(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA secure_delete = OFF")  # some builds of SQLite overwrite what is deleted; others leave it
    connection.execute("CREATE TABLE event_logs (id INTEGER PRIMARY KEY, event TEXT)")
    return connection


def event(picture: bytes) -> str:
    return json.dumps({"label": "sample", "text": f"![sample frames](data:image/png;base64,{base64.b64encode(picture).decode()})", "rows": 3})


def test_a_picture_in_a_database_is_found_in_its_row_in_free_pages_and_in_the_log(tmp_path: Path) -> None:
    with contextlib.closing(event_log(tmp_path / "index.db")) as connection:
        connection.execute("INSERT INTO event_logs (event) VALUES (?)", [event(THUMBNAIL)])
        places = {(file, where.split("@")[0]) for file, where, what in Scan(DRIVE).folder(tmp_path) if what == "picture"}
        assert {file for file, _ in places} == {"index.db", "index.db-wal"}  # by cell, and by the log's raw pages
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("DELETE FROM event_logs")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        assert [(file, where.split("@")[0]) for file, where, what in Scan(DRIVE).folder(tmp_path) if what] == [("index.db", "/page")]


def test_scrubbing_leaves_neither_rows_nor_free_pages_nor_a_log_that_hold_it(tmp_path: Path) -> None:
    path = tmp_path / "index.db"
    with contextlib.closing(event_log(path)) as connection:
        connection.executemany("INSERT INTO event_logs (event) VALUES (?)", [[event(THUMBNAIL)], [event(FRAME)], ["plain"]])
        connection.execute("DELETE FROM event_logs WHERE id = 2")
    assert scrub_pictures(path, 'erased on "that" day') == 1
    assert found(tmp_path) == set()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        rows = [row[0] for row in connection.execute("SELECT event FROM event_logs ORDER BY id")]
    assert json.loads(rows[0]) == {"label": "sample", "text": "*sample frames: erased on 'that' day*", "rows": 3}
    assert rows[1] == "plain"
    assert scrub_pictures(path, "again") == 0


def test_a_database_that_somebody_reads_is_said_to_be_in_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracecore_lineage.retention.redaction._BUSY_S", 0.05)
    path = tmp_path / "index.db"
    with contextlib.closing(event_log(path)) as connection:
        connection.execute("INSERT INTO event_logs (event) VALUES (?)", [event(THUMBNAIL)])
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM event_logs").fetchone()
        with pytest.raises(UsageError, match="do the same again"):
            scrub_pictures(path, "erased")
        connection.execute("COMMIT")
    scrub_pictures(path, "erased")
    assert found(tmp_path) == set()
