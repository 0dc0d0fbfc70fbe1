"""The programs that ship fit the stages that ship, and say what they need."""

from __future__ import annotations

from pathlib import Path

import pytest

from tracecore.errors import UsageError
from tracecore.plugins.host import PluginHost
from tracecore_assets import load_program
from tracecore_assets.load.parse import shipped_programs
from tracecore_assets.resolve import program_document

RECORDED = ["drives", "labels", "training_set", "model", "onnx", "half", "engine", "kpis", "selection_kpis", "mistakes"]
REFERENCE = [*RECORDED, "world", "diagnosis", "next_world", "next_drives", "next_frames"]


@pytest.fixture(autouse=True)
def _all_plugins(monkeypatch):
    monkeypatch.delenv("TRACECORE_PLUGINS", raising=False)


def test_two_programs_ship():
    """By the names that the public contract promises."""
    assert sorted(shipped_programs()) == ["recorded", "reference"]


@pytest.mark.parametrize(("name", "assets"), [("recorded", RECORDED), ("reference", REFERENCE)])
def test_a_shipped_program_resolves_to_the_shipped_stages(name, assets):
    """Stages, parameters, ports, checks and gates all exist."""
    program = load_program(name)
    assert program.name == name
    assert sorted(asset.name for asset in program.assets) == sorted(assets)
    assert program.spec.release.gates[0].name == "no_leak"
    assert program.spec.release.approver == "required"


@pytest.mark.parametrize("name", ["recorded", "reference"])
def test_kpis_are_reported_on_test_frames_and_everything_is_chosen_on_validation_frames(name):
    """No asset but a report of KPIs reads the test side, and the network that is judged is the one that was compiled."""
    program = load_program(name).spec
    read = {(asset, port): source for asset, spec in program.assets.items() for port, source in spec.inputs.items()}
    apart = {("labels", "gold"), ("next_frames", "exclude")}  # reviewed whole; kept out of what is trained on next
    assert {place for place, source in read.items() if source == "training_set.test"} - apart == {("kpis", "frames"), ("mistakes", "frames")}
    assert read["mistakes", "selection_frames"] == read["selection_kpis", "frames"] == "training_set.validation"
    assert read["kpis", "model"] == read["selection_kpis", "model"] == read["engine", "model"]
    for converted in ("onnx", "half", "engine"):
        assert read[converted, "frames"] == "training_set.validation"


def test_shipped_gates_ask_for_more_than_the_baseline_in_each_heads_headline():
    gates = {name: {gate.subject: dict(gate.requirement) for gate in load_program(name).spec.release.gates} for name in ("recorded", "reference")}
    assert gates["recorded"] == {"no_leak": {}, "map50": {"above_baseline": 0.05}}
    assert gates["reference"]["map50"] == {"above_baseline": 0.05}
    better = {kpi for kpi, asked in gates["reference"].items() if "above_baseline" in asked}
    assert better == {"map50", "path_error.mean", "light.accuracy", "mota", "mistakes_per_hour.total"}
    assert any("min" in asked and kpi.startswith("recall.") for kpi, asked in gates["reference"].items())


def test_a_shipped_program_without_drives_says_how_to_name_them():
    """Not where this installation lies."""
    with pytest.raises(UsageError) as caught:
        program_document(load_program("recorded"))
    assert str(caught.value) == (
        "The shipped program 'recorded' brings no drive file: name yours with --drives PATH ('tracecore draw-drives DIR' draws some)."
    )


def test_a_table_of_another_type_is_refused_when_the_program_is_loaded(tmp_path: Path) -> None:
    """The line, the type that the port takes, the one that it was given, and the output that fits."""
    text = shipped_programs()["reference"].read_text(encoding="utf-8")
    wired = "inputs: {frames: drives.frames}"
    assert wired in text
    line = text[: text.index(wired)].count("\n") + 1
    program = tmp_path / "wrong.yaml"
    program.write_text(text.replace(wired, "inputs: {frames: drives.sweeps}", 1), encoding="utf-8")
    with pytest.raises(UsageError) as refused:
        load_program(program)
    assert str(refused.value) == (
        f"{program}, line {line}: input 'frames' of 'training_set' takes a table of frames, "
        "but 'drives.sweeps' is a table of sweeps. Write 'drives.frames'."
    )


def test_every_table_port_of_our_plugins_declares_its_type() -> None:
    ports = [
        f"{stage.qualified_name}.{name}"
        for stage in PluginHost.load().stages
        if stage.distribution.startswith("tracecore-")
        for name, port in {**stage.stage_class.inputs(), **stage.stage_class.outputs()}.items()
        if port.kind in {"dataset", "label_batch", "event_set"} and port.table is None
    ]
    assert ports == []
