"""Judges what a crash left, by rules of its own: nothing acknowledged is lost, nothing dangles, nothing is half visible, nothing forked."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from plain_ledger import PlainLedger, read_ledger, read_note, roots
from plain_store import half_visible, missing

__all__ = ["CrashJudge"]

_TERMINAL = frozenset({"COMPLETE", "FAIL", "ABORT"})


@dataclass
class _Promised:
    """Everything that was acknowledged so far."""

    events: dict[str, str] = field(default_factory=dict)
    offered: list[list[str]] = field(default_factory=list)
    stored: dict[str, dict[str, Any]] = field(default_factory=dict)
    heads: dict[int, str] = field(default_factory=dict)
    builds: set[str] = field(default_factory=set)
    workspace: bool = False


class CrashJudge:
    """Follows one workspace through crash after crash.

    Args:
        workspace: its folder.
        acks: the file of acknowledgements, as witnesses write it.
    """

    def __init__(self, workspace: Path, acks: Path) -> None:
        self._workspace = workspace
        self._acks = acks
        self._read = 0
        self._promised = _Promised()
        self._seen: tuple[str, ...] = ()
        self._forks: list[str] = []
        self._parsed: dict[str, dict[str, Any]] = {}

    def judge(self, *, recovered: bool = False) -> list[str]:
        """Return every promise that is broken now, one sentence each.

        Args:
            recovered: whether `recover` has run since the last crash: then nothing of it may be left.
        """
        self._listen()
        self._looked: dict[tuple[Any, ...], str | None] = {}
        database = self._workspace / "record.db"
        if not database.exists():
            return ["a record was acknowledged and there is no database"] if self._promised.events or self._promised.heads else []
        ledger = read_ledger(database)
        broken = [*ledger.problems, *self._forks, *self._history(ledger), *self._lost(ledger), *self._dangling(ledger)]
        broken += half_visible(self._workspace / "store")
        if recovered:
            broken += self._left(ledger)
        return list(dict.fromkeys(broken))

    def _listen(self) -> None:
        """Read what was acknowledged since; a line that a kill cut off was not."""
        if not self._acks.exists():
            return
        data = self._acks.read_bytes()
        end = data.rfind(b"\n") + 1
        for line in data[self._read : end].splitlines():
            self._take(json.loads(line))
        self._read = end

    def _take(self, said: dict[str, Any]) -> None:
        promised = self._promised
        match said["kind"]:
            case "events":
                promised.events.update(dict.fromkeys(said["events"], said["by"]))
            case "offered":
                promised.offered.append(said["events"])
            case "stored":
                promised.stored[json.dumps(said, sort_keys=True)] = said
            case "sealed":
                promised.builds.add(said["ref"])
            case "workspace":
                promised.workspace = True
            case "head":
                size, root = read_note(said["note"])
                if promised.heads.setdefault(size, root) != root:
                    self._forks.append(f"two heads were signed over {size} events")

    def _history(self, ledger: PlainLedger) -> Iterator[str]:
        """What was there before is the beginning of what is there now."""
        now = tuple(identity for identity, _ in ledger.events)
        if now[: len(self._seen)] != self._seen:
            yield f"the ledger's first {len(self._seen)} events are others than before"
        if len(set(now)) != len(now):
            yield "an event is in the ledger twice"
        self._seen = now
        prefixes = roots(ledger.leaf_hashes)
        for size, root in self._promised.heads.items():
            if size >= len(prefixes):
                yield f"a head over {size} events was acknowledged, {len(prefixes) - 1} are there"
            elif prefixes[size].hex() != root:
                yield f"the ledger forked: its first {size} events have another root than was acknowledged"

    def _lost(self, ledger: PlainLedger) -> Iterator[str]:
        """Everything acknowledged is there; of a batch all or nothing."""
        there = {identity for identity, _ in ledger.events}
        for identity, by in self._promised.events.items():
            if identity not in there:
                yield f"the event {identity[:12]} was acknowledged ({by}) and is lost"
        for batch in self._promised.offered:
            taken = sum(identity in there for identity in batch)
            if 0 < taken < len(batch):
                yield f"{taken} of {len(batch)} events of one batch are in the ledger"
        sealed = {output["version"] for said in self._said(ledger) for output in _outputs(said) if output["name"].startswith("build/")}
        for ref in self._promised.builds:
            if f"sha256:{ref.rpartition('@')[2]}" not in sealed:
                yield f"{ref} was acknowledged and is lost"
        for said in self._promised.stored.values():
            what = self._missing(said["media"], said["digest"], said["location"], said["delta"])
            if what:
                yield f"acknowledged by the store and lost: {what}"

    def _dangling(self, ledger: PlainLedger) -> Iterator[str]:
        """Whatever an event of ours places in the store is there, whole."""
        placed = {
            json.dumps(output["artifact"], sort_keys=True) + output["version"]: output for said in self._said(ledger) for output in _outputs(said)
        }
        for output in placed.values():
            if output["artifact"].get("location") is None or output["artifact"].get("media") in {None, "none"}:
                continue
            said = output["artifact"]
            what = self._missing(said["media"], output["version"], said["location"], said.get("delta"))
            if what:
                yield f"{output['name']} dangles: {what}"

    def _missing(self, media: str, digest: str, location: str, delta: dict[str, Any] | None) -> str | None:
        """Look once for what several promises depend on."""
        key = (media, digest, location, delta["version"] if delta else None, delta["log"] if delta else None)
        if key not in self._looked:
            said = {"media": media, "digest": digest, "location": location, "delta": delta}
            self._looked[key] = missing(self._workspace / "store", said)
        return self._looked[key]

    def _said(self, ledger: PlainLedger) -> Iterator[dict[str, Any]]:
        """Yield each event as JSON; its id, checked against its bytes, says whether it was read before."""
        for identity, body in ledger.events:
            if identity not in self._parsed:
                self._parsed[identity] = json.loads(body)
            yield self._parsed[identity]

    def _left(self, ledger: PlainLedger) -> Iterator[str]:
        """After a recovery no run is open and nothing lies in staging."""
        runs: dict[str, set[str]] = {}
        for said in self._said(ledger):
            if said["job"]["namespace"] != "airflow":
                runs.setdefault(said["run"]["runId"], set()).add(said["eventType"])
        yield from (f"the run {run} is still open after recover" for run, states in runs.items() if not states & _TERMINAL)
        yield from (f"{path.name} is still in staging after recover" for path in (self._workspace / "store" / "staging").glob("*"))


def _outputs(said: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the outputs of one event of ours that have a version."""
    if said["job"]["namespace"] == "airflow":
        return
    for output in said.get("outputs") or ():
        facets = output.get("facets", {})
        version = facets.get("version", {}).get("datasetVersion")
        if version:
            yield {"name": output["name"], "version": version, "artifact": facets.get("tracecore_artifact", {})}
