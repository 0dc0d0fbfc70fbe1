"""Waivers: a failed gate let pass, named, reasoned, signed, and only until a day."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date

from tracecore.errors import UsageError, suggestion
from tracecore_assets.program import Release
from tracecore_schemas.build import GateOutcome, Waiver

__all__ = ["WaiverText", "read_waivers", "waive"]


@dataclass(frozen=True, slots=True)
class WaiverText:
    """A waiver as somebody typed it."""

    gate: str
    reason: str
    until: str


def read_waivers(texts: Sequence[WaiverText], *, release: Release, approver: str | None, today: date) -> tuple[Waiver, ...]:
    """Read what was typed.

    Args:
        texts: the waivers.
        release: whose gates they are of.
        approver: who approves the build, and so signs its waivers.
        today: in UTC.

    Raises:
        UsageError: an unknown gate, an empty reason, a day that has passed, or nobody to sign it.
    """
    if texts and not approver:
        raise UsageError("A waiver is signed by who approves the build: say who with --approver.")
    known = [gate.name for gate in release.gates]
    found: dict[str, Waiver] = {}
    for text in texts:
        if text.gate not in known:
            raise UsageError(f"--waive {text.gate}: the program has no such gate. {suggestion(text.gate, known, none_known='It has no gates.')}")
        if not text.reason.strip():
            raise UsageError(f"--waive {text.gate}: a waiver needs a reason; --reason is empty.")
        if text.gate in found:
            raise UsageError(f"--waive {text.gate}: the gate is waived twice.")
        found[text.gate] = Waiver(text.gate, text.reason.strip(), _day(text, today), str(approver))
    return tuple(found.values())


def _day(text: WaiverText, today: date) -> date:
    try:
        day = date.fromisoformat(text.until)
    except ValueError:
        raise UsageError(f"--waive {text.gate}: --until takes a day such as {today.isoformat()}, found {text.until!r}.") from None
    if day < today:
        raise UsageError(f"--waive {text.gate}: the waiver expired on {day.isoformat()}; today is {today.isoformat()} (UTC).")
    return day


def waive(outcomes: Iterable[GateOutcome], waivers: Sequence[Waiver]) -> tuple[tuple[GateOutcome, ...], tuple[Waiver, ...]]:
    """Mark the failed gates that are waived; a waiver of a gate that passed is not needed and left out of the build.

    Returns:
        The outcomes, and the waivers that were needed.
    """
    by_gate = {waiver.gate: waiver for waiver in waivers}
    marked = tuple(replace(outcome, waived=not outcome.passed and outcome.name in by_gate) for outcome in outcomes)
    return marked, tuple(by_gate[outcome.name] for outcome in marked if outcome.waived)
