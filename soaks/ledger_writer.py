"""A producer process: `python ledger_writer.py WORKSPACE` reads orders on stdin, one JSON line each, and answers each with what was acknowledged.

An order `{"writers": [0, 1], "first": 100, "events": 50, "sends": 2, "most": 5, "seed": 7}` has a thread for each writer send `events` events of
its own, each `sends` times, up to `most` in one call, in an order of the seed's. What a call didn't acknowledge is sent again, the same bytes,
until it is.
"""

from __future__ import annotations

import hashlib
import json
import random
import sys
import threading
import time
from pathlib import Path
from typing import Any

__all__ = ["event"]

_PATIENCE_S = 120
_PAUSE_S = 0.02


def event(writer: int, number: int) -> bytes:
    """Return an event's bytes: the same for the same writer and number."""
    run = hashlib.sha256(f"{writer} {number}".encode()).hexdigest()
    said = {
        "eventType": "START",
        "eventTime": f"2026-01-01T00:00:{number % 60:02}.{number % 1_000_000:06}Z",
        "producer": "urn:soak",
        "schemaURL": "urn:soak:event",
        "run": {"runId": f"{run[:8]}-{run[8:12]}-7{run[13:16]}-8{run[17:20]}-{run[20:32]}"},
        "job": {"namespace": f"writer{writer}", "name": f"job{number % 7}"},
    }
    return json.dumps(said).encode()


class _Writer:
    """One writer's part of an order; what it found is in its fields when it has been run."""

    def __init__(self, record: Any, writer: int, order: dict[str, Any]) -> None:
        self._record = record
        self._writer = writer
        self._order = order
        self.answer: dict[str, Any] = {"acknowledged": [], "recorded": 0, "known": 0, "retried": 0, "checkpoints": [], "error": None}

    def run(self) -> None:
        try:
            self._run()
        except Exception as error:  # noqa: BLE001  # whatever kept it from its part is its answer
            self.answer["error"] = f"{type(error).__name__}: {error}"

    def _run(self) -> None:
        order, chance = self._order, random.Random(f"{self._order['seed']} {self._writer}")
        numbers = [number for number in range(order["first"], order["first"] + order["events"]) for _ in range(order["sends"])]
        chance.shuffle(numbers)
        while numbers:
            count = chance.randint(1, order["most"])
            batch, numbers = [event(self._writer, number) for number in numbers[:count]], numbers[count:]
            self._send(batch)
            self.answer["acknowledged"] += [hashlib.sha256(body).hexdigest() for body in batch]
            if chance.random() < 0.1:
                self._keep_checkpoint()

    def _send(self, batch: list[bytes]) -> None:
        from tracecore_lineage.ledger.database import ConnectionLost

        until = time.monotonic() + _PATIENCE_S
        while True:
            try:
                done = self._record.ingest(batch)
            except ConnectionLost:
                if time.monotonic() > until:
                    raise
                self.answer["retried"] += 1
                time.sleep(_PAUSE_S)
                continue
            if done.refused:
                raise ValueError(f"refused: {done.refused}")
            self.answer["recorded"] += done.recorded
            self.answer["known"] += done.known
            return

    def _keep_checkpoint(self) -> None:
        from tracecore_lineage.ledger.database import ConnectionLost

        try:
            self.answer["checkpoints"].append(self._record.recorder.checkpoint())
        except ConnectionLost:
            self.answer["retried"] += 1


def main(workspace: Path) -> None:
    """Append events by several threads for each order read from stdin; print one line of JSON answers per order."""
    from tracecore_lineage import Record

    with Record.open(workspace) as record:
        print(json.dumps("ready"), flush=True)
        for line in sys.stdin:
            order = json.loads(line)
            writers = [_Writer(record, writer, order) for writer in order["writers"]]
            threads = [threading.Thread(target=writer.run) for writer in writers]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            print(json.dumps([writer.answer for writer in writers]), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
