"""Events of real producers, where the shared data is there: an Airflow scenario and Marquez's demo graph."""

from __future__ import annotations

import json
import os
import re
from functools import cache
from pathlib import Path

__all__ = ["real_events"]


@cache
def real_events() -> tuple[bytes, ...]:
    """Return them as they were sent; none where the folder that TRACECORE_SHARED_DATA names (else `shared/data` next to the repository) is absent."""
    folder = Path(os.environ.get("TRACECORE_SHARED_DATA") or Path(__file__).parents[2] / "shared" / "data") / "openlineage"
    if not folder.is_dir():
        return ()
    airflow = [path.read_bytes() for path in sorted((folder / "airflow_scenario" / "events").glob("*.json"))]
    # Its times are placeholders, filled in as its own seed command does.
    text = (folder / "marquez_demo" / "metadata.json").read_text(encoding="utf-8").replace("{{RUN_START_TIME}}", "2026-11-22T10:00:00Z")
    text = re.sub(r"{{RUN_END_TIME_AFTER_(\d+)_MINUTES}}", lambda match: f"2026-11-22T10:{int(match[1]):02}:00.5+00:00", text)
    return (*airflow, *(json.dumps(event, indent=2).encode() for event in json.loads(text)))
