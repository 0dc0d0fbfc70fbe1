"""A stranger's facet, KPI, gate and export format, in one package: shown with their own words, and still after the package is gone."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace

import forked
import pytest
from plugin_folder import write_distribution
from toy_plugin import PROGRAM

from tracecore.errors import RunFailed, UsageError
from tracecore_assets import build
from tracecore_assets.define.metadata import artifact_metadata
from tracecore_graphql.named_queries import document
from tracecore_graphql.schema import ask
from tracecore_lineage import Record

SOURCE = '''
"""Rain in frames."""
import tracecore as tc
from tracecore_schemas.facets import KPIS_FACET

WEATHER = tc.FacetSpec(
    "acme_weather",
    lambda value: tc.summarize(tc.count(value["wet"], "wet frame"), f"seen by {value['seen_by']}"),
    schema={
        "description": "How many frames are wet.",
        "type": "object",
        "properties": {"wet": {"type": "integer", "minimum": 0}, "seen_by": {"type": "string"}},
        "required": ["wet"],
    },
    example={"wet": 3, "seen_by": "the wiper"},
)


class WetFrames(tc.Stage):
    """Keep the wet frames."""

    kind = tc.StageKind.CURATE
    frames = tc.Input("dataset", description="frames")
    wet = tc.Output("dataset", description="the wet ones")

    class Params(tc.Params):
        wet: int = tc.Field(3, description="how many are wet")

    def run(self, context, params):
        context.write(self.wet, context.read(self.frames).to_table())
        context.describe(self.wet, WEATHER, {"wet": params.wet, "seen_by": "the wiper"})


class Glare(tc.Stage):
    """Measure the glare."""

    kind = tc.StageKind.EVALUATE
    frames = tc.Input("dataset", description="frames")
    report = tc.Output("kpi_report", description="the glare")

    def run(self, context, params):
        (context.path(self.report) / "glare.txt").write_text("2.5")
        context.describe(self.report, KPIS_FACET, {"values": {"glare.total": 2.5, "glare.night": 2.0}, "baseline": {"glare.total": 9.0}})


class Dry(tc.Gate):
    """Not too much may be wet."""

    name = "acme-dry"
    description = "Not too many frames are wet."

    def check_requirement(self, requirement):
        if set(requirement) != {"most"}:
            raise tc.UsageError("The gate 'acme-dry' takes 'most', a number of frames.")

    def evaluate(self, evidence, requirement):
        wet = evidence.artifacts["wet"].facets["acme_weather"]["wet"]
        return tc.GateResult(wet <= requirement["most"], wet, requirement["most"], f"{wet} frames are wet")


class Lines(tc.Exporter):
    """One line an artifact."""

    name = "acme-lines"
    description = "A line an artifact."

    def export(self, trace, manifest, destination):
        destination.write_text("\\n".join(sorted(node["ref"] for node in trace["nodes"])))


class Logs(tc.Stage):
    """Take the logs of a rain gauge."""

    kind = tc.StageKind.INGEST
    files = tc.Files("paths", suffixes=[".txt"], note="log of a rain gauge")
    frames = tc.Output("dataset", description="nothing yet")

    class Params(tc.Params):
        paths: tuple[str, ...] = ()
        wet: int = tc.Field(1, description="how many are wet")

    def run(self, context, params):
        for file in context.files(self.files):
            context.adopt(file, kind="external", name=file.name, facets={WEATHER: {"wet": params.wet, "seen_by": "a gauge"}})


@tc.hookimpl
def tracecore_register_stages():
    return [WetFrames, Glare, Logs]


@tc.hookimpl
def tracecore_register_facets():
    return [WEATHER]


@tc.hookimpl
def tracecore_register_kpis():
    return [
        tc.KpiSpec("glare", "Seconds of glare in an hour.", unit="s/h", better="less", level=2),
        tc.KpiSpec("glare.total", "All of it.", unit="s/h", better="less", level=2, headline=True),
    ]


@tc.hookimpl
def tracecore_register_gates():
    return [Dry()]


@tc.hookimpl
def tracecore_register_exporters():
    return [Lines()]
'''

OWN = """\
    wet: {stage: curate, plugin: wet-frames, inputs: {frames: drives.frames}}
    glare: {stage: evaluate, plugin: glare, inputs: {frames: wet}}
  release:"""
GATES = "- {gate: acme-dry, most: 5}\n      - {kpi: glare.total, max: 4}"
WITH_PACKAGE = PROGRAM.replace("  release:", OWN).replace("- {check: toy_no_leak}", GATES)


@pytest.fixture
def strange(project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A project with the stranger's package installed."""
    site = write_distribution(tmp_path / "acme", "acme", SOURCE)
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("TRACECORE_PLUGINS", "toy,acme")
    project.write(WITH_PACKAGE)
    return project


def run(project, *arguments: str, plugins: str = "toy") -> str:
    """Run a command without the stranger's package unless it is named."""
    path = os.pathsep.join([str(project.site), *([str(project.folder / "acme")] if "acme" in plugins else [])])
    done = forked.run(list(arguments), cwd=project.folder, env={**project.environment, "TRACECORE_PLUGINS": plugins, "PYTHONPATH": path})
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_they_are_shown_in_their_own_words_and_still_when_the_package_is_uninstalled(strange) -> None:
    answer = build(strange.workspace, "wet-1", approver="board", program=strange.program)
    assert {gate.name: (gate.passed, gate.message) for gate in answer.gates}["acme-dry"] == (True, "3 frames are wet")
    run(strange, "export", "wet-1", "--format", "acme-lines", "-o", "lines.txt", plugins="toy,acme")
    lines = (strange.folder / "lines.txt").read_text().splitlines()
    assert any(line.startswith("dataset/toy.wet@") for line in lines)

    traced = run(strange, "trace", "build/wet-1")
    assert "3 wet frames · seen by the wiper" in traced
    assert "glare.total 2.50 (baseline 9.00)" in traced
    assert "glare.night 2.00" not in traced, "the summary is of the headline alone"
    assert "acme-dry" in run(strange, "show", "build/wet-1")
    shown = run(strange, "show", "kpi_report/toy.glare")
    assert "glare.total 2.5 s/h (baseline 9)   All of it." in shown
    assert "glare.night 2 s/h   Seconds of glare in an hour." in shown
    assert "acme_weather: 3 wet frames · seen by the wiper" in run(strange, "show", "dataset/toy.wet")
    facets = json.loads(run(strange, "show", "kpi_report/toy.glare", "--json"))["facets"]
    recorded = facets["tracecore_kpis"]
    assert {name: recorded[name] for name in ("summary", "lower_is_better", "headline", "units", "descriptions", "level")} == {
        "summary": "glare.total 2.50 (baseline 9.00)",
        "descriptions": {"glare": "Seconds of glare in an hour.", "glare.total": "All of it."},
        "lower_is_better": ["glare"],
        "headline": ["glare.total"],
        "units": {"glare": "s/h"},
        "level": 2,
    }
    with Record.open(strange.workspace) as record:
        nodes = ask(record, document("trace"), {"ref": "build/wet-1"}).body["data"]["trace"]["nodes"]
        (wet,) = [node for node in nodes if node["name"] == "toy.wet"]
        assert wet["facets"]["acme_weather"]["summary"] == "3 wet frames · seen by the wiper"
        for name, expected in (("wet", "acme_weather"), ("glare", "kpis")):
            (artifact,) = record.recorder.artifacts("kpi_report" if name == "glare" else "dataset", f"toy.{name}")
            metadata = artifact_metadata(artifact, "r", reused=False, store=SimpleNamespace(open=lambda _: strange.folder), inputs=())
            assert expected in metadata
        assert {"kpi": "glare.total", "value": "2.5000 s/h", "baseline": "9.0000"} in [dict(row.data) for row in metadata["kpis"].records]


def test_what_its_contract_refuses_fails_the_run_and_names_the_member(strange) -> None:
    strange.write(WITH_PACKAGE.replace("plugin: wet-frames, ", "plugin: wet-frames, params: {wet: -1}, "))
    sentence = r"The stage 'wet-frames' described its output 'wet' by the facet 'acme_weather', whose contract refuses it: wet: -1 is less than"
    with pytest.raises(RunFailed, match=sentence):
        build(strange.workspace, "wet-1", approver="board", program=strange.program)


def test_a_facet_of_an_adopted_file_is_checked_too(strange) -> None:
    strange.write(WITH_PACKAGE.replace("  release:", "    gauge: {stage: ingest, plugin: logs, params: {paths: [drives], wet: -1}}\n  release:"))
    with pytest.raises(
        RunFailed, match=r"The stage 'logs' described external/a\.txt by the facet 'acme_weather', whose contract refuses it: wet: -1"
    ):
        build(strange.workspace, "wet-1", approver="board", program=strange.program)


def test_its_gate_refuses_a_wrong_entry_when_the_program_is_loaded(strange) -> None:
    strange.write(WITH_PACKAGE.replace("most: 5", "least: 5"))
    with pytest.raises(UsageError, match=r"toy\.yaml, line \d+: The gate 'acme-dry' takes 'most', a number of frames"):
        build(strange.workspace, "wet-1", approver="board", program=strange.program)
