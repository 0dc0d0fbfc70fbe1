"""The export format `prov`: a build's trace as W3C PROV-JSON.

Artifacts are entities, runs are activities that used and generated them, plugins are software agents, and the approver (a pseudonym) is a person.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import tracecore as tc
from tracecore_evidence.trace_graph import Graph

if TYPE_CHECKING:
    from prov.model import ProvDocument

__all__ = ["Prov", "document_of"]

_NAMESPACE = "urn:tracecore:"


class Prov(tc.Exporter):
    """Exporter of a build's trace as W3C PROV."""

    name = "prov"
    description = "W3C PROV as PROV-JSON: entities, activities and agents, and what used and generated what."

    def export(self, trace: Mapping[str, Any], manifest: Mapping[str, Any], destination: Path) -> None:
        """Write the document; the same build gives the same bytes."""
        text = document_of(Graph(trace), manifest).serialize(format="json")
        destination.write_text(json.dumps(json.loads(text or "{}"), indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def document_of(graph: Graph, manifest: Mapping[str, Any]) -> ProvDocument:
    """Return the PROV document of a build's trace and seal manifest."""
    from prov.model import ProvDocument

    document = ProvDocument()
    document.add_namespace("tc", _NAMESPACE)
    for ref, node in graph.nodes.items():
        said = {"kind": node["kind"], "name": node["name"], "digest": node["digest"], "bytes": node["size_bytes"], "rows": node["rows"]}
        known: dict[Any, Any] = {"prov:label": ref, **{f"tc:{name}": value for name, value in said.items() if value is not None}}
        if words := graph.unknowns_of(ref):
            known["tc:unknown"] = "; ".join(words)
        document.entity(_id(ref), known)
    for agent in sorted({f"plugin/{run['plugin']}@{run['plugin_version']}" for run in graph.runs.values() if run["plugin"]}):
        document.agent(_id(agent), {"prov:type": document.valid_qualified_name("prov:SoftwareAgent"), "prov:label": agent})
    for run in graph.runs.values():
        _activity(document, run)
    for number, edge in enumerate(sorted(graph.trace["edges"], key=lambda edge: (edge["run"], edge["direction"], edge["ref"], edge["role"] or ""))):
        said = {"prov:role": edge["role"] or None, "tc:inferred": edge["inferred"] or None}
        attributes: dict[Any, Any] = {name: value for name, value in said.items() if value is not None}
        if edge["direction"] == "input":
            document.used(_id(f"run/{edge['run']}"), _id(edge["ref"]), identifier=f"tc:use{number}", other_attributes=attributes)
        else:
            document.wasGeneratedBy(_id(edge["ref"]), _id(f"run/{edge['run']}"), identifier=f"tc:generation{number}", other_attributes=attributes)
    if manifest["approver"]:
        person = _id(f"person/{manifest['approver']}")
        document.agent(person, {"prov:type": document.valid_qualified_name("prov:Person")})
        document.wasAttributedTo(_id(graph.trace["root"]), person, other_attributes={"prov:role": "approver"})
    return document


def _activity(document: ProvDocument, run: Mapping[str, Any]) -> None:
    identity = _id(f"run/{run['id']}")
    said = {"job": run["job"], "stage": run["stage"], "state": run["state"], "params": json.dumps(run["params"], sort_keys=True)}
    document.activity(identity, _time(run["started_at"]), _time(run["ended_at"]), {f"tc:{name}": value for name, value in said.items() if value})
    if run["plugin"]:
        document.wasAssociatedWith(identity, _id(f"plugin/{run['plugin']}@{run['plugin_version']}"))


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _id(ref: str) -> str:
    """Return a ref as a qualified name, fully percent-encoded: some PROV tools reject '/' and '@' in local names."""
    return f"tc:{quote(ref, safe='')}"
