"""Verification recomputes from bytes: every stored file and catalog row that was tampered with is named, and nothing else is.

Modules: `verify/content.py`, `verify/verify.py`.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from stored_world import StoredWorld, frames, kept
from tampering import edit_log, failures, flip, select, sql

from tracecore.errors import UsageError
from tracecore_lineage.catalog.replay import rebuild_catalog
from tracecore_lineage.ledger.migrations.upgrade import metadata
from tracecore_lineage.verify.doctor import examine
from tracecore_schemas.kinds import StageKind
from tracecore_schemas.sql_models import CATALOG_TABLES

DATABASES = ("sqlite", "postgresql")


def test_an_untouched_workspace_verifies_wherever_it_lies_and_says_what_was_looked_at(copied: StoredWorld) -> None:
    verdict = copied.record.verify()
    assert (verdict["ok"], verdict["key"], verdict["failures"]) == (True, "unpinned", [])
    stored = ("drive", "drives", "labels", "model", "engine")
    assert verdict["checked"]["artifacts"] == len(stored) + 1  # and the label file
    assert verdict["checked"]["bytes"] == sum(copied.made[name].size_bytes or 0 for name in stored) + len(b'{"images": []}')
    assert verdict["checked"]["events"] == copied.record.recorder.position()
    assert verdict["checked"]["signatures"] == 3  # envelope, its checkpoint, the ledger's head
    assert copied.record.verify("build/demo")["ok"]


@pytest.mark.parametrize(
    ("asset", "inside", "named"),
    [
        ("drive", "", "drive_log/north"),
        ("engine", "", "engine/demo.engine"),
        ("model", "model.safetensors", "model/demo.model"),
        ("model", "config.json", "model/demo.model"),
    ],
)
def test_a_flipped_byte_in_a_stored_file_is_named_with_the_file(copied: StoredWorld, asset: str, inside: str, named: str) -> None:
    path = copied.path(asset, inside)
    flip(path)
    expected = [(named, path.relative_to(copied.store.root).as_posix())]
    assert failures(copied) == expected
    assert failures(copied, "build/demo") == expected


def test_a_flipped_byte_in_a_label_file_taken_from_outside_is_named(copied: StoredWorld) -> None:
    path = next(path for path in (copied.store.root / "blobs").rglob("*") if path.is_file() and path.read_bytes() == b'{"images": []}')
    flip(path)
    assert failures(copied) == [("external/file/labels.json", path.relative_to(copied.store.root).as_posix())]


def test_a_flipped_byte_in_any_parquet_file_is_named(copied: StoredWorld) -> None:
    for path in sorted(copied.path("drives").rglob("*.parquet")):
        flip(path, 100)
        where = path.relative_to(copied.store.root).as_posix()
        assert ("dataset/demo.drives", where) in failures(copied, "build/demo")
        flip(path, 100)
    assert failures(copied) == []


def test_an_edited_manifest_beside_a_directory_is_named(copied: StoredWorld) -> None:
    manifest = copied.path("model").with_name(f"{copied.path('model').name}.manifest.json")
    flip(manifest)
    assert failures(copied) == [("model/demo.model", manifest.relative_to(copied.store.root).as_posix())]


def test_a_file_added_to_or_taken_from_a_directory_is_named(copied: StoredWorld) -> None:
    (copied.path("model") / "more.bin").write_bytes(b"x")
    (copied.path("model") / "config.json").unlink()
    assert [what.rpartition("/")[2] for _, what in failures(copied)] == ["config.json", "more.bin"]


def test_a_missing_file_is_named(copied: StoredWorld) -> None:
    copied.path("engine").unlink()
    [failure] = copied.record.verify()["failures"]
    assert (failure["ref"], failure["found"]) == (copied.made["engine"].ref, "missing")


def test_edited_statistics_in_a_delta_log_are_named(copied: StoredWorld) -> None:
    def lie(add: dict[str, Any]) -> None:
        stats = json.loads(add["stats"])
        stats["maxValues"]["timestamp_ns"] = 1
        add["stats"] = json.dumps(stats)

    where = edit_log(copied, lie)
    assert failures(copied) == [("dataset/demo.drives", where)]


def test_edited_partition_values_in_a_delta_log_are_named(copied: StoredWorld) -> None:
    where = edit_log(copied, lambda add: add["partitionValues"].update(drive="nowhere"))
    found = failures(copied)
    assert ("dataset/demo.drives", where) in found
    assert {ref for ref, _ in found} == {"dataset/demo.drives"}


@pytest.mark.parametrize("name", [str(table.__tablename__) for table in CATALOG_TABLES])
def test_a_changed_a_deleted_and_an_added_row_of_each_catalog_table_is_named(copied: StoredWorld, name: str) -> None:
    if select(copied, f"SELECT count(*) FROM {name}")[0] == 0:  # our own table names
        forged = {  # no run of this world can be reused, and nothing in it has a second name or is claimed by others
            "catalog_staleness": "('ff', 3, 'sha256:00', 'run', '2026')",
            "catalog_claim": "('ff', 3, 1, '', 'model/x', '', NULL, 'a/b', 'made this version', '2026')",
            "catalog_name": "('ff', 3, 1, 'external/a/b', 'ALIAS', 'external/a/c', '2026')",
        }[name]
        sql(copied, f"INSERT INTO {name} VALUES {forged}")  # as above
        assert [(ref.partition(" 3")[0], what) for ref, what in failures(copied)] == [(f"{name} ff", "catalog row extra")]
        return
    column = {
        "catalog_facet": "value",
        "catalog_edge": "role",
        "catalog_run_event": "job_name",
        "catalog_check": "message",
        "catalog_build": "program",
    }[name]
    key = [key.name for key in metadata().tables[name].primary_key]
    row = select(copied, f"SELECT {column}, {', '.join(key)} FROM {name} WHERE seq = (SELECT max(seq) FROM {name})")  # as above
    this = " AND ".join(f"{part} = ?" for part in key)
    sql(copied, f"UPDATE {name} SET {column} = 'forged' WHERE {this}", *row[1:])  # as above
    [failure] = [failure for failure in copied.record.verify()["failures"] if failure["ref"].startswith(name)]
    assert (failure["what"], failure["expected"], failure["found"]) == (f"catalog row changed: {column}", row[0], "forged")
    assert row[1] in failure["ref"]
    sql(copied, f"UPDATE {name} SET {column} = ?, event_id = 'ff' WHERE {this}", *row)  # as above
    assert {what for ref, what in failures(copied) if ref.startswith(name)} == {"catalog row missing", "catalog row extra"}
    sql(copied, f"DELETE FROM {name} WHERE {this}", "ff", *row[2:])  # as above
    assert {what for ref, what in failures(copied) if ref.startswith(name)} == {"catalog row missing"}


def test_a_catalog_that_makes_no_sense_any_more_is_named_and_the_trace_taken_from_the_ledger(copied: StoredWorld) -> None:
    for table in CATALOG_TABLES:
        sql(copied, f"DELETE FROM {table.__tablename__}")  # our own table names
    flip(copied.path("engine"))
    found = failures(copied, "build/demo")
    assert ("engine/demo.engine", str(copied.made["engine"].location)) in found
    assert {ref.partition(" ")[0] for ref, what in found if what == "catalog row missing"} == {
        "catalog_build", "catalog_check", "catalog_edge", "catalog_facet", "catalog_run_event",
    }  # fmt: skip
    rebuild_catalog(copied.record.database, copied.record.ledger)
    sql(copied, "UPDATE catalog_facet SET value = 'forged'")
    assert ("engine/demo.engine", str(copied.made["engine"].location)) in failures(copied)
    with pytest.raises(UsageError, match="The catalog holds what no event says"):
        copied.record.trace("build/demo")
    assert any("The catalog can't be read" in problem for problem in examine(copied.record.recorder)["problems"])


def test_one_builds_verification_looks_at_its_own_trace_and_prefix_alone(copied: StoredWorld) -> None:
    model = kept("model", "demo.other", copied.folder(**{"model.safetensors": b"later"}))
    copied.run("other", StageKind.TRAIN, outputs={"model": model})
    flip(copied.store.root / str(model.location) / "model.safetensors")
    last = copied.record.recorder.position() - 1
    sql(copied, "UPDATE ledger_event SET body = ? WHERE seq = ?", b"{}", last)
    assert copied.record.verify("build/demo")["ok"]
    assert not copied.record.verify()["ok"]


def test_versions_of_one_table_are_verified_each_at_its_own_version(copied: StoredWorld) -> None:
    newer = kept("dataset", "demo.drives", copied.table("demo.drives", frames("east")))
    copied.run("drives", StageKind.INGEST, outputs={"frames": newer})
    assert copied.record.verify()["ok"]
    assert copied.record.verify()["checked"]["artifacts"] == 7
