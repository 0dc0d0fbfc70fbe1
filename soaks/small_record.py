"""A small workspace made by the product's own commands: every kind of thing that `verify` reads is in it, and a whole verification takes moments."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

__all__ = ["SmallRecord", "make_small_record", "strangers_events"]

_PROGRAM = """\
type: tracecore_assets.VehicleProgram
attributes:
  name: small
  seed: 7
  assets:
    world: {stage: simulate, plugin: world, params: {drives: 2, frames: 2, width: 64, height: 48, lidar: false}}
    drives: {stage: ingest, plugin: mcap, inputs: {logs: world.drives}}
  release:
    approver: required
    gates: []
"""


@dataclass(frozen=True, slots=True)
class SmallRecord:
    """Where it lies, and what its owner keeps elsewhere: the public key, and a checkpoint over all of it."""

    root: Path
    key: Path
    checkpoint: Path


def make_small_record(folder: Path) -> SmallRecord:
    """Make it by commands: two builds with a key rotation between them, and a batch of another producer's events.

    Args:
        folder: an empty one.
    """
    made = SmallRecord(folder / "small", folder / "owner.pub", folder / "owner.checkpoint")
    program, events = folder / "program.yaml", folder / "strangers.ndjson"
    program.write_text(_PROGRAM)
    events.write_bytes(b"\n".join(strangers_events(20)))
    commands = (
        ("init", str(made.root)),
        ("build", "first", "--program", str(program), "--approver", "Ada"),
        ("events", "import", str(events)),
        ("key", "rotate"),
        ("build", "second", "--program", str(program), "--set", "drives.sensors=[/camera/front/image]", "--approver", "Ada"),
        ("key", "export", "-o", str(made.key)),
        ("checkpoint", "-o", str(made.checkpoint)),
    )
    for arguments in commands:
        _tracecore(arguments, made.root)
    return made


def strangers_events(number: int) -> list[bytes]:
    """Return events of another producer, one line each, that are many enough to be kept as a block."""
    made = []
    for place in range(number):
        run = f"00000000-0000-7000-8000-{place // 2:012d}"
        dataset = {"namespace": "warehouse", "name": f"table-{place // 2}", "facets": {"version": _facet(datasetVersion=str(place))}}
        event = {
            "eventTime": f"2026-11-01T00:{place:02d}:00Z",
            "eventType": "COMPLETE" if place % 2 else "START",
            "producer": "urn:example:warehouse",
            "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json",
            "run": {"runId": run},
            "job": {"namespace": "warehouse", "name": "roll_up"},
            "inputs": [dataset],
            "outputs": [],
        }
        made.append(json.dumps(event).encode())
    return made


def _facet(**members: str) -> dict[str, str]:
    return {"_producer": "urn:example:warehouse", "_schemaURL": "urn:example:facet:1", **members}


def _tracecore(arguments: tuple[str, ...], root: Path) -> None:
    environment = {**os.environ, "TRACECORE_HOME": str(root), "TRACECORE_PLUGINS": "simulation,ingest", "DAGSTER_DISABLE_TELEMETRY": "yes"}
    done = subprocess.run(
        [sys.executable, "-m", "tracecore", *arguments], env=environment, capture_output=True, text=True, check=False, cwd=root.parent
    )
    if done.returncode:
        raise RuntimeError(f"tracecore {' '.join(arguments)} ended with {done.returncode}: {done.stderr.strip()}")
