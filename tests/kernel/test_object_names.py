"""Names and sizes that a bucket's keys may trip over: a directory's members keep them, and what is empty is kept too."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import obstore
import pyarrow as pa
import pytest
from obstore.exceptions import AlreadyExistsError
from s3_server import S3Server
from store_bytes import AnyStore, artifact, object_store, put

from tracecore.errors import UsageError
from tracecore.workspace import Workspace

NAMES = [
    "a#b", "50%", "%41", "a b", "q?x=1&y", "e\u0301", "\u00e9", "日本", "star*", "til~de", "plus+", "brace{}", "[x]", "~", "...", ".hidden",
    "x.manifest.json", '"quoted"', "<a>", "|", "^", "`", "n" * 255,
]  # fmt: skip


def test_members_keep_their_names_whatever_they_are(store: AnyStore) -> None:
    folder = store.staging("r") / "model"
    (folder / "deep").mkdir(parents=True)
    for number, name in enumerate(NAMES):
        (folder / name).write_bytes(bytes([number]))
        (folder / "deep" / name).write_bytes(b"")
    kept = artifact(store.put_directory(folder, run_id="r"))
    assert store.verify(kept) == []
    assert store.exists(kept)
    opened = Path(store.open(kept))
    assert {path.relative_to(opened).as_posix() for path in opened.rglob("*") if path.is_file()} == {f"{d}{n}" for n in NAMES for d in ("", "deep/")}
    assert all((opened / name).read_bytes() == bytes([number]) for number, name in enumerate(NAMES))
    assert store.erase([f"{kept.location}/{name}" for name in NAMES]) == len(NAMES)
    assert len(store.verify(kept)) == len(NAMES)


@pytest.mark.parametrize("wrong", ["new\nline", "back\\slash"])
def test_a_name_that_no_key_can_have_is_refused_before_anything_is_put(s3_server: S3Server, workspace: Workspace, wrong: str) -> None:
    store = object_store(s3_server, workspace)
    folder = store.staging("r") / "model"
    folder.mkdir()
    for name in ("first", wrong):
        (folder / name).write_bytes(b"1")
    with pytest.raises(UsageError, match=re.escape(f"The file {wrong!r} can't be kept in a bucket: its name has a control character or a backslash")):
        store.put_directory(folder, run_id="r")
    assert list(store.inventory()) == []


def test_a_copy_that_a_power_cut_tore_is_made_again(s3_server: S3Server, workspace: Workspace) -> None:
    store = object_store(s3_server, workspace)
    file, folder = store.staging("r") / "out", store.staging("r") / "model"
    file.write_bytes(b"whole")
    folder.mkdir()
    (folder / "a").write_bytes(b"whole")
    one = artifact(store.put_file(file, run_id="r", move=True))
    many = artifact(store.put_directory(folder, run_id="r"))
    Path(store.open(one)).write_bytes(b"")
    (Path(store.open(many)) / "a").write_bytes(b"")
    assert Path(store.open(one)).read_bytes() == (Path(store.open(many)) / "a").read_bytes() == b"whole"


def test_a_put_that_meets_another_one_under_way_waits_for_what_becomes_of_it(
    s3_server: S3Server, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S3's 409 to a put-if-absent: nothing is there yet, and the process that was first may come to nothing."""
    place = object_store(s3_server, workspace).place
    real, answers = obstore.put, [AlreadyExistsError("409 ConditionalRequestConflict")]

    def conflict_once(*arguments: Any, **more: Any) -> Any:
        if answers:
            raise answers.pop()
        return real(*arguments, **more)

    monkeypatch.setattr(obstore, "put", conflict_once)
    assert place.create("raced", b"1")
    assert place.read("raced") == b"1"
    assert not place.create("raced", b"2")


def test_what_is_empty_is_kept(store: AnyStore) -> None:
    file = store.staging("r") / "out"
    file.write_bytes(b"")
    kept = artifact(store.put_file(file, run_id="r", move=True))
    assert Path(store.open(kept)).read_bytes() == b""
    table = put(store, pa.table({"a": pa.array([], pa.int64())}), name="empty")
    again = put(store, pa.table({"a": pa.array([], pa.int64())}), "r2", name="empty")
    full = put(store, pa.table({"a": pa.array([1], pa.int64())}), "r3", name="empty")
    last = put(store, pa.table({"a": pa.array([], pa.int64())}), "r4", name="empty")
    assert [store.open(each).to_table().num_rows for each in (table, again, full, last)] == [0, 0, 1, 0]
    assert [failure for each in (kept, table, again, full, last) for failure in store.verify(each)] == []
    assert table.digest == again.digest == last.digest
