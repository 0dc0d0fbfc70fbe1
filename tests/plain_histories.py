"""Random histories of runs by other producers, and their OpenLineage JSON."""

from __future__ import annotations

import hashlib
import json
import random
import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from plain_lineage import Event, Name, Port

__all__ = ["history", "rendered"]

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
FACET = {"_producer": "https://example.com/plain", "_schemaURL": "https://example.com/plain.json"}


class _Writer:
    """One history under way: datasets whose names begin with the history's namespace, runs one after another, some of them overlapping."""

    def __init__(self, seed: int, namespace: str, ours: Sequence[tuple[Name, str]]) -> None:
        self.random = random.Random(seed)
        self.namespace = namespace
        self.ours = ours
        self.names: list[Name] = [(namespace, f"d{n}") for n in range(4)]
        self.paths = {name: (f"{namespace}-s3", f"/wh/{name[1]}") for name in self.names[:2]}
        self.labels: list[tuple[Name, str]] = [(self.names[0], "9")]
        self.time = 0
        self.events: list[Event] = []
        self.count = 0

    def tick(self) -> int:
        self.time += self.random.randint(1, 50)
        return self.time

    def new_run(self) -> str:
        self.count += 1
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self.namespace}/{self.count}"))

    def written(self, name: Name) -> Name:
        """One of a dataset's names."""
        return self.paths[name] if name in self.paths and self.random.random() < 0.4 else name

    def port(self, name: Name, version: str | None, **more: Any) -> Port:
        used = self.written(name)
        aliases = tuple(other for other in (name, self.paths.get(name, name)) if other != used) if name in self.paths else ()
        return Port(used, version, aliases=aliases, **more)

    def inputs(self) -> tuple[Port, ...]:
        found = {}
        for _ in range(self.random.randint(0, 2)):
            roll = self.random.random()
            if roll < 0.5:
                name, version = self.random.choice(self.labels)
                found[name] = self.port(name, version)
            elif roll < 0.85 or not self.ours:
                name = self.random.choice(self.names)
                found[name] = self.port(name, None)
            else:
                name, version = self.random.choice(self.ours)
                alias = (self.namespace, f"view-of-{self.ours.index((name, version))}")
                found[name] = Port(alias, version, aliases=(name,)) if self.random.random() < 0.5 else Port(name, version)
        return tuple(found.values())

    def outputs(self) -> tuple[Port, ...]:
        found = {}
        for name in self.random.sample(self.names, self.random.choice([1, 1, 1, 2])):
            version = self.random.choice([None, "1", "2", str(self.count + 10)])
            columns = tuple(self.random.sample(self.names, 1)) if self.random.random() < 0.15 else ()
            found[name] = self.port(name, version, change=self.random.choice([None, None, None, "OVERWRITE", "CREATE"]), columns=columns)
            if version:
                self.labels.append((name, version))
        if self.ours and self.random.random() < 0.12:
            name, version = self.random.choice(self.ours)
            found[name] = Port(name, version)
        return tuple(found.values())

    def add(self, run: str, time: int, kind: str, inputs: tuple[Port, ...] = (), outputs: tuple[Port, ...] = ()) -> None:
        self.events.append(Event(run, f"job-{run[:8]}", time, kind, inputs, outputs))

    def work(self) -> None:
        """One run that reads and writes: its inputs and outputs are spread over its events."""
        run, inputs, outputs = self.new_run(), self.inputs(), self.outputs()
        start = max(1, self.tick() - self.random.choice([0, 0, 0, 60]))
        shape = self.random.choice(["complete", "complete", "start", "start", "stream", "twice", "retry", "abort", "skew"])
        if shape == "complete":
            self.add(run, self.time, "COMPLETE", inputs, outputs)
            return
        self.add(run, start, "START", inputs[:1], outputs if shape == "stream" else ())
        if shape == "stream":
            self.add(run, self.tick(), "RUNNING", inputs)
        elif shape == "twice":
            self.add(run, self.tick(), "COMPLETE", inputs[:1], ())
            self.add(run, self.tick(), "COMPLETE", inputs[1:], outputs)
        elif shape == "retry":
            self.add(run, self.tick(), "FAIL", inputs, ())
            self.add(run, self.tick(), "COMPLETE", inputs, outputs)
        elif shape == "skew":
            self.add(run, max(0, start - 40), "COMPLETE", inputs, outputs)
        else:
            self.add(run, self.tick(), "ABORT" if shape == "abort" else "COMPLETE", inputs[1:], outputs)

    def change(self) -> None:
        """One run that drops, empties, alters or renames a dataset."""
        name = self.random.choice(self.names)
        kind = self.random.choice(["DROP", "TRUNCATE", "ALTER", "RENAME", "RENAME"])
        if kind != "RENAME":
            self.add(self.new_run(), self.tick(), "COMPLETE", (), (self.port(name, None, change=kind),))
        elif name not in self.paths:
            new = (self.namespace, f"renamed-{self.count}")
            self.add(self.new_run(), self.tick(), "COMPLETE", (), (Port(new, change="RENAME", previous=name),))
            self.labels += [(new, version) for label, version in self.labels if label == name]
            self.names.append(new)


def history(seed: int, namespace: str, ours: Sequence[tuple[Name, str]] = ()) -> list[Event]:
    """Return one history; each event's digest is that of its rendered bytes, and events arrive in any order, some of them twice."""
    writer = _Writer(seed, namespace, ours)
    for _ in range(writer.random.randint(3, 7)):
        (writer.change if writer.random.random() < 0.2 else writer.work)()
    events = [replace(event, digest=hashlib.sha256(rendered(event)).hexdigest()) for event in writer.events]
    writer.random.shuffle(events)
    return events + events[:1]


def rendered(event: Event) -> bytes:
    """Return an event's OpenLineage JSON."""
    body = {
        "eventType": event.type,
        "eventTime": (EPOCH + timedelta(seconds=event.time)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "producer": "https://example.com/plain",
        "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
        "run": {"runId": event.run},
        "job": {"namespace": "plain", "name": event.job},
        "inputs": [_port(port) for port in event.inputs],
        "outputs": [_port(port) for port in event.outputs],
    }
    return json.dumps(body).encode()


def _named(name: Name, **more: Any) -> dict[str, Any]:
    return {"namespace": name[0], "name": name[1], **more}


def _port(port: Port) -> dict[str, Any]:
    facets: dict[str, Any] = {}
    if port.version is not None:
        facets["version"] = {**FACET, "datasetVersion": port.version}
    if port.aliases:
        facets["symlinks"] = {**FACET, "identifiers": [_named(alias, type="TABLE") for alias in port.aliases]}
    if port.change is not None:
        previous = {"previousIdentifier": _named(port.previous)} if port.previous else {}
        facets["lifecycleStateChange"] = {**FACET, "lifecycleStateChange": port.change, **previous}
    if port.columns:
        fields = {"x": {"inputFields": [_named(column, field="x") for column in port.columns]}}
        facets["columnLineage"] = {**FACET, "fields": fields}
    return _named(port.name, facets=facets)
