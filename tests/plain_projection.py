"""What other producers' events say, worked out plainly: a reference to hold the catalog and its questions against, which shares no code with them.

Rules (DESIGN.md, 'Names and identity' and 'What must always hold'): of terminal events in conflict the smallest (UTC instant, event digest) wins, of
facets the greatest. A dataset is `external/<namespace>/<name>@<version>`; an output without a version is that run's, an input without one is a gap.
A dataset that `columnLineage` only names is an input. Which run made what was read is shown by `plain_lineage`.
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
        listed = {(dataset["namespace"], dataset["name"]) for dataset in said.get("inputs", [])}
        facets = [(dataset.get("facets") or {}).get("columnLineage") or {} for dataset in said.get("outputs", [])]
        read = [field for facet in facets for column in facet.get("fields", {}).values() for field in column.get("inputFields", [])]
        columns = {(field["namespace"], field["name"]) for field in [*read, *(field for facet in facets for field in facet.get("dataset", []))]}
        for ordinal, (namespace, name) in enumerate(sorted(columns - listed), len(said.get("inputs", []))):
            self.edges.add((event, "input", ordinal, run, _ref({"namespace": namespace, "name": name}, "unversioned"), kind, time))

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


def _ref(dataset: dict[str, Any], absent: str) -> str:
    namespace, name = (quote(dataset[member], safe="") for member in ("namespace", "name"))
    version = (dataset.get("facets") or {}).get("version", {}).get("datasetVersion")
    return f"external/{namespace}/{name}@{absent if version is None else quote(version, safe='')}"
