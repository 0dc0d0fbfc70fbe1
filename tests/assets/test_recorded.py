"""The shipped program `recorded` on real drives (CamVid), trained for a few steps only."""

from __future__ import annotations

import pytest

from tracecore.testing.worlds import real_input
from tracecore_assets import BuildRefused, Overrides, build
from tracecore_assets.release.release import WaiverText
from tracecore_lineage import Record
from tracecore_schemas.refs import parse_ref

SPLIT_ONLY = """\
type: tracecore_assets.VehicleProgram
attributes:
  name: recorded
  seed: 7
  assets:
    drives: {stage: ingest, plugin: mcap, params: {paths: [drives]}}
    labels: {stage: label, plugin: coco, inputs: {frames: drives.frames}, params: {paths: [labels.coco.json]}}
    training_set:
      stage: curate
      plugin: leak-free-split
      inputs: {frames: drives.frames, labels: labels}
      params: {by: drive}
  release:
    approver: required
    gates: [{check: no_leak}]
"""


def test_camvid_is_refused_by_its_quality_gate_sealed_with_a_waiver_and_its_official_split_is_blocked(tmp_path, monkeypatch):
    """From three drive files to a seal, with what is unknown listed; the split its authors published leaks by drive, and is refused.

    Four steps of training teach nothing, so the gate on map50 refuses the build until it is waived.
    """
    camvid = real_input("camvid")
    monkeypatch.delenv("TRACECORE_PLUGINS", raising=False)
    files = {"drives": (str(camvid),), "labels": (str(camvid / "labels.coco.json"),)}
    few = ("training_set.holdout=0001TP", "model.steps=4", "model.size=[96, 128]")
    with pytest.raises(
        BuildRefused, match=r"gate map50 failed: map50 is [\d.e-]+; between .* required: the lower end at least the baseline's"
    ) as caught:
        build(tmp_path / "ws", "camvid", "recorded", overrides=Overrides(few, **files), approver="safety-board")
    assert [(gate.name, gate.passed) for gate in caught.value.answer.gates] == [("no_leak", True), ("map50", False)]
    assert {parse_ref(ref).segments[0].removeprefix("recorded.") for ref in caught.value.answer.made} == {
        "drives.frames",
        "drives.signals",
        "drives.sweeps",
        "drives.calibrations",
        "labels",
        "training_set.train",
        "training_set.validation",
        "training_set.test",
        "model",
        "onnx",
        "half",
        "engine",
        "kpis.report",
        "kpis.events",
        "kpis.detections",
        "selection_kpis.report",
        "selection_kpis.events",
        "selection_kpis.detections",
        "mistakes.report",
        "mistakes.events",
        "mistakes.tracks",
    }
    waiver = [WaiverText("map50", "a test of four steps", "2099-12-31")]
    answer = build(tmp_path / "ws", "camvid", "recorded", overrides=Overrides(few, **files), approver="safety-board", waivers=waiver)
    assert answer.made == ()
    with Record.open(tmp_path / "ws") as record:
        trace = record.trace("build/camvid")
    nodes = {(node["kind"], node["name"]): node for node in trace["nodes"]}
    assert trace["complete"]
    assert trace["gaps"] == []
    assert {name for kind, name in nodes if kind == "drive_log"} == {"0001TP", "0006R0", "0016E5"}
    assert nodes["dataset", "recorded.drives.frames"]["rows"] == 468
    assert nodes["dataset", "recorded.training_set.test"]["rows"] == 62
    unknowns = {unknown["what"] for unknown in trace["unknowns"]}
    assert {"labeler", "time and place"} <= unknowns
    parity = nodes["model", "recorded.half"]["facets"]["tracecore_parity"]
    assert (parity["samples"], parity["images"]) == (32, "recorded frames")

    program = tmp_path / "split.yaml"
    program.write_text(SPLIT_ONLY)
    official = Overrides(("training_set.by=official_split",), **files)
    with pytest.raises(BuildRefused, match=r"build/official is not released: gate no_leak failed: .*drive 0016E5 .*1\.0 s apart") as caught:
        build(tmp_path / "ws", "official", program, overrides=official, approver="safety-board")
    refused = caught.value.answer
    # The same drives and labels, another split: only that is made.
    assert {parse_ref(ref).segments[0] for ref in refused.made} == {f"recorded.training_set.{side}" for side in ("train", "validation", "test")}
    assert len(refused.reused) == 5
