"""Checks of a run: runs of their own, which reject an output or only warn, and are made good where a crash left them out."""

import pytest
from kernel_world import World, given

from tracecore.errors import UsageError
from tracecore_schemas.kinds import Severity


def test_checks_that_a_crash_left_out_are_run_by_whoever_reuses_the_output(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    drives = world.logs()

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(world.executor, "_check", crash)
        with pytest.raises(KeyboardInterrupt):
            world.split(drives)
    again = world.split(drives)
    assert again.reused
    assert [check.name for check in again.checks] == ["small"]
    assert [check.id for check in world.split(drives).checks] == [again.checks[0].id]


def test_checks_are_runs_of_their_own_that_read_what_they_check(world: World) -> None:
    halves = world.split(world.logs())
    [check] = halves.checks
    assert (check.name, check.success, check.severity, check.of_run) == ("small", True, Severity.BLOCKING, halves.run_id)
    assert check.job == "test.training_set.check.small"
    assert [(each.role, each.producer) for each in check.inputs] == [("low", halves.run_id), ("high", halves.run_id)]
    [run] = [run for run in world.record.trace(halves.outputs["low"].ref)["runs"] if run["id"] == halves.run_id]
    assert [each["name"] for each in run["checks"]] == ["small"]


def test_an_output_that_fails_a_blocking_check_stays_and_is_rejected(world: World) -> None:
    halves = world.split(world.logs(), checks={"small": {"most": 1}})
    assert halves.rejected == {halves.outputs["low"].ref}
    assert world.store.exists(halves.outputs["low"])
    assert given(halves, "low").rejected
    again = world.split(world.logs(), checks={"small": {"most": 1}})
    assert again.reused
    assert again.rejected == halves.rejected


def test_a_check_that_only_warns_rejects_nothing(world: World) -> None:
    halves = world.split(world.logs(), checks={"small": {"most": 1, "blocking": False}})
    assert [check.success for check in halves.checks] == [False]
    assert halves.rejected == frozenset()


def test_other_settings_of_a_check_run_it_again_without_making_the_output_again(world: World) -> None:
    first = world.split(world.logs(), checks={"small": {"most": 1}})
    second = world.split(world.logs(), checks={"small": {"most": 50}})
    assert second.reused
    assert second.rejected == frozenset()
    assert second.checks[0].id != first.checks[0].id


def test_a_program_can_add_a_check_and_an_unknown_one_or_one_named_twice_is_refused(world: World) -> None:
    halves = world.split(world.logs(), checks={"not_empty": {}})
    assert [check.name for check in halves.checks] == ["small", "not_empty"]
    with pytest.raises(UsageError, match=r"There is no check 'smal'\. Did you mean 'small'\?"):
        world.split(world.logs(), checks={"smal": {}})
    with pytest.raises(UsageError, match="names one check twice, as 'small' and as 'kernelworld/small': leave one"):
        world.split(world.logs(), checks={"small": {"most": 1}, "kernelworld/small": {"most": 50}})
    with pytest.raises(UsageError, match="The setting 'blocking' of check 'small' of asset 'training_set' expects true or false, found 'no'"):
        world.split(world.logs(), checks={"small": {"blocking": "no"}})


def test_a_check_that_exits_fails_by_name_and_stops_nothing(world: World) -> None:
    halves = world.split(world.logs(), checks={"small": {"most": "raise"}})
    [check] = halves.checks
    assert not check.success
    assert check.message == "The check 'small' itself failed: SystemExit: 1."


def test_an_empty_table_fails_its_not_empty_check(world: World) -> None:
    world.drive("a.txt", "alpha:")
    world.drive("b.txt", "beta:")
    drives = world.logs(checks={"not_empty": {}})
    assert drives.outputs["numbers"].rows == 0
    assert drives.rejected == {drives.outputs["numbers"].ref}
