"""Verification recomputes from bytes: every kind of tampering is named, and nothing else is."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, delete, text
from sqlalchemy.exc import IntegrityError
from stored_world import StoredWorld, frames, kept

from tracecore.errors import UsageProblem
from tracecore_lineage import Record, ledger, merkle
from tracecore_lineage.migrations.upgrade import metadata
from tracecore_lineage.tables import HEAD
from tracecore_schemas.catalog import CATALOG_TABLES
from tracecore_schemas.kinds import StageKind

DATABASES = ("sqlite", "postgresql")


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a sealed build, made once; each test works on a copy, so that every one of them also verifies a copied workspace."""
    world = StoredWorld.at(tmp_path_factory.mktemp("pristine") / "workspace").all()
    world.seal()
    world.record.close()
    return world.record.workspace.root


@pytest.fixture
def copied(pristine: Path, database_url: str | None, tmp_path: Path) -> Iterator[StoredWorld]:
    shutil.copytree(pristine, tmp_path / "elsewhere")
    if database_url is not None:
        move_rows(tmp_path / "elsewhere" / "record.db", database_url)
    world = StoredWorld(Record.open(tmp_path / "elsewhere"))
    for asset, kind in (("drives", "dataset"), ("labels", "label_batch"), ("model", "model"), ("engine", "engine")):
        [world.made[asset]] = world.record.artifacts(kind, f"demo.{asset}")
        world.runs[asset] = world.record.show(world.made[asset].ref)["made_by"][0]["run"]
    [world.made["drive"]] = world.record.artifacts("drive_log", "north")
    yield world
    world.record.close()


def failures(world: StoredWorld, ref: str | None = None, **more: Any) -> list[tuple[str, str]]:
    return [(failure["ref"].partition("@")[0], failure["what"]) for failure in world.record.verify(ref, **more)["failures"]]


def flip(path: Path, place: int = -1) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def move_rows(file: Path, url: str) -> None:
    """Take every row of a record in SQLite over into an empty one in PostgreSQL, and the file away: a workspace moved to a team's server."""
    source, target = create_engine(f"sqlite:///{file}"), create_engine(url)
    with source.connect() as one, target.connect() as other, other.begin():
        other.execute(delete(HEAD))
        for table in metadata().sorted_tables:
            rows = [dict(row) for row in one.execute(table.select()).mappings()]
            if rows:
                other.execute(table.insert(), rows)
    source.dispose()
    target.dispose()
    file.unlink()


def sql(world: StoredWorld, statement: str, *values: Any) -> None:
    """Do what a database owner can do behind the record's back."""
    with world.record.database.engine.connect() as connection, connection.begin():
        connection.execute(text(_named(statement)), _by_name(values))


def select(world: StoredWorld, statement: str, *values: Any) -> Any:
    with world.record.database.engine.connect() as connection:
        return connection.execute(text(_named(statement)), _by_name(values)).first()


def _named(statement: str) -> str:
    for place in range(statement.count("?")):
        statement = statement.replace("?", f":v{place}", 1)
    return statement


def _by_name(values: Sequence[Any]) -> dict[str, Any]:
    return {f"v{place}": value for place, value in enumerate(values)}


def test_an_untouched_workspace_verifies_wherever_it_lies_and_says_what_was_looked_at(copied: StoredWorld) -> None:
    verdict = copied.record.verify()
    assert (verdict["ok"], verdict["key"], verdict["failures"]) == (True, "unpinned", [])
    stored = ("drive", "drives", "labels", "model", "engine")
    assert verdict["checked"]["artifacts"] == len(stored) + 1  # and the label file
    assert verdict["checked"]["bytes"] == sum(copied.made[name].size_bytes or 0 for name in stored) + len(b'{"images": []}')
    assert verdict["checked"]["events"] == copied.record.position()
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


def edit_log(world: StoredWorld, change: Callable[[dict[str, Any]], None]) -> str:
    [log] = sorted(world.path("drives", "_delta_log").glob("*.json"))
    actions = [json.loads(line) for line in log.read_text().splitlines()]
    change(next(action["add"] for action in actions if "add" in action))
    log.write_text("".join(json.dumps(action) + "\n" for action in actions))
    return log.relative_to(world.store.root).as_posix()


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
        assert name == "catalog_staleness"  # no run of this world can be reused
        sql(copied, "INSERT INTO catalog_staleness VALUES ('ff', 3, 'sha256:00', 'run', '2026')")
        assert failures(copied) == [("catalog_staleness ff", "catalog row extra")]
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
    copied.record.replay()
    sql(copied, "UPDATE catalog_facet SET value = 'forged'")
    assert ("engine/demo.engine", str(copied.made["engine"].location)) in failures(copied)
    with pytest.raises(UsageProblem, match="The catalog holds what no event says"):
        copied.record.trace("build/demo")
    assert any("The catalog can't be read" in problem for problem in copied.record.doctor()["problems"])


def test_an_edited_event_is_named_and_so_is_every_root_over_it(copied: StoredWorld) -> None:
    body = select(copied, "SELECT body FROM ledger_event WHERE seq = 5")[0]
    sql(copied, "UPDATE ledger_event SET body = ? WHERE seq = 5", bytes(body).replace(b"demo", b"fake"))
    found = failures(copied)
    assert ("event/5", "bytes of the event") in found
    assert ("ledger/head", "Merkle root") in found
    assert any(ref == "build/demo" and what.startswith("Merkle root over the first") for ref, what in found)
    assert ("event/5", "bytes of the event") in failures(copied, "build/demo")


def test_a_text_in_place_of_an_events_bytes_is_refused_by_the_table_itself(copied: StoredWorld) -> None:
    if copied.record.database.dialect == "postgresql":
        pytest.skip("PostgreSQL's types have always been strict")
    with pytest.raises(IntegrityError, match="cannot store TEXT value in BLOB column"):
        sql(copied, "UPDATE ledger_event SET body = replace(body, 'demo', 'fake') WHERE seq = 5")
    sql(copied, "UPDATE ledger_event SET body = CAST(replace(body, 'demo', 'fake') AS BLOB) WHERE seq = 5")
    assert ("event/5", "bytes of the event") in failures(copied)
    assert copied.record.replay(check=True)


def rehash(world: StoredWorld, seq: int, body: bytes) -> None:
    """Edit an event and every hash that an attacker without the key can make fit."""
    identity = ledger.event_id(body)
    recorded_at = select(world, "SELECT recorded_at FROM ledger_event WHERE seq = ?", seq)[0]
    leaf = ledger.leaf_hash(recorded_at, body).hex()
    sql(world, "UPDATE ledger_event SET body = ?, event_id = ?, leaf_hash = ? WHERE seq = ?", body, identity, leaf, seq)
    refit_head(world)
    world.record.replay()


def refit_head(world: StoredWorld) -> None:
    frontier = merkle.Frontier()
    with world.record.database.read() as connection:
        for leaf in ledger.read(connection):
            frontier.append(ledger.leaf_hash(leaf.recorded_at, leaf.body))
    stored = json.dumps([subtree.hex() for subtree in frontier.hashes])
    sql(world, "UPDATE ledger_head SET size = ?, root = ?, frontier = ?", frontier.size, frontier.root().hex(), stored)


def test_an_event_edited_with_all_its_hashes_and_the_catalog_refitted_breaks_the_signed_roots(copied: StoredWorld) -> None:
    body = select(copied, "SELECT body FROM ledger_event WHERE seq = 5")[0]
    rehash(copied, 5, bytes(body).replace(b"demo.drives", b"fake.drives"))
    found = failures(copied)
    assert ("ledger/head", "Merkle root in the checkpoint") in found
    assert any(ref == "build/demo" and what.startswith("Merkle root over the first") for ref, what in found)


def test_a_changed_recorded_time_is_named(copied: StoredWorld) -> None:
    sql(copied, "UPDATE ledger_event SET recorded_at = '2031-01-01T00:00:00.000000Z' WHERE seq = 3")
    found = failures(copied)
    assert ("event/3", "leaf hash (event and recorded time)") in found
    assert ("event/4", "recorded time") in found


def test_a_deleted_event_is_named(copied: StoredWorld) -> None:
    sql(copied, "DELETE FROM ledger_event WHERE seq = 4")
    found = failures(copied)
    assert ("event/4", "event missing from the ledger") in found
    assert ("ledger/head", "Merkle root") in found


def test_a_truncated_ledger_is_named_by_its_head_and_by_a_checkpoint_kept_elsewhere(copied: StoredWorld, tmp_path: Path) -> None:
    kept_note = tmp_path / "kept.checkpoint"
    kept_note.write_text(copied.record.checkpoint(), encoding="utf-8")
    assert failures(copied, checkpoint=kept_note) == []
    size = copied.record.position()
    sql(copied, "DELETE FROM ledger_event WHERE seq >= ?", size - 2)
    for table in CATALOG_TABLES:
        sql(copied, f"DELETE FROM {table.__tablename__} WHERE seq >= ?", size - 2)  # our own table names
    assert ("ledger/head", "number of events") in failures(copied)
    refit_head(copied)
    assert failures(copied) == [("ledger/head", "number of events in the checkpoint")]
    assert ("checkpoint", "number of events (the ledger was truncated)") in failures(copied, checkpoint=kept_note)


def test_a_checkpoint_of_another_history_or_signed_by_nobody_known_is_named(
    copied: StoredWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TRACECORE_CATALOG_URL", raising=False)  # another history is another database
    other = StoredWorld.at(tmp_path / "world")
    other.start("x")
    other.start("y")
    note = tmp_path / "other.checkpoint"
    note.write_text(other.record.checkpoint(), encoding="utf-8")
    other.record.close()
    found = failures(copied, checkpoint=note)
    assert ("checkpoint", "signature of the checkpoint") in found
    assert ("checkpoint", "Merkle root over the first 2 events") in found
    text = copied.record.checkpoint()
    note.write_text(text[:-3] + ("B" if text[-3] != "B" else "C") + text[-2:], encoding="utf-8")
    with pytest.raises(UsageProblem, match=r"is no checkpoint.*canonical base64"):
        copied.record.verify(checkpoint=note)
    with pytest.raises(UsageProblem, match="can't be read: no such file"):
        copied.record.verify(checkpoint=tmp_path / "none")


def pin(world: StoredWorld, path: Path) -> Path:
    path.write_text(world.record.keys.ensure().pem, encoding="ascii")
    return path


def test_a_pinned_key_is_said_to_be_pinned_and_another_key_signs_for_nobody(copied: StoredWorld, tmp_path: Path) -> None:
    verdict = copied.record.verify(key=pin(copied, tmp_path / "own.pub"))
    assert (verdict["ok"], verdict["key"]) == (True, "pinned")
    other = StoredWorld.at(tmp_path / "other")
    stranger = pin(other, tmp_path / "other.pub")
    other.record.close()
    found = failures(copied, key=stranger)
    assert set(found) == {("build/demo", "signature"), ("build/demo", "signature of the checkpoint"), ("ledger/head", "signature of the checkpoint")}
    with pytest.raises(UsageProblem, match="holds no public key in PEM form"):
        copied.record.verify(key=copied.record.workspace.root / "workspace.json")


def test_a_record_signed_anew_by_a_forger_fails_against_the_pinned_key(copied: StoredWorld, tmp_path: Path) -> None:
    pinned = pin(copied, tmp_path / "own.pub")
    shutil.rmtree(copied.record.workspace.keys)
    copied.record.keys._loaded = None
    copied.start("forged")
    assert ("ledger/head", "signature of the checkpoint") in failures(copied, key=pinned)
    assert ("build/demo", "signature") in failures(copied), "the old seal was made by no key that is left here"


@pytest.mark.parametrize("which", ["old", "new"])
def test_after_a_key_rotation_either_key_vouches_for_all(copied: StoredWorld, tmp_path: Path, which: str) -> None:
    old = pin(copied, tmp_path / "old.pub")
    copied.record.rotate_key()
    copied.seal("second", approver=None)
    new = pin(copied, tmp_path / "new.pub")
    assert copied.record.verify()["ok"]
    assert copied.record.verify(key=old if which == "old" else new)["failures"] == []


def test_a_new_key_vouches_for_the_past_only_through_the_whole_ledger(copied: StoredWorld, tmp_path: Path) -> None:
    copied.record.rotate_key()
    new = pin(copied, tmp_path / "new.pub")
    sql(copied, "UPDATE ledger_event SET recorded_at = '2031-01-01T00:00:00.000000Z' WHERE seq = 3")
    assert ("build/demo", "signature") in failures(copied, key=new)


def test_a_seal_whose_content_was_changed_and_whose_event_was_refitted_is_named(copied: StoredWorld) -> None:
    seq, body = select(copied, "SELECT seq, body FROM ledger_event ORDER BY seq DESC LIMIT 1")
    event = json.loads(bytes(body))
    build = event["run"]["facets"]["tracecore_build"]
    statement = json.loads(base64.b64decode(build["envelope"]["payload"]))
    statement["predicate"]["gates"][0]["measured"] = 5
    from tracecore_schemas.canonical import jcs

    build["envelope"]["payload"] = base64.b64encode(jcs(statement)).decode()
    rehash(copied, seq, jcs(event))
    found = failures(copied)
    assert {("build/demo", "statement"), ("build/demo", "signature"), ("build/demo", "ref"), ("build/demo", "content digest")} <= set(found)


def test_malleable_base64_in_an_envelope_is_refused(copied: StoredWorld) -> None:
    seq, body = select(copied, "SELECT seq, body FROM ledger_event ORDER BY seq DESC LIMIT 1")
    event = json.loads(bytes(body))
    signature = event["run"]["facets"]["tracecore_build"]["envelope"]["signatures"][0]
    sig = signature["sig"]
    assert sig.endswith("==")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    signature["sig"] = sig[:-3] + alphabet[alphabet.index(sig[-3]) + 1] + "=="
    assert base64.b64decode(signature["sig"]) == base64.b64decode(sig)
    from tracecore_schemas.canonical import jcs

    rehash(copied, seq, jcs(event))
    [failure] = [failure for failure in copied.record.verify()["failures"] if failure["what"] == "seal"]
    assert "canonical base64" in failure["found"]


def test_one_builds_verification_looks_at_its_own_trace_and_prefix_alone(copied: StoredWorld) -> None:
    model = kept("model", "demo.other", copied.folder(**{"model.safetensors": b"later"}))
    copied.run("other", StageKind.TRAIN, outputs={"model": model})
    flip(copied.store.root / str(model.location) / "model.safetensors")
    last = copied.record.position() - 1
    sql(copied, "UPDATE ledger_event SET body = ? WHERE seq = ?", b"{}", last)
    assert copied.record.verify("build/demo")["ok"]
    assert not copied.record.verify()["ok"]


def test_versions_of_one_table_are_verified_each_at_its_own_version(copied: StoredWorld) -> None:
    newer = kept("dataset", "demo.drives", copied.table("demo.drives", frames("east")))
    copied.run("drives", StageKind.INGEST, outputs={"frames": newer})
    assert copied.record.verify()["ok"]
    assert copied.record.verify()["checked"]["artifacts"] == 7
