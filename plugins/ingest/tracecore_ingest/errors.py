"""Errors of drive files and messages, and counts of the messages left out because of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import tracecore as tc
from tracecore_schemas.canonical import JSON

__all__ = ["Damaged", "LeftOut", "Undecoded", "damage_where", "gather", "quarantine_damaged", "reason_of"]


class Damaged(Exception):
    """A drive file is not valid, or a message violates its schema; the text continues a sentence after the file's name."""


class Undecoded(Damaged):
    """A valid message of an unsupported kind."""


@contextmanager
def damage_where(place: str, *errors: type[Exception]) -> Iterator[None]:
    """Convert Damaged and `errors` raised in the block to Damaged, whose text starts with `place` (`message 3 of topic '/gnss'`)."""
    try:
        yield
    except Damaged as problem:
        raise Damaged(f"{place}: {problem}") from problem
    except errors as problem:
        text = " ".join(str(problem).split()) or type(problem).__name__
        raise Damaged(f"{place}: {text}") from problem


def quarantine_damaged(context: tc.Context, file: tc.SourceFile, problem: Damaged) -> None:
    """Log a warning for a damaged input file and record that it was quarantined (left out of the run), with the reason."""
    context.log.warning("%s is left out: %s", file.name, problem)
    context.quarantine(file, str(problem))


_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_TIMES = 10  # of one reason
_REASONS = 20  # of one topic
_LONGEST = 200


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Messages of one topic that were left out for one reason. `messages`: their number; `times_ns`: log times of the first ten, sorted."""

    topic: str
    reason: str
    messages: int
    times_ns: tuple[int, ...]

    def document(self) -> dict[str, JSON]:
        """Return topic, reason, number and log times (ns, as strings) of the messages left out of the tables, as JSON."""
        return {"topic": self.topic, "reason": self.reason, "messages": self.messages, "times_ns": [str(time) for time in self.times_ns]}

    def sentence(self) -> str:
        """Return number, topic, times and reason of messages left out of the tables, as a phrase: `3 of /topic at 1, 2, 3 ns (reason)`."""
        times = ", ".join(str(time) for time in self.times_ns[:3])
        when = f" at {times}{', …' if self.messages > len(self.times_ns[:3]) else ''} ns" if times else ""
        return f"{self.messages} of {self.topic}{when} ({self.reason})"


def reason_of(problem: Exception) -> str:
    """Return the reason in words why reading a message failed: at most 200 characters, without memory addresses, which differ between runs."""
    text = _ADDRESS.sub("", " ".join(str(problem).split()))
    return (text if isinstance(problem, Damaged) else f"can't be read: {text or type(problem).__name__}")[:_LONGEST]


def gather(found: Iterable[tuple[str, int | None, str]]) -> tuple[LeftOut, ...]:
    """Return the counts of messages left out of the tables, by topic and reason (20, then the rest). `found`: (topic, log time, reason) of each."""
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
