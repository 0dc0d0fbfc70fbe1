"""The recorder reports to the executor what it needs: what can be used again, which versions there are, and never two ends of one run.

Modules: `api/record.py`.
"""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime

import pytest
from fresh_record import BEGUN
from sqlalchemy import event

from tracecore.errors import RunFailed, UsageError
from tracecore.running.recorder import Recorder
from tracecore.testing.worlds import PROGRAM, RecordWorld, artifact, origin, plugin
from tracecore_lineage.catalog import current_state
from tracecore_lineage.catalog.recorder import Position
from tracecore_lineage.crypto import notes
from tracecore_schemas.kinds import Media, Severity, StageKind
from tracecore_schemas.run import Artifact, CheckRun, DeltaVersion, ExpectationOutcome, FieldSpec, Run, RunInput, Unknown

KEY = "sha256:" + "a" * 64
DELTA = DeltaVersion(1, KEY)


DATABASES = ("sqlite", "postgresql")


def table(content: str, name: str = "demo.frames") -> Artifact:
    """A table with everything an artifact can say."""
    return artifact(
        "dataset", name, content, media=Media.DELTA, location=f"tables/dataset/{name}", rows=7, delta=DELTA, unknowns=(Unknown("labeler", "none"),),
        schema=(FieldSpec("drive", "string", "name of the drive"), FieldSpec("luma", "float")), origin=origin("a.mcap", content, "drive file"),
        facets={"tracecore_frames": {"frames": 7, "drives": {"a": 7}, "place": None}},
    )  # fmt: skip


def keyed(world: RecordWorld, key: str | None = KEY) -> Run:
    run = Run(
        world.record.recorder.new_run_id(), "demo.frames", datetime.now(UTC), StageKind.CURATE, plugin("curate"), {"n": 1}, 7, key, program=PROGRAM
    )
    world.record.recorder.start(run)
    return run


def complete(world: RecordWorld, content: str, key: str | None = KEY) -> Run:
    run = keyed(world, key)
    world.record.recorder.complete(run, [RunInput("program", PROGRAM)], {"frames": table(content)})
    return run


def test_the_record_fulfils_the_kernels_protocol(world: RecordWorld) -> None:
    recorder: Recorder = world.record.recorder
    assert recorder.namespace == "world"
    assert recorder.new_run_id()[14] == "7"


def test_a_completed_run_is_found_by_its_key_with_all_that_its_outputs_are(world: RecordWorld) -> None:
    assert world.record.recorder.reusable(KEY) == []
    run = complete(world, "a")
    found = next(iter(world.record.recorder.reusable(KEY)), None)
    assert found is not None
    assert (found.id, found.job, found.outputs, found.checks, found.rejected) == (run.id, "demo.frames", {"frames": table("a")}, (), frozenset())


def test_of_several_runs_with_one_key_the_newest_is_found(world: RecordWorld) -> None:
    complete(world, "a")
    newest = complete(world, "b")
    complete(world, "c", key=None)
    found = next(iter(world.record.recorder.reusable(KEY)), None)
    assert found is not None
    assert found.id == newest.id


def test_of_many_earlier_runs_a_few_are_read_however_many_there_are(world: RecordWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    read = current_state.ledger.read_event
    events: list[str] = []
    monkeypatch.setattr(current_state.ledger, "read_event", lambda connection, identity: events.append(identity) or read(connection, identity))
    counts = []
    for _ in range(4):
        for number in range(10):
            complete(world, f"{number:x}")
        events.clear()
        assert len(world.record.recorder.reusable(KEY)) == 8
        candidates = len(events)
        events.clear()
        assert world.record.recorder.newest("dataset", "demo.frames") == table("9")
        counts.append((candidates, len(events)))
    assert set(counts) == {(8, 1)}


def test_open_failed_and_aborted_runs_are_not_used_again(world: RecordWorld) -> None:
    keyed(world)
    world.record.recorder.fail(keyed(world), "no")
    assert world.record.recorder.abort(keyed(world).id, "gone")
    assert world.record.recorder.reusable(KEY) == []


def test_checks_come_with_what_they_found_and_a_blocking_failure_rejects(world: RecordWorld) -> None:
    run = complete(world, "a")
    made = table("a")
    now = datetime.now(UTC)
    check = CheckRun(
        world.record.recorder.new_run_id(), "demo.frames.check.no_leak", "no_leak", run.id, made.ref, (RunInput("frames", made, run.id),), False,
        Severity.BLOCKING, (ExpectationOutcome("no_shared_drive", False, "drive", "none", "0016E5"), ExpectationOutcome("no_shared_frame", True)),
        "Drive 0016E5 is on both sides.", now, now, {"drives": ["0016E5"]}, (Unknown("time and place", "synthetic"),),
    )  # fmt: skip
    world.record.recorder.check(check)
    found = next(iter(world.record.recorder.reusable(KEY)), None)
    assert found is not None
    assert found.rejected == {made.ref}
    (again,) = found.checks
    assert [item.artifact.ref for item in again.inputs] == [made.ref]
    assert dataclasses.replace(again, inputs=check.inputs) == check


def test_of_a_check_that_ran_twice_the_newest_verdict_stands(world: RecordWorld) -> None:
    run = complete(world, "a")
    world.made["frames"], world.runs["frames"] = table("a"), run.id
    world.check("frames", "not_empty", success=False)
    world.check("frames", "not_empty", success=True)
    found = next(iter(world.record.recorder.reusable(KEY)), None)
    assert found is not None
    assert ([check.success for check in found.checks], found.rejected) == ([True], frozenset())


def test_every_version_of_a_name_is_given_newest_first(world: RecordWorld) -> None:
    for content in "abc":
        complete(world, content)
    world.record.recorder.fail(keyed(world), "no")
    assert world.record.recorder.artifacts("dataset", "demo.frames") == [table("c"), table("b"), table("a")]
    assert world.record.recorder.artifacts("dataset", "other") == []


def test_a_name_with_slashes_is_found_again(world: RecordWorld) -> None:
    run = keyed(world)
    made = table("a", "camera/front image")
    world.record.recorder.complete(run, [], {"frames": made})
    assert world.record.recorder.artifacts("dataset", "camera/front image") == [made]


def test_facets_of_a_version_are_given_bare_and_the_newest_wins(world: RecordWorld) -> None:
    complete(world, "a")
    facets = world.record.recorder.facets(table("a").ref)
    assert facets["tracecore_frames"] == {"frames": 7, "drives": {"a": 7}, "place": None}
    later = dataclasses.replace(table("a"), facets={"tracecore_frames": {"frames": 8}})
    world.record.recorder.complete(keyed(world), [], {"frames": later})
    assert world.record.recorder.facets(table("a").ref)["tracecore_frames"] == {"frames": 8}


def test_a_run_that_ended_is_never_reopened(world: RecordWorld) -> None:
    run = keyed(world)
    assert world.record.recorder.abort(run.id, "The process that ran it is gone.") is True
    assert world.record.recorder.abort(run.id, "again") is False
    with pytest.raises(RunFailed, match=f"Run {run.id} was closed as ABORT at .*: what it made is not recorded"):
        world.record.recorder.complete(run, [], {"frames": table("a")})
    world.record.recorder.fail(run, "too late")
    with world.record.database.read() as connection:
        ending = current_state.ending(connection, run.id)
    assert ending is not None
    assert ending.event_type == "ABORT"
    assert world.record.recorder.position() == BEGUN + 2


def test_a_run_that_never_started_cannot_be_closed(world: RecordWorld) -> None:
    with pytest.raises(UsageError, match=r"No run .* was started in this record"):
        world.record.recorder.abort(world.record.recorder.new_run_id(), "gone")


def test_an_event_can_speak_of_the_position_it_is_appended_at(world: RecordWorld) -> None:
    world.ingest("north")
    size = world.record.recorder.position()
    seen: list[Position] = []

    def build(position: Position) -> bytes:
        seen.append(position)
        return world.record.recorder.events.fact("test", world.record.recorder.new_run_id(), {}, datetime.now(UTC))[0]

    appended = world.record.recorder.append_with(build)
    assert appended is not None
    assert appended.seq == size == seen[0].size
    parsed = notes.parse(seen[0].checkpoint)
    assert (parsed.size, parsed.root) == (size, seen[0].root)
    assert parsed.signed_by(world.record.recorder.keys.public_keys())
    assert world.record.recorder.append_with(lambda _position: None) is None
    assert world.record.recorder.position() == size + 1


def test_what_build_raises_leaves_nothing(world: RecordWorld) -> None:
    def build(_position: Position) -> bytes:
        raise UsageError("The name is taken.")

    with pytest.raises(UsageError, match="The name is taken"):
        world.record.recorder.append_with(build)
    assert world.record.recorder.position() == BEGUN + 0
    world.ingest("north")


def test_a_start_and_its_end_take_a_small_fixed_number_of_statements(world: RecordWorld) -> None:
    complete(world, "warm")
    asked: list[str] = []
    event.listen(world.record.database.engine, "before_cursor_execute", lambda _c, _cu, statement, *_: asked.append(statement))
    counts = []
    for number in range(3):
        asked.clear()
        complete(world, str(number))
        counts.append(len(asked))
    assert len(set(counts)) == 1, "what a run costs does not grow with the record"
    assert counts[0] <= 30
