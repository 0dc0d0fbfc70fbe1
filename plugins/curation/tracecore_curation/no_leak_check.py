"""The check `no_leak`: the sides of a split share no frames, drives, times and places, or near-duplicates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import pyarrow.dataset as ds
from pydantic import ValidationError

import tracecore as tc
from tracecore.errors import suggestion
from tracecore_curation.frame_facts import read_facts
from tracecore_curation.frame_filter import Names
from tracecore_curation.leaks import KEPT, NEEDED, Leak, Limits, Side, counted, find_leaks
from tracecore_curation.near_duplicates import Thumbnails
from tracecore_curation.proximity import unmeasured
from tracecore_schemas.canonical import JSON
from tracecore_schemas.kinds import Severity
from tracecore_schemas.run import ExpectationOutcome, Unknown

__all__ = ["NoLeak", "NoLeakParams"]

_REASONS = {
    "shared_frame": "frames in both",
    "shared_drive": "drives in both",
    "time_and_place": "frames of two drives at the same time and place",
    "near_duplicate": "frames that show the same picture",
}
_SHOWN = 3
_TEST = "test"
_KERNELS = {"blocking", "severity"}  # the kernel's settings of any check


class NoLeakParams(Limits):
    """Limits and outputs, in a program: `checks: {no_leak: {seconds: 30}}`."""

    ports: Names = tc.Field((), description="outputs to compare; empty for every frame table of the stage")
    all_pairs: bool = tc.Field(
        False, description="whether outputs other than 'test' are compared with each other too; training and selection may share drives"
    )


class NoLeak(tc.Check):
    """The output `test` shares no frame, drive, time and place, or near-duplicate with another; where none has that name, no two outputs do."""

    name = "no_leak"
    description = "The test side of a split shares no frame, drive, time and place (where both are measured), or near-duplicate with the other sides."
    # The gate stops a release; the split stays readable, so that its leaks can be inspected.
    severity = Severity.WARN

    def run(self, context: tc.CheckContext) -> tc.CheckResult:
        """Return a failed result if two compared tables (`test` and another, or any two) share a frame, drive, time and place, or near-duplicate."""
        params = _params(context.params)
        tables, uncompared = _frame_tables(context, params.ports)
        sides = [Side(name, read_facts(table)) for name, table in tables.items()]
        thumbnails = Thumbnails(*tables.values())
        pairs = list(combinations(sides, 2))
        compared = pairs if params.all_pairs else [(a, b) for a, b in pairs if _TEST in (a.name, b.name)] or pairs
        leaks = [leak for a, b in compared for leak in find_leaks(a, b, thumbnails, params)]
        missing = unmeasured(*(side.frames for side in sides))
        return tc.CheckResult(
            success=not leaks,
            message=_message(leaks, sides, compared),
            outcomes=_outcomes(leaks, sides),
            details={
                "sides": {side.name: {"frames": len(side.frames), "drives": side.frames.drive_names[:KEPT]} for side in sides},
                "compared": [[a.name, b.name] for a, b in compared],
                "limits": params.model_dump(exclude={"ports", "all_pairs"}),
                "leaks": [_details(leak) for leak in leaks],
            },
            unknowns=(*uncompared, *(() if missing is None else (Unknown("time and place", missing),))),
        )


def _params(given: Mapping[str, JSON]) -> NoLeakParams:
    own = {name: value for name, value in given.items() if name not in _KERNELS}
    for name in own:
        if name not in NoLeakParams.model_fields:
            raise tc.UsageError(f"The check 'no_leak' has no parameter '{name}'. {suggestion(name, NoLeakParams.model_fields)}")
    try:
        return NoLeakParams(**own)
    except ValidationError as error:
        first = error.errors()[0]
        raise tc.UsageError(f"The check 'no_leak' can't take {first['loc'][0]}={first['input']!r}: {first['msg']}.") from error


def _frame_tables(context: tc.CheckContext, ports: Sequence[str]) -> tuple[dict[str, Any], list[Unknown]]:
    """Return the frame tables to compare, by output name, and an `Unknown` for each table that is not compared since it lacks columns."""
    for port in ports:
        if port not in context.ports:
            raise tc.UsageError(
                f"The check 'no_leak' is asked to compare '{port}', which is not an output of the stage. {suggestion(port, context.ports)}"
            )
    tables = {port: context.read(port) for port in ports or context.ports}
    tables = {port: table for port, table in tables.items() if isinstance(table, ds.Dataset) and "frame_id" in table.schema.names}
    lacking = {port: sorted(NEEDED - set(table.schema.names)) for port, table in tables.items()}
    frames = {port: table for port, table in tables.items() if not lacking[port]}
    if len(frames) < 2:
        raise tc.UsageError(
            f"The check 'no_leak' compares at least two frame tables, and the stage's outputs {', '.join(context.ports)} "
            f"hold {', '.join(frames) or 'none'}."
        )
    uncompared = [
        Unknown(f"leaks of {port}", f"It names frames but lacks the columns {', '.join(columns)}, so it was not compared.")
        for port, columns in lacking.items()
        if columns
    ]
    return frames, uncompared


def _message(leaks: Sequence[Leak], sides: Sequence[Side], compared: Sequence[tuple[Side, Side]]) -> str:
    if not leaks:
        others = [side.name for side in sides if side.name != _TEST]
        against_test = len(compared) < len(list(combinations(sides, 2)))
        names = " and ".join(side.name for side in sides)
        counts = ", ".join(
            f"{counted(len(side.frames), 'frame')} of {counted(len(side.frames.drive_names), 'drive')} in {side.name}" for side in sides
        )
        return f"{_TEST} shares nothing with {' or '.join(others)} ({counts})." if against_test else f"Nothing is shared by {names} ({counts})."
    found = []
    for leak in leaks:
        shown = leak.pairs[:_SHOWN]
        named = "; ".join(pair.a if pair.a == pair.b else f"{pair.a} and {pair.b}, {pair.apart}" for pair in shown)
        cut = f" ({len(shown)} shown, nearest first)" if len(shown) < leak.count else ""
        found.append(f"{' and '.join(leak.sides)}: {leak.found}{cut}: {named}")
    return f"The split leaks. {'. '.join(found)}."


def _outcomes(leaks: Sequence[Leak], sides: Sequence[Side]) -> tuple[ExpectationOutcome, ...]:
    # A reason that could not be assessed has no outcome.
    assessed = {"time_and_place": sum(bool((side.frames.timed & side.frames.placed).any()) for side in sides) >= 2}
    return tuple(
        ExpectationOutcome(
            assertion=f"no_{reason}",
            success=not any(leak.reason == reason for leak in leaks),
            column={"shared_frame": "frame_id", "shared_drive": "drive", "near_duplicate": "image"}.get(reason),
            expected=f"0 {words}",
            actual="; ".join(leak.found for leak in leaks if leak.reason == reason) or "0",
        )
        for reason, words in _REASONS.items()
        if assessed.get(reason, True)
    )


def _details(leak: Leak) -> JSON:
    return {
        "reason": leak.reason,
        "sides": list(leak.sides),
        "drives": list(leak.drives),
        "found": leak.found,
        "count": leak.count,
        "pairs": [{"a": pair.a, "b": pair.b, "apart": pair.apart} for pair in leak.pairs],
        "pairs_cut_at": KEPT,
    }
