"""Counting what a piece of work costs, for tests of growth: calls and statements, never seconds."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

from sqlalchemy import event

from tracecore_lineage import Record

__all__ = ["calls", "statements"]


def calls(work: Callable[[], object]) -> int:
    """Count the calls that a piece of work makes, of functions in C too, in every thread."""
    found = [0]

    def count(_frame: Any, what: str, _argument: Any) -> None:
        if what in {"call", "c_call"}:
            found[0] += 1

    threading.setprofile(count)
    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return found[0]


def statements(record: Record, work: Callable[[], object]) -> int:
    """Count the SQL statements of a piece of work."""
    found = [0]

    def count(*_: Any) -> None:
        found[0] += 1

    event.listen(record.database.engine, "before_cursor_execute", count)
    try:
        work()
    finally:
        event.remove(record.database.engine, "before_cursor_execute", count)
    return found[0]
