"""Random histories of runs by other producers and by the workspace itself, and their OpenLineage JSON."""

from __future__ import annotations

import hashlib
import json
import random
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from plain_lineage import Event, Name, Port

__all__ = ["LEDGER", "OURS", "history", "instant", "rendered"]

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
OURS = "ours"
LEDGER = "0" * 32
FACET = {"_producer": "https://example.com/plain", "_schemaURL": "https://example.com/plain.json"}
RECORDED = 100_000
"""Seconds after which events are recorded, later than what any sound clock says of them."""


class _Writer:
    """One history under way: datasets whose names begin with the history's namespace, runs one after another, some of them overlapping."""

    def __init__(self, seed: int, namespace: str) -> None:
        self.random = random.Random(seed)
        self.namespace = namespace
        self.ours: list[tuple[Name, str]] = []
        self.made_by: dict[tuple[Name, str], list[str]] = {}
        self.names: list[Name] = [(namespace, f"d{n}") for n in range(3)]
        self.paths = {self.names[0]: (f"{namespace}-s3", f"/wh/{namespace}/d0")}
        self.labels: list[tuple[Name, str]] = [(self.names[0], "9")]
        self.time = 0
        self.events: list[Event] = []
        self.count = 0

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def tick(self) -> int:
        self.time += self.random.randint(1, 50)
        return self.time

    def new_run(self) -> str:
        self.count += 1
        return str(uuid.UUID(hashlib.sha256(f"{self.namespace}/{self.count}".encode()).hexdigest()[:32]))

    def port(self, name: Name, version: str | None, **more: Any) -> Port:
        """A dataset under one of its names."""
        path = self.paths.get(name)
        if path is None or self.chance(0.5):
            return Port(name, version, **more)
        return Port(path, version, aliases=(name,), **more) if self.chance(0.7) else Port(name, version, aliases=(path,), **more)

    def reading(self) -> Port:
        if self.chance(0.3) and self.ours:
            name, version = self.random.choice(self.ours)
            view = (self.namespace, f"view-of-{name[1].rpartition('.')[2]}")
            return self.random.choice([Port(name, version), Port(view, version, aliases=(name,)), Port(view, version), Port(view), Port(name)])
        if self.chance(0.5):
            return self.port(*self.random.choice(self.labels))
        return self.port(self.random.choice(self.names), None)

    def inputs(self) -> tuple[Port, ...]:
        return tuple({port.name: port for port in (self.reading() for _ in range(self.random.randint(0, 2)))}.values())

    def outputs(self) -> tuple[Port, ...]:
        found = {}
        for name in self.random.sample(self.names, self.random.choice([1, 1, 1, 2])):
            version = self.random.choice([None, "1", "2", str(self.count + 10)])
            columns = tuple(self.random.sample(self.names, 1)) if self.chance(0.15) else ()
            found[name] = self.port(name, version, change=self.random.choice([None, None, None, "OVERWRITE", "CREATE"]), columns=columns)
            if version:
                self.labels.append((name, version))
        if self.ours and self.chance(0.2):
            name, version = self.random.choice(self.ours)
            view = (self.namespace, f"view-of-{name[1].rpartition('.')[2]}")
            found[name] = self.random.choice([Port(name, version), Port(name), Port(view, version, aliases=(name,)), Port(name, change="DROP")])
        return tuple(found.values())

    def add(self, run: str, time: int, kind: str, inputs: tuple[Port, ...] = (), outputs: tuple[Port, ...] = (), **more: Any) -> None:
        self.events.append(Event(run, more.pop("job", f"job-{run[:8]}"), time, kind, inputs, outputs, **more))

    def work(self) -> None:
        """One run that reads and writes: its inputs and outputs are spread over its events."""
        run, inputs, outputs = self.new_run(), self.inputs(), self.outputs()
        start = max(1, self.tick() - self.random.choice([0, 0, 0, 60]))
        less = tuple(Port(port.name, aliases=port.aliases) for port in outputs)
        shape = self.random.choice(
            ["complete", "complete", "start", "start", "stream", "twice", "retry", "abort", "fail", "skew", "vague", "jobs", "late"]
        )
        if shape == "complete":
            self.add(run, self.time, "COMPLETE", inputs, outputs)
            return
        self.add(run, start, "START", inputs[:1], {"stream": outputs, "vague": less}.get(shape, ()))
        if shape == "stream":
            self.add(run, self.tick(), "RUNNING", inputs, outputs[:1])
        elif shape == "twice":
            self.add(run, self.tick(), "COMPLETE", inputs[:1], ())
            self.add(run, self.tick(), "COMPLETE", inputs[1:], outputs)
        elif shape == "retry":
            self.add(run, self.tick(), "FAIL", inputs, ())
            self.add(run, self.tick(), "COMPLETE", inputs, outputs)
        elif shape == "skew":
            self.add(run, max(0, start - 40), "COMPLETE", inputs, outputs)
        elif shape == "vague":
            read = tuple(Port(port.name, aliases=port.aliases) for port in inputs)
            self.add(run, self.tick(), "RUNNING", read, ())
            self.add(run, self.tick(), "COMPLETE", inputs, outputs)
        elif shape == "late":
            self.add(run, self.tick(), "COMPLETE", inputs, outputs)
            self.add(run, RECORDED * 2 + self.tick(), "OTHER", (), ())
        else:
            kind = {"abort": "ABORT", "fail": "FAIL"}.get(shape, "COMPLETE")
            self.add(run, self.tick(), kind, inputs[1:], outputs, **({"job": "another"} if shape == "jobs" else {}))

    def change(self) -> None:
        """One run that drops, empties, alters or renames a dataset."""
        name, run = self.random.choice(self.names), self.new_run()
        kind = self.random.choice(["DROP", "TRUNCATE", "ALTER", "RENAME", "RENAME", "RENAME"])
        start = self.tick()
        if kind != "RENAME":
            said = self.random.choice([(kind,), (None, kind), (kind, None)])  # one event says it, and the run did it
            for event, change in zip(("START", "COMPLETE")[-len(said) :], said, strict=True):
                self.add(run, start if event == "START" else self.tick(), event, (), (self.port(name, None, change=change),))
        else:
            new = self.random.choice([(self.namespace, f"renamed-{self.count}"), *self.names])
            if self.chance(0.3):
                self.add(run, start, "START", (), (Port(new, change="RENAME", previous=name),))
            self.add(run, self.tick(), "COMPLETE", (), (Port(new, change="RENAME", previous=name),))
            self.labels += [(new, version) for label, version in self.labels if label == name]
            self.names += [new] if new not in self.names else []

    def state(self) -> None:
        """One DatasetEvent: a dataset's further name, or that it was emptied."""
        name = self.random.choice(self.names)
        path = self.paths.get(name, (f"{self.namespace}-s3", f"/wh/{self.namespace}/{name[1]}"))
        port = self.random.choice([Port(name, aliases=(path,)), Port(name, change="DROP"), Port(name, "1", change="TRUNCATE")])
        self.events.append(Event("", "", self.tick(), "DATASET", (), (port,)))

    def our_work(self) -> None:
        """One run of the workspace's own: it reads exact versions, and may make the bytes of another run again."""
        run, inputs = self.new_run(), []
        for name, version in self.random.sample(self.ours, min(len(self.ours), self.random.randint(0, 2))):
            producer = self.random.choice([*self.made_by[name, version], *self.made_by[name, version], None, run])
            inputs.append(Port(name, version, producer=producer if producer != run else self.new_run()))
        if self.chance(0.5):
            inputs.append(Port(*self.random.choice(self.labels)))
        start, name = self.tick(), (OURS, f"model/{self.namespace}.m{self.random.randint(0, 1)}")
        made = self.random.choice([*(each for each in self.ours if each[0] == name), (name, "")])
        version = made[1] or f"sha256:{hashlib.sha256(run.encode()).hexdigest()}"
        self.add(run, start, "START", tuple(inputs), ours=True)
        self.add(run, self.tick(), "COMPLETE", tuple(inputs), (Port(name, version),), ours=True)
        self.ours += [(name, version)] if (name, version) not in self.ours else []
        self.made_by.setdefault((name, version), []).append(run)


def history(seed: int, namespace: str) -> list[Event]:
    """Return one history; each event's digest is that of its rendered bytes, and events arrive in any order, some of them twice."""
    writer = _Writer(seed, namespace)
    for _ in range(writer.random.randint(3, 7)):
        writer.random.choice([writer.work] * 6 + [writer.change] * 2 + [writer.our_work] * 2 + [writer.state])()
    writer.random.shuffle(writer.events)
    events = [
        replace(event, digest=hashlib.sha256(rendered(event)).hexdigest(), recorded=RECORDED + place) for place, event in enumerate(writer.events)
    ]
    return events + events[:1]


def instant(seconds: int) -> str:
    """Return how a record writes a time."""
    return (EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def rendered(event: Event) -> bytes:
    """Return an event's OpenLineage JSON."""
    if not event.run:
        stated = {"producer": "https://example.com/plain", "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/DatasetEvent"}
        return json.dumps({"eventTime": instant(event.time), **stated, "dataset": _port(event.outputs[0])}).encode()
    body = {
        "eventType": event.type,
        "eventTime": instant(event.time),
        "producer": f"urn:tracecore:ledger:{LEDGER}" if event.ours else "https://example.com/plain",
        "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
        "run": {"runId": event.run},
        "job": {"namespace": OURS if event.ours else "plain", "name": event.job},
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
    taken = {"inputFacets": {"tracecore_port": {**FACET, "role": "", "producer_run": port.producer}}} if port.producer else {}
    return _named(port.name, facets=facets, **taken)
