"""A node of a trace in a few words: the summaries that its facets were recorded with, so that no plugin is needed to read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tracecore_schemas.facet_summary import count, size, summarize
from tracecore_schemas.trace import Claim, Node, Origin, RunNode, StaticEdge

__all__ = ["claim_in_words", "count", "node_in_words", "origin_in_words", "short_ref", "static_in_words", "together_in_words"]

_DIGITS = 6
_MANY = 7
"""Different values that are all named where several versions are one line; of more the first and the last are."""

_PLAIN = frozenset({"tracecore_artifact", "tracecore_origin", "tracecore_unknowns", "tracecore_imported", "tracecore_tombstone"})
"""Facets of every version, of which a trace says what is worth saying elsewhere."""


def short_ref(ref: str) -> str:
    """Cut the digest of a ref to what people compare: six digits."""
    name, at, version = ref.partition("@")
    digits = version.removeprefix("sha256:")
    return f"{name}@{digits[:_DIGITS]}" if at and len(digits) == 64 else ref


def claim_in_words(claim: Claim) -> str:
    """Return who claims what, without what it is about."""
    who = f"run/{claim['run']} of job {claim['job']}" if claim["run"] else f"job {claim['job']}" if claim["job"] else "an event of no job"
    return f"{who} says that it {claim['says']}"


def origin_in_words(origin: Origin) -> str:
    """Return where a version or run was imported from."""
    return f"imported from {origin['slug']} ({origin['ledger_id'][:_DIGITS]})"


def node_in_words(node: Node, run: RunNode | None) -> list[str]:
    """Return what is worth knowing of a node at a glance: who made a model, what its facets say, how its checks went."""
    made = [f"{run['plugin']} {run['plugin_version']}"] if node["kind"] == "model" and run is not None and run["plugin"] else []
    return [*made, *(_summaries(node) or _counted(node)), *_checks(run, node)]


def together_in_words(nodes: Sequence[Node]) -> list[str]:
    """Return the summaries of several versions of one kind as one: the values at each place, or the first and the last of many."""
    said = [" · ".join(_summaries(node)).split(" · ") for node in nodes]
    if len({len(parts) for parts in said}) != 1:
        return []
    return [_listed(sorted(set(values))) for values in zip(*said, strict=True) if any(values)]


def static_in_words(edges: Sequence[StaticEdge]) -> list[str]:
    """Return static lineage, a line for each job: what it is stated to read and to write."""
    by_job: dict[str | None, dict[str, list[str]]] = {}
    for edge in edges:
        by_job.setdefault(edge["job"], {"input": [], "output": []})[edge["direction"]].append(short_ref(edge["ref"]))
    lines = []
    for job, of_job in by_job.items():
        read, written = (", ".join(dict.fromkeys(of_job[direction])) for direction in ("input", "output"))
        lines.append(f"{f'job {job}' if job else 'somebody'} is stated to make {written or 'nothing'} from {read or 'nothing'}; no run says so")
    return lines


def _listed(values: Sequence[str]) -> str:
    return ", ".join(values) if len(values) <= _MANY else f"{values[0]} … {values[-1]}"


def _summaries(node: Node) -> list[str]:
    facets = (facet for name, facet in sorted(node["facets"].items()) if name not in _PLAIN and isinstance(facet, Mapping))
    said = (facet.get("summary") for facet in facets)
    return [words for each in said if isinstance(each, str) and (words := summarize(each))]


def _counted(node: Node) -> list[str]:
    """Return how much a version holds that no facet describes."""
    if node["rows"] is not None:
        return [count(node["rows"], "row")]
    return [size(node["size_bytes"])] if node["size_bytes"] else []


def _checks(run: RunNode | None, node: Node) -> list[str]:
    """Say how the checks of the run went; a run with several outputs is checked as a whole."""
    if run is None or not run["checks"] or node["kind"] == "drive_log":
        return []
    failed = [check["name"] for check in run["checks"] if not check["success"]]
    passed = len(run["checks"]) - len(failed)
    return [*([f"{count(passed, 'check')} passed"] if passed else []), *([f"failed: {', '.join(failed)}"] if failed else [])]
