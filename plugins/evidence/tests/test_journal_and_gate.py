"""The journal survives a torn line and can't disturb a run; the gate counts what is unknown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import tracecore as tc
from tracecore.testing.worlds import load_host
from tracecore_evidence.journal import append_line
from tracecore_evidence.no_unknowns_gate import NoUnknowns
from tracecore_schemas.kinds import RunState
from tracecore_schemas.run import Unknown


def lines(path: Path) -> list[dict[str, object]]:
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            found.append({"torn": line})
    return found


def test_every_run_and_build_appends_a_line_where_a_journal_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACECORE_PLUGINS", "evidence")
    run = tc.RunSummary("r1", "demo.model", "train", "torch", RunState.OPEN)
    load_host().notify("run_started", run)  # no journal is named yet
    journal = tmp_path / "journal.jsonl"
    monkeypatch.setenv("TRACECORE_JOURNAL", str(journal))
    host = load_host()
    host.notify("run_started", run)
    host.notify("run_finished", tc.RunSummary("r1", "demo.model", "train", "torch", RunState.COMPLETE, ("model/demo.model@" + "0" * 64,)))
    host.notify("build_sealed", tc.BuildSummary("demo", "build/demo@" + "1" * 64, 12, ()))
    found = lines(journal)
    assert [line["event"] for line in found] == ["run_started", "run_finished", "build_sealed"]
    assert found[1]["state"] == "COMPLETE"
    assert found[1]["outputs"] == ["model/demo.model@" + "0" * 64]
    assert found[2]["position"] == 12


def test_a_line_that_a_crash_tore_ends_before_the_next(tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"
    append_line(journal, {"event": "one"})
    with journal.open("ab") as stream:
        stream.write(b'{"event": "tw')
    append_line(journal, {"event": "three"})
    assert lines(journal) == [{"event": "one"}, {"torn": '{"event": "tw'}, {"event": "three"}]


def test_a_journal_that_can_not_be_written_disturbs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("TRACECORE_PLUGINS", "evidence")
    monkeypatch.setenv("TRACECORE_JOURNAL", str(tmp_path / "no" / "folder" / "journal.jsonl"))
    load_host().notify("run_started", tc.RunSummary("r1", "j", "train", "p", RunState.OPEN))
    assert "The plugin 'evidence' failed as an observer (tracecore_run_started)" in caplog.text


def evidence(*names: str) -> tc.GateEvidence:
    return tc.GateEvidence({}, (), {}, tuple((f"model/{name}@1", Unknown(name, "nobody said")) for name in names))


def test_the_gate_counts_what_is_unknown_beyond_its_exceptions() -> None:
    gate = NoUnknowns()
    assert gate.evaluate(evidence(), {}).passed
    held = gate.evaluate(evidence("labeler", "not executed", "time and place"), {"except": ["labeler", "not *"]})
    assert (held.passed, held.measured) == (False, 1)
    assert held.message == "unknown: time and place (model/time and place@1); 2 excepted"
    assert gate.evaluate(evidence("labeler"), {"except": ["labeler"]}).message == "nothing is unknown; 1 excepted"


@pytest.mark.parametrize(
    ("requirement", "sentence"),
    [
        ({"expect": []}, "The gate 'no-unknowns' has no key 'expect': it has 'except', a list of names."),
        ({"except": "labeler"}, "The gate 'no-unknowns' expects a list of names as 'except', found 'labeler'."),
    ],
)
def test_a_gate_that_is_written_wrongly_is_refused(requirement: dict[str, object], sentence: str) -> None:
    with pytest.raises(tc.UsageError) as raised:
        NoUnknowns().evaluate(evidence(), requirement)
    assert str(raised.value) == sentence
