"""An append replaces nothing: a version holds what every run since the last overwrite wrote."""

from __future__ import annotations

from typing import Any

from counting import calls
from rich.console import Console
from stated_events import RUN, dataset, lake, refs, run, take

from tracecore.testing.worlds import RecordWorld
from tracecore_lineage.present.tree import draw


def written(number: int, version: str | None, change: str | None = None) -> dict[str, Any]:
    """A run that writes table `t` from a source of its own."""
    facets = {} if change is None else {"lifecycleStateChange": {"lifecycleStateChange": change}}
    return run(number, number, f"write-{number}", [dataset(f"s{number}", "1")], [dataset("t", version, **facets)])


def drawn(trace: Any) -> str:
    console = Console(width=300)
    with console.capture() as capture:
        console.print(draw(trace))
    return capture.get()


def outputs(answer: Any, ref: str) -> set[tuple[str, bool]]:
    return {(edge["run"], edge["inferred"]) for edge in answer["edges"] if edge["ref"] == ref and edge["direction"] == "output"}


def test_a_version_holds_every_append_since_the_last_overwrite(world: RecordWorld) -> None:
    record = take(
        world,
        written(1, "1"),
        written(2, "2", "OVERWRITE"),
        written(3, "3"),
        written(4, "4"),
        run(5, 5, "read", [dataset("t", "4")], [dataset("m", "1")]),
        run(6, 6, "read", [dataset("t", "3")], [dataset("n", "1")]),
    )
    for ref in (lake("t", "4"), lake("m", "1")):
        trace = record.trace(ref)
        assert {lake("s2", "1"), lake("s3", "1"), lake("s4", "1")} <= refs(trace)
        assert lake("s1", "1") not in refs(trace)
        assert outputs(trace, lake("t", "4")) == {(f"{RUN}4", False), (f"{RUN}3", True), (f"{RUN}2", True)}
        assert next(node for node in trace["nodes"] if node["ref"] == lake("t", "4"))["run"] == f"{RUN}4"
        assert all(source in drawn(trace) for source in ("s2@1", "s3@1", "s4@1"))
    assert {lake("t", "4"), lake("m", "1"), lake("n", "1")} <= refs(record.impact(lake("s2", "1")))
    assert {lake("t", "4"), lake("m", "1")} <= refs(record.impact(lake("t", "2")))
    assert lake("n", "1") not in refs(record.impact(lake("s4", "1")))
    assert refs(record.impact(lake("s1", "1"))) == {lake("s1", "1"), lake("t", "1")}
    assert "m@1" in drawn(record.impact(lake("t", "2")))


def test_an_append_without_a_version_adds_to_those_that_have_one(world: RecordWorld) -> None:
    record = take(world, written(1, "1", "CREATE"), written(2, None), written(3, "3"))
    assert {lake("s1", "1"), lake("s2", "1"), lake("s3", "1")} <= refs(record.trace(lake("t", "3")))


def test_where_no_overwrite_is_recorded_a_version_stands_for_itself(world: RecordWorld) -> None:
    record = take(world, written(1, "1"), written(2, "2"))
    assert refs(record.trace(lake("t", "2"))) == {lake("t", "2"), lake("s2", "1")}


def test_what_was_dropped_or_made_again_is_not_appended_to(world: RecordWorld) -> None:
    record = take(world, written(1, "1", "CREATE"), written(2, "2"), written(3, "2"), written(4, None, "DROP"), written(5, "5"))
    assert refs(record.trace(lake("t", "2"))) == {lake("t", "2"), lake("t", "1"), *(lake(f"s{number}", "1") for number in (1, 2, 3))}
    assert refs(record.trace(lake("t", "5"))) == {lake("t", "5"), lake("s5", "1")}


def test_a_dataset_of_many_overwrites_costs_its_length(world: RecordWorld) -> None:
    """Each run reads the version before and overwrites it: four times the runs cost four times the calls at most."""
    found = []
    for length in (20, 80):
        name = f"t{length}"
        for number in range(length):
            change = {"lifecycleStateChange": {"lifecycleStateChange": "OVERWRITE"}}
            event = run(0, 0, "job", [dataset(name, str(number))], [dataset(name, str(number + 1), **change)])
            event["run"] = {"runId": f"00000000-0000-4000-80{length}-{number:012}"}
            event["eventTime"] = f"2026-01-01T{number // 60:02}:{number % 60:02}:00Z"
            take(world, event)
        found.append(calls(lambda name=name, length=length: world.record.trace(lake(name, str(length)))))
    assert found[1] <= found[0] * 4 * 1.1
