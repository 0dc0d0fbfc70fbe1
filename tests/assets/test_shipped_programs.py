"""The programs that ship fit the stages that ship, and say what they need."""

from __future__ import annotations

import pytest

from tracecore.errors import UsageProblem
from tracecore_assets import load_program
from tracecore_assets.document import program_document
from tracecore_assets.parse import shipped_programs

RECORDED = ["drives", "labels", "training_set", "model", "onnx", "half", "engine", "kpis"]
REFERENCE = [
    "world", "drives", "training_set", "labels", "model", "onnx", "half", "engine", "kpis", "mistakes", "diagnosis", "next_world", "next_drives",
    "next_frames",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _all_plugins(monkeypatch):
    monkeypatch.delenv("TRACECORE_PLUGINS", raising=False)


def test_two_programs_ship():
    """By the names that the public contract promises."""
    assert sorted(shipped_programs()) == ["recorded", "reference"]


@pytest.mark.parametrize(("name", "assets"), [("recorded", RECORDED), ("reference", REFERENCE)])
def test_a_shipped_program_is_wired_to_the_shipped_stages(name, assets):
    """Stages, parameters, ports, checks and gates all exist."""
    wired = load_program(name)
    assert wired.name == name
    assert sorted(asset.name for asset in wired.assets) == sorted(assets)
    assert wired.program.release.gates[0].name == "no_leak"
    assert wired.program.release.approver == "required"


def test_a_shipped_program_without_drives_says_how_to_name_them():
    """Not where this installation lies."""
    with pytest.raises(UsageProblem) as caught:
        program_document(load_program("recorded"))
    assert str(caught.value) == (
        "The shipped program 'recorded' brings no drive file: name yours with --drives PATH ('tracecore draw-drives DIR' draws some)."
    )
