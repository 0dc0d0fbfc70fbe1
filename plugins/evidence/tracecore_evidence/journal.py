"""The journal: a file, named by TRACECORE_JOURNAL, with a line of JSON for each run that starts or ends and each build that is sealed.

It is for external observers (a log shipper, a dashboard) and not part of the record, which is complete without it.
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
    """Append a line about a started run to the journal, the file that the plugin's setting `JOURNAL` names; do nothing without the setting."""
    _append_event(settings, "run_started", {"run": run.id, "job": run.job, "stage": run.stage, "plugin": run.plugin})


@tc.hookimpl
def tracecore_run_finished(run: tc.RunSummary, settings: Mapping[str, str]) -> None:
    """Append a line with a run's final state, outputs and error to the journal, the file that the setting `JOURNAL` names."""
    ended: dict[str, Any] = {"run": run.id, "job": run.job, "state": run.state.value, "outputs": list(run.outputs), "error": run.error}
    _append_event(settings, "run_finished", ended)


@tc.hookimpl
def tracecore_build_sealed(build: tc.BuildSummary, settings: Mapping[str, str]) -> None:
    """Append a line about a sealed build and its gates' results to the journal, the file that the setting `JOURNAL` names."""
    gates = [{"name": gate.name, "passed": gate.passed, "waived": gate.waived} for gate in build.gates]
    _append_event(settings, "build_sealed", {"build": build.ref, "position": build.position, "gates": gates})


def _append_event(settings: Mapping[str, str], event: str, members: Mapping[str, Any]) -> None:
    """Append an event with the current time to the file that the setting `JOURNAL` names; do nothing without the setting."""
    named = settings.get("JOURNAL")
    if named:
        append_line(Path(named), {"event": event, "at": datetime.now(UTC).isoformat(), **members})


def append_line(path: Path, value: Mapping[str, Any]) -> None:
    """Append a value to a file as one line of JSON and fsync; a line left incomplete by a crash is terminated first.

    A single write to a file opened with O_APPEND keeps lines of concurrent processes separate.
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
