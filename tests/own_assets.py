"""A code location outside of ours: the toy program as a component's definitions, and next to it assets, checks and a job that no program made."""

import os

import dagster as dg

from tracecore_assets import program_definitions, read

__all__ = ["defs"]

PROGRAM = os.environ["TOY_PROGRAM"]
DAYS = dg.StaticPartitionsDefinition(["mon", "tue"])


@dg.observable_source_asset
def table():
    """Live outside; its version is what its owner states."""
    return dg.DataVersion("2026-11")


@dg.asset(deps=[dg.AssetKey(["toy", "model"]), "table"])
def card(context):
    """Read a program's model."""
    weights = read(context, "toy/model").data / "weights.json"
    return dg.MaterializeResult(data_version=dg.DataVersion("card-1"), metadata={"bytes": weights.stat().st_size, "seen": dg.MetadataValue.md("no")})


@dg.asset(deps=["nobody_knows"])
def from_nowhere():
    """Read what was never made nor seen."""


@dg.asset(deps=[dg.AssetKey(["toy", "drives", "frames"])])
def frozen():
    """Read without saying which version."""


@dg.multi_asset(
    specs=[dg.AssetSpec("x", deps=["card"]), dg.AssetSpec("y", deps=["x"], skippable=True)],
    check_specs=[dg.AssetCheckSpec("good", asset="x", blocking=True)],
    can_subset=True,
)
def both(context):
    """Make two, or one of them."""
    for key in sorted(context.selected_asset_keys):
        yield dg.MaterializeResult(key, data_version=dg.DataVersion(f"{key.path[-1]}-1"))
    if dg.AssetKey("x") in context.selected_asset_keys:
        yield dg.AssetCheckResult(asset_key="x", check_name="good", passed=True, metadata={"rows": 2**60})


@dg.asset(deps=["x"], retry_policy=dg.RetryPolicy(max_retries=1))
def second_time(context):
    """Come out at the second attempt."""
    if context.retry_number == 0:
        raise ValueError("not yet")


@dg.asset(deps=["x"])
def broken():
    """Fail."""
    raise ValueError("no way")


@dg.asset(partitions_def=DAYS, deps=["x"])
def daily(context):
    """Make a day."""
    return dg.MaterializeResult(data_version=dg.DataVersion(f"of-{context.partition_key}"))


@dg.asset(partitions_def=DAYS, deps=["daily"])
def evening(context):
    """Read the same day."""


@dg.asset(deps=["daily"])
def week():
    """Read all days."""


@dg.asset_check(asset=dg.AssetKey(["toy", "model"]))
def looks_right():
    """Check a program's model."""
    return dg.AssetCheckResult(passed=False, severity=dg.AssetCheckSeverity.ERROR, description="it does not look right")


mine = dg.define_asset_job("mine", selection=["card", "x", "y"], executor_def=dg.in_process_executor)
assets = [table, card, from_nowhere, frozen, both, second_time, broken, daily, evening, week]
defs = dg.Definitions.merge(program_definitions(PROGRAM), dg.Definitions(assets=assets, asset_checks=[looks_right], jobs=[mine]))
