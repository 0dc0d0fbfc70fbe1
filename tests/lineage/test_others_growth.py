"""Questions about other producers' datasets cost what their answers touch: counted at N and at 4N."""

from __future__ import annotations

import hashlib
import sys
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from compared_histories import recorded
from plain_histories import rendered
from plain_lineage import Event, Port

from tracecore_lineage.trace.reader import Reader
from tracecore_lineage.trace.walk import Walk, walk_backward, walk_forward

FEW, MANY = 20, 80
_SLACK = 1.1


def work(reader: Reader, of: str, *, forward: bool) -> tuple[int, int]:
    """How many calls a walk made, and how many runs it found."""
    calls, found = [0], Walk("", "forward" if forward else "backward")

    def count(_frame: Any, what: str, _argument: Any) -> None:
        calls[0] += what in {"call", "c_call"}

    sys.setprofile(count)
    try:
        walk_forward(reader, found, [of]) if forward else walk_backward(reader, found, [(of, None)])
    finally:
        sys.setprofile(None)
    return calls[0], len(found.runs)


def run(number: int, inputs: Sequence[Port], outputs: Sequence[Port]) -> Event:
    event = Event(str(uuid.UUID(int=number)), f"job-{number}", 10 * number, "COMPLETE", tuple(inputs), tuple(outputs), recorded=10**6 + number)
    return replace(event, digest=hashlib.sha256(rendered(event)).hexdigest())


def t(version: int | None, name: str = "t", **more: Any) -> Port:
    return Port(("lake", name), None if version is None else str(version), **more)


def beside(size: int) -> list[Event]:
    """A chain of three datasets, next to many that have further names, and were renamed, emptied and replaced."""
    events = [run(1, [t(1, "a")], [t(1, "b")]), run(2, [t(1, "b")], [t(None, "c", change="OVERWRITE")]), run(3, [t(None, "c")], [t(1, "d")])]
    for number in range(size):
        named = t(1, f"n{number}", aliases=(("s3", f"n{number}"),))
        new = t(None, f"m{number}", change="RENAME", previous=("lake", f"n{number}"))
        events += [run(10 * number + 10 + place, [], [port]) for place, port in enumerate([named, new, t(None, f"m{number}", change="DROP")])]
    return events


def chain(size: int, *, versioned: bool) -> list[Event]:
    """One dataset that each run reads and replaces."""
    return [
        run(number, [t(number - 1 if versioned else None) if number > 1 else t(1, "a")], [t(number if versioned else None, change="OVERWRITE")])
        for number in range(1, size + 1)
    ]


@contextmanager
def both(made: Callable[[int], list[Event]]) -> Iterator[tuple[Reader, Reader]]:
    with recorded(made(FEW)) as few, recorded(made(MANY)) as many:
        yield few, many


@pytest.mark.parametrize("forward", [False, True])
def test_datasets_that_an_answer_does_not_touch_cost_nothing(forward: bool) -> None:
    of = "external/lake/a@1" if forward else "external/lake/d@1"
    with both(beside) as readers:
        for reader in readers:
            work(reader, of, forward=forward)  # each connection compiles a statement once
        few, many = (work(reader, of, forward=forward) for reader in readers)
    assert few[1] == many[1] == 3
    assert many[0] <= few[0] * _SLACK


@pytest.mark.parametrize("forward", [False, True])
@pytest.mark.parametrize("versioned", [False, True])
def test_a_chain_of_four_times_the_runs_costs_four_times_the_calls(versioned: bool, forward: bool) -> None:
    with both(lambda size: chain(size, versioned=versioned)) as readers:
        found: list[tuple[int, int]] = []
        for size, reader in zip((FEW, FEW, MANY), (readers[0], *readers), strict=True):
            last = str(size) if versioned else f"run:{uuid.UUID(int=size)}"
            found.append(work(reader, "external/lake/a@1" if forward else f"external/lake/t@{last}", forward=forward))
    _, few, many = found
    assert (few[1], many[1]) == (FEW, MANY)
    assert many[0] <= few[0] * MANY / FEW * _SLACK
