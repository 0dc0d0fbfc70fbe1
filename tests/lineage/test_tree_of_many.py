"""Trees grow with what they draw, and draw a version that several runs made once for each of them."""

from __future__ import annotations

from typing import Any

import pytest
from counting import calls
from rich.console import Console
from stated_events import FACET, RUN, dataset, lake, run, take

from tracecore.testing.worlds import RecordWorld
from tracecore_lineage.present.graph import dot, mermaid
from tracecore_lineage.present.tree import draw

FEW, MANY = 50, 200


def drawn(trace: Any) -> list[str]:
    console = Console(width=300)
    with console.capture() as capture:
        console.print(draw(trace))
    return [line.rstrip() for line in capture.get().splitlines()]


@pytest.mark.parametrize("direction", ["trace", "impact"])
def test_four_times_the_inputs_cost_four_times_the_calls_at_most(world: RecordWorld, direction: str) -> None:
    found = []
    for number, inputs in enumerate((FEW, MANY), 1):
        many = [dataset(f"{inputs}-{place}", "1") for place in range(inputs)]
        one = [dataset(f"all-{inputs}", "1")]
        record = take(world, run(number, number, "join", *((many, one) if direction == "trace" else (one, many))))
        answer = getattr(record, direction)(lake(f"all-{inputs}", "1"))
        assert len(drawn(answer)) > inputs
        found.append(calls(lambda answer=answer: drawn(answer)))
    assert found[1] <= found[0] * MANY / FEW * 1.1


def test_a_version_that_several_runs_made_is_drawn_once_for_each(world: RecordWorld) -> None:
    record = take(
        world,
        run(1, 1, "load", [dataset("old", "1")], [dataset("t", "0")]),
        run(2, 2, "use", [dataset("t", "0")], [dataset("a", "1")]),
        run(3, 3, "load", [dataset("new", "1")], [dataset("t", "0")]),
        run(4, 4, "use", [dataset("t", "0"), dataset("a", "1")], [dataset("b", "1")]),
    )
    trace = record.trace(lake("b", "1"))
    assert [node["ref"] for node in trace["nodes"]].count(lake("t", "0")) == 1
    assert len([edge for edge in trace["edges"] if edge["ref"] == lake("t", "0") and edge["direction"] == "output"]) == 2
    assert [line.partition("   ")[0] if "──" not in line else line for line in drawn(trace)][:6] == [
        lake("b", "1"),
        f"├── {lake('a', '1')}",
        f"│   └── {lake('t', '0')} by run/{RUN}1   unknown: made 2 times",
        f"│       └── {lake('old', '1')}   gap",
        f"├── {lake('t', '0')} by run/{RUN}3   unknown: made 2 times",
        f"│   └── {lake('new', '1')}   gap",
    ]
    assert sorted(edge["made_by"] for edge in trace["edges"] if "made_by" in edge) == [f"{RUN}1", f"{RUN}3"]
    for diagram in (mermaid(trace), dot(trace)):
        assert diagram.count(f"{lake('t', '0')} by run/") == 2
    whole = "\n".join(drawn(record.trace(lake("t", "0"))))
    assert whole.index(f"{RUN}1") < whole.index("old@1") < whole.index(f"{RUN}3") < whole.index("new@1")


def test_four_times_the_files_that_a_run_left_out_cost_four_times_the_calls_at_most(world: RecordWorld) -> None:
    """What is with an output already is not recorded of its run again."""
    found = []
    for number, files in enumerate((FEW, MANY), 1):
        names = [f"{place}.mcap" for place in range(files)]
        left_out = [{"what": "drive file not ingested", "why": f"{name}: damaged"} for name in names]
        table = dataset(f"drives-{files}", "1", tracecore_unknowns={"unknowns": left_out})
        event = run(number, number, "ingest", [], [table])
        files_left = [{"name": name, "reason": "damaged"} for name in [*names, "other.mcap"]]
        event["run"]["facets"] = {"tracecore_quarantine": {**FACET, "files": files_left}}
        record = take(world, event)
        at = lake(f"drives-{files}", "1")
        unknowns = [each for each in record.trace(at)["unknowns"] if each["what"] == "drive file not ingested"]
        assert [each["why"] for each in unknowns if each["at"] != at] == ["other.mcap: damaged"]
        assert len(unknowns) == files + 1
        found.append(calls(lambda record=record, at=at: record.trace(at)))
    assert found[1] <= found[0] * MANY / FEW * 1.1
