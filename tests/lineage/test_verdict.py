"""What the first line of a build says: failed checks first, then KPIs with what the gates ask of them, and every gate that did not pass."""

from __future__ import annotations

from typing import Any

from tracecore_lineage.kpis import read_kpis
from tracecore_lineage.rendering.verdict import BAD, checks_in_words, kpis_in_words

FACET: dict[str, Any] = {
    "values": {"map50": 0.41, "mota": -0.09, "mistakes_per_hour.total": 412.4, "recall.car": 0.2, "odd": None},
    "baseline": {"map50": 0.02, "mota": 0.0, "mistakes_per_hour.total": 900.0},
    "intervals": {"map50": [0.35, 0.47], "mistakes_per_hour.total": [300.2, 500.7]},
    "lower_is_better": ["mistakes_per_hour"],
    "headline": ["map50", "mota", "mistakes_per_hour.total"],
}
REPORTS: dict[str, Any] = {"kpis.report": {"tracecore_kpis": FACET}}


def gate(name: str, required: Any, *, passed: bool = True, waived: bool = False) -> dict[str, Any]:
    return {"name": name, "passed": passed, "waived": waived, "measured": 0.41, "required": required, "message": ""}


def said(gates: list[dict[str, Any]], reports: Any = None) -> list[str]:
    return [words for words, _ in kpis_in_words(gates, read_kpis(reports or REPORTS))]


def test_a_kpi_stands_with_its_gate_and_a_headline_kpi_without_one_with_its_baseline() -> None:
    gates = [gate("recall.car", {"min": 0.1}), gate("map50", {"min": 0.3}), gate("no_leak", "passed")]
    assert said(gates) == ["recall.car 0.20 ≥ 0.10", "map50 0.41 ≥ 0.30", "mota -0.09 (baseline 0.00)", "mistakes_per_hour.total 412 (baseline 900)"]


def test_a_gate_above_the_baseline_shows_the_interval_that_it_judged() -> None:
    gates = [
        gate("kpis.map50", {"above_baseline": 0.05, "baseline": 0.02}),
        gate("mistakes_per_hour.total", {"above_baseline": 10.0, "baseline": 900.0}),
    ]
    assert said(gates) == [
        "kpis.map50 0.41 (0.35 to 0.47) ≥ 0.02 + 0.05",
        "mistakes_per_hour.total 412 (300 to 501) ≤ 900 − 10.0",  # noqa: RUF001  # a minus sign is what is meant
        "mota -0.09 (baseline 0.00)",
    ]


def test_a_gate_above_the_baseline_shows_how_much_better_it_is_where_the_report_says_it() -> None:
    gains = {"map50": [0.3, 0.5], "mistakes_per_hour.total": [-12.0, 988.0]}
    reports = {"kpis.report": {"tracecore_kpis": {**FACET, "gains": gains}}}
    assert said([gate("map50", {"above_baseline": 0.05})], reports)[0] == "map50 0.41 (baseline 0.02, better by 0.30 to 0.50) by ≥ 0.05"


def test_gates_that_did_not_pass_say_so_of_kpis_and_of_anything_else() -> None:
    gates = [
        gate("no_leak", "passed", passed=False, waived=True),
        gate("odd", {"min": 1}, passed=False),
        gate("recall.car", {"min": 0.3}, passed=False),
    ]
    assert said(gates)[:3] == ["no_leak WAIVED", "odd FAILED", "recall.car 0.20 ≥ 0.30 FAILED"]
    assert {style for _, style in kpis_in_words(gates, read_kpis(REPORTS))[:3]} == {BAD}


def test_reports_of_one_name_are_told_apart_and_a_report_by_which_something_was_selected_is_no_headline() -> None:
    both = {"kpis.report": {"tracecore_kpis": FACET}, "others.report": {"tracecore_kpis": {**FACET, "values": {"map50": 0.5}}}}
    assert [words for words in said([], both) if "map50" in words] == ["kpis.map50 0.41 (baseline 0.02)", "others.map50 0.50 (baseline 0.02)"]
    kpis = read_kpis(both, selection=["others.report"])
    assert [words for words, _ in kpis_in_words([], kpis) if "map50" in words] == ["map50 0.41 (baseline 0.02)"]


def test_failed_checks_are_counted_and_named() -> None:
    assert checks_in_words([]) == []
    assert checks_in_words(["parity"]) == [("1 check failed: parity", BAD)]
    assert checks_in_words(["parity", "parity", "a", "b", "c"]) == [("5 checks failed: parity, a, b and 1 more", BAD)]


def test_a_report_that_is_none_of_ours_has_no_kpis() -> None:
    odd: dict[str, Any] = {"a": {"tracecore_kpis": 3}, "b": {}, "c": {"tracecore_kpis": {"values": [1], "headline": 7, "parts": {"x": 1}}}}
    assert read_kpis(odd) == {}
    flags: dict[str, Any] = {"a": {"tracecore_kpis": {"values": {"x": True, "y": 1}}}}
    assert list(read_kpis(flags)) == ["a.y", "y"]
