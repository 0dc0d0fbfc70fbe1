"""`tracecore events` and `tracecore export`: what leaves the record is what it depends on, and comes back as the same record."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from fresh_record import BEGUN
from openlineage_data import airflow_events

from tracecore.commands.shell import cli
from tracecore.errors import UsageError
from tracecore.testing.worlds import RecordWorld, real_input
from tracecore.workspace import Workspace
from tracecore_lineage import Record
from tracecore_lineage.catalog.replay import catalog_differences
from tracecore_lineage.crypto.envelope import open_envelope
from tracecore_lineage.ledger import ledger
from tracecore_lineage.seal.seal import sealed_build, sealed_builds

GOOD = {
    "eventType": "COMPLETE",
    "eventTime": "2026-11-01T10:00:00Z",
    "producer": "https://example.org/else",
    "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
    "run": {"runId": "0199c1f4-8f0e-7a31-9c55-1b6a3f1f2a10"},
    "job": {"namespace": "else", "name": "job"},
    "inputs": [],
    "outputs": [],
}


def run(*words: object) -> tuple[int, str, str]:
    answer = CliRunner().invoke(cli, [str(word) for word in words])
    return answer.exit_code, answer.stdout, answer.stderr


def bodies(record: Record) -> list[bytes]:
    with record.database.read() as connection:
        return [leaf.body for leaf in ledger.read(connection)]


@pytest.fixture
def world(tmp_path: Path) -> RecordWorld:
    world = RecordWorld.at(tmp_path / "w").all()
    world.seal("demo")
    return world


def test_events_that_left_are_known_at_home_and_claims_in_another_workspace_of_the_same_name(world: RecordWorld, tmp_path: Path) -> None:
    for option, name in (((), "plain"), (("--exact",), "exact")):
        file = tmp_path / f"{name}.ndjson"
        assert run("events", "export", *option, "-o", file, "-w", tmp_path / "w")[0] == 0
        number = len(bodies(world.record))
        assert json.loads(run("events", "import", file, "-w", tmp_path / "w", "--json")[1]) == {"recorded": 0, "known": number, "refused": []}
        with Record.open(Workspace.create(tmp_path / name, slug="world")) as other:
            code, said, _ = run("events", "import", file, "-w", tmp_path / name, "--json")
            assert (code, json.loads(said)) == (0, {"recorded": number, "known": 0, "refused": []})
            assert bodies(other)[BEGUN:] == bodies(world.record)
            assert other.query(sealed_builds) == []
            with pytest.raises(UsageError, match="is not in this part of the record"):
                other.trace("build/demo")
            assert other.verify()["ok"]
            assert other.query(catalog_differences, other.ledger) == []


def test_an_event_that_speaks_as_this_ledger_and_was_never_recorded_is_refused(world: RecordWorld, tmp_path: Path) -> None:
    forged = json.loads(bodies(world.record)[-1])
    forged["run"]["runId"] = "0199c1f4-8f0e-7a31-9c55-000000000001"
    (tmp_path / "forged.ndjson").write_text(json.dumps(forged), encoding="utf-8")
    before = world.record.recorder.position()
    code, _, said = run("events", "import", tmp_path / "forged.ndjson", "-w", tmp_path / "w")
    assert (code, "forged.ndjson:1: producer: expected one that is not this ledger" in said) == (2, True), said
    assert world.record.recorder.position() == before


def test_without_a_file_the_events_go_to_stdout_one_a_line(world: RecordWorld, tmp_path: Path) -> None:
    code, said, _ = run("events", "export", "-w", tmp_path / "w")
    assert code == 0
    assert [json.loads(line)["job"]["name"] for line in said.splitlines()] == [json.loads(body)["job"]["name"] for body in bodies(world.record)]


def test_exact_lines_hold_bytes_that_plain_lines_can_not(tmp_path: Path) -> None:
    with Record.open(Workspace.create(tmp_path / "w", slug="world")) as record:
        body = json.dumps(GOOD, indent=2).encode()
        record.ingest([body])
    *_, plain = run("events", "export", "-w", tmp_path / "w")[1].splitlines()
    *_, exact = run("events", "export", "--exact", "-w", tmp_path / "w")[1].splitlines()
    assert json.loads(plain) == GOOD
    assert base64.b64decode(json.loads(exact)["body"]) == body
    assert json.loads(exact)["event_sha256"] == ledger.event_id(body)


def test_one_bad_line_refuses_the_file_with_its_number_unless_it_may_be_skipped(tmp_path: Path) -> None:
    Workspace.create(tmp_path / "w", slug="world")
    file = tmp_path / "events.ndjson"
    bad = {**GOOD, "eventTime": "yesterday"}
    file.write_text("\n".join([json.dumps(GOOD), "", json.dumps(bad), "{"]), encoding="utf-8")
    code, _, said = run("events", "import", file, "-w", tmp_path / "w")
    assert code == 2
    assert said.startswith("Error: events.ndjson:3: eventTime: ")
    assert "(1 more are bad too). Nothing was recorded; --skip-invalid takes the others." in said
    with Record.open(tmp_path / "w") as record:
        assert record.recorder.position() == BEGUN + 0
    code, said, left = run("events", "import", file, "-w", tmp_path / "w", "--skip-invalid")
    assert (code, said) == (0, "1 events recorded, 0 known before, 2 left out\n")
    assert "left out events.ndjson:3: eventTime" in left


def test_an_event_that_speaks_as_this_ledger_and_was_never_recorded_refuses_the_file(tmp_path: Path) -> None:
    workspace = Workspace.create(tmp_path / "w", slug="world")
    forged = {**GOOD, "producer": f"urn:tracecore:ledger:{workspace.ledger_id}", "job": {"namespace": "world", "name": "job"}}
    file = tmp_path / "events.ndjson"
    file.write_text("\n".join([json.dumps(GOOD), json.dumps(forged)]), encoding="utf-8")
    code, _, said = run("events", "import", file, "-w", tmp_path / "w")
    assert code == 2
    assert "and this one never was. Nothing was recorded; --skip-invalid takes the others." in said
    with Record.open(tmp_path / "w") as record:
        assert record.recorder.position() == BEGUN
    code, said, left = run("events", "import", file, "-w", tmp_path / "w", "--skip-invalid")
    assert (code, said) == (0, "1 events recorded, 0 known before, 1 left out\n")
    assert "left out events.ndjson:2: producer" in left


def test_an_event_about_a_run_of_ours_refuses_the_file(tmp_path: Path) -> None:
    with Record.open(Workspace.create(tmp_path / "w", slug="world")) as record, record.database.read() as connection:
        [first, *_] = list(ledger.read(connection))
    file = tmp_path / "events.ndjson"
    file.write_text(json.dumps({**GOOD, "run": {"runId": json.loads(first.body)["run"]["runId"]}}), encoding="utf-8")
    code, _, said = run("events", "import", file, "-w", tmp_path / "w")
    assert (code, "is a run of this workspace's own" in said) == (2, True), said


def test_a_wrapped_line_whose_bytes_are_others_than_its_digest_is_no_event(tmp_path: Path) -> None:
    Workspace.create(tmp_path / "w", slug="world")
    file = tmp_path / "exact.ndjson"
    wrapped = {"event_sha256": "0" * 64, "recorded_at": "2026-11-01T10:00:00Z", "body": base64.b64encode(json.dumps(GOOD).encode()).decode()}
    file.write_text(json.dumps(wrapped), encoding="utf-8")
    code, _, said = run("events", "import", file, "-w", tmp_path / "w")
    assert code == 2
    assert said.startswith("Error: exact.ndjson:1: ")


def test_a_wrapped_line_with_letters_that_base64_has_not_is_no_event(tmp_path: Path) -> None:
    Workspace.create(tmp_path / "w", slug="world")
    file = tmp_path / "exact.ndjson"
    file.write_text(json.dumps({"event_sha256": "0" * 64, "recorded_at": "x", "body": "é"}, ensure_ascii=False), encoding="utf-8")
    code, _, said = run("events", "import", file, "-w", tmp_path / "w")
    assert (code, said.startswith("Error: exact.ndjson:1: ")) == (2, True), said


def test_a_folder_without_events_is_refused(tmp_path: Path) -> None:
    Workspace.create(tmp_path / "w", slug="world")
    (tmp_path / "empty").mkdir()
    code, _, said = run("events", "import", tmp_path / "empty", "-w", tmp_path / "w")
    assert (code, "holds no event: expected OpenLineage events, one a line." in said) == (2, True)


def test_a_folder_of_airflow_events_is_imported(tmp_path: Path) -> None:
    folder = real_input("openlineage", "airflow_scenario", "events")
    Workspace.create(tmp_path / "w", slug="world")
    assert json.loads(run("events", "import", folder, "-w", tmp_path / "w", "--json")[1])["recorded"] == len(airflow_events())


def test_a_builds_events_are_exactly_those_its_trace_stands_on(world: RecordWorld, tmp_path: Path) -> None:
    before = bodies(world.record)
    world.train("other weights")  # later, and nothing of the build
    world.record.ingest([json.dumps(GOOD)])
    code, _, said = run("export", "build/demo", "--format", "openlineage", "-o", tmp_path / "out.ndjson", "-w", tmp_path / "w")
    assert code == 0, said
    assert (tmp_path / "out.ndjson").read_bytes().splitlines() == before[BEGUN:]


def test_the_in_toto_export_is_the_sealed_envelope(world: RecordWorld, tmp_path: Path) -> None:
    assert run("export", "demo", "--format", "in-toto", "-o", tmp_path / "out.json", "-w", tmp_path / "w")[0] == 0
    envelope = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    sealed = world.record.query(sealed_build, "demo")
    assert sealed is not None
    assert envelope == sealed.envelope
    assert json.loads(open_envelope(envelope).payload) == sealed.statement


def test_what_can_not_be_exported_is_refused_and_leaves_no_file(world: RecordWorld, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for words, sentence in (
        (("build/demmo", "--format", "in-toto"), "build/demo"),
        (("model/demo.model", "--format", "in-toto"), "is not a build: only builds are exported"),
        (("build/demo", "--format", "in-totoo"), "There is no export format 'in-totoo' here. Did you mean 'in-toto'?"),
        (("build/demo", "--format", "html"), "There is no export format 'html' here."),
    ):
        code, _, said = run("export", *words, "-o", out, "-w", tmp_path / "w")
        assert (code, sentence in said) == (2, True), said
    code, _, said = run("export", "build/demo", "--format", "in-toto", "-o", tmp_path / "no" / "out", "-w", tmp_path / "w")
    assert (code, "can't be written to" in said) == (2, True), said
    out.write_text("a file, no folder")
    for format_ in ("in-toto", "bundle"):
        code, _, said = run("export", "build/demo", "--format", format_, "-o", out / "below", "-w", tmp_path / "w")
        assert (code, said.lower().count("not a directory")) == (2, 1), said
    out.unlink()
    assert [path.name for path in tmp_path.iterdir() if path.name not in {"w", "home"}] == []
