"""Private parts of Dagster are imported in one file, fit the pinned version, and have the members that recording uses."""

from __future__ import annotations

import inspect
import tomllib
from pathlib import Path

import dagster
import pytest
from packaging.requirements import Requirement

from tracecore_assets.external_assets import dagster_internals as internals

ROOT = Path(__file__).parents[2]


def test_no_other_shipped_module_imports_private_modules_of_dagster() -> None:
    folders = [ROOT / folder for folder in ("tracecore", "schemas", "lineage", "assets", "graphql")] + sorted(
        (ROOT / "plugins").glob("*/tracecore_*")
    )
    files = [file for folder in folders for file in folder.rglob("*.py")]
    assert [file.name for file in files if "dagster._" in file.read_text(encoding="utf-8")] == ["dagster_internals.py"]


def test_dagster_is_pinned_to_one_minor_version() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    (pin,) = [requirement for text in extras["dagster"] if (requirement := Requirement(text)).name == "dagster"]
    major, minor = dagster.__version__.split(".")[:2]
    assert str(pin.specifier) in (f"<{major}.{int(minor) + 1},>={major}.{minor}", f">={major}.{minor},<{major}.{int(minor) + 1}")


@pytest.mark.parametrize(
    ("method", "parameters"),
    [
        ("store_event", {"event"}),
        ("register_instance", {"instance"}),
        ("get_records_for_run", {"run_id", "of_type"}),
        ("get_event_records", {"event_records_filter", "limit"}),
        ("get_latest_tags_by_partition", {"asset_key", "event_type", "tag_keys"}),
        ("get_asset_check_execution_history", {"check_key", "limit", "status"}),
        ("dispose", set()),
    ],
)
def test_the_event_log_has_the_methods_that_recording_uses(method: str, parameters: set[str]) -> None:
    assert parameters <= inspect.signature(getattr(internals.SqliteEventLogStorage, method)).parameters.keys()


def test_an_instance_knows_the_ops_of_a_run_by_its_snapshot() -> None:
    @dagster.op(tags={"tracecore/program": "toy"})
    def step() -> None: ...

    @dagster.job
    def job() -> None:
        step()

    with dagster.DagsterInstance.ephemeral() as instance:
        run = instance.get_run_by_id(job.execute_in_process(instance=instance).run_id)
        assert run is not None
        (op,) = instance.get_job_snapshot(str(run.job_snapshot_id)).node_defs_snapshot.op_def_snaps
    assert (op.name, op.tags) == ("step", {"tracecore/program": "toy"})
