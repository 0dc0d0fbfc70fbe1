"""A KPI report as Dagster's page shows it."""

from __future__ import annotations

from types import SimpleNamespace

from tracecore_assets.define.metadata import artifact_metadata
from tracecore_schemas.kinds import Media
from tracecore_schemas.run import Artifact


def test_a_report_shows_its_page_without_broken_pictures_and_its_intervals(tmp_path):
    (tmp_path / "report.md").write_text("# KPIs\n\nGood.\n\n![Samples](samples.png)\n")
    facet = {"values": {"map50": 0.3, "map": 0.1}, "baseline": {"map50": 0.1}, "intervals": {"map50": [0.2, 0.4]}}
    report = Artifact("kpi_report", "p.kpis", "sha256:" + 64 * "0", Media.DIRECTORY, "somewhere", facets={"tracecore_kpis": facet})
    shown = artifact_metadata(report, "a-run", reused=False, store=SimpleNamespace(open=lambda _: tmp_path), inputs=())
    assert "samples.png" not in shown["page"].value
    assert shown["page"].value.startswith("# KPIs\n\nGood.")
    assert [dict(record.data) for record in shown["kpis"].records] == [
        {"kpi": "map50", "value": "0.3000", "95 % interval": "0.2000 to 0.4000", "baseline": "0.1000"},
        {"kpi": "map", "value": "0.1000", "95 % interval": "-", "baseline": "-"},
    ]
