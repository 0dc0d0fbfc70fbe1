"""Errors of drive files and messages, and the account of the messages left out because of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tracecore_schemas.canonical import JSON

__all__ = ["Damaged", "LeftOut", "Undecoded", "damage_where", "gather", "reason_of"]


class Damaged(Exception):
    """A drive file that can't be trusted, or a message that is not what its topic says; it says what was expected, what was found, and where."""


class Undecoded(Damaged):
    """A sound message of a kind that is not read."""


@contextmanager
def damage_where(place: str, *errors: type[Exception]) -> Iterator[None]:
    """Turn errors of a parser into `Damaged`, saying where in the file they arose.

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
        """Return it as facets have it; times as text, because they are larger than JSON's whole numbers."""
        return {"topic": self.topic, "reason": self.reason, "messages": self.messages, "times_ns": [str(time) for time in self.times_ns]}

    def sentence(self) -> str:
        """Return it in words."""
        times = ", ".join(str(time) for time in self.times_ns[:3])
        when = f" at {times}{', …' if self.messages > len(self.times_ns[:3]) else ''} ns" if times else ""
        return f"{self.messages} of {self.topic}{when} ({self.reason})"


def reason_of(problem: Exception) -> str:
    """Return why a message was left out, the same in every process: no address of an object."""
    text = _ADDRESS.sub("", " ".join(str(problem).split()))
    return (text if isinstance(problem, Damaged) else f"can't be read: {text or type(problem).__name__}")[:_LONGEST]


def gather(found: Iterable[tuple[str, int | None, str]]) -> tuple[LeftOut, ...]:
    """Count messages by topic and reason; of a topic with very many reasons, the rarer ones are one.

    Args:
        found: (topic, log time where there is one, reason) of each.
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
