"""Assets that no program made: each step of Dagster's is a run of the record, with the exact versions it read."""

from __future__ import annotations

import importlib
import json
import logging
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tracecore.workspace import Workspace
from tracecore_lineage import Record
from tracecore_lineage.catalog.replay import catalog_differences
from tracecore_lineage.verify.doctor import examine

SETTINGS = Path(__file__).parents[2] / "assets" / "tracecore_assets" / "dagster.yaml"


@dataclass(frozen=True)
class Deployment:
    """A workspace, an instance of Dagster's on it, and the code location of tests/own_assets.py."""

    workspace: Workspace
    instance: object
    location: object

    def run(self, *keys, job=None, **more):
        import dagster as dg

        defs = self.location.defs
        chosen = defs.resolve_job_def(job) if job else defs.resolve_implicit_global_asset_job_def()
        selection = {} if job else {"asset_selection": [dg.AssetKey(key.split("/")) for key in keys]}
        return chosen.execute_in_process(instance=self.instance, raise_on_error=False, **selection, **more)

    def observe(self, key):
        from dagster._core.definitions.observe import observe

        return observe([getattr(self.location, key)], instance=self.instance)

    def begin_again(self):
        """Let the event log be that of a process that starts now."""
        from tracecore_assets.external_assets.event_log import EventLogListener, workspace_of

        storage = self.instance.event_log_storage
        storage.dispose()
        storage._listener = EventLogListener(storage, workspace_of(self.workspace.dagster), lambda: self.instance)

    def ref(self, name):
        return f"external/dagster.{self.workspace.slug}/{name}"


@pytest.fixture(scope="module")
def begun(shared_project):
    """Make a workspace once, with the build `one` in it and an external table seen once; every test gets a copy."""
    from tracecore_assets.run.instance import dagster_instance

    project = shared_project
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(project.site))
        for name, value in {"TRACECORE_PLUGINS": "toy", "TOY_PROGRAM": str(project.program), "TRACECORE_HOME": str(project.workspace)}.items():
            patch.setenv(name, value)
        logging.getLogger("dagster").setLevel(logging.CRITICAL)
        location = importlib.import_module("own_assets")
        workspace = Workspace.create(project.workspace)
        with dagster_instance(workspace) as instance:
            made = Deployment(workspace, instance, location)
            config = {"ops": {"toy__release": {"config": {"name": "one", "approver": "board"}}}}
            assert made.run(job="build_toy", run_config=config).success
            assert made.observe("table").success
        yield project, location


@pytest.fixture
def deployment(begun, tmp_path, monkeypatch):
    """Open the instance as `tracecore build` does."""
    from tracecore_assets.run.instance import dagster_instance

    project, location = begun
    place = tmp_path / "ws"
    shutil.copytree(project.workspace, place)
    monkeypatch.setenv("TRACECORE_PLUGINS", "toy")
    monkeypatch.setenv("TRACECORE_HOME", str(place))
    location = importlib.reload(location)  # as a process loads it that starts now
    workspace = Workspace.open(place)
    with dagster_instance(workspace) as instance:
        yield Deployment(workspace, instance, location)


def of(trace, kind):
    return {node["ref"].rpartition("/")[2]: node for node in trace["nodes"] if node["kind"] == kind}


def read_by(trace, job):
    """Return what the runs of a job read, by role."""
    runs = {run["id"] for run in trace["runs"] if run["job"] == job}
    return {edge["role"]: edge["ref"] for edge in trace["edges"] if edge["run"] in runs and edge["direction"] == "input"}


def jobs(trace):
    return [(run["job"], run["state"]) for run in trace["runs"]]


def test_an_own_asset_leads_back_into_our_graph_and_a_drive_reaches_it(deployment):
    """A model of a program's, read in its exact version; an external table in the version that was seen; nothing of it is guessed."""
    assert deployment.run(job="mine").success
    with Record.open(deployment.workspace) as record:
        trace = record.trace(deployment.ref("x"))
        model = record.trace("model/toy.model")["root"]
        reached = record.impact("drive_log/a")
        assert record.query(catalog_differences, record.ledger) == []
        assert record.verify()["ok"]
        assert examine(record.recorder)["ok"]
        assert record.verify("build/one")["ok"]
    assert trace["complete"], trace["gaps"]
    assert read_by(trace, "dagster/card") == {"toy/model": model, "table": f"{deployment.ref('table')}@2026-11"}
    assert read_by(trace, "dagster/both") == {"card": f"{deployment.ref('card')}@card-1"}
    assert set(of(trace, "drive_log")) >= {next(name for name in of(trace, "drive_log") if name.startswith("a@"))}
    assert {f"{deployment.ref(name)}" for name in ("card@card-1", "x@x-1", "y@y-1")} <= {node["ref"] for node in reached["nodes"]}
    # One run for a step with two outputs, and none of a program's own steps among them.
    assert jobs(trace).count(("dagster/both", "COMPLETE")) == 1
    assert not any(job.startswith("dagster/toy") for job, _ in jobs(trace))
    both = next(run for run in trace["runs"] if run["job"] == "dagster/both")
    assert both["checks"] == [{"name": "good", "success": True, "severity": "blocking"}]
    facet = of(trace, "external")["card@card-1"]["facets"]["tracecore_dagster_asset"]
    assert (facet["version"], facet["observed"]) == ("given", False)
    assert set(facet["metadata"]) == {"bytes"}  # Markdown of a page is not recorded
    assert {(unknown["at"], unknown["what"]) for unknown in trace["unknowns"]} >= {(f"{deployment.ref('card')}@card-1", "bytes")}


def test_an_input_that_nobody_ever_said_a_version_of_is_a_gap(deployment):
    assert deployment.run("from_nowhere").success
    with Record.open(deployment.workspace) as record:
        trace = record.trace(deployment.ref("from_nowhere"))
    assert not trace["complete"]
    assert [(gap["at"], gap["missing"]) for gap in trace["gaps"]] == [(f"{deployment.ref('nobody_knows')}@unversioned", "version")]


def test_partitions_are_data_of_their_own_and_a_reader_names_those_it_read(deployment):
    assert deployment.run(job="mine").success
    for day in ("mon", "tue"):
        assert deployment.run("daily", "evening", partition_key=day).success
    assert deployment.run("week").success
    with Record.open(deployment.workspace) as record:
        evening = record.trace(deployment.ref("evening%5Bmon%5D"))
        week = record.trace(deployment.ref("week"))
    assert read_by(evening, "dagster/evening") == {"daily[mon]": f"{deployment.ref('daily%5Bmon%5D')}@of-mon"}
    assert read_by(week, "dagster/week") == {f"daily[{day}]": f"{deployment.ref(f'daily%5B{day}%5D')}@of-{day}" for day in ("mon", "tue")}


def test_a_failed_attempt_is_a_run_of_its_own_and_a_failed_step_has_its_reason(deployment):
    assert deployment.run(job="mine").success
    assert deployment.run("second_time").success
    assert not deployment.run("broken").success
    with Record.open(deployment.workspace) as record:
        events = [json.loads(leaf.body) for leaf in _leaves(record)]
    ends = [(e["job"]["name"], e["eventType"], e["run"]) for e in events if e["job"]["name"].startswith("dagster/") and e["eventType"] != "START"]
    assert [kind for job, kind, _ in ends if job == "dagster/second_time"] == ["FAIL", "COMPLETE"]
    failed = next(run for job, _, run in ends if job == "dagster/broken")
    assert failed["facets"]["errorMessage"]["message"] == "Step 'broken' of Dagster failed: ValueError: no way."
    assert failed["facets"]["tracecore_execution"]["environment_digest"].startswith("sha256:")


def _leaves(record):
    from tracecore_lineage.ledger import ledger

    with record.database.read() as connection:
        return list(ledger.read(connection))


def test_a_subset_of_a_multi_asset_is_recorded_as_what_was_made(deployment):
    assert deployment.run("card", "x").success
    with Record.open(deployment.workspace) as record:
        trace = record.trace(deployment.ref("x"))
        made = {edge["ref"] for edge in record.impact("model/toy.model")["edges"] if edge["direction"] == "output"}
    assert trace["complete"]
    assert f"{deployment.ref('x')}@x-1" in made
    assert not any(ref.startswith(deployment.ref("y")) for ref in made)


def test_a_strangers_check_of_our_artifact_is_a_check_run_and_rejects_nothing(deployment):
    import dagster as dg

    key = dg.AssetCheckKey(dg.AssetKey(["toy", "model"]), "looks_right")
    job = deployment.location.defs.resolve_implicit_global_asset_job_def()
    job.get_subset(asset_check_selection={key}, asset_selection=set()).execute_in_process(instance=deployment.instance, raise_on_error=False)
    with Record.open(deployment.workspace) as record:
        trace = record.trace("model/toy.model")
    run = next(run for run in trace["runs"] if run["job"] == "toy.model")
    assert {"name": "looks_right", "success": False, "severity": "warn"} in run["checks"]
    assert not trace["nodes"][0]["rejected"]


def test_an_input_made_anew_while_the_step_ran_is_an_unknown_unless_the_reader_said_what_it_read(deployment):
    """Dagster freezes an input's version when the step starts; what reads by `read` names the one it read."""
    import dagster as dg

    @dg.asset(deps=[dg.AssetKey(["toy", "model"]), dg.AssetKey(["toy", "drives", "frames"])])
    def slow(context):
        from tracecore_assets import read

        _make_again(deployment, "seed=8", "drives.scale=2")
        return dg.MaterializeResult(metadata={"read": read(context, "toy/model").ref})

    with Record.open(deployment.workspace) as record:
        before = record.trace("dataset/toy.drives.frames")["root"]
        assert dg.materialize([slow], instance=deployment.instance).success
        trace = record.trace(deployment.ref("slow"))
        newest = record.trace("model/toy.model")["root"]
    assert read_by(trace, "dagster/slow") == {"toy/model": newest, "toy/drives/frames": before}
    said = [unknown["why"] for unknown in trace["unknowns"] if unknown["what"] == "version read"]
    assert len(said) == 1
    assert said[0].startswith("toy/drives/frames was made again while the step ran")


def _make_again(deployment, *settings):
    """Make the program's assets again, otherwise, as another run of Dagster's does."""
    import dagster as dg

    from tracecore_assets import Overrides, program_definitions

    job = program_definitions(deployment.location.PROGRAM, Overrides(settings)).resolve_implicit_global_asset_job_def()
    keys = [key for key in job.asset_layer.executable_asset_keys if key != dg.AssetKey(["toy", "release"])]
    assert job.execute_in_process(instance=deployment.instance, asset_selection=keys, raise_on_error=False).success


def test_what_is_reported_by_hand_is_recorded_once_however_often_its_event_is_stored(deployment):
    import dagster as dg

    from tracecore_assets.external_assets.event_log import RecordingEventLogStorage

    storage = deployment.instance.event_log_storage
    assert isinstance(storage, RecordingEventLogStorage)
    deployment.instance.report_runless_asset_event(dg.AssetMaterialization("by_hand", tags={"dagster/data_version": "7"}))
    entry = deployment.instance.get_latest_materialization_event(dg.AssetKey("by_hand"))
    with Record.open(deployment.workspace) as record:
        before = record.recorder.position()
        storage.store_event(entry)
        assert record.recorder.position() == before
        assert record.trace(f"{deployment.ref('by_hand')}@7")["complete"]


def test_a_record_that_can_not_be_written_fails_no_run_and_loses_nothing(deployment, monkeypatch, tmp_path):
    """The step waits in a file of the workspace; doctor says so; the next step that can be recorded brings it along."""
    monkeypatch.setenv("TRACECORE_CATALOG_URL", f"sqlite:///{tmp_path / 'no' / 'such' / 'record.db'}")
    deployment.begin_again()  # it finds no record
    assert deployment.run("frozen").success
    waiting = list((deployment.workspace.dagster / "unrecorded").glob("*.json"))
    assert len(waiting) == 1
    monkeypatch.delenv("TRACECORE_CATALOG_URL")
    deployment.begin_again()
    with Record.open(deployment.workspace) as record:
        problem = examine(record.recorder)["problems"][0]
        assert problem.startswith(f"One step of Dagster's assets is not recorded yet and kept in {waiting[0].parent}: the next such step or build")
        assert deployment.run("from_nowhere").success
        assert record.trace(deployment.ref("frozen"))["complete"]
        assert examine(record.recorder)["ok"]
    assert not waiting[0].exists()


def test_a_step_that_can_neither_be_recorded_nor_kept_fails_and_says_why(deployment, monkeypatch, tmp_path):
    monkeypatch.setenv("TRACECORE_CATALOG_URL", f"sqlite:///{tmp_path / 'no' / 'such' / 'record.db'}")
    deployment.begin_again()
    (deployment.workspace.dagster / "unrecorded").write_text("a file where a folder is needed")
    result = deployment.run("frozen")
    said = " ".join(str(getattr(event.event_specific_data, "error", "")) for event in result.all_events)
    assert "The step 'frozen' can neither be recorded (" in said
    assert not result.success


def test_settings_that_somebody_wrote_stay(tmp_path):
    from tracecore_assets.run.instance import dagster_home

    workspace = Workspace.create(tmp_path / "ws")
    settings = Path(dagster_home(workspace)) / "dagster.yaml"
    assert settings.read_bytes() == SETTINGS.read_bytes()
    settings.write_text("telemetry: {enabled: false}\n")
    dagster_home(workspace)
    assert settings.read_text() == "telemetry: {enabled: false}\n"
    assert (Path(__file__).parents[2] / "dagster.yaml").read_bytes() == SETTINGS.read_bytes()


def test_a_run_launched_in_another_process_is_recorded_there(project):
    """As the page launches it: a code server of its own, and the run in a process below it."""
    from tracecore_assets.run.instance import dagster_home

    workspace = Workspace.create(project.workspace)
    environment = project.environment | {"DAGSTER_HOME": dagster_home(workspace), "TOY_PROGRAM": str(project.program)}
    built = project.run("build", "one", "--program", "toy.yaml", "--approver", "board")
    assert built.returncode == 0, built.stderr
    location = Path(__file__).parents[1] / "own_assets.py"
    command = [sys.executable, "-m", "dagster", "job", "launch", "-f", str(location), "-j", "mine"]
    launched = subprocess.run(command, cwd=project.folder, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert launched.returncode == 0, launched.stderr
    with Record.open(workspace) as record:
        for _ in range(300):
            found = [json.loads(leaf.body) for leaf in _leaves(record)]
            ended = [e for e in found if e["job"]["name"] == "dagster/both" and e["eventType"] == "COMPLETE"]
            if ended:
                break
            time.sleep(0.2)
        assert len(ended) == 1
        assert record.trace(f"external/dagster.{workspace.slug}/x")["gaps"] == [
            {
                "at": f"external/dagster.{workspace.slug}/table@unversioned",
                "missing": "version",
                "why": next(gap["why"] for gap in record.trace(f"external/dagster.{workspace.slug}/x")["gaps"]),
            }
        ]


def test_the_example_of_the_programs_page_records_what_it_read(deployment, monkeypatch):
    """The page's example runs unchanged, with the toy program in place of night.yaml."""
    import dagster as dg
    from markdown_pages import blocks

    [code] = blocks("docs/programs.md", "python")
    code = code.replace("night_fleet", "toy").replace('"night.yaml"', repr(deployment.location.PROGRAM))
    module = {}
    exec(compile(code, "docs/programs.md", "exec"), module)
    job = module["defs"].resolve_implicit_global_asset_job_def()
    assert job.execute_in_process(instance=deployment.instance, asset_selection=[dg.AssetKey("model_card")]).success
    with Record.open(deployment.workspace) as record:
        trace = record.trace(deployment.ref("model_card"))
        assert trace["complete"]
        assert read_by(trace, "dagster/model_card") == {"toy/model": record.trace("model/toy.model")["root"]}


def test_a_strangers_step_that_is_called_like_one_of_a_program_is_recorded(deployment):
    import dagster as dg

    @dg.multi_asset(name="toy__model", specs=[dg.AssetSpec("stranger", deps=["x"])])
    def step():
        yield dg.MaterializeResult("stranger", data_version=dg.DataVersion("1"))

    assert deployment.run(job="mine").success
    assert dg.materialize([step], instance=deployment.instance).success
    with Record.open(deployment.workspace) as record:
        trace = record.trace(deployment.ref("stranger"))
    assert ("dagster/toy__model", "COMPLETE") in jobs(trace)
