"""The KPIs of a report over its versions: what changed since the one before, whether chance could explain it, and which builds depend on each.

Modules: `trace/kpi_history.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tracecore.commands.shell import cli
from tracecore.errors import UsageError
from tracecore.testing.worlds import RecordWorld, artifact
from tracecore_lineage.model import rfc3339
from tracecore_lineage.trace.kpi_history import kpi_history
from tracecore_schemas.kinds import StageKind

REPORT = "kpi_report/demo.kpis"
MOMENTS: list[str] = []


def evaluated(world: RecordWorld, content: str, **facet: Any) -> str:
    report = artifact("kpi_report", "demo.kpis", content, facets={"tracecore_kpis": {"baseline": {}, **facet}})
    world.run("kpis", StageKind.EVALUATE, [("frames", "drives.frames")], {"report": report})
    world.made["model"], world.runs["model"] = report, world.runs["kpis"]  # what a release of this small world takes along
    return report.ref


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RecordWorld]:
    made = RecordWorld.at(tmp_path_factory.mktemp("history") / "workspace")
    made.ingest("north")
    names = ["recall.car", "recall.car.night", "map", "map50", "ap.car", "ap.sign", "precision.car"]
    evaluated(made, "one", values=dict.fromkeys(names, 0.5) | {"map50": 0.41}, intervals={"map50": [0.38, 0.44]})
    made.seal("2026.1")
    made.seal("2026.1-again", approver=None)
    MOMENTS.append(rfc3339.now())
    evaluated(made, "two", values={"map50": 0.40, "map": None}, intervals={"map50": [0.36, 0.43]})
    evaluated(made, "three", values={"map50": 0.55, "map": 0.25}, intervals={"map50": [0.5, 0.6], "map": None})
    made.seal("2026.2")
    evaluated(made, "three", values={"map50": 0.55, "map": 0.25}, intervals={"map50": [0.5, 0.6], "map": None})
    evaluated(made, "four", values={"map50": None, "map": 0.25})
    yield made
    made.record.close()


def run(world: RecordWorld, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["show", *arguments, "--workspace", str(world.record.workspace.root)], prog_name="tracecore")


def test_each_version_stands_once_oldest_first_with_the_builds_sealed_on_it(world: RecordWorld) -> None:
    answer = world.record.query(kpi_history, REPORT)
    assert answer["name"] == "demo.kpis"
    assert [(version["build"], version["builds"]) for version in answer["history"]] == [
        ("2026.1", ["2026.1", "2026.1-again"]), (None, []), ("2026.2", ["2026.2"]), (None, []),
    ]  # fmt: skip
    assert [version["values"].get("map50") for version in answer["history"]] == [0.41, 0.40, 0.55, None]
    assert len({version["ref"] for version in answer["history"]}) == 4
    assert sorted(version["created_at"] for version in answer["history"]) == [version["created_at"] for version in answer["history"]]


def test_a_change_is_told_with_its_difference_and_whether_the_intervals_overlap(world: RecordWorld) -> None:
    first, second, third, fourth = world.record.query(kpi_history, REPORT)["history"]
    assert first["change"] == {}
    assert second["change"] == {"map50": {"difference": pytest.approx(-0.01), "overlap": True}}
    assert third["change"] == {"map50": {"difference": pytest.approx(0.15), "overlap": False}}
    assert fourth["change"] == {"map": {"difference": 0, "overlap": None}}, "no interval of it is known"
    assert (third["intervals"], fourth["intervals"]) == ({"map50": [0.5, 0.6]}, {})


def test_kpis_are_chosen_by_name_and_summaries_come_first(world: RecordWorld) -> None:
    assert world.record.query(kpi_history, REPORT)["kpis"][:3] == ["map", "map50", "ap.car"]
    answer = world.record.query(kpi_history, REPORT, kpis=["recall.car", "map50"])
    assert answer["kpis"] == ["recall.car", "map50"]
    assert answer["history"][1]["values"] == {"map50": 0.40}
    with pytest.raises(UsageError, match=r"has no KPI 'recall.cars'. Did you mean 'recall.car'\?"):
        world.record.query(kpi_history, REPORT, kpis=["recall.cars"])


def test_as_of_a_time_later_versions_and_builds_are_not_there(world: RecordWorld) -> None:
    [only] = world.record.query(kpi_history, REPORT, as_of=MOMENTS[0])["history"]
    assert only["builds"] == ["2026.1", "2026.1-again"]


def test_what_has_no_history_of_kpis_says_so(world: RecordWorld) -> None:
    with pytest.raises(UsageError, match=r"Did you mean 'kpi_report/demo\.kpis'"):
        world.record.query(kpi_history, "kpi_report/demo.kpi")
    with pytest.raises(UsageError, match=r"expected kpi_report/NAME. There are kpi_report/demo.kpis\."):
        world.record.query(kpi_history, "dataset/demo.drives.frames")
    result = run(world, REPORT, "--kpi", "map")
    assert (result.exit_code, result.stderr) == (2, "Error: --kpi chooses what --history shows: add --history.\n")


def test_the_command_prints_a_table_and_json(world: RecordWorld) -> None:
    answer = run(world, REPORT, "--history", "--kpi", "map50", "--kpi", "map", "--json")
    assert json.loads(answer.stdout) == json.loads(json.dumps(world.record.query(kpi_history, REPORT, kpis=["map50", "map"])))
    lines = [" ".join(line.split()) for line in run(world, REPORT, "--history", "--kpi", "map50", "--kpi", "map").stdout.splitlines() if line.strip()]
    assert lines[0] == "made build version map50 map"
    assert "2026.1, 2026.1-again" in lines[2]
    assert lines[2].endswith("0.410 [0.380, 0.440] 0.500")
    assert lines[3].endswith("0.400 [0.360, 0.430] (-0.010) not defined")
    assert lines[4].endswith("0.550 [0.500, 0.600] (+0.150!) 0.250")
    assert lines[5].endswith("not defined 0.250 (=)")
    headlines = run(world, REPORT, "--history").stdout
    assert headlines.split()[:5] == ["made", "build", "version", "map", "map50"]
    assert "5 more KPIs: --kpi NAME shows one, --json all." in headlines
