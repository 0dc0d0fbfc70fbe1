"""Facets and KPIs that two plugins register under one name: named, each for its own plugin's stages, refused for others'."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
from plugin_folder import entry_points_of, write_distribution
from stage_world import StageWorld

import tracecore as tc
from tracecore.plugins.host import PluginHost
from tracecore.workspace import Workspace

REPORTS = '''
import tracecore as tc
from tracecore_schemas.facets import KPIS_FACET

class Measure(tc.Stage):
    """Measure."""

    kind = tc.StageKind.EVALUATE
    report = tc.Output("kpi_report", description="the report")

    class Params(tc.Params):
        kpi: str = "glare"
        facet: str = "acme_other"

    def run(self, context, params):
        (context.path(self.report) / "glare.txt").write_text("2.5")
        context.describe(self.report, KPIS_FACET, {"values": {params.kpi: 2.5}, "baseline": {}})
        context.describe(self.report, params.facet, {"summary": "wet", "wet": 3})

@tc.hookimpl
def tracecore_register_stages():
    return [Measure]
'''
OFFERS = """
@tc.hookimpl
def tracecore_register_kpis():
    return [tc.KpiSpec("glare", "Glare.", unit="{unit}")]

@tc.hookimpl
def tracecore_register_facets():
    schema = {{"description": "Wet.", "type": "object", "properties": {{"wet": {{"type": "integer"}}}}}}
    return [tc.FacetSpec("acme_weather", lambda value: "wet", schema=schema, example={{"wet": 3}})]
"""


@pytest.fixture
def world(plugin_site: Path, workspace: Workspace) -> StageWorld:
    for name, offers in {"day": OFFERS.format(unit="s/h"), "night": OFFERS.format(unit="min/h"), "third": ""}.items():
        write_distribution(plugin_site, name, REPORTS + offers)
    importlib.invalidate_caches()
    return StageWorld(workspace, PluginHost(entry_points_of(plugin_site)))


def test_they_are_named_and_a_stage_gets_those_of_its_own_plugin(world: StageWorld) -> None:
    assert not world.host.broken
    sentences = {each.sentence for each in world.host.shared_names}
    for noun, name in (("KPI", "glare"), ("facet", "acme_weather")):
        assert f"Several plugins offer the {noun} '{name}' ('day', 'night'): a stage gets that of its own plugin, stages of others fail." in sentences
    for plugin, unit in (("day", "s/h"), ("night", "min/h")):
        made = world.run("evaluate", f"{plugin}/measure", {}, asset=plugin, facet="acme_weather")
        facets: dict[str, dict[str, object]] = world.record.recorder.facets(made.outputs["report"].ref)  # type: ignore[assignment]
        assert facets["tracecore_kpis"]["units"] == {"glare": unit}


@pytest.mark.parametrize(
    ("params", "found"),
    [({}, "the KPI 'glare'"), ({"kpi": "map50", "facet": "acme_weather"}, "the facet 'acme_weather'")],
)
def test_a_stage_of_a_third_plugin_is_refused(world: StageWorld, params: dict[str, str], found: str) -> None:
    sentence = rf"by {found}, which several plugins offer \('day', 'night'\), but not its own plugin 'third'"
    with pytest.raises(tc.RunFailed, match=sentence):
        world.run("evaluate", "third/measure", {}, **params)
    assert world.run("evaluate", "third/measure", {}, kpi="map50")
