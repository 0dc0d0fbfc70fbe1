"""Errors of drive files and messages, and the account of the messages left out because of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import tracecore as tc
from tracecore_schemas.canonical import JSON

__all__ = ["Damaged", "LeftOut", "Undecoded", "damage_where", "gather", "quarantine_damaged", "reason_of"]


class Damaged(Exception):
    """A drive file that is not valid, or a message that violates its schema: what was expected, what was found, and where."""


class Undecoded(Damaged):
    """A valid message of an unsupported kind."""


@contextmanager
def damage_where(place: str, *errors: type[Exception]) -> Iterator[None]:
    """Raise errors of a parser as `Damaged` with their place in the file.

    Args:
        place: where the bytes are (`message 3 of topic '/gnss'`).
        errors: exceptions of the parser for bad bytes.
    """
    try:
        yield
    except Damaged as problem:
        raise Damaged(f"{place}: {problem}") from problem
    except errors as problem:
        text = " ".join(str(problem).split()) or type(problem).__name__
        raise Damaged(f"{place}: {text}") from problem


def quarantine_damaged(context: tc.Context, file: tc.SourceFile, problem: Damaged) -> None:
    """Leave a damaged file out, in the record and with a warning."""
    context.log.warning("%s is left out: %s", file.name, problem)
    context.quarantine(file, str(problem))


_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_TIMES = 10  # of one reason
_REASONS = 20  # of one topic
_LONGEST = 200


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Messages of one topic that were left out for one reason.

    Attributes:
        times_ns: of the first messages.
    """

    topic: str
    reason: str
    messages: int
    times_ns: tuple[int, ...]

    def document(self) -> dict[str, JSON]:
        """Return it as JSON, times as text: they exceed JSON's integers."""
        return {"topic": self.topic, "reason": self.reason, "messages": self.messages, "times_ns": [str(time) for time in self.times_ns]}

    def sentence(self) -> str:
        """Return it in words."""
        times = ", ".join(str(time) for time in self.times_ns[:3])
        when = f" at {times}{', …' if self.messages > len(self.times_ns[:3]) else ''} ns" if times else ""
        return f"{self.messages} of {self.topic}{when} ({self.reason})"


def reason_of(problem: Exception) -> str:
    """Return why a message was left out, without object addresses, which differ between processes."""
    text = _ADDRESS.sub("", " ".join(str(problem).split()))
    return (text if isinstance(problem, Damaged) else f"can't be read: {text or type(problem).__name__}")[:_LONGEST]


def gather(found: Iterable[tuple[str, int | None, str]]) -> tuple[LeftOut, ...]:
    """Count messages by topic and reason; the rarer of a topic's many reasons are merged.

    Args:
        found: (topic, log time if known, reason) of each.
    """
    times: dict[str, dict[str, list[int | None]]] = {}
    for topic, time, reason in found:
        times.setdefault(topic, {}).setdefault(reason, []).append(time)
    counted: list[LeftOut] = []
    for topic, reasons in sorted(times.items()):
        ranked = sorted(reasons.items(), key=lambda each: (-len(each[1]), each[0]))
        kept, others = ranked[:_REASONS], ranked[_REASONS:]
        if others:
            kept.append((f"{len(others)} other reasons", [time for _, each in others for time in each]))
        counted += [LeftOut(topic, reason, len(each), tuple(sorted(time for time in each if time is not None)[:_TIMES])) for reason, each in kept]
    return tuple(counted)
