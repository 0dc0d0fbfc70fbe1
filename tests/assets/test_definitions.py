"""A program in Dagster: assets, checks and metadata as its page shows them, and the program as a component."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import dagster as dg
import pytest
from toy_plugin import PROGRAM, write_drives

from tracecore.plugins.host import PluginHost
from tracecore.system.locks import own_store
from tracecore.workspace import NamedWorkspace, Workspace
from tracecore_assets import Overrides, build, load_program
from tracecore_assets.code_location import workspace_definitions
from tracecore_assets.define.definitions import definitions
from tracecore_assets.load.recent_programs import keep_recent_program, recent_programs
from tracecore_assets.run.instance import dagster_instance, workspace_file
from tracecore_lineage import Record
from tracecore_lineage.seal.seal import sealed_build


def _no_session(context):
    raise AssertionError("nothing runs here")


def test_every_output_is_an_asset_with_its_checks(project):
    """One asset for each output, keyed by program, asset and port; checks on their outputs."""
    program = load_program(project.program)
    found = definitions(program, _no_session)
    graph = found.resolve_asset_graph()
    keys = {"/".join(key.path) for key in graph.get_all_asset_keys()}
    assert keys == {
        "toy/drives/frames",
        "toy/drives/count",
        "toy/training_set/train",
        "toy/training_set/validation",
        "toy/model",
        "toy/kpis",
        "toy/release",
    }
    node = graph.get(dg.AssetKey(["toy", "training_set", "train"]))
    assert node.parent_keys == {dg.AssetKey(["toy", "drives", "frames"])}
    assert node.kinds == {"curate", "dataset"}
    assert node.group_name == "toy"
    assert node.code_version == program.asset("training_set").stage.plugin.source_digest.removeprefix("sha256:")[:12]
    blocking = {key.name: graph.get_check_spec(key).blocking for key in graph.asset_check_keys}
    assert blocking == {"toy_positive": True, "toy_no_leak": False}
    assert graph.get(dg.AssetKey(["toy", "release"])).parent_keys == {dg.AssetKey(["toy", "drives", "count"]), dg.AssetKey(["toy", "kpis"])}


def test_materializations_carry_digests_refs_and_checks(project):
    """The data version is the digest; the metadata has what a reader of the page looks for."""
    answer = build(project.workspace, "one", project.program, approver="board")
    build(project.workspace, "two", project.program, approver="board")
    place = Workspace.open(project.workspace)
    with dagster_instance(place) as instance:
        frames = dg.AssetKey(["toy", "drives", "frames"])
        records = instance.fetch_materializations(frames, limit=2).records
        assert [record.asset_materialization.metadata["reused"].value for record in records] == [True, False]
        made = records[1].asset_materialization
        ref = next(ref for ref in answer.made if ".frames@" in ref)
        assert made.metadata["ref"].value == ref
        assert made.tags["dagster/data_version"] == "sha256:" + ref.rpartition("@")[2]
        assert made.metadata["dagster/row_count"].value == 5
        assert [column.name for column in made.metadata["dagster/column_schema"].schema.columns] == ["drive", "frame_id", "value"]
        assert [row.data["what"] for row in made.metadata["unknowns"].records] == ["place"]
        check = instance.event_log_storage.get_latest_asset_check_execution_by_key([dg.AssetCheckKey(frames, "toy_positive")])
        evaluation = next(iter(check.values())).event.dagster_event.event_specific_data
        assert evaluation.passed
        assert evaluation.description == "the least value is 1"
        kpis = instance.fetch_materializations(dg.AssetKey(["toy", "kpis"]), limit=1).records[0].asset_materialization
        assert kpis.metadata["kpi/recall.car"].value == 0.5
        assert dict(kpis.metadata["kpis"].records[0].data) == {"kpi": "recall.car", "value": "0.5000", "baseline": "0.0000"}
        sealed = instance.fetch_materializations(dg.AssetKey(["toy", "release"]), limit=1).records[0].asset_materialization
        assert sealed.metadata["ref"].value.startswith("build/two@")
        runs = instance.get_runs()
        assert {run.job_name for run in runs} == {"build_toy"}
        assert [run.tags["tracecore/build"] for run in runs] == ["two", "one"]


def test_the_page_loads_the_programs_that_were_built_here(project):
    """With the overrides they were built with; one that is gone disturbs no other."""
    other = project.folder / "other.yaml"
    other.write_text(PROGRAM.replace("name: toy", "name: other"))
    build(project.workspace, "one", project.program, overrides=Overrides(settings=("model.epochs=2",)), approver="board")
    place = Workspace.open(project.workspace)
    keep_recent_program(place, "other", other, Overrides(drives=("drives",)))
    assert [(entry.name, entry.overrides.settings) for entry in recent_programs(place)] == [("other", ()), ("toy", ("model.epochs=2",))]
    assert {job.name for job in workspace_definitions(NamedWorkspace.of(place.root)).jobs} == {"build_toy", "build_other"}
    third = project.folder / "third.yaml"
    third.write_text(PROGRAM.replace("name: toy", "name: oth-er"))
    (project.folder / "third2.yaml").write_text(PROGRAM.replace("name: toy", "name: oth_er"))
    keep_recent_program(place, "oth-er", third, Overrides())
    keep_recent_program(place, "oth_er", project.folder / "third2.yaml", Overrides())
    assert {job.name for job in workspace_definitions(NamedWorkspace.of(place.root)).jobs} == {"build_toy", "build_other", "build_oth_er"}
    third.unlink()
    (project.folder / "third2.yaml").unlink()
    other.unlink()
    assert {job.name for job in workspace_definitions(NamedWorkspace.of(place.root)).jobs} == {"build_toy"}
    location = json.loads(Path(workspace_file(place)).read_text())["load_from"][0]["python_module"]
    assert location["module_name"] == "tracecore_assets.code_location"


@pytest.fixture
def dagster_project(project, monkeypatch):
    """Lay out a user's own Dagster project, with the program as a component in it."""
    monkeypatch.setenv("TRACECORE_HOME", str(project.workspace))
    Workspace.create(project.workspace)
    root = project.folder / "theirs"
    component = root / "fleet_pipelines" / "defs" / "toy"
    component.mkdir(parents=True)
    (root / "pyproject.toml").write_text('[tool.dg]\ndirectory_type = "project"\n[tool.dg.project]\nroot_module = "fleet_pipelines"\n')
    for package in ("fleet_pipelines", "fleet_pipelines/defs"):
        (root / package / "__init__.py").write_text("")
    (component / "defs.yaml").write_text(PROGRAM)
    write_drives(component / "drives")
    monkeypatch.syspath_prepend(str(root))
    yield dg.load_from_defs_folder(path_within_project=root)
    for name in [name for name in sys.modules if name.startswith("fleet_pipelines")]:
        del sys.modules[name]


def test_a_program_file_is_a_dagster_component(project, dagster_project):
    """`type: tracecore_assets.VehicleProgram` in anybody's Dagster project gives the same assets, and builds into the workspace."""
    result = dagster_project.resolve_job_def("build_toy").execute_in_process(
        run_config={"ops": {"toy__release": {"config": {"name": "from_dagster", "approver": "board"}}}}
    )
    assert result.success
    with Record.open(project.workspace) as record:
        assert record.query(sealed_build, "from_dagster") is not None
    assert _store_is_free(project)


def _store_is_free(project) -> bool:
    with own_store(Workspace.open(NamedWorkspace.of(project.workspace)).locks, patience=0) as own:
        return own


def test_a_run_in_this_process_that_fails_frees_the_store(project, dagster_project):
    """The session of a Dagster run is closed when the run ends, however it ends."""
    shutil.rmtree(project.folder / "theirs" / "fleet_pipelines" / "defs" / "toy" / "drives")
    result = dagster_project.resolve_job_def("build_toy").execute_in_process(
        run_config={"ops": {"toy__release": {"config": {"name": "from_dagster", "approver": ""}}}}, raise_on_error=False
    )
    assert not result.success
    assert _store_is_free(project)


def test_a_bad_request_from_the_page_fails_before_any_work(project, dagster_project):
    """What the launchpad begins with, an empty name, is refused in one sentence by the first step."""
    job = dagster_project.resolve_job_def("build_toy")
    result = job.execute_in_process(run_config=job.run_config, raise_on_error=False)
    assert not result.success
    failure = next(event for event in result.all_node_events if event.is_failure).event_specific_data
    assert "'' is not a valid build name" in failure.user_failure_data.description
    assert not any((project.workspace / "store" / "staging").iterdir())
    assert not (project.workspace / "record.db").exists()


def test_two_programs_have_their_own_assets(project):
    """Names of programs keep their assets apart in one code location."""
    host = PluginHost.load()
    other = project.folder / "other.yaml"
    other.write_text(PROGRAM.replace("name: toy", "name: night-fleet"))
    both = dg.Definitions.merge(*(definitions(load_program(path, host=host), _no_session) for path in (project.program, other)))
    assert {job.name for job in both.jobs} == {"build_toy", "build_night_fleet"}
    assert len(both.resolve_asset_graph().get_all_asset_keys()) == 14


@pytest.mark.parametrize("name", ["toy", "night-fleet"])
def test_names_fit_dagster(name):
    """Dagster's names hold letters, digits and underscores."""
    from tracecore_assets.load.program import dagster_name, job_name, op_name

    for text in (dagster_name(name), job_name(name), op_name(name, "model")):
        assert text.replace("_", "a").isalnum()
