"""The plain model itself: the situations that its rules were written for, and that its two directions are inverse over random histories."""

from __future__ import annotations

from pathlib import Path

import plain_lineage
import pytest
from plain_histories import history
from plain_lineage import Answer, Event, Name, Port, World


def name(text: str) -> Name:
    return "lake", text


def port(text: str, **more: object) -> Port:
    dataset, _, version = text.partition("@")
    return Port(name(dataset), version or None, **more)  # type: ignore[arg-type]  # a test's shorthand


def done(run: str, time: int, inputs: str, *outputs: Port, kind: str = "COMPLETE") -> Event:
    return Event(run, run, time, kind, tuple(port(one) for one in inputs.split()), outputs, digest=run)


def versions(answer: Answer) -> set[str]:
    named = {node for _, node, *_ in answer.edges if node[1] != "?"}
    return {f"{dataset[1]}@{None if version.startswith('run:') else version}" for dataset, version in named}


CASES: dict[str, tuple[list[Event], str, set[str], bool]] = {
    "two completes": (
        [done("a", 1, "raw@7"), done("a", 2, "raw@7 ref@2", port("gold@9")), done("b", 3, "gold@9", port("kpi@1"))],
        "kpi@1",
        {"kpi@1", "gold@9", "raw@7", "ref@2"},
        False,
    ),
    "a failed run that completes": (
        [done("a", 1, "a@1", kind="FAIL"), done("a", 2, "a@1", port("b@1")), done("b", 3, "b@1", port("c@1"))],
        "c@1",
        {"c@1", "b@1", "a@1"},
        False,
    ),
    "a label that restarts": (
        [
            done("a", 1, "old@1", port("t@0")),
            done("b", 2, "", port("t", change="DROP")),
            done("c", 3, "new@1", port("t@0")),
            done("d", 4, "t@0", port("m@1")),
        ],
        "m@1",
        {"m@1", "t@0", "new@1"},
        False,
    ),
    "an alias": (
        [done("a", 1, "seed@1", port("path@3", aliases=(name("db"),))), done("b", 2, "db@3", port("m@1"))],
        "m@1",
        {"m@1", "db@3", "seed@1"},
        False,
    ),
    "a rename": (
        [
            done("a", 1, "seed@1", port("old@1")),
            done("b", 2, "", port("new", change="RENAME", previous=name("old"))),
            done("c", 3, "new", port("m@1")),
        ],
        "m@1",
        {"m@1", "old@1", "seed@1"},
        False,
    ),
    "a drop": (
        [done("a", 1, "", port("t@1")), done("b", 2, "", port("t", change="DROP")), done("c", 3, "t", port("m@1"))],
        "m@1",
        {"m@1"},
        False,
    ),
    "a stream": (
        [done("a", 1, "topic@1", port("silver"), kind="START"), done("a", 2, "topic@1", kind="RUNNING"), done("b", 3, "silver", port("m@1"))],
        "m@1",
        {"m@1", "silver@None", "topic@1"},
        False,
    ),
    "columns": (
        [done("a", 1, "", port("src@1")), done("b", 2, "", port("out@1", columns=(name("src"),)))],
        "out@1",
        {"out@1", "src@1"},
        False,
    ),
    "appends": (
        [
            done("a", 1, "", port("t", change="OVERWRITE")),
            done("b", 2, "x@1", port("t")),
            done("c", 3, "y@1", port("t")),
            done("d", 4, "t", port("m@1")),
        ],
        "m@1",
        {"m@1", "t@None", "x@1", "y@1"},
        False,
    ),
    "all known": ([done("a", 1, "", port("s@1")), done("b", 2, "s@1", port("m@1"))], "m@1", {"m@1", "s@1"}, True),
}


@pytest.mark.parametrize("case", CASES)
def test_a_situation(case: str) -> None:
    events, of, expected, complete = CASES[case]
    dataset, version = of.split("@")
    answer = World(events, "ours").trace(name(dataset), version)
    assert (versions(answer), not answer.gaps) == (expected, complete)


def test_trace_and_impact_are_inverse_over_random_histories() -> None:
    for seed in range(300):
        world = World(history(seed, "lake"), "ours")
        for target in {made.node for made in world.writes}:
            makers = world.makers(*target)
            held = set(makers).union(*map(world.appended, makers))
            for made in world.trace(*target).made:
                assert made in held or world.impact(*made.node).made & held, seed


def test_what_a_stranger_says_of_ours_is_a_claim() -> None:
    world = World([Event("a", "evil", 1, "COMPLETE", (), (Port(("ours", "model/m"), "1"),))], "ours")
    assert (world.writes, world.claims) == ([], {(("ours", "model/m"), None, "a")})


def test_it_stays_of_few_lines() -> None:
    assert len(Path(plain_lineage.__file__).read_text(encoding="utf-8").splitlines()) <= 250
