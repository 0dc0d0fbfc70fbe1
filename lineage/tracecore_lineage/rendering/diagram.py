"""A trace as text for diagram tools: Mermaid and DOT. Versions are boxes, runs are rounded; arrows point the way the data went."""

from __future__ import annotations

from tracecore_lineage.rendering.graph import Versions
from tracecore_lineage.rendering.words import short_ref
from tracecore_schemas.trace import Trace

__all__ = ["dot", "mermaid"]


def mermaid(trace: Trace) -> str:
    """Write a trace as a Mermaid flowchart."""
    versions = Versions(trace)
    names = _names(trace, versions)
    lines = ["flowchart LR"]
    lines += [f'  {names[key]}["{_mermaid_text(short_ref(key))}"]' for key in versions.nodes()]
    lines += [f'  {names[run["id"]]}(["{_mermaid_text(run["job"])}"])' for run in trace["runs"]]
    for start, end, role, inferred in _arrows(trace, versions, names):
        arrow = "-.->" if inferred else "-->"
        lines.append(f'  {start} {arrow}|"{_mermaid_text(role)}"| {end}' if role else f"  {start} {arrow} {end}")
    return "\n".join(lines) + "\n"


def dot(trace: Trace) -> str:
    """Write a trace as a DOT digraph."""
    versions = Versions(trace)
    names = _names(trace, versions)
    lines = ["digraph trace {", "  rankdir=LR;", '  node [fontname="sans-serif"];']
    lines += [
        f"  {names[key]} [shape=box, label={_quoted(short_ref(key))}, tooltip={_quoted(node['ref'])}];" for key, node in versions.nodes().items()
    ]
    lines += [f"  {names[run['id']]} [shape=ellipse, label={_quoted(run['job'])}, tooltip={_quoted('run/' + run['id'])}];" for run in trace["runs"]]
    for start, end, role, inferred in _arrows(trace, versions, names):
        lines.append(f"  {start} -> {end} [label={_quoted(role)}{', style=dashed' if inferred else ''}];")
    return "\n".join([*lines, "}"]) + "\n"


def _names(trace: Trace, versions: Versions) -> dict[str, str]:
    """Return a short name for each version and run that every tool takes."""
    named = {key: f"n{place}" for place, key in enumerate(versions.nodes())}
    return named | {run["id"]: f"r{place}" for place, run in enumerate(trace["runs"])}


def _arrows(trace: Trace, versions: Versions, names: dict[str, str]) -> list[tuple[str, str, str, bool]]:
    found: list[tuple[str, str, str, bool]] = []
    for edge in trace["edges"]:
        version, run = names.get(versions.key(edge)), names.get(edge["run"])
        if version is not None and run is not None:
            start, end = (version, run) if edge["direction"] == "input" else (run, version)
            found.append((start, end, edge["role"], edge["inferred"]))
    return found


def _mermaid_text(text: str) -> str:
    # Mermaid reads HTML entities, and takes quotes and markup inside a label for its own.
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;").replace("`", "&#96;")


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
    return f'"{escaped}"'
