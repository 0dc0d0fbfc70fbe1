"""What other producers' events say, worked out plainly: a reference to hold the catalog and its questions against, which shares no code with them.

Rules (DESIGN.md, 'Names and identity' and 'What must always hold'): of terminal events in conflict the smallest (UTC instant, event digest) wins, of
facets the greatest. A dataset is `external/<namespace>/<name>@<version>`; an output without a version is that run's, an input without one is a gap.
Its likely producer is the newest earlier output of that dataset by another run.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

__all__ = ["Plain"]

ENDS = ("COMPLETE", "FAIL", "ABORT")


@dataclass
class Plain:
    """Everything that a set of events says.

    Attributes:
        run_events: (event, run, type, time, job namespace, job, parent, producer).
        edges: (event, direction, ordinal, run, ref, type, time).
        facets: (event, subject, name, value as canonical JSON, time).
    """

    run_events: set[tuple[Any, ...]] = field(default_factory=set)
    edges: set[tuple[Any, ...]] = field(default_factory=set)
    facets: set[tuple[Any, ...]] = field(default_factory=set)

    @classmethod
    def of(cls, bodies: Iterable[bytes]) -> Plain:
        found = cls()
        for body in set(bodies):
            found._add(hashlib.sha256(body).hexdigest(), json.loads(body))
        return found

    def _add(self, event: str, said: dict[str, Any]) -> None:
        time = datetime.fromisoformat(said["eventTime"]).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        run, job = said["run"]["runId"].lower(), said["job"]
        kind = said.get("eventType", "OTHER")
        facets = said["run"].get("facets") or {}
        parent = facets.get("parent", {}).get("run", {}).get("runId")
        self.run_events.add((event, run, kind, time, job["namespace"], job["name"], parent and parent.lower(), said["producer"]))
        self._facets(event, f"run:{run}", facets, time)
        self._facets(event, f"job:{job['namespace']}/{job['name']}", job.get("facets"), time)
        for direction, absent in (("input", "unversioned"), ("output", f"run:{run}")):
            for ordinal, dataset in enumerate(said.get(f"{direction}s", [])):
                ref = _ref(dataset, absent)
                self.edges.add((event, direction, ordinal, run, ref, kind, time))
                for member in ("facets", f"{direction}Facets"):
                    named = {name: facet for name, facet in (dataset.get(member) or {}).items() if name != "version"}
                    self._facets(event, ref, named, time)

    def _facets(self, event: str, subject: str, facets: dict[str, Any] | None, time: str) -> None:
        for name, facet in (facets or {}).items():
            text = json.dumps(facet, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
            self.facets.add((event, subject, name, text, time))

    # --- resolved

    def runs(self) -> dict[str, tuple[str, str, str | None]]:
        """(state, started, ended) of each run."""
        events: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
        for event, run, kind, time, *_ in self.run_events:
            events[run].append((time, event, kind))
        found = {}
        for run, told in events.items():
            told.sort()
            end = next((each for each in told if each[2] in ENDS), None)
            started = next((time for time, _, kind in told if kind == "START"), told[0][0])
            found[run] = (end[2], started, end[0]) if end else ("OPEN", started, None)
        return found

    def facets_of(self, subject: str) -> dict[str, Any]:
        """The greatest value of each of a subject's facets, without the envelope around it."""
        told = sorted((time, event, name, text) for event, about, name, text, time in self.facets if about == subject)
        newest = {name: json.loads(text) for _, _, name, text in told}
        return {name: {key: value for key, value in facet.items() if key not in {"_producer", "_schemaURL"}} for name, facet in newest.items()}

    def behind(self, ref: str) -> set[tuple[str, str, str, bool]]:
        """The edges (run, ref, direction, inferred) of everything that a version was made from."""
        links = self._counting_links()
        outputs = sorted((link for link in links if link[2] == "output"), key=lambda link: link[4])
        found: set[tuple[str, str, str, bool]] = set()
        wanted, runs = [ref], set()
        makers: list[str] = []
        while wanted or makers:
            if wanted:
                version = wanted.pop()
                made = next((link for link in outputs if link[1] == version), None)
                if made is not None:
                    found.add((made[0], version, "output", False))
                    makers.append(made[0])
                continue
            run = makers.pop()
            if run in runs:
                continue
            runs.add(run)
            for of, version, direction, _, order in links:
                if of != run or direction != "input":
                    continue
                found.add((run, version, "input", False))
                if not version.endswith("@unversioned"):
                    wanted.append(version)
                    continue
                dataset = version.partition("@")[0]
                earlier = [link for link in outputs if link[1].partition("@")[0] == dataset and link[4] < order and link[0] != run]
                if earlier:
                    found.add((earlier[-1][0], version, "output", True))
                    makers.append(earlier[-1][0])
        return found

    def _counting_links(self) -> list[tuple[str, str, str, str, tuple[str, str, int]]]:
        """(run, ref, direction, type, order) of all but what terminal events say that lost, and outputs of runs that did not complete."""
        states, ended_by = self.runs(), {}
        for event, run, kind, *_ in sorted(self.run_events, key=lambda row: (row[3], row[0])):
            if kind in ENDS:
                ended_by.setdefault(run, event)
        return [
            (run, ref, direction, kind, (time, event, ordinal))
            for event, direction, ordinal, run, ref, kind, time in self.edges
            if (kind not in ENDS or ended_by[run] == event) and (direction == "input" or states[run][0] == "COMPLETE")
        ]


def _ref(dataset: dict[str, Any], absent: str) -> str:
    namespace, name = (quote(dataset[member], safe="") for member in ("namespace", "name"))
    version = (dataset.get("facets") or {}).get("version", {}).get("datasetVersion")
    return f"external/{namespace}/{name}@{absent if version is None else quote(version, safe='')}"
