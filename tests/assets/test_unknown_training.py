"""The gate `{check: no_leak}` where the record does not know all: a model's training data, what a table is of, bytes that are gone."""

from __future__ import annotations

import pyarrow as pa
from leak_world import A, C, every_plugin, leak_world, outside, unknowns  # noqa: F401  # two are fixtures

from tracecore.kpi_provenance import read_kpi_provenance
from tracecore_schemas.kinds import StageKind


def test_a_table_that_names_no_frames_stands_for_those_it_was_made_from(world):
    world.parts()
    crops = pa.table({"crop": [b"1", b"2"]})
    world.run("crops", StageKind.CURATE, {"frames": "parts.test"}, {"crops": world.table("crops", crops)})
    world.run("shuffled", StageKind.CURATE, {"crops": "crops"}, {"crops": world.table("shuffled", crops.slice(1))})
    world.train("model", "parts.train", more="shuffled")
    world.evaluate("kpis", "parts.test")
    outcome = world.gate()
    assert "p.model learned from p.shuffled, made from p.parts.test: 6 frames are in both" in outcome.message
    assert outcome.unknowns == ()


def test_labels_read_alone_stand_for_the_frames_that_they_name(world):
    """A training that gets its pictures elsewhere, and an evaluation that does."""
    world.parts()
    of_a, of_c = (pa.table({"frame_id": [row["frame_id"] for row in rows]}) for rows in ([*A, C[0]], C))
    for name, rows in (("first", of_a), ("second", of_c)):
        world.run(name, StageKind.LABEL, {"frames": "drives"}, {"labels": world.table(name, rows, kind="label_batch")})
    world.run("model", StageKind.TRAIN, {"labels": "first"}, {"model": world.thing("model", "model")}, outside={"image": outside("images.zip")})
    world.run("kpis", StageKind.EVALUATE, {"model": "model", "labels": "second"}, {"report": world.report("kpis")})
    outcome = world.gate(unknown_training=["external/file/images.zip"])
    assert not outcome.passed
    assert f"1 frame is in both: {C[0]['frame_id']}" in outcome.message


def test_what_was_measured_of_a_file_from_outside_is_refused_unless_the_program_names_it(world):
    """A report, or detections, that another tool wrote; and a report of whose making nothing is recorded."""
    world.parts()
    world.run("kpis", StageKind.EVALUATE, {}, {"report": world.report("kpis")}, outside={"file": outside("report.json")})
    outcome = world.gate()
    assert not outcome.passed
    assert "nobody knows what external/file/report.json@" in outcome.message
    outcome = world.gate(unknown_training=["external/file/report.json"])
    assert outcome.passed
    assert unknowns(outcome) == {"measured frames", "training data"}
    seen = {"file": outside("detections.json")}
    world.run("kpis", StageKind.EVALUATE, {"frames": "parts.test"}, {"report": world.report("kpis")}, outside=seen)
    assert not world.gate().passed
    assert unknowns(world.gate(unknown_training=["external/file/detections.json"])) == {"training data"}
    world.run("kpis", StageKind.EVALUATE, {}, {"report": world.report("kpis")})
    assert "nobody knows what kpi_report/p.kpis@" in world.gate().message
    assert world.gate(unknown_training=["kpi_report/p.kpis"]).passed
    world.run("kpis", StageKind.EVALUATE, {"frames": "parts.test"}, {"report": world.report("kpis")})
    assert world.gate().passed, "what looks without a model has learned from nothing"


def test_a_report_of_reports_is_of_their_models(world):
    """Whatever kind of stage joins them."""
    world.parts()
    world.run("strange", StageKind.TRAIN, {}, {"model": world.thing("model", "strange")}, outside={"file": outside()})
    for name, model in (("first", "model"), ("second", "strange")):
        world.evaluate(name, "parts.test", model, kpis={name: 0.5})
    for stage in (StageKind.EVALUATE, StageKind.CURATE):
        world.run("joined", stage, {"a": "first.report", "b": "second.report"}, {"report": world.report("joined")})
        (outcome,) = world.judge(roles=["joined"])
        assert not outcome.passed
        assert f"nobody knows what {world.made['strange'][0].ref} learned from" in outcome.message


def test_what_other_producers_wrote_of_runs_and_tables_raises_nothing():
    facets = (
        {},
        {"schema": 3},
        {"schema": {"fields": {}}},
        {"schema": {"fields": [3, {"name": []}]}},
        {"tracecore_frames": {"drives": 3}},
        {"tracecore_split": []},
    )
    for given in facets:
        for stage in (None, [], {}, "spark", "evaluate", "train"):
            refs = ["dataset/x@1", "model/y@1", "external/s/z@1", "label_batch/l@1"]
            nodes = [{"ref": ref, "facets": given} for ref in [*refs, "kpi_report/k@1"]]
            edges = [{"run": "r", "ref": ref, "direction": "input", "role": "x"} for ref in refs]
            edges += [{"run": "r", "ref": "kpi_report/k@1", "direction": "output", "role": "x"}]
            uses = read_kpi_provenance(
                {"root": "kpi_report/k@1", "runs": [{"id": "r", "stage": stage, "job": "j"}], "nodes": nodes, "edges": edges}, "r"
            )
            assert uses.models == ("model/y@1",)


def test_a_model_that_was_trained_on_from_another_without_recorded_data_is_of_unknown_training(world):
    world.parts()
    world.run("second", StageKind.TRAIN, {"init": "model"}, {"model": world.thing("model", "second")})
    world.evaluate("kpis", "parts.test", "second")
    assert "its run, of p.second, recorded no frames or labels that it learned from" in world.gate().message


def test_a_request_that_no_recorded_run_made_is_an_unknown(world):
    world.parts()
    world.made["request"] = (world.thing("data_request", "request"), None)
    world.run("wished", StageKind.CURATE, {"frames": "parts.train", "request": "request"}, {"frames": world.table("wished", A[:3])})
    world.train("model", "wished")
    world.evaluate("kpis", "parts.test")
    outcome = world.gate()
    assert outcome.passed
    assert unknowns(outcome) == {"leaks of p.request"}


def test_a_model_taken_over_from_outside_is_refused_unless_the_program_names_it(world):
    world.parts()
    world.run("model", StageKind.TRAIN, {}, {"model": world.thing("model", "model")}, outside={"training_run_file": outside()})
    world.evaluate("kpis", "parts.test")
    ref = world.made["model"][0].ref
    outcome = world.gate()
    assert not outcome.passed
    assert f"nobody knows what {ref} learned from" in outcome.message
    for name in (ref, "model/p.model", ref[:30]):
        outcome = world.gate(unknown_training=[name])
        assert outcome.passed
        assert unknowns(outcome) == {"training data"}
        assert ref in outcome.unknowns[0].why
    assert not world.gate(unknown_training=["model/p.mod"]).passed, "no beginning of a name"
    assert "which no report's model is or was made from" in world.gate(unknown_training=[ref, "model/other"]).message
    assert "which no report's" not in world.gate(unknown_training=[ref, "model/p.model"]).message


def test_weights_that_a_training_read_from_a_path_are_refused_by_their_name(world):
    world.parts()
    world.run(
        "model", StageKind.TRAIN, {"frames": "parts.train"}, {"model": world.thing("model", "model")}, outside={"pretrained_weights": outside()}
    )
    world.evaluate("kpis", "parts.test")
    outcome = world.gate()
    assert not outcome.passed
    assert "best.pt" in outcome.message
    assert world.gate(unknown_training=["external/file/best.pt"]).passed


def test_a_model_that_no_run_made_is_of_unknown_training(world):
    world.parts()
    world.made["model"] = (world.thing("model", "strange"), None)
    world.evaluate("kpis", "parts.test")
    assert "no recorded run made it" in world.gate().message


def test_what_a_foreign_run_made_a_model_of_was_learned_from(world):
    world.parts()
    world.run("model", None, {"dataset": "parts.test"}, {"model": world.thing("model", "foreign")})
    world.evaluate("kpis", "parts.test")
    outcome = world.gate()
    assert "p.model learned from p.parts.test" in outcome.message
    world.run("model", None, {}, {"model": world.thing("model", "foreign again")})
    world.evaluate("kpis", "parts.test")
    assert "recorded no frames or labels" in world.gate().message


def test_what_names_no_frames_is_an_unknown(world):
    world.parts()
    world.run("signals", StageKind.INGEST, {}, {"signals": world.table("signals", pa.table({"drive": ["c"], "speed": [3.0]}))})
    world.train("model", "parts.train", signals="signals")
    world.evaluate("kpis", "parts.test")
    outcome = world.gate()
    assert outcome.passed
    assert unknowns(outcome) == {"leaks of p.signals"}


def test_a_table_with_frames_and_drives_alone_is_compared_by_them(world):
    rows = pa.table({"frame_id": ["x/1", "x/2"], "drive": ["x", "x"]})
    world.run("small", StageKind.INGEST, {}, {"frames": world.table("small", rows)})
    world.run("other", StageKind.INGEST, {}, {"frames": world.table("other", rows.slice(1))})
    world.train("model", "small")
    world.evaluate("kpis", "other")
    outcome = world.gate()
    assert not outcome.passed
    assert "1 frame is in both (drive x): x/2" in outcome.message
    assert unknowns(outcome) == {"leaks of p.small", "leaks of p.other"}


def test_a_report_whose_frames_nobody_recorded_is_an_unknown(world):
    world.parts()
    world.run("kpis", StageKind.EVALUATE, {"model": "model"}, {"report": world.report("kpis")})
    outcome = world.gate()
    assert outcome.passed
    assert unknowns(outcome) == {"measured frames"}


def test_a_table_whose_bytes_are_gone_is_an_unknown_and_the_same_table_still_leaks(world):
    world.parts()
    world.evaluate("kpis", "parts.test")
    for role in ("parts.train", "parts.test"):
        (world.store.root / world.made[role][0].location).rename(world.store.root / f"gone-{role}")
    outcome = world.gate()
    assert outcome.passed
    assert unknowns(outcome) == {"leaks of p.parts.train", "leaks of p.parts.test"}
    assert "and p.parts.test and p.parts.train could not be read" in outcome.message
    drives = {"tracecore_frames": {"summary": "x", "frames": 1, "drives": {"c": 1}}}
    world.run("old", StageKind.INGEST, {}, {"frames": world.table("old", C[:1], **drives)})
    (world.store.root / world.made["old"][0].location).rename(world.store.root / "gone-old")
    world.train("model", "old")
    world.evaluate("kpis", "parts.validation")
    assert world.gate().passed
    world.ingest("later", C[1:])
    world.evaluate("kpis", "later")
    assert "measured on p.later, and p.model learned from p.old: drive c is in both" in world.gate().message
    world.train("model", "parts.train")
    world.evaluate("kpis", "parts.train")
    assert "they are one table" in world.gate().message


def test_a_table_some_of_whose_files_are_gone_is_an_unknown(world):
    world.parts()
    world.evaluate("kpis", "parts.test")
    for file in (world.store.root / world.made["parts.train"][0].location).rglob("*.parquet"):
        file.unlink()
    outcome = world.gate()
    assert outcome.passed
    assert unknowns(outcome) == {"leaks of p.parts.train"}


def test_no_report_at_all_and_no_split_leave_nothing_judged(world):
    world.parts()
    outcome = world.gate()
    assert (outcome.passed, outcome.measured) == (False, "not run")
    world.evaluate("kpis", "parts.test", kpis={})
    assert not world.gate().passed, "a report without figures is no report"
