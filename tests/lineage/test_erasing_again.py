"""Erasures next to what earlier ones, crashes and imports left: nothing of a drive stays for want of a version, and nothing new goes with the old."""

from __future__ import annotations

from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

import pytest
from stored_world import StoredWorld, frames, kept

from tracecore.store.local import LocalStore
from tracecore.workspace import Workspace
from tracecore_lineage import Record
from tracecore_lineage.bundle.writer import export_bundle
from tracecore_lineage.exchange.importer import import_bundle
from tracecore_lineage.retention.consent import withdraw
from tracecore_lineage.retention.prune import prune
from tracecore_lineage.retention.recover import recover
from tracecore_lineage.verify.doctor import examine
from tracecore_schemas.kinds import StageKind

REASON = "request 2026-118"


class Killed(BaseException):
    """What represents a kill: nothing catches it."""


def killed(*_: Any) -> None:
    raise Killed


def said_of(world: StoredWorld, drive: str) -> list[bytes]:
    """Return every line of a Delta log that says values of a drive's rows."""
    logs = world.record.workspace.store.rglob("_delta_log/*.json")
    return [line for path in logs for line in path.read_bytes().splitlines() if f'"drive":"{drive}"'.encode() in line and b"minValues" in line]


def test_statistics_of_rows_that_were_pruned_before_go_too(built: StoredWorld) -> None:
    newer = kept("dataset", "demo.drives", built.table("demo.drives", frames("north", "west")))
    built.run("drives", StageKind.INGEST, outputs={"frames": newer})
    prune(built.record.recorder)
    assert said_of(built, "north")
    withdraw(built.record.recorder, "north", REASON)
    assert said_of(built, "north") == []
    assert said_of(built, "west")
    verdict = built.record.verify()
    assert verdict["ok"], verdict["failures"]


def test_statistics_of_a_version_that_a_crash_left_go_too(built: StoredWorld) -> None:
    built.table("demo.drives", frames("north", "west"))  # committed to the log, and no COMPLETE names it
    newer = kept("dataset", "demo.drives", built.table("demo.drives", frames("south")))
    built.run("drives", StageKind.INGEST, outputs={"frames": newer})
    assert len(said_of(built, "north")) == 3
    withdraw(built.record.recorder, "north", REASON)
    assert said_of(built, "north") == []
    verdict = built.record.verify()
    assert verdict["ok"], verdict["failures"]


def test_a_drive_that_only_tables_know_can_be_withdrawn_again(built: StoredWorld) -> None:
    stored = kept("dataset", "demo.stills", built.table("demo.stills", frames("0006R0")))
    built.run("stills", StageKind.INGEST, outputs={"frames": stored})
    assert withdraw(built.record.recorder, "0006R0", REASON).erasure is not None
    again = withdraw(built.record.recorder, "0006R0", REASON)
    assert (again.subject.drives, again.erasure) == (("0006R0",), None)


@pytest.mark.parametrize("what", ["prune", "withdraw"])
def test_what_was_made_again_before_a_promised_erasure_was_finished_stays(built: StoredWorld, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    files = {"model.safetensors": b"other" * 50, "config.json": b'{"drive": "north"}' if what == "withdraw" else b"{}"}
    report = kept("kpi_report", "demo.kpis", built.folder(**files))
    built.run("kpis", StageKind.EVALUATE, [("frames", "drives")], {"report": report})
    with monkeypatch.context() as patched:
        patched.setattr(LocalStore, "erase", killed)
        with pytest.raises(Killed):
            prune(built.record.recorder) if what == "prune" else withdraw(built.record.recorder, "north", REASON)
    again = kept("kpi_report", "demo.kpis", built.folder(**files))
    built.run("kpis", StageKind.EVALUATE, [("frames", "labels")], {"report": again})
    assert built.record.recorder.erased(again) is None
    assert len(recover(built.record.recorder).finished) == 1
    assert built.store.exists(again)
    verdict = built.record.verify()
    assert verdict["ok"], verdict["failures"]


@pytest.mark.parametrize("what", ["prune", "withdraw"])
def test_what_a_killed_import_left_goes(built: StoredWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """No event names it, so that it goes whole; `doctor` had listed it."""
    bundle = tmp_path / "demo.bundle"
    export_bundle(built.record.recorder, "demo", bundle)
    with Record.open(Workspace.create(tmp_path / "other", slug="auditor")) as other:
        with monkeypatch.context() as patched:
            patched.setattr("tracecore_lineage.exchange.importer._record", killed)
            with pytest.raises(Killed):
                import_bundle(other.recorder, bundle)
        world = StoredWorld(other)
        north = kept("drive_log", "north", world.file(b"an MCAP file"))
        other.recorder.complete(world.start("drives.drive_log", StageKind.INGEST), [], {"drive_log": north})
        assert {orphan["path"].split("/")[1] for orphan in examine(other.recorder)["orphans"]} == {"imports"}
        if what == "prune":
            prune(other.recorder)
        else:
            withdraw(other.recorder, "north", REASON)
        assert [path for path in other.workspace.store.rglob("*") if path.is_file() and path.suffix in {".parquet", ".safetensors"}] == []
        assert examine(other.recorder)["orphans"] == []


def test_bundles_in_the_workspace_that_hold_it_go(built: StoredWorld, tmp_path: Path) -> None:
    """Whole ones and half-written ones; a bundle that never held it stays, and so does a file that is none."""
    root = built.record.workspace.root
    export_bundle(built.record.recorder, "demo", root / "exports.bundle")
    whole = (root / "exports.bundle").read_bytes()
    (root / ".exports.bundle.71.part").write_bytes(whole[: len(whole) // 2])
    (root / "notes.zip").write_bytes(b"PK\x03\x04 is how a zip begins")
    other = StoredWorld(Record.open(Workspace.create(tmp_path / "other", slug="other")))
    engine = kept("engine", "demo.engine", other.file(b"other native code"))
    other.run("engine", StageKind.COMPILE, outputs={"engine": engine})
    other.seal("other")
    export_bundle(other.record.recorder, "other", root / "other.bundle")
    other.record.close()
    rows = next(path for path in (root / "store").rglob("*.parquet")).read_bytes()
    (root / "copied.parquet").write_bytes(rows)
    withdraw(built.record.recorder, "north", REASON)
    assert sorted(path.name for path in root.iterdir() if path.is_file() and not path.name.startswith("record.db")) == [
        "notes.zip",
        "other.bundle",
        "workspace.json",
    ]


def test_how_old_a_version_is_the_ledger_says(built: StoredWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that goes wrong when a run ends makes its outputs no older: days count from when the event was recorded."""

    class Late(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:
            return datetime.now(tz) - timedelta(days=1000)

    model = kept("model", "demo.model", built.folder(**{"model.safetensors": b"other" * 50}))
    with monkeypatch.context() as patched:
        patched.setattr("tracecore_lineage.catalog.recorder.datetime", Late)
        built.run("model", StageKind.TRAIN, outputs={"model": model})
    assert prune(built.record.recorder, older_than=1, dry_run=True).erasure is None
    assert prune(built.record.recorder, older_than=0, dry_run=True).erasure is not None
