"""Assets that no program made, where a step makes nothing, fails after it made something, reads itself, or says what no JSON can hold."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.observe import observe

from tracecore.errors import NegativeVerdict
from tracecore.testing.worlds import RecordWorld, artifact
from tracecore.workspace import Workspace
from tracecore_assets import read
from tracecore_assets.external_assets import recording
from tracecore_lineage import Record
from tracecore_lineage.ledger import ledger
from tracecore_lineage.retention.recover import open_runs
from tracecore_lineage.trace.show import show
from tracecore_schemas.kinds import StageKind


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("TRACECORE_HOME", str(tmp_path / "ws"))
    return Workspace.create(tmp_path / "ws")


@pytest.fixture
def instance(workspace: Workspace) -> Iterator[dg.DagsterInstance]:
    from tracecore_assets.run.instance import dagster_instance

    logging.getLogger("dagster").setLevel(logging.CRITICAL)
    with dagster_instance(workspace) as opened:
        yield opened


def ends(record: Record, job: str) -> list[dict[str, Any]]:
    """Return the terminal events of a job's runs."""
    with record.database.read() as connection:
        events = [json.loads(leaf.body) for leaf in ledger.read(connection)]
    return [event for event in events if event["job"]["name"] == job and event["eventType"] != "START"]


def names(event: dict[str, Any], side: str) -> list[str]:
    return [each["name"] for each in event.get(side, ())]


def ref(workspace: Workspace, name: str) -> str:
    return f"external/dagster.{workspace.slug}/{name}"


def test_a_step_that_makes_nothing_this_time_ends_all_the_same(workspace: Workspace, instance: dg.DagsterInstance) -> None:
    """No new data, no output: its START was recorded, so its run must not stay open for ever."""

    @dg.asset(output_required=False)
    def maybe() -> Iterator[dg.Output[int]]:
        yield from ()

    assert dg.materialize([maybe], instance=instance).success
    with Record.open(workspace) as record:
        assert [(end["eventType"], names(end, "outputs")) for end in ends(record, "dagster/maybe")] == [("COMPLETE", [])]
        assert open_runs(record.recorder) == []


def test_what_a_step_made_before_it_failed_has_a_producer_and_a_blocking_check_rejects_it(workspace: Workspace, instance: dg.DagsterInstance) -> None:
    """Dagster keeps what was made, and a later run may read it."""

    @dg.asset(check_specs=[dg.AssetCheckSpec("sound", asset="made", blocking=True)])
    def made() -> Iterator[Any]:
        yield dg.MaterializeResult(data_version=dg.DataVersion("1"))
        yield dg.AssetCheckResult(passed=False, check_name="sound")

    @dg.asset(deps=["made"])
    def reader() -> None: ...

    assert not dg.materialize([made], instance=instance, raise_on_error=False).success
    assert dg.materialize([reader], instance=instance).success
    with Record.open(workspace) as record:
        assert [(end["eventType"], names(end, "outputs")) for end in ends(record, "dagster/made")] == [("FAIL", []), ("COMPLETE", ["made"])]
        trace = record.trace(ref(workspace, "reader"))
    assert trace["complete"], trace["gaps"]
    [node] = [each for each in trace["nodes"] if each["ref"] == ref(workspace, "made@1")]
    assert node["rejected"]
    [why] = [unknown["why"] for unknown in trace["unknowns"] if unknown["what"] == "step"]
    assert why.startswith("the step that made it failed afterwards: Step 'made' of Dagster failed: ")


def test_a_partition_that_reads_the_one_before_it_names_it_and_the_first_has_no_gap(workspace: Workspace, instance: dg.DagsterInstance) -> None:
    before = dg.TimeWindowPartitionMapping(start_offset=-1, end_offset=-1)

    @dg.asset(partitions_def=dg.DailyPartitionsDefinition("2026-01-01", end_date="2026-01-04"), deps=[dg.AssetDep("day", partition_mapping=before)])
    def day(context):  # Dagster takes no annotation that is a string
        return dg.MaterializeResult(data_version=dg.DataVersion(f"of {context.partition_key}"))

    for key in ("2026-01-01", "2026-01-02", "2026-01-03"):
        assert dg.materialize([day], instance=instance, partition_key=key).success
    with Record.open(workspace) as record:
        assert [names(end, "inputs") for end in ends(record, "dagster/day")] == [[], ["day[2026-01-01]"], ["day[2026-01-02]"]]
        trace = record.trace(ref(workspace, "day%5B2026-01-03%5D"))
    assert trace["complete"], trace["gaps"]
    assert not [unknown for unknown in trace["unknowns"] if unknown["what"] in {"partitions read", "version read"}]


def test_a_source_that_is_seen_in_another_version_while_a_step_runs_is_an_unknown(workspace: Workspace, instance: dg.DagsterInstance) -> None:
    versions = iter("12")

    @dg.observable_source_asset
    def source() -> dg.DataVersion:
        return dg.DataVersion(next(versions))

    @dg.asset(deps=[source])
    def slow() -> None:
        observe([source], instance=instance)

    observe([source], instance=instance)
    assert dg.materialize([source, slow], instance=instance, selection=[slow]).success
    with Record.open(workspace) as record:
        unknowns = record.trace(ref(workspace, "slow"))["unknowns"]
    [why] = [unknown["why"] for unknown in unknowns if unknown["what"] == "version read"]
    assert why.startswith("source was seen in another version while the step ran")


def test_metadata_that_no_json_can_hold_disturbs_no_run(workspace: Workspace, instance: dg.DagsterInstance) -> None:
    """For example a file name that is not UTF-8."""

    @dg.asset
    def named() -> dg.MaterializeResult[None]:
        return dg.MaterializeResult(metadata={"file": "caf\udce9"})

    assert dg.materialize([named], instance=instance).success
    with Record.open(workspace) as record:
        [end] = ends(record, "dagster/named")
    assert end["outputs"][0]["facets"]["tracecore_dagster_asset"]["metadata"] == {"file": r"caf\udce9"}


def test_a_waiting_step_that_another_process_records_in_this_moment_is_no_error(workspace: Workspace) -> None:
    folder = workspace.dagster / "unrecorded"
    folder.mkdir()
    (folder / "gone.json").symlink_to(folder / "nowhere")  # named by the listing, and not there any more
    (folder / "there.json").write_text("{}")
    assert [file.name for file in recording.pending(workspace)] == ["there.json"]


def test_a_version_that_a_blocking_check_rejected_is_not_read(workspace: Workspace, instance: dg.DagsterInstance) -> None:
    with Record.open(workspace) as record:
        world = RecordWorld(record)
        world.run("model", StageKind.TRAIN, outputs={"model": artifact("model", "demo.model", "weights")})
        world.check("model", "not_empty", success=False)
        rejected = world.made["model"].ref
    metadata = {"ref": dg.MetadataValue.text(rejected)}
    instance.report_runless_asset_event(dg.AssetMaterialization(dg.AssetKey(["demo", "model"]), metadata=metadata))

    @dg.asset(deps=[dg.AssetKey(["demo", "model"])])
    def card(context):  # Dagster takes no annotation that is a string
        with pytest.raises(
            NegativeVerdict, match=f"^{rejected} can't be read: it was rejected by a blocking check. 'tracecore show {rejected}' says by which.$"
        ):
            read(context, "demo/model")

    assert dg.materialize([card], instance=instance).success


def verdicts(record: Record, name: str) -> list[tuple[str, bool, str]]:
    return [(check["name"], check["success"], check["severity"]) for run in record.trace(name)["runs"] for check in run["checks"]]


@pytest.mark.parametrize("together", [True, False], ids=["one run", "a run of its own"])
def test_an_asset_check_that_raises_is_a_failed_verdict_and_rejects(workspace: Workspace, instance: dg.DagsterInstance, together: bool) -> None:
    @dg.asset
    def made() -> dg.MaterializeResult:
        return dg.MaterializeResult(data_version=dg.DataVersion("1"))

    @dg.asset_check(asset=made, blocking=True)
    def sound() -> dg.AssetCheckResult:
        raise ZeroDivisionError("no rows")

    @dg.asset(deps=[made])
    def reader() -> None: ...

    location = dg.Definitions(assets=[made, reader], asset_checks=[sound])
    whole = location.resolve_implicit_global_asset_job_def()
    if together:
        assert not whole.execute_in_process(instance=instance, raise_on_error=False).success
    else:
        assert dg.materialize([made], instance=instance).success
        alone = whole.get_subset(asset_check_selection={dg.AssetCheckKey(made.key, "sound")}, asset_selection=set())
        assert not alone.execute_in_process(instance=instance, raise_on_error=False).success
    with Record.open(workspace) as record:
        assert verdicts(record, ref(workspace, "made@1")) == [("sound", False, "blocking")]
        assert record.trace(ref(workspace, "made@1"))["nodes"][0]["rejected"]
        [check] = record.query(show, ref(workspace, "made@1"), workspace=record.workspace)["checks"]
        assert "itself failed" in check["message"]
        assert "ZeroDivisionError: no rows" in check["message"]
        asserted = ends(record, "dagster/made_sound.check.sound")[0]["inputs"][0]["inputFacets"]["dataQualityAssertions"]["assertions"]
        assert [each["success"] for each in asserted] == [False]
        assert ends(record, "dagster/reader") == []


def test_a_check_that_only_warned_before_only_warns_when_it_raises(workspace: Workspace, instance: dg.DagsterInstance) -> None:
    raising = False

    @dg.asset
    def made() -> dg.MaterializeResult:
        return dg.MaterializeResult(data_version=dg.DataVersion("1"))

    @dg.asset_check(asset=made)
    def sound() -> dg.AssetCheckResult:
        if raising:
            raise ZeroDivisionError("no rows")
        return dg.AssetCheckResult(passed=True)

    job = dg.Definitions(assets=[made], asset_checks=[sound]).resolve_implicit_global_asset_job_def()
    assert job.execute_in_process(instance=instance).success
    raising = True
    assert not job.execute_in_process(instance=instance, raise_on_error=False).success
    with Record.open(workspace) as record:
        assert not record.trace(ref(workspace, "made@1"))["nodes"][0]["rejected"]
        assert {check["success"] for check in record.query(show, ref(workspace, "made@1"), workspace=record.workspace)["checks"]} == {True, False}


def test_checks_of_a_step_that_raises_after_it_made_something_failed(workspace: Workspace, instance: dg.DagsterInstance) -> None:
    @dg.asset(check_specs=[dg.AssetCheckSpec("sound", asset="made", blocking=True), dg.AssetCheckSpec("small", asset="made")])
    def made() -> Iterator[Any]:
        yield dg.MaterializeResult(data_version=dg.DataVersion("1"))
        yield dg.AssetCheckResult(passed=True, check_name="small")
        raise ZeroDivisionError("no rows")

    assert not dg.materialize([made], instance=instance, raise_on_error=False).success
    with Record.open(workspace) as record:
        assert [(name, success) for name, success, _ in verdicts(record, ref(workspace, "made@1"))] == [("small", True), ("sound", False)]


def test_a_step_that_made_nothing_has_nothing_that_a_check_could_have_judged(workspace: Workspace, instance: dg.DagsterInstance) -> None:
    failing = False

    @dg.asset(check_specs=[dg.AssetCheckSpec("sound", asset="made", blocking=True)])
    def made() -> Iterator[Any]:
        if failing:
            raise ZeroDivisionError("no rows")
        yield dg.MaterializeResult(data_version=dg.DataVersion("1"))
        yield dg.AssetCheckResult(passed=True, check_name="sound")

    assert dg.materialize([made], instance=instance).success
    failing = True
    assert not dg.materialize([made], instance=instance, raise_on_error=False).success
    with Record.open(workspace) as record:
        assert verdicts(record, ref(workspace, "made@1")) == [("sound", True, "blocking")]
        assert [end["eventType"] for end in ends(record, "dagster/made")] == ["COMPLETE", "FAIL"]


def test_an_op_says_nothing_of_what_it_read_and_its_output_says_so(workspace: Workspace, instance: dg.DagsterInstance) -> None:
    @dg.op
    def export(context):  # type: ignore[no-untyped-def]  # Dagster reads no annotation that is a text
        context.log_event(dg.AssetMaterialization("exported", tags={"dagster/data_version": "1"}))

    @dg.job
    def nightly() -> None:
        export()

    @dg.asset
    def alone() -> None: ...

    assert nightly.execute_in_process(instance=instance).success
    assert dg.materialize([alone], instance=instance).success
    with Record.open(workspace) as record:
        assert "inputs" in {unknown["what"] for unknown in record.trace(ref(workspace, "exported"))["unknowns"]}
        assert "inputs" not in {unknown["what"] for unknown in record.trace(ref(workspace, "alone"))["unknowns"]}
