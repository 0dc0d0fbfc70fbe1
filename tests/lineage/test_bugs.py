"""A reported bug is an event and a node: it leads back to the build and the drives it is about, and they lead to it.

Modules: `exchange/bug_reports.py`, `trace/bugs.py`, `commands/bug.py`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import rfc8785
from click.testing import CliRunner, Result
from jsonschema import Draft202012Validator
from openlineage_data import FACETS, FORMATS, problems
from stored_world import StoredWorld, kept

from tracecore.commands.shell import cli
from tracecore.errors import UsageError
from tracecore.testing.worlds import RecordWorld, artifact
from tracecore_lineage.catalog.pseudonyms import pseudonym_of
from tracecore_lineage.catalog.replay import catalog_differences
from tracecore_lineage.exchange.bug_reports import report_bug
from tracecore_lineage.ledger import ledger
from tracecore_lineage.model import rfc3339
from tracecore_lineage.present.graph import dot, mermaid
from tracecore_lineage.seal.seal import sealed_build
from tracecore_lineage.trace.bugs import find_bug, reported_bugs
from tracecore_lineage.trace.show import show
from tracecore_lineage.verify.doctor import examine
from tracecore_schemas.kinds import StageKind
from tracecore_schemas.refs import frame_ref
from tracecore_schemas.run import RunInput

FRAME = "frame/north/%2Fcamera%2Ffront%2Fimage/1500"


@pytest.fixture
def built(world: RecordWorld) -> RecordWorld:
    world.all()
    world.seal()
    return world


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RecordWorld, str]]:
    """A sealed build with one reported bug, made once for the tests that only ask."""
    world = RecordWorld.at(tmp_path_factory.mktemp("bugs") / "workspace").all()
    world.seal()
    yield world, report_bug(world.record.recorder, "cyclist missed at dusk", build="demo", frames=[FRAME], severity="high", reporter="Bo Bug").bug.ref
    world.record.close()


def kinds(trace: Any) -> list[str]:
    return [node["kind"] for node in trace["nodes"]]


def run(world: RecordWorld, *arguments: str) -> Result:
    return CliRunner().invoke(cli, [*arguments, "--workspace", str(world.record.workspace.root)], prog_name="tracecore")


def test_a_bug_traces_back_through_its_build_and_the_drives_of_its_frames(reported: tuple[RecordWorld, str]) -> None:
    world, ref = reported
    trace = world.record.trace(ref)
    assert (trace["root"], trace["complete"], kinds(trace)[:3]) == (ref, True, ["bug", "build", "drive_log"])
    node = trace["nodes"][0]
    assert (node["digest"], node["name"]) == (None, ref.partition("/")[2])
    assert {found["ref"] for found in trace["nodes"]} > {found["ref"] for found in world.record.trace("build/demo")["nodes"]}
    [job] = [found for found in trace["runs"] if found["job"] == "tracecore.bug"]
    roles = {(edge["direction"], edge["role"], edge["ref"].partition("@")[0]) for edge in trace["edges"] if edge["run"] == job["id"]}
    assert roles == {("input", "build", "build/demo"), ("input", "frame", "drive_log/north"), ("output", "bug", ref)}
    assert not [unknown for unknown in trace["unknowns"] if unknown["at"] == f"run/{job['id']}"], "no code of a stage ran"


def test_drive_build_and_everything_behind_the_build_reach_the_bug(reported: tuple[RecordWorld, str]) -> None:
    world, ref = reported
    for start in ("drive_log/north", "build/demo", "engine/demo.engine", "drive_log/south", FRAME):
        assert ref in [node["ref"] for node in world.record.impact(start)["nodes"]], start
    assert kinds(world.record.impact(ref)) == ["bug"]


def test_the_facet_is_what_a_diagnosis_reads_and_keeps_its_schema(reported: tuple[RecordWorld, str]) -> None:
    world, ref = reported
    facet = world.record.recorder.facets(ref)["tracecore_bug"]
    build = world.record.query(sealed_build, "demo")
    assert build is not None
    assert facet == {
        "summary": "cyclist missed at dusk · severity high · shown by 1 frame",
        "id": ref.partition("/")[2],
        "text": "cyclist missed at dusk",
        "build": build.ref,
        "frames": [FRAME],
        "severity": "high",
        "reporter": world.record.recorder.commit(pseudonym_of, "Bo Bug"),
    }
    with world.record.database.read() as connection:
        bodies = [leaf.body for leaf in ledger.read(connection)]
    events = [json.loads(body) for body in bodies if b"tracecore.bug" in body]
    assert [event["eventType"] for event in events] == ["START", "COMPLETE"]
    assert [problem for event in events for problem in problems(event)] == []
    [output] = events[1]["outputs"]
    schema = json.loads((FACETS / "tracecore_bug.json").read_text(encoding="utf-8"))
    Draft202012Validator(schema, format_checker=FORMATS).validate(output["facets"]["tracecore_bug"])
    assert not [body for body in bodies if b"Bo Bug" in body], "people stand in the ledger as pseudonyms"


def test_the_id_follows_from_what_was_reported_by_the_facets_own_words(reported: tuple[RecordWorld, str]) -> None:
    world, ref = reported
    facet = world.record.recorder.facets(ref)["tracecore_bug"]
    content = {"v": 1, "type": "tracecore.bug", **{name: facet[name] for name in ("text", "build", "frames", "severity")}}
    assert ref == f"bug/{hashlib.sha256(rfc8785.dumps(content)).hexdigest()[:12]}"


def test_the_same_report_is_the_same_bug_and_appends_nothing(built: RecordWorld) -> None:
    first = report_bug(built.record.recorder, "ghost brake", build="demo", reporter="Ada")
    size = built.record.recorder.position()
    again = report_bug(built.record.recorder, "  ghost brake\n", build="build/demo", reporter="Bo")
    assert (first.new, again.new, again.bug) == (True, False, first.bug)
    assert built.record.recorder.position() == size
    others = [{"build": "demo", "severity": "low"}, {}, {"build": "demo", "frames": [FRAME]}]
    assert len({report_bug(built.record.recorder, "ghost brake", **more).bug.id for more in others} | {first.bug.id}) == 4  # type: ignore[arg-type]


def test_a_sealed_builds_trace_says_of_a_later_bug_under_later_alone(built: RecordWorld) -> None:
    before = built.record.trace("build/demo")
    moment = rfc3339.now()
    seen = report_bug(built.record.recorder, "cyclist missed", build="demo", frames=[FRAME]).bug
    driven = report_bug(built.record.recorder, "glare", frames=[FRAME]).bug
    after = built.record.trace("build/demo")
    assert {**after, "later": []} == before
    named = [(entry["what"], entry["name"], entry["at"].partition("@")[0], entry["text"]) for entry in after["later"]]
    assert named == [("bug reported", seen.ref, "build/demo", "cyclist missed"), ("bug reported", driven.ref, "drive_log/north", "glare")]
    assert built.record.trace("build/demo", as_of=moment) == before
    assert f"bug reported {seen.ref} cyclist missed" in run(built, "trace", "build/demo").stdout
    built.seal("after")
    assert built.record.trace("build/after")["later"] == []


def test_what_was_made_because_of_a_bug_leads_back_to_it_and_is_reached_by_it(built: RecordWorld) -> None:
    bug = report_bug(built.record.recorder, "cyclist missed", build="demo").bug
    request = artifact("data_request", "demo.diagnosis.request", "more cyclists")
    params = {"bugs": [bug.ref, bug.ref], "note": "bug/none", "count": 3}
    run_id = built.run("diagnosis", StageKind.DIAGNOSE, [("frames", "drives.frames")], {"request": request}, params=params)
    assert request.ref in [node["ref"] for node in built.record.impact(bug.ref)["nodes"]]
    assert request.ref in [node["ref"] for node in built.record.impact("engine/demo.engine")["nodes"]], "through the build and the bug"
    trace = built.record.trace(request.ref)
    assert trace["complete"]
    assert {"run": run_id, "ref": bug.ref, "direction": "input", "role": "bugs", "inferred": False} in trace["edges"]
    assert "build/demo" in [node["ref"].partition("@")[0] for node in trace["nodes"]]
    assert [use["job"] for use in built.record.query(show, bug.ref, workspace=built.record.workspace)["read_by"]] == ["demo.diagnosis"]
    assert built.record.query(catalog_differences, built.record.ledger) == []
    unreported = artifact("data_request", "demo.other", "x")
    built.run("other", StageKind.DIAGNOSE, outputs={"request": unreported}, params={"bugs": "bug/0123456789ab"})
    assert [gap["at"] for gap in built.record.trace(unreported.ref)["gaps"]] == ["bug/0123456789ab"]


def test_frames_are_followed_as_before_where_a_bug_has_read_their_drive(built: RecordWorld) -> None:
    before = {node["ref"] for node in built.record.trace(FRAME)["nodes"]}
    report_bug(built.record.recorder, "glare", frames=[FRAME])
    assert {node["ref"] for node in built.record.trace(FRAME)["nodes"]} == before


def test_a_bug_seen_in_a_build_is_about_the_drive_that_the_build_was_made_of(built: RecordWorld) -> None:
    old = built.record.recorder.artifacts("drive_log", "north")[0].ref
    drive = built.drive("north")
    assert drive.artifact.ref == old, "the same bytes again"
    newer = artifact("drive_log", "north", "recorded anew")
    again = built.start("drives.drive_log", StageKind.INGEST)
    built.record.recorder.complete(again, [], {"drive_log": newer})
    frames = artifact("dataset", "demo.drives.frames", "anew")
    built.run("drives", StageKind.INGEST, outputs={"frames": frames}, more_inputs=[RunInput("drive_log", newer, again.id)])
    about = {}
    for build in (None, "demo"):
        bug = report_bug(built.record.recorder, "x", build=build, frames=[FRAME]).bug
        about[build] = {link["ref"] for link in built.record.query(show, bug.ref, workspace=built.record.workspace)["about"]} & {old, newer.ref}
    assert about == {None: {newer.ref}, "demo": {old}}


@pytest.mark.parametrize(
    ("text", "more", "sentence"),
    [
        ("  \n ", {}, "A bug without a text can't be recorded"),
        ("x", {"build": "dmeo"}, "build/dmeo is not in this part of the record. Did you mean 'build/demo'?"),
        ("x", {"frames": ["frame/nort/%2Fcamera%2Ffront%2Fimage/1500"]}, "Did you mean 'drive_log/north'?"),
        ("x", {"frames": ["frame/north/%2Fcamera%2Ffont%2Fimage/1500"]}, "has no sensor '/camera/font/image'. Did you mean '/camera/front/image'?"),
        ("x", {"frames": ["frame/north/%2Fcamera%2Ffront%2Fimage/5000"]}, "drive_log/north goes from 1000 to 2000 ns."),
        ("x", {"frames": ["drive_log/north"]}, "'drive_log/north' is not a frame: expected frame/<drive>/<sensor>/<timestamp_ns>."),
        ("x", {"severity": "awful"}, "'awful' is not a severity: expected low, medium, high, critical."),
    ],
)
def test_a_report_that_cannot_be_is_one_sentence_and_leaves_nothing(sealed: RecordWorld, text: str, more: dict[str, Any], sentence: str) -> None:
    size = sealed.record.recorder.position()
    with pytest.raises(UsageError) as caught:
        report_bug(sealed.record.recorder, text, **more)
    assert sentence in str(caught.value)
    assert sealed.record.recorder.position() == size


def test_a_frame_that_no_table_holds_is_refused_and_the_nearest_in_time_offered(tmp_path: Path) -> None:
    world = StoredWorld.at(tmp_path / "workspace")
    drive, sensor = world.drive("north"), "/camera/front/image"
    times_ns = [1000, 1400, 2000]
    refs = [frame_ref("north", sensor, at) for at in times_ns]
    columns = {"drive": ["north"] * 3, "sensor": [sensor] * 3, "timestamp_ns": times_ns, "frame_id": refs}
    frames = kept("dataset", "demo.drives.frames", world.table("demo.drives.frames", pa.table(columns)))
    world.run("drives", StageKind.INGEST, outputs={"frames": frames}, more_inputs=[drive])
    assert report_bug(world.record.recorder, "x", frames=[frame_ref("north", sensor, 1400)]).new
    with pytest.raises(UsageError) as caught:
        report_bug(world.record.recorder, "x", frames=[frame_ref("north", sensor, 1650)])
    assert str(caught.value).endswith(f"no table holds it. Did you mean '{frame_ref('north', sensor, 1400)}', the nearest in time?")
    world.record.close()


def test_nobody_else_says_what_a_bug_of_ours_is(built: RecordWorld) -> None:
    ref = report_bug(built.record.recorder, "ghost brake", build="demo").bug.ref
    facet = {"_producer": "urn:o", "_schemaURL": "urn:o:1", "id": ref[4:], "text": "all is well", "frames": []}
    event = {"eventTime": rfc3339.now(), "producer": "urn:o", "schemaURL": "urn:o:e"}
    job = {"run": {"runId": "01a2040f-4186-711d-8e71-4ae6d5de555d"}, "job": {"namespace": "theirs", "name": "j"}, "eventType": "COMPLETE"}
    output = {"namespace": built.record.recorder.namespace, "name": ref, "facets": {"tracecore_bug": facet}}
    assert built.record.ingest([{**event, **job, "outputs": [output]}, {**event, "dataset": output}]).recorded == 2
    found = built.record.query(find_bug, ref)
    assert found is not None
    assert found.text == "ghost brake"
    assert [bug.text for bug in built.record.query(reported_bugs)] == ["ghost brake"]


def test_replay_and_verify_agree_with_a_record_that_holds_bugs(built: RecordWorld) -> None:
    report_bug(built.record.recorder, "ghost brake", build="demo", frames=[FRAME])
    assert built.record.query(catalog_differences, built.record.ledger) == []
    assert built.record.verify()["ok"]
    assert built.record.verify("build/demo")["ok"]
    assert examine(built.record.recorder)["open_runs"] == []


def test_bugs_are_listed_newest_first_and_by_build(built: RecordWorld) -> None:
    before = rfc3339.now()
    first = report_bug(built.record.recorder, "first", build="demo").bug
    second = report_bug(built.record.recorder, "second").bug
    assert [bug.id for bug in built.record.query(reported_bugs)] == [second.id, first.id]
    assert [bug.id for bug in built.record.query(reported_bugs, build="build/demo")] == [first.id]
    assert (built.record.query(find_bug, first.ref), built.record.query(find_bug, first.id), built.record.query(find_bug, "ffffffffffff")) == (
        first,
        first,
        None,
    )
    with pytest.raises(UsageError, match="Did you mean 'build/demo'"):
        built.record.query(reported_bugs, build="demoo")
    with pytest.raises(UsageError, match="No bug was reported yet"):
        built.record.query(show, first.ref, as_of=before, workspace=built.record.workspace)


def test_the_commands_report_list_and_show(built: RecordWorld) -> None:
    assert "No bug was reported yet." in run(built, "bug", "list").stderr
    made = run(built, "bug", "report", "cyclist missed", "--build", "demo", "--frame", FRAME, "--severity", "high", "--by", "Bo Bug", "--json")
    assert (made.exit_code, made.stderr) == (0, "")
    answer = json.loads(made.stdout)
    assert (answer["new"], answer["ref"], answer["frames"], answer["severity"]) == (True, f"bug/{answer['id']}", [FRAME], "high")
    assert answer["reporter"].startswith("person-"), "--json never resolves a pseudonym"
    again = run(built, "bug", "report", "cyclist missed", "--build", "demo", "--frame", FRAME, "--severity", "high")
    assert again.stdout == f"bug/{answer['id']}\n"
    assert "The same was reported before" in again.stderr
    listed = run(built, "bug", "list")
    assert listed.stdout.split()[0] == answer["ref"]
    assert "build/demo  cyclist missed" in listed.stdout
    assert [bug["id"] for bug in json.loads(run(built, "bug", "list", "--json").stdout)["bugs"]] == [answer["id"]]
    shown = run(built, "bug", "show", answer["id"])
    assert shown.stdout == run(built, "show", answer["ref"]).stdout
    assert "by Bo Bug, severity high" in shown.stdout
    assert FRAME in shown.stdout
    told = json.loads(run(built, "bug", "show", answer["id"], "--json").stdout)
    assert (told["text"], told["kind"], told["digest"]) == ("cyclist missed", "bug", None)
    assert [link["role"] for link in told["about"]] == ["build", "frame"]
    tree = run(built, "trace", answer["ref"]).stdout.splitlines()
    assert tree[0].startswith(f"{answer['ref']}   cyclist missed · severity high · shown by 1 frame · complete, no gaps")
    assert tree[1].startswith("├── build/demo@")


def test_an_unknown_bug_is_one_sentence_and_exit_code_two(built: RecordWorld) -> None:
    nothing = run(built, "bug", "show", "0123456789ab")
    assert (nothing.exit_code, nothing.stderr) == (2, "Error: bug/0123456789ab is not in the record. No bug was reported yet.\n")
    made = report_bug(built.record.recorder, "x").bug
    wrong = f"{made.id[:-1]}{'0' if made.id[-1] != '0' else '1'}"
    assert f"Did you mean '{made.id}'?" in run(built, "bug", "show", wrong).stderr
    assert f"Did you mean '{made.ref}'?" in run(built, "trace", f"bug/{wrong}").stderr


def test_diagrams_draw_a_bug(reported: tuple[RecordWorld, str]) -> None:
    world, ref = reported
    trace = world.record.trace(ref)
    assert f'n0["{ref}"]' in mermaid(trace)
    assert f'n0 [shape=box, label="{ref}"' in dot(trace)


@pytest.mark.parametrize("command", [("bug",), ("bug", "report"), ("bug", "list"), ("bug", "show")])
def test_help_shows_an_example(command: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(cli, [*command, "--help"], prog_name="tracecore")
    assert shown.exit_code == 0
    assert "tracecore bug" in shown.output.partition("Examples:")[2]
