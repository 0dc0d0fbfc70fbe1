"""Backward and forward are one graph: against a plain reference walk over random programs."""

from __future__ import annotations

import random

import pytest

from tracecore.testing.worlds import PROGRAM, RecordWorld, artifact
from tracecore_schemas.kinds import StageKind
from tracecore_schemas.run import RunInput


@pytest.mark.parametrize("seed", range(3))
def test_a_versions_trace_is_its_ancestors_and_its_impact_its_descendants(world: RecordWorld, seed: int) -> None:
    chance = random.Random(seed)
    made: list[RunInput] = []
    parents: dict[str, set[str]] = {}
    for number in range(14):
        read = chance.sample(made, k=min(len(made), chance.randrange(4)))
        outputs = {f"o{place}": artifact("dataset", f"demo.{place}", f"{number}") for place in range(chance.randint(1, 2))}
        run = world.run(f"r{number}", StageKind.CURATE, outputs=outputs, more_inputs=read)
        for output in outputs.values():
            parents[output.ref] = {PROGRAM.ref, *(item.artifact.ref for item in read)}
            made.append(RunInput("in", output, run))

    def ancestors(ref: str) -> set[str]:
        found, waiting = {ref}, [ref]
        while waiting:
            new = parents.get(waiting.pop(), set()) - found
            found |= new
            waiting.extend(new)
        return found

    for ref in parents:
        trace = world.record.trace(ref)
        assert {node["ref"] for node in trace["nodes"]} == ancestors(ref)
        assert trace["complete"]
        reached = {node["ref"] for node in world.record.impact(ref)["nodes"]}
        assert reached == {other for other in parents if ref in ancestors(other)}
