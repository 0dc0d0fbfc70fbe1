"""Kinds of artifacts and types of tables that a plugin brings: registered, typed, recorded with each version, and known without the plugin."""

from __future__ import annotations

import importlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from click.testing import CliRunner
from kernel_world import World, given
from plugin_folder import entry_points_of, write_distribution

import tracecore as tc
from tracecore.commands.shell import cli
from tracecore.plugins.host import PluginHost
from tracecore.running.task import ResolvedInput
from tracecore.workspace import Workspace
from tracecore_graphql.named_queries import document
from tracecore_graphql.schema import ask
from tracecore_schemas.kinds import BUILT_IN_KINDS, kind_of

SOURCE = '''
"""Lane maps: a plugin of a stranger."""

import pyarrow as pa
import tracecore as tc

LANES = tc.TableType(
    "lanes",
    "One row a lane that the map knows.",
    tc.Column("drive", "string", "name of the drive"),
    tc.Column("width", "double", "of the lane, m"),
    tc.Column("color", "string", "of its markings", nullable=True),
)
MARKED = tc.TableType("marked_lanes", "One row a marked lane.", tc.Column("style", "string", "of the marking"), extends=LANES)
LANE_MAP = tc.ArtifactKind(
    "lane_map", "A map of lanes.", rank=2, kept="a map names lanes and holds no bytes of the drive", holds_data=False, sample=lambda folder: folder
)


class Survey(tc.Stage):
    """Draw lanes."""

    kind = tc.StageKind.INGEST
    lanes = tc.Output(table=MARKED, description="lanes")
    atlas = tc.Output(LANE_MAP, file="lanes.txt", description="the map")

    def run(self, context, params):
        rows = [{"drive": "a", "width": 3.5, "style": "dashed"}, {"drive": "b", "width": 3.0, "style": "solid"}]
        context.write(self.lanes, pa.Table.from_pylist(rows, schema=MARKED.schema))
        (context.path(self.atlas) / "lanes.txt").write_text("two lanes")


class Widen(tc.Stage):
    """Widen lanes."""

    kind = tc.StageKind.CURATE
    lanes = tc.Input(table=LANES, description="lanes")
    atlas = tc.Input(LANE_MAP, description="the map")
    wide = tc.Output(table=LANES, description="lanes")

    def run(self, context, params):
        rows = context.read(self.lanes).to_table(columns=LANES.names).to_pylist()
        assert context.read(self.atlas).read_text() == "two lanes"
        context.write(self.wide, pa.Table.from_pylist([row | {"width": row["width"] + 1} for row in rows], schema=LANES.schema))


class Frames(tc.Stage):
    """Read frames."""

    kind = tc.StageKind.CURATE
    frames = tc.Input(table=tc.FRAMES, description="frames")
    kept = tc.Output(table=tc.FRAMES, description="frames")

    def run(self, context, params):
        context.write(self.kept, context.read(self.frames).to_table())


@tc.hookimpl
def tracecore_register_stages():
    return [Survey, Widen, Frames]


@tc.hookimpl
def tracecore_register_kinds():
    return [LANE_MAP]


@tc.hookimpl
def tracecore_register_tables():
    return [LANES, MARKED]
'''


def load(site: Path, name: str, source: str) -> PluginHost:
    write_distribution(site, name, source)
    importlib.invalidate_caches()
    return PluginHost(entry_points_of(site))


@pytest.fixture
def lanes(plugin_site: Path, workspace: Workspace) -> Iterator[World]:
    world = World(workspace, load(plugin_site, "lanes", SOURCE))
    assert not world.host.broken
    yield world
    world.record.close()


def test_registered_kinds_and_tables_stand_beside_the_built_in_ones(lanes: World) -> None:
    assert list(lanes.host.objects["kinds"]) == [*BUILT_IN_KINDS, "lane_map"]
    assert {"frames", "lanes", "marked_lanes"} <= lanes.host.objects["tables"].keys()


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (
            "return [LANE_MAP]",
            "return []",
            "its stage Survey writes 'lane_map' at its output 'atlas', which is not registered: return it",
        ),
        ("return [LANES, MARKED]", "return [MARKED]", "its stage Widen writes 'lanes' at its output 'wide', which is not registered"),
        ('"lane_map", "A map', '"model", "A map', "its kind 'model' has the name of one that 'tracecore' brings"),
        ('"lanes",\n', '"frames",\n', "its table type 'frames' has the name of one that 'tracecore' brings"),
        ("tc.Output(LANE_MAP", 'tc.Output("lane_map"', "'lane_map' is not a built-in kind of artifacts"),
        ('"lane_map", "A map', '"Lane Map", "A map', "'Lane Map' is not a valid name of a kind of artifacts: expected snake_case"),
        ("tc.Input(table=LANES", 'tc.Input("model", table=LANES', "a table of lanes is a dataset, not a model: leave the kind out"),
        ("tc.Input(LANE_MAP, ", "tc.Input(", "a port needs its kind or its table"),
        ('"double"', '"number"', "'number' is not a type of a column: expected one such as 'string'"),
    ],
)
def test_what_a_plugin_gets_wrong_is_named(plugin_site: Path, old: str, new: str, sentence: str) -> None:
    assert old in SOURCE
    host = load(plugin_site, "wrong_lanes", SOURCE.replace(old, new) + ("\nLANES.schema\n" if "number" in new else ""))
    [broken] = host.broken
    assert sentence in broken.error


def test_answers_keep_a_plugins_words_after_it_is_uninstalled(lanes: World, plugin_site: Path) -> None:
    made = lanes.run("survey", "ingest", "survey")
    wide = lanes.run("widen", "curate", "widen", {"lanes": given(made, "lanes"), "atlas": given(made, "atlas")})
    refs = [made.outputs["atlas"].ref, made.outputs["lanes"].ref, wide.outputs["wide"].ref]

    def answers() -> dict[str, Any]:
        texts = {}
        for command, *options in (["show"], ["show", "--json"], ["trace"], ["trace", "--json"]):
            for ref in refs:
                answer = CliRunner().invoke(cli, [command, ref, *options, "-w", str(lanes.workspace.root)])
                assert answer.exit_code == 0, answer.output
                texts[f"{command} {ref} {options}"] = answer.stdout
        return texts | {f"{name} {ref}": ask(lanes.record, document(name), {"ref": ref}).body for name in ("artifact", "trace") for ref in refs}

    before = answers()
    for name in [name for name in sys.modules if name == "lanes_plugin"]:
        del sys.modules[name]
    for path in plugin_site.glob("lanes*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    importlib.invalidate_caches()
    assert not entry_points_of(plugin_site)
    assert answers() == before
    shown = json.loads(before[f"show {refs[0]} ['--json']"])["facets"]["tracecore_artifact"]
    assert (shown["kind"], shown["of_kind"]["noun"], shown["summary"]) == ("lane_map", "lane map", "lane map · 9 bytes")
    tree = before[f"trace {refs[2]} []"]
    assert "One row a lane that the map knows · 2 rows" in tree
    assert "lane map · 9 bytes" in tree
    read = lanes.record.artifact(refs[0])
    assert kind_of(read.kind).kept == "a map names lanes and holds no bytes of the drive"
    assert (kind_of(read.kind).rank, kind_of(read.kind).holds_data) == (2, False)


def test_a_table_of_another_type_is_refused_when_a_stage_is_run_with_it(lanes: World) -> None:
    made = lanes.run("survey", "ingest", "survey")
    with pytest.raises(tc.UsageError, match=r"needs a table of frames as 'frames', found dataset/test\.survey\.lanes@\w+, one of marked_lanes\."):
        lanes.run("frames", "curate", "frames", {"frames": given(made, "lanes")})


def test_a_table_without_a_type_is_refused_where_it_lacks_columns_of_the_input(lanes: World) -> None:
    made = lanes.run("survey", "ingest", "survey")
    untyped = replace(made.outputs["lanes"], table=None)
    sentence = (
        r"needs a table of frames as 'frames', but dataset/test\.survey\.lanes@\w+, whose output declares no table type, lacks 14 columns of it: "
    )
    with pytest.raises(tc.UsageError, match=sentence + r"'sensor', 'timestamp_ns', "):
        lanes.run("frames", "curate", "frames", {"frames": ResolvedInput(untyped, made.run_id)})
    atlas = given(made, "atlas")
    assert lanes.run("widen", "curate", "widen", {"lanes": ResolvedInput(untyped, made.run_id), "atlas": atlas}).outputs["wide"].rows == 2


def test_a_table_of_an_earlier_version_is_read_with_nulls_in_new_columns() -> None:
    lanes = tc.TableType("lanes", "Lanes.", tc.Column("width", "double", "m"), tc.Column("color", "string", "", nullable=True), version=2)
    read = lanes.read(ds.dataset(pa.table({"width": [3.5], "more": [1]})))
    assert read.to_table().to_pylist() == [{"width": 3.5, "more": 1, "color": None}]


@pytest.mark.parametrize("recorded", [None, 7, {"noun": 3, "rank": "first", "role": "boss", "kept": None}, {"noun": ""}])
def test_what_others_record_of_a_kind_is_read_whatever_it_is(recorded: Any) -> None:
    kind = kind_of("lane_map", recorded)
    assert (kind, kind.noun, kind.holds_data) == ("lane_map", "lane map", True)


def test_what_others_record_of_a_built_in_kind_changes_nothing() -> None:
    assert kind_of("dataset", {"holds_data": False, "noun": "nothing"}) is tc.ArtifactKind.DATASET


TYPED = """
from pathlib import Path
import tracecore as tc

class Typed(tc.Stage):
    frames = tc.Input(table=tc.FRAMES)
    labels = tc.Input(table=tc.LABELS, optional=True)
    model = tc.Input("model")
    engine = tc.Input("engine", optional=True)

    def run(self, context: tc.Context, params: tc.Params) -> None:
        reveal_type(context.read(self.frames))
        reveal_type(context.read(self.labels))
        reveal_type(context.read(self.model))
        reveal_type(context.read(self.engine))
        context.read(self.model).to_table()
"""


def test_what_a_stage_reads_is_typed_by_its_port(tmp_path: Path) -> None:
    """Mypy in strict mode knows a table from a path, and what may be None."""
    file = tmp_path / "typed.py"
    file.write_text(TYPED, encoding="utf-8")
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", str(root / "pyproject.toml"), "--follow-imports=silent", str(file)]
    answer = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False).stdout
    revealed = [line.partition('Revealed type is "')[2].rstrip('"') for line in answer.splitlines() if "Revealed" in line]
    assert [each.replace("pathlib._local.", "pathlib.") for each in revealed] == [
        "tracecore.stage.Table",
        "tracecore.stage.Table | None",
        "pathlib.Path",
        "pathlib.Path | None",
    ]
    assert '"Path" has no attribute "to_table"' in answer
