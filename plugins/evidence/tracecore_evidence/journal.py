"""The journal: a line of JSON for each run that starts or ends and each build that is sealed, in the file that TRACECORE_JOURNAL names.

For observers outside (a log shipper, a wall display). It is not part of the record: what it lacks, the record still has.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import tracecore as tc

__all__ = ["append_line", "tracecore_build_sealed", "tracecore_run_finished", "tracecore_run_started"]


@tc.hookimpl
def tracecore_run_started(run: tc.RunSummary, settings: Mapping[str, str]) -> None:
    """Note that a run started."""
    _note(settings, "run_started", {"run": run.id, "job": run.job, "stage": run.stage, "plugin": run.plugin})


@tc.hookimpl
def tracecore_run_finished(run: tc.RunSummary, settings: Mapping[str, str]) -> None:
    """Note how a run ended, and what it made."""
    ended: dict[str, Any] = {"run": run.id, "job": run.job, "state": run.state.value, "outputs": list(run.outputs), "error": run.error}
    _note(settings, "run_finished", ended)


@tc.hookimpl
def tracecore_build_sealed(build: tc.BuildSummary, settings: Mapping[str, str]) -> None:
    """Note that a build was sealed, and by which gates."""
    gates = [{"name": gate.name, "passed": gate.passed, "waived": gate.waived} for gate in build.gates]
    _note(settings, "build_sealed", {"build": build.ref, "position": build.position, "gates": gates})


def _note(settings: Mapping[str, str], event: str, said: Mapping[str, Any]) -> None:
    named = settings.get("JOURNAL")
    if named:
        append_line(Path(named), {"event": event, "at": datetime.now(UTC).isoformat(), **said})


def append_line(path: Path, value: Mapping[str, Any]) -> None:
    """Append a line that is there whole or, after a crash, ends before the next one begins.

    One write to a file opened for appending keeps the lines of several processes apart; fsync makes each outlive a power cut.
    """
    line = json.dumps(value, ensure_ascii=False, allow_nan=False).encode() + b"\n"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        size = os.fstat(descriptor).st_size
        torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        os.write(descriptor, b"\n" + line if torn else line)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
