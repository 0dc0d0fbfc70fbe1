"""One run, in order: what is recorded, what is reused, what is refused, what a failure leaves behind."""

import hashlib
import sys
from dataclasses import replace

import pytest
from fresh_record import BEGUN
from kernel_world import World, given

from tracecore.errors import NegativeVerdict, RunFailed, UsageError
from tracecore_lineage.retention.recover import open_runs
from tracecore_schemas.canonical import digest_file
from tracecore_schemas.kinds import Media


def seen(world: World) -> list[object]:
    return sys.modules["kernelworld_plugin"].SEEN


def states(world: World, job: str) -> list[str]:
    return [event[2] for event in seen(world) if isinstance(event, tuple) and event[0] == "finished" and event[1] == job]


def test_a_chain_of_stages_is_recorded_from_drive_files_to_an_engine(world: World) -> None:
    drives = world.logs()
    halves = world.split(drives)
    model = world.model(halves)
    engine = world.run("engine", "compile", "engine", {"model": given(model, "model")})
    trace = world.record.trace(engine.outputs["engine"].ref)
    assert trace["complete"] is True
    assert not trace["gaps"]
    names = {node["name"] for node in trace["nodes"]}
    assert {"test.engine", "test.model", "test.training_set.low", "test.drives", "alpha", "beta"} <= names
    assert {unknown["what"] for unknown in trace["unknowns"]} == {"clock"}
    for outcome in (drives, halves, model, engine):
        for artifact in outcome.outputs.values():
            assert world.store.verify(artifact) == []
    made = engine.outputs["engine"]
    assert made.media is Media.DIRECTORY
    (file,) = world.store.open(made).iterdir()
    assert made.facets["tracecore_engine"] == {
        "summary": "model.engine",
        "roles": [{"role": "engine", "file": "model.engine", "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}],
    }
    assert model.outputs["model"].media is Media.DIRECTORY
    assert drives.outputs["numbers"].rows == 5
    assert world.store.staged_runs() == []


def test_an_asset_with_one_output_has_no_port_in_its_name_and_one_with_two_has(world: World) -> None:
    drives = world.logs()
    assert drives.outputs["numbers"].name == "test.drives"
    assert world.split(drives).outputs["low"].name == "test.training_set.low"


def test_the_second_time_nothing_is_made_and_the_first_run_is_named(world: World) -> None:
    first = world.split(world.logs())
    count = seen(world).count("split")
    again = world.split(world.logs())
    assert again.reused
    assert again.run_id == first.run_id
    assert again.outputs["low"].ref == first.outputs["low"].ref
    assert [check.id for check in again.checks] == [check.id for check in first.checks]
    assert seen(world).count("split") == count


def test_a_changed_parameter_remakes_what_depends_on_it_and_nothing_else(world: World) -> None:
    world.split(world.logs())
    drives = world.logs()
    changed = world.split(drives, at=6)
    assert drives.reused
    assert not changed.reused
    assert not world.split(drives, at=6, seed=8).reused


def test_a_parameter_that_makes_the_same_rows_gives_the_same_digest(world: World) -> None:
    drives = world.logs()
    assert world.split(drives, at=5).outputs["low"].digest == world.split(drives, at=6).outputs["low"].digest


def test_files_that_move_are_the_same_files_and_a_changed_file_is_another(world: World) -> None:
    first = world.logs()
    moved = world.base / "elsewhere"
    (world.base / "drives").rename(moved)
    again = world.run("drives", "ingest", "logs", paths=[str(moved / "a.txt"), str(moved / "b.*")])
    assert again.reused
    assert again.run_id == first.run_id
    (moved / "b.txt").write_text("beta: 4 8 15")
    assert not world.run("drives", "ingest", "logs", paths=[str(moved)]).reused


def test_the_same_asset_of_another_program_is_another_artifact(world: World) -> None:
    world.logs()
    other = world.executor.execute(replace(world.task("drives", "ingest", "logs", paths=["drives"]), program="other"))
    assert not other.reused
    assert other.outputs["numbers"].name == "other.drives"


def test_what_lost_its_bytes_is_made_again(world: World) -> None:
    model = world.model(world.split(world.logs()))
    place = world.store.root / str(model.outputs["model"].location)
    (place / "weights.bin").unlink()
    again = world.model(world.split(world.logs()))
    assert not again.reused
    assert world.store.verify(again.outputs["model"]) == []


def test_a_drive_log_is_recorded_by_one_child_run_however_often_it_is_ingested(world: World) -> None:
    world.logs()
    world.logs(factor=2)
    trace = world.record.trace("drive_log/alpha")
    assert [run["job"] for run in trace["runs"]] == ["test.drives.drive_log"]
    [node] = [node for node in trace["nodes"] if node["kind"] == "drive_log"]
    assert node["facets"]["number_drive"] == {"summary": "a drive", "drive": "alpha"}
    assert node["facets"]["tracecore_origin"]["name"] == "a.txt"


def test_a_damaged_file_is_left_out_by_name_and_the_rest_is_ingested(world: World) -> None:
    world.drive("c.txt", "damaged")
    drives = world.logs()
    assert drives.outputs["numbers"].rows == 5
    assert ("drive file not ingested", "c.txt: it says so") in {(each.what, each.why) for each in drives.outputs["numbers"].unknowns}


def test_a_label_file_ends_the_trace_without_a_gap_and_one_only_looked_at_is_known_by_its_digest(world: World) -> None:
    kept = world.drive("a.json", "kept")
    looked_at = world.drive("b.json", "looked at")
    labels = world.run("labels", "label", "labels", paths=["drives"])
    trace = world.record.trace(labels.outputs["labels"].ref)
    assert trace["complete"] is True
    externals = {node["name"].rpartition("/")[2]: node for node in trace["nodes"] if node["kind"] == "external"}
    assert set(externals) == {"a.json", "b.json"}
    assert externals["a.json"]["ref"] == f"external/file/a.json@{digest_file(kept)}"
    assert externals["b.json"]["ref"] == f"external/file/b.json@{digest_file(looked_at)}"
    assert {edge["role"] for edge in trace["edges"] if edge["ref"].startswith("external/")} == {"label_file"}
    assert [unknown["what"] for unknown in trace["unknowns"]] == ["bytes"]


def test_files_may_be_left_out_where_the_stage_says_so(world: World) -> None:
    assert world.run("labels", "label", "labels").outputs["labels"].rows == 0


def test_two_different_files_that_claim_one_drive_name_are_refused(world: World) -> None:
    world.drive("c.txt", "alpha: 5")
    with pytest.raises(UsageError, match=r"Two different files claim the name 'alpha': '.*a\.txt' and '.*c\.txt'"):
        world.logs()
    assert states(world, "test.drives") == ["FAIL"]
    assert world.store.staged_runs() == []


def test_the_same_file_twice_is_one_drive(world: World) -> None:
    world.drive("c.txt", "alpha: 1 2 9")
    trace = world.record.trace(world.logs().outputs["numbers"].ref)
    assert [node["name"] for node in trace["nodes"] if node["kind"] == "drive_log"].count("alpha") == 1


@pytest.mark.parametrize(
    ("mode", "error", "sentence"),
    [
        ("raise", RunFailed, "Stage 'model' of asset 'model' failed: FloatingPointError: loss is nan at step 3."),
        ("exit", RunFailed, "Stage 'model' of asset 'model' failed: SystemExit: 7."),
        ("usage", UsageError, "Class 'tram' is outside the list."),
        ("nan", RunFailed, "the facet 'numbers_facet' can't be recorded"),
        ("mute", RunFailed, "the facet 'numbers_facet' can't be recorded: its summary is missing; expected one line of at most 120 characters"),
        ("number", RunFailed, "its summary is of type int"),
        ("blank", RunFailed, "its summary is empty"),
        ("long", RunFailed, "its summary has 121 characters"),
        ("lines", RunFailed, "its summary holds a line break or a control character"),
        ("typo", RunFailed, "the stage asked for the input 'model', which it does not declare. Known: numbers."),
    ],
)
def test_whatever_a_stage_raises_fails_its_own_run_with_its_name(world: World, mode: str, error: type[Exception], sentence: str) -> None:
    halves = world.split(world.logs())
    with pytest.raises(error) as raised:
        world.model(halves, mode=mode)
    assert sentence in str(raised.value)
    assert states(world, "test.model") == ["FAIL"]
    assert world.store.staged_runs() == []
    assert open_runs(world.record.recorder) == []
    assert not world.model(halves).reused


def test_an_interrupt_is_recorded_as_an_abort_and_goes_on(world: World) -> None:
    halves = world.split(world.logs())
    with pytest.raises(KeyboardInterrupt):
        world.model(halves, mode="interrupt")
    assert states(world, "test.model") == ["ABORT"]
    assert world.store.staged_runs() == []


def test_a_failure_says_where_in_the_code_but_not_where_on_this_machine(world: World) -> None:
    with pytest.raises(RunFailed):
        world.model(world.split(world.logs()), mode="raise")
    [failed] = [json for json in (event.decode() for event in events(world)) if '"FAIL"' in json]
    assert "kernelworld_plugin.py:" in failed
    assert str(world.base) not in failed


def events(world: World) -> list[bytes]:
    """Every event of the ledger, as its exact bytes."""
    import sqlite3

    with sqlite3.connect(world.workspace.root / "record.db") as database:
        return [row[0] for row in database.execute("select body from ledger_event order by seq")]


def test_no_event_says_where_anything_lies_on_this_machine(world: World) -> None:
    world.model(world.split(world.logs()))
    assert len(events(world)) > 6
    assert all(str(world.base).encode() not in event for event in events(world))


def test_an_output_that_was_not_written_fails_the_run_by_name(world: World) -> None:
    model = world.model(world.split(world.logs()))
    with pytest.raises(RunFailed, match="Stage 'engine' of asset 'engine' ended without writing its output 'engine'"):
        world.run("engine", "compile", "engine", {"model": given(model, "model")}, write=False)


def test_an_unknown_parameter_is_refused_with_the_nearest_right_one(world: World) -> None:
    with pytest.raises(UsageError, match=r"Unknown parameter 'factr' of asset 'drives' \(stage 'logs'\)\. Did you mean 'factor'\?"):
        world.logs(factr=2)


def test_an_unfit_or_missing_parameter_is_named_with_what_was_found(world: World) -> None:
    with pytest.raises(UsageError, match=r"Parameter 'at' of asset 'training_set' \(stage 'split'\): input should be .*, found -1\."):
        world.split(world.logs(), at=-1)
    with pytest.raises(UsageError, match=r"The parameter 'paths' of asset 'drives' \(stage 'logs'\) is missing\."):
        world.run("drives", "ingest", "logs")


def test_a_parameter_that_canonical_json_can_not_hold_is_refused(world: World) -> None:
    with pytest.raises(UsageError, match="Parameter 'factor' of asset 'drives' can't be recorded"):
        world.logs(factor=2**60)


def test_missing_wrong_unknown_and_rejected_inputs_are_refused_before_anything_runs(world: World) -> None:
    drives = world.logs()
    halves = world.split(drives)
    model = world.model(halves)
    before = len(seen(world))
    with pytest.raises(UsageError, match="Stage 'split' of asset 'training_set' needs a dataset 'numbers', which nothing supplies"):
        world.run("training_set", "curate", "split")
    with pytest.raises(UsageError, match=r"needs a dataset as 'numbers', found model/test\.model@"):
        world.run("training_set", "curate", "split", {"numbers": given(model, "model")})
    with pytest.raises(UsageError, match=r"has no input 'number'\. Did you mean 'numbers'\?"):
        world.run("training_set", "curate", "split", {"number": given(drives, "numbers")})
    with pytest.raises(NegativeVerdict, match="was rejected by a blocking check"):
        world.run("model", "train", "model", {"numbers": replace(given(halves, "low"), rejected=True)})
    assert len(seen(world)) == before


@pytest.mark.parametrize(
    ("paths", "sentence"),
    [
        (["drives/gone.txt"], r"The drive file '.*drives/gone\.txt' does not exist: put it there, or correct the path\."),
        (["nowhere/*.txt"], r"No drive file matches '.*nowhere/\*\.txt'\."),
        (["empty"], r"The folder '.*empty' holds no drive file \(\.txt\)\."),
        ([], "The parameter 'paths' names no drive file"),
    ],
)
def test_a_drive_file_that_is_not_there_is_named(world: World, paths: list[str], sentence: str) -> None:
    (world.base / "empty").mkdir()
    with pytest.raises(UsageError, match=sentence):
        world.run("drives", "ingest", "logs", paths=paths)
    assert world.record.recorder.position() == BEGUN


def test_an_observer_sees_frozen_summaries(world: World) -> None:
    world.logs()
    assert ("started", "test.drives", "OPEN") in seen(world)
    assert ("finished", "test.drives", "COMPLETE", 1) in seen(world)


def test_progress_reaches_whoever_listens_and_a_broken_listener_disturbs_nothing(world: World) -> None:
    world.logs()
    assert (1, 0, "a.txt") in world.told

    def broken(done: int, total: int, note: str = "") -> None:
        raise RuntimeError

    world.executor._progress = broken
    assert not world.logs(factor=3).reused
