"""A bundle is taken over into another workspace, seals intact, and answers there as it does at home.

Modules: `exchange/import_policy.py`, `verify/bundle.py`.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from bundle_world import build_upon, retrained, sealed, without_later, world
from click.testing import CliRunner
from fresh_record import BEGUN
from stored_world import StoredWorld, kept

from tracecore.errors import NegativeVerdict, UsageError
from tracecore.store.local import LocalStore
from tracecore_lineage import Record
from tracecore_lineage.bundle.writer import export_bundle
from tracecore_lineage.catalog.replay import catalog_differences
from tracecore_lineage.commands.exchange import export_command
from tracecore_lineage.exchange.event_files import events_behind
from tracecore_lineage.exchange.importer import ImportRefused, import_bundle
from tracecore_lineage.retention.consent import withdraw
from tracecore_lineage.seal.seal import sealed_builds
from tracecore_lineage.trace.show import show
from tracecore_lineage.verify.bundle import verify_bundle
from tracecore_lineage.verify.doctor import examine
from tracecore_schemas.kinds import Media, StageKind
from tracecore_schemas.run import Artifact, RunInput

DATABASES = ("sqlite", "postgresql")


def behind(record: Record) -> list[bytes]:
    """Return the events that build/demo depends on."""
    trace = record.trace("build/demo")
    with record.database.read() as connection:
        return list(events_behind(connection, record.ledger, trace))


def sound(found: StoredWorld) -> bool:
    """Whether everything in a workspace is as recorded."""
    verdict, doctor = found.record.verify(), examine(found.record.recorder)
    assert verdict["failures"] == []
    assert (doctor["orphans"], doctor["dangling"], doctor["problems"]) == ([], [], [])
    return found.record.query(catalog_differences, found.record.ledger) == []


def verified(found: StoredWorld, build: str) -> bool:
    """Whether a build verifies, in the workspace and as a bundle of it."""
    path = found.record.workspace.root.parent / f"{build}.bundle"
    export_bundle(found.record.recorder, build, path)
    return found.record.verify(f"build/{build}")["ok"] and verify_bundle(path)["ok"]


def test_the_trace_of_an_imported_build_is_the_origins_to_the_byte(vendor: StoredWorld, auditor: StoredWorld, bundle: Path) -> None:
    taken = import_bundle(auditor.record.recorder, bundle)
    assert (taken.new, taken.origin, taken.known, taken.artifacts) == (True, "vendor", 0, 6)
    at_home, here = vendor.record.trace("build/demo"), auditor.record.trace("build/demo")
    assert without_later(here) == without_later(at_home)
    assert here["complete"]
    assert [(entry["what"], entry["name"], entry["value"]["origin"]) for entry in here["later"]] == [("facet", "tracecore_imported", "vendor")]
    assert sound(auditor)


def test_what_was_imported_can_be_asked_verified_opened_and_passed_on(
    vendor: StoredWorld, auditor: StoredWorld, bundle: Path, tmp_path: Path
) -> None:
    record = auditor.record
    import_bundle(record.recorder, bundle)
    reached = [node["ref"] for node in record.impact("drive_log/north")["nodes"]]
    assert reached == [node["ref"] for node in vendor.record.impact("drive_log/north")["nodes"]]
    assert record.query(show, "build/demo", workspace=record.workspace)["facets"]["tracecore_imported"]["origin"] == "vendor"
    assert (
        record.query(show, "model/demo.model", workspace=record.workspace)["made_by"]
        == vendor.record.query(show, "model/demo.model", workspace=vendor.record.workspace)["made_by"]
    )
    verdict = record.verify("build/demo")
    assert (verdict["ok"], verdict["checked"]["artifacts"]) == (True, 6)
    model = record.artifact("model/demo.model")
    assert str(model.location).startswith("imports/")
    again = tmp_path / "again.bundle"
    export_bundle(record.recorder, "demo", again)
    assert again.read_bytes() == bundle.read_bytes()
    assert behind(record) == behind(vendor.record)
    for format_ in ("openlineage", "in-toto", "slsa", "bundle"):
        out = tmp_path / f"demo.{format_}"
        result = CliRunner().invoke(export_command, ["demo", "--format", format_, "-o", str(out), "-w", str(record.workspace.root)])
        assert (result.exit_code, out.stat().st_size > 1000) == (0, True), result.output


def test_the_same_bundle_again_and_back_home_changes_nothing(vendor: StoredWorld, auditor: StoredWorld, bundle: Path) -> None:
    import_bundle(auditor.record.recorder, bundle)
    for record in (auditor.record, vendor.record):
        before = record.recorder.position()
        assert not import_bundle(record.recorder, bundle).new
        assert record.recorder.position() == before


def test_an_import_is_the_same_on_either_database(database_url: str | None, vendor: StoredWorld, bundle: Path, tmp_path: Path) -> None:
    found = world(tmp_path / "team", "team")
    assert found.record.database.dialect.shared is not (database_url is None)
    import_bundle(found.record.recorder, bundle)
    build_upon(found)
    assert without_later(found.record.trace("build/demo")) == without_later(vendor.record.trace("build/demo"))
    assert verified(found, "demo")
    assert verified(found, "own")
    assert sound(found)
    found.record.close()


def test_a_second_build_of_the_same_origin_brings_only_what_is_new(auditor: StoredWorld, tmp_path: Path) -> None:
    vendor = sealed(tmp_path / "vendor")
    retrained(vendor)
    vendor.seal("second")
    for name in ("demo", "second"):
        export_bundle(vendor.record.recorder, name, tmp_path / f"{name}.bundle")
        import_bundle(auditor.record.recorder, tmp_path / f"{name}.bundle")
    for name in ("demo", "second"):
        assert without_later(auditor.record.trace(f"build/{name}")) == without_later(vendor.record.trace(f"build/{name}"))
        export_bundle(auditor.record.recorder, name, tmp_path / "again")
        assert (tmp_path / "again").read_bytes() == (tmp_path / f"{name}.bundle").read_bytes()
        assert auditor.record.verify(f"build/{name}")["ok"]
    assert len(list(auditor.store.root.glob("imports/*/tables/dataset/demo.drives"))) == 1
    assert sound(auditor)
    vendor.record.close()


def test_a_build_that_stands_on_an_imported_one_goes_on_to_a_third_workspace_and_back(
    auditor: StoredWorld, bundle: Path, vendor: StoredWorld, tmp_path: Path
) -> None:
    import_bundle(auditor.record.recorder, bundle)
    build_upon(auditor)
    trace = auditor.record.trace("build/own")
    assert trace["complete"]
    assert {"drive_log", "model", "engine"} <= {node["kind"] for node in trace["nodes"]}
    export_bundle(auditor.record.recorder, "own", tmp_path / "own.bundle")
    assert verify_bundle(tmp_path / "own.bundle")["failures"] == []
    third = world(tmp_path / "third", "third")
    import_bundle(third.record.recorder, tmp_path / "own.bundle")
    assert without_later(third.record.trace("build/own")) == without_later(trace)
    assert sound(third)
    import_bundle(third.record.recorder, bundle)  # the first one too, after what depends on it
    assert without_later(third.record.trace("build/demo")) == without_later(vendor.record.trace("build/demo"))
    assert without_later(third.record.trace("build/own")) == without_later(trace)
    assert sound(third)
    home = sealed(tmp_path / "home", "home")  # a workspace that knows neither
    import_bundle(home.record.recorder, tmp_path / "own.bundle")
    assert sound(home)
    third.record.close()
    home.record.close()


def test_a_build_goes_home_inside_another_workspaces_build(tmp_path: Path, auditor: StoredWorld) -> None:
    vendor = sealed(tmp_path / "vendor")
    export_bundle(vendor.record.recorder, "demo", tmp_path / "demo.bundle")
    import_bundle(auditor.record.recorder, tmp_path / "demo.bundle")
    build_upon(auditor)
    export_bundle(auditor.record.recorder, "own", tmp_path / "own.bundle")
    before = without_later(vendor.record.trace("build/demo"))
    taken = import_bundle(vendor.record.recorder, tmp_path / "own.bundle")
    assert taken.known > 0
    assert taken.artifacts == 1  # its own versions are here already
    assert without_later(vendor.record.trace("build/own")) == without_later(auditor.record.trace("build/own"))
    assert without_later(vendor.record.trace("build/demo")) == before
    assert sound(vendor)
    vendor.record.close()


def test_events_that_a_stranger_had_sent_before_speak_after_the_import_and_not_before(
    vendor: StoredWorld, auditor: StoredWorld, bundle: Path
) -> None:
    events = behind(vendor.record)
    assert auditor.record.ingest(events).refused == ()
    assert auditor.record.query(sealed_builds) == []
    assert auditor.record.recorder.artifacts("model", "demo.model") == []
    auditor.all()
    model = next(node for node in vendor.record.trace("build/demo")["nodes"] if node["kind"] == "model")
    strange = Artifact("external", "model/demo.model", str(model["digest"]), Media.NONE, namespace="vendor")
    engine = kept("engine", "demo.engine", auditor.file(b"of the vendor's model"))
    auditor.run("engine", StageKind.COMPILE, [], {"engine": engine}, more_inputs=[RunInput("model", strange)])
    auditor.seal("own")
    old, shown = without_later(auditor.record.trace("build/own")), auditor.record.recorder.checkpoint()
    assert "external/vendor/model%2Fdemo.model@" in old
    assert str(model["run"]) in old  # traced on, into what the stranger recorded
    at = auditor.record.trace("build/own")["nodes"][0]["recorded_at"]
    as_of = without_later(auditor.record.trace("engine/demo.engine", as_of=at))
    taken = import_bundle(auditor.record.recorder, bundle)
    assert taken.known > len(events) // 2
    assert without_later(auditor.record.trace("build/demo")) == without_later(vendor.record.trace("build/demo"))
    assert without_later(auditor.record.trace("build/own")) == old
    assert without_later(auditor.record.trace("engine/demo.engine", as_of=at)) == as_of
    assert sound(auditor)
    assert auditor.record.recorder.checkpoint() != shown
    assert verified(auditor, "own")


def test_a_stranger_who_speaks_in_the_origins_name_gains_nothing(vendor: StoredWorld, auditor: StoredWorld, bundle: Path) -> None:
    import_bundle(auditor.record.recorder, bundle)
    ref = next(node["ref"] for node in vendor.record.trace("build/demo")["nodes"] if node["kind"] == "model")
    run = next(run["id"] for run in vendor.record.trace("build/demo")["runs"])
    before = auditor.record.query(show, ref, workspace=auditor.record.workspace)
    dataset = {
        "namespace": "vendor",
        "name": "model/demo.model",
        "facets": {
            "version": {"_producer": "urn:x", "_schemaURL": "urn:x", "datasetVersion": f"sha256:{ref.partition('@')[2]}"},
            "tracecore_artifact": {"_producer": "urn:x", "_schemaURL": "urn:x", "kind": "model", "media": "file", "location": "blobs/evil"},
        },
    }
    event: dict[str, Any] = {
        "eventTime": "2030-01-01T00:00:00Z", "eventType": "COMPLETE", "producer": "urn:x", "schemaURL": "urn:x",
        "run": {"runId": "019ab2c4-1111-7000-8000-00000000000f"}, "job": {"namespace": "vendor", "name": "demo.model"}, "outputs": [dataset],
    }  # fmt: skip
    assert auditor.record.ingest([event]).recorded == 1
    after = auditor.record.query(show, ref, workspace=auditor.record.workspace)
    assert (after["facets"], after["made_by"]) == (before["facets"], before["made_by"])
    refused = auditor.record.ingest([{**event, "run": {"runId": run}}]).refused
    assert "one that it imported" in refused[0].reason
    assert sound(auditor)


def test_what_an_import_kept_is_verified_again_and_named(auditor: StoredWorld, bundle: Path) -> None:
    import_bundle(auditor.record.recorder, bundle)
    file = next(auditor.store.root.glob("imports/*/blobs/*/*"))
    data = file.read_bytes()
    file.write_bytes(b"x" + data[1:])
    failures = auditor.record.verify("build/demo")["failures"]
    assert [failure["what"] for failure in failures] == [file.relative_to(auditor.store.root).as_posix()]
    file.write_bytes(data)
    assert sound(auditor)


def test_a_pinned_key_must_have_sealed_it(vendor: StoredWorld, auditor: StoredWorld, bundle: Path, tmp_path: Path) -> None:
    right, wrong = tmp_path / "vendor.pub", tmp_path / "auditor.pub"
    right.write_text(vendor.record.recorder.keys.ensure().pem)
    wrong.write_text(auditor.record.recorder.keys.ensure().pem)
    with pytest.raises(ImportRefused, match=r"fails verification: .*signature") as refused:
        import_bundle(auditor.record.recorder, bundle, key=wrong)
    assert refused.value.verdict["key"] == "pinned"
    assert auditor.record.recorder.position() == BEGUN + 0
    assert list(auditor.store.root.glob("imports/*")) == []
    import_bundle(auditor.record.recorder, bundle, key=right)
    assert auditor.record.query(show, "build/demo", workspace=auditor.record.workspace)["facets"]["tracecore_imported"]["pinned"] == [
        vendor.record.recorder.keys.ensure().id
    ]
    assert auditor.record.verify("build/demo", key=right)["ok"]
    assert not auditor.record.verify("build/demo", key=wrong)["ok"]
    assert auditor.record.verify(key=wrong)["ok"]  # the auditor's own ledger is signed by the auditor's own key
    assert not auditor.record.verify(key=right)["ok"]


def test_a_name_that_stands_for_another_build_is_refused(auditor: StoredWorld, bundle: Path) -> None:
    auditor.all()
    auditor.seal("demo")
    with pytest.raises(UsageError, match=r"build/demo is another build here .* import it into another workspace"):
        import_bundle(auditor.record.recorder, bundle)


def test_what_was_withdrawn_here_does_not_come_back_by_an_import(auditor: StoredWorld, bundle: Path, tmp_path: Path) -> None:
    import_bundle(auditor.record.recorder, bundle)
    withdraw(auditor.record.recorder, "drive_log/north", reason="the driver asked")
    assert not any(path.read_bytes() == b"an MCAP file" for path in auditor.store.root.rglob("*") if path.is_file())
    verdict = auditor.record.verify("build/demo")
    assert (verdict["failures"], len(verdict["erased"]) > 0) == ([], True)
    assert auditor.record.verify()["ok"]
    third = sealed(tmp_path / "third", "third")
    third.seal("renamed")
    export_bundle(third.record.recorder, "renamed", tmp_path / "renamed.bundle")
    with pytest.raises(NegativeVerdict, match="holds what was withdrawn from this workspace"):
        import_bundle(auditor.record.recorder, tmp_path / "renamed.bundle")
    third.record.close()


def test_a_crash_before_the_transaction_leaves_files_that_the_next_import_replaces(
    auditor: StoredWorld, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(auditor.record.recorder, "append", crash)
        with pytest.raises(KeyboardInterrupt):
            import_bundle(auditor.record.recorder, bundle)
    assert auditor.record.recorder.position() == BEGUN + 0
    assert examine(auditor.record.recorder)["orphans"] != []
    assert import_bundle(auditor.record.recorder, bundle).new
    assert sound(auditor)


def test_an_import_that_comes_in_between_keeps_what_it_brought(auditor: StoredWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vendor = sealed(tmp_path / "vendor")
    retrained(vendor)
    vendor.seal("second")
    for name in ("demo", "second"):
        export_bundle(vendor.record.recorder, name, tmp_path / f"{name}.bundle")
    put = LocalStore.put_import

    def late(store: LocalStore, folder: Path, location: str) -> None:
        monkeypatch.setattr(LocalStore, "put_import", put)
        put(store, folder, location)
        with Record.open(auditor.record.workspace) as other:
            assert import_bundle(other.recorder, tmp_path / "second.bundle").artifacts == 7

    monkeypatch.setattr(LocalStore, "put_import", late)
    assert import_bundle(auditor.record.recorder, tmp_path / "demo.bundle").artifacts == 0
    for name in ("demo", "second"):
        assert without_later(auditor.record.trace(f"build/{name}")) == without_later(vendor.record.trace(f"build/{name}"))
    assert sound(auditor)
    vendor.record.close()


def test_an_event_of_this_very_ledger_that_was_never_recorded_here_is_refused(tmp_path: Path) -> None:
    # Two copies of one workspace are written to apart: what one of them made comes to the other inside a third's bundle.
    first = world(tmp_path / "first", "vendor")
    shutil.copytree(tmp_path / "first", tmp_path / "second")
    first.all()
    first.seal()
    export_bundle(first.record.recorder, "demo", tmp_path / "demo.bundle")
    other = world(tmp_path / "other", "auditor")
    import_bundle(other.record.recorder, tmp_path / "demo.bundle")
    build_upon(other)
    export_bundle(other.record.recorder, "own", tmp_path / "own.bundle")
    with Record.open(tmp_path / "second") as second:
        with pytest.raises(NegativeVerdict, match=r"of a job of this workspace \('vendor'\), which this workspace never recorded"):
            import_bundle(second.recorder, tmp_path / "own.bundle")
        assert second.recorder.position() == BEGUN
        checkpoint = tmp_path / "first.checkpoint"
        checkpoint.write_text(first.record.recorder.checkpoint())
        [failure] = second.verify(checkpoint=checkpoint)["failures"]
        assert failure["what"] == "number of events (the ledger was truncated, or the checkpoint is of a fork of it)"
    first.record.close()
    other.record.close()
