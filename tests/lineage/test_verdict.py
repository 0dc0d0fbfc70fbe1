"""What the first line of a build says: failed checks first, then KPIs with what the gates ask of them, and every gate that did not pass."""

from __future__ import annotations

from typing import Any

from tracecore.kpis import read_kpis
from tracecore_lineage.present.words import BAD, checks_in_words, kpis_in_words

FACET: dict[str, Any] = {
    "values": {"map50": 0.41, "mota": -0.09, "mistakes_per_hour.total": 412.4, "recall.car": 0.2, "odd": None},
    "baseline": {"map50": 0.02, "mota": 0.0, "mistakes_per_hour.total": 900.0},
    "intervals": {"map50": [0.35, 0.47], "mistakes_per_hour.total": [300.2, 500.7]},
    "lower_is_better": ["mistakes_per_hour"],
    "headline": ["map50", "mota", "mistakes_per_hour.total"],
}
REPORTS: dict[str, Any] = {"kpis.report": {"tracecore_kpis": FACET}}


def gate(name: str, required: Any, *, passed: bool = True, waived: bool = False, measured: Any = None) -> dict[str, Any]:
    value = FACET["values"].get(name.removeprefix("kpis.")) if measured is None else measured
    return {"name": name, "passed": passed, "waived": waived, "measured": value, "required": required, "message": ""}


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
    gains = {"map50": [0.3, 0.5], "mistakes_per_hour.total": [12.0, 988.0]}
    reports = {"kpis.report": {"tracecore_kpis": {**FACET, "gains": gains}}}
    gates = [gate("map50", {"above_baseline": 0.05, "baseline": 0.02}), gate("mistakes_per_hour.total", {"above_baseline": 0, "baseline": 900.0})]
    assert said(gates, reports)[:2] == ["map50 0.41 (more by 0.30 to 0.50) ≥ 0.02 + 0.05", "mistakes_per_hour.total 412 (less by 12.0 to 988) < 900"]


def test_without_a_margin_a_gate_asks_for_more_than_the_baseline() -> None:
    gates = [
        gate("map50", {"above_baseline": 0, "baseline": 0.02}),
        gate("mistakes_per_hour.total", {"above_baseline": 0, "baseline": 900.0}),
        gate("recall.car", {"min": 0.1, "max_drop": 0.02}),
    ]
    assert said(gates)[:3] == [
        "map50 0.41 (0.35 to 0.47) > 0.02",
        "mistakes_per_hour.total 412 (300 to 501) < 900",
        "recall.car 0.20 ≥ 0.10 at most 0.02 worse than before",
    ]


def test_a_gate_with_a_name_of_its_own_shows_what_it_measured_and_no_other_kpi_of_that_name() -> None:
    assert said([gate("mota", {"min": 0.4}, measured=0.41)])[:2] == ["mota 0.41 ≥ 0.40", "map50 0.41 (baseline 0.02)"]
    assert said([gate("better", {"above_baseline": 0.05, "baseline": 0.02}, measured=0.41)])[0] == "better 0.41 better than 0.02 by 0.05"


def test_a_value_that_would_be_rounded_to_its_bound_is_written_out() -> None:
    gates = [gate("a", {"min": 0.05}, passed=False, measured=0.0463), gate("b", {"min": 0.05}, measured=0.05)]
    assert said(gates)[:2] == ["a 0.0463 ≥ 0.05 FAILED", "b 0.05 ≥ 0.05"]


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


def test_reports_of_one_asset_are_told_apart_by_their_ports() -> None:
    """A gate on a name that means both finds none of them: it must not pass by the wrong one."""
    facets = [{"tracecore_kpis": {"values": {"map50": value}, "baseline": {}, "headline": ["map50"]}} for value in (0.4, 0.5)]
    kpis = read_kpis({"kpis.day": facets[0], "kpis.night": facets[1], "kpis.events": {}})
    assert {name: kpi.value for name, kpi in kpis.items()} == {"kpis.day.map50": 0.4, "kpis.night.map50": 0.5}
    assert [words for words, _ in kpis_in_words([], kpis)] == ["kpis.day.map50 0.40", "kpis.night.map50 0.50"]


def test_one_value_with_two_baselines_is_two_kpis() -> None:
    facets = [{"tracecore_kpis": {"values": {"mota": 0.0}, "baseline": {"mota": baseline}}} for baseline in (0.0, -1.0)]
    assert set(read_kpis({"a.report": facets[0], "b.report": facets[1]})) == {"a.mota", "b.mota"}
    assert "recall.car" not in read_kpis(
        {"recall": {"tracecore_kpis": {"values": {"car": 0.1}}}, "b": {"tracecore_kpis": {"values": {"recall.car": 1}}}}
    )


def test_failed_checks_are_counted_and_named() -> None:
    assert checks_in_words([]) == []
    assert checks_in_words(["parity"]) == [("1 check failed: parity", BAD)]
    assert checks_in_words(["parity", "parity", "a", "b", "c"]) == [("5 checks failed: parity, a, b and 1 more", BAD)]


def test_a_report_that_is_none_of_ours_has_no_kpis() -> None:
    odd: dict[str, Any] = {"a": {"tracecore_kpis": 3}, "b": {}, "c": {"tracecore_kpis": {"values": [1], "headline": 7, "parts": {"x": 1}}}}
    assert read_kpis(odd) == {}
    flags: dict[str, Any] = {"a": {"tracecore_kpis": {"values": {"x": True, "y": 1}}}}
    assert list(read_kpis(flags)) == ["a.y", "y"]
