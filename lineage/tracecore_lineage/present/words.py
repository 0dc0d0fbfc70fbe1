"""Short descriptions of nodes and builds for the terminal, from the summaries in their facets."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tracecore.cli import console
from tracecore.kpis import Kpi
from tracecore_schemas.arrow_tables import BUILT_IN_TABLES
from tracecore_schemas.facets import count, size, summarize
from tracecore_schemas.kinds import ArtifactKind, kind_of
from tracecore_schemas.trace import Claim, Node, Origin, RunNode, StaticEdge

if TYPE_CHECKING:
    from rich.console import Console

__all__ = [
    "BAD",
    "WHOLE",
    "Words",
    "checks_in_words",
    "claim_in_words",
    "count",
    "kind_of_node",
    "kpis_in_words",
    "node_in_words",
    "origin_in_words",
    "screen",
    "short_ref",
    "static_in_words",
    "together_in_words",
    "training_in_words",
]

_DIGITS = 6
_MANY = 7
"""Maximum number of values listed if several versions share a line; of more, the first and the last are shown."""

_PLAIN = frozenset({"tracecore_artifact", "tracecore_origin", "tracecore_unknowns", "tracecore_imported", "tracecore_tombstone"})
"""Facets that any version may have, which a trace shows elsewhere."""


def short_ref(ref: str) -> str:
    """Return a ref with its digest shortened to six digits."""
    name, at, version = ref.partition("@")
    digits = version.removeprefix("sha256:")
    return f"{name}@{digits[:_DIGITS]}" if at and len(digits) == 64 else ref


def claim_in_words(claim: Claim) -> str:
    """Describe a claim (another producer's statement about a version, not taken as fact) as text, `<run or job> says that it …`."""
    who = f"run/{claim['run']} of job {claim['job']}" if claim["run"] else f"job {claim['job']}" if claim["job"] else "an event of no job"
    return f"{who} says that it {claim['says']}"


def origin_in_words(origin: Origin) -> str:
    """Name the workspace and ledger that a version or run was imported from."""
    return f"imported from {origin['slug']} ({origin['ledger_id'][:_DIGITS]})"


def kind_of_node(node: Node) -> ArtifactKind:
    """Return the artifact kind of a trace node; for a kind that a plugin defines, as recorded in the node's facet."""
    stored = node["facets"].get("tracecore_artifact")
    return kind_of(node["kind"], stored.get("of_kind") if isinstance(stored, Mapping) else None)


def node_in_words(node: Node, run: RunNode | None) -> list[str]:
    """Return texts that describe a trace node: for a model its plugin, then summaries from facets (else rows or size), then results of checks."""
    made = [f"{run['plugin']} {run['plugin_version']}"] if node["kind"] == "model" and run is not None and run["plugin"] else []
    return [*made, *(_summaries(node) or _counted(node)), *_checks(run, node)]


def together_in_words(nodes: Sequence[Node]) -> list[str]:
    """Combine versions' summaries: for each part, the text of its distinct values (many as `first … last`). Empty if the numbers of parts differ."""
    texts = [" · ".join(_summaries(node)).split(" · ") for node in nodes]
    if len({len(parts) for parts in texts}) != 1:
        return []
    parts = [sorted(set(values)) for values in zip(*texts, strict=True) if any(values)]
    return [", ".join(values) if len(values) <= _MANY else f"{values[0]} … {values[-1]}" for values in parts]


def static_in_words(edges: Sequence[StaticEdge]) -> list[str]:
    """Return a text per job for static lineage, which a job's or dataset's metadata states without a run: what is made from which inputs."""
    by_job: dict[str | None, dict[str, list[str]]] = {}
    for edge in edges:
        by_job.setdefault(edge["job"], {"input": [], "output": []})[edge["direction"]].append(short_ref(edge["ref"]))
    lines = []
    for job, of_job in by_job.items():
        read, written = (", ".join(dict.fromkeys(of_job[direction])) for direction in ("input", "output"))
        lines.append(f"{f'job {job}' if job else 'somebody'} is stated to make {written or 'nothing'} from {read or 'nothing'}; no run says so")
    return lines


def _summaries(node: Node) -> list[str]:
    facets = (facet for name, facet in sorted(node["facets"].items()) if name not in _PLAIN and isinstance(facet, Mapping))
    texts = (facet.get("summary") for facet in facets)
    return [words for each in texts if isinstance(each, str) and (words := summarize(each))]


def _counted(node: Node) -> list[str]:
    """Describe a stored version in a text: the summary recorded for a plugin's kind or table, else its rows or size. Empty if none is recorded."""
    stored = node["facets"].get("tracecore_artifact")
    if isinstance(stored, Mapping) and (stored.get("of_kind") or _is_plugins(stored.get("table"))) and isinstance(stored.get("summary"), str):
        return [summarize(stored["summary"])]
    if node["rows"] is not None:
        return [count(node["rows"], "row")]
    return [size(node["size_bytes"])] if node["size_bytes"] else []


def _is_plugins(table: Any) -> bool:
    return isinstance(table, Mapping) and table.get("name") not in BUILT_IN_TABLES


def _checks(run: RunNode | None, node: Node) -> list[str]:
    """Return texts on the checks of the run that made a node: number passed, names of those failed; empty for drive logs or without checks."""
    if run is None or not run["checks"] or node["kind"] == "drive_log":
        return []
    failed = [check["name"] for check in run["checks"] if not check["success"]]
    passed = len(run["checks"]) - len(failed)
    return [*([f"{count(passed, 'check')} passed"] if passed else []), *([f"failed: {', '.join(failed)}"] if failed else [])]


Words = tuple[str, str]
"""A text and its terminal style."""

BAD = "bold red"
_NAMED = 3
_DIGEST = re.compile(r"(@[0-9a-f]{6})[0-9a-f]{58}")
_BOUNDS = ("min", "max", "above_baseline", "max_drop")


def checks_in_words(failed: Sequence[str]) -> list[Words]:
    """Return a styled text with the number of failed checks and up to three of their names; an empty list if none failed."""
    if not failed:
        return []
    names = list(dict.fromkeys(failed))
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return [(f"{count(len(failed), 'check')} failed: {', '.join(names[:_NAMED])}{more}", BAD)]


def training_in_words(unknowns: Iterable[tuple[str, str]]) -> list[str]:
    """Return the text `unknown: <shortened reason>` for each pair (what is not known, reason) that is about a build's training data."""
    shown = (_DIGEST.sub(r"\1", why.partition(":")[0]) for what, why in unknowns if what == "training data")
    return [f"unknown: {words[:1].lower()}{words[1:]}" for words in shown]


def kpis_in_words(gates: Sequence[Mapping[str, Any]], kpis: Mapping[str, Kpi]) -> list[Words]:
    """Return styled texts: of gates with a measured number and bounds, of other failed gates, then of headline KPIs (in `kpis`) without gates."""
    words: list[Words] = []
    shown: set[Kpi] = set()
    for gate in gates:
        kpi = kpis.get(gate["name"])
        if kpi is not None and kpi.value == gate["measured"]:
            shown.add(kpi)
        else:  # the gate does not measure the KPI of this name
            kpi = None
        required = gate["required"] if isinstance(gate["required"], Mapping) else {}
        bounds = {key: required[key] for key in _BOUNDS if _number(required.get(key))}
        if bounds and _number(gate["measured"]):
            words.append(_with_gate(gate, bounds, required.get("baseline"), kpi))
        elif not gate["passed"]:
            words.append((f"{gate['name']} {_verdict(gate)}", BAD))
    names: dict[Kpi, str] = {}
    for name, kpi in kpis.items():
        names[kpi] = min(names.get(kpi, name), name, key=len)
    for kpi, name in names.items():
        if kpi.headline and not kpi.selection and kpi not in shown:
            baseline = "" if kpi.baseline is None else f" (baseline {_figure(kpi.baseline)})"
            words.append((f"{name} {_figure(kpi.value)}{baseline}", ""))
    return words


def _verdict(gate: Mapping[str, Any]) -> str:
    return "WAIVED" if gate["waived"] else "FAILED"


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _with_gate(gate: Mapping[str, Any], bounds: Mapping[str, float], baseline: Any, kpi: Kpi | None) -> Words:
    requirements = [f"{sign} {_figure(bounds[key])}" for key, sign in (("min", "≥"), ("max", "≤")) if key in bounds]
    compared = ""
    if "above_baseline" in bounds:
        compared, above = _above(bounds["above_baseline"], baseline, kpi)
        requirements.append(above)
    if "max_drop" in bounds:
        requirements.append(f"at most {_figure(bounds['max_drop'])} worse than before")
    value = _figure(gate["measured"])
    if any(value == _figure(bounds[key]) and gate["measured"] != bounds[key] for key in ("min", "max") if key in bounds):
        value = f"{gate['measured']:.4g}"  # rounded, it would equal the bound
    text = " ".join([f"{gate['name']} {value}{compared}", *requirements])
    return (text, "") if gate["passed"] else (f"{text} {_verdict(gate)}", BAD)


def _above(margin: float, baseline: Any, kpi: Kpi | None) -> tuple[str, str]:
    """Return (interval as text or empty, requirement such as `> 0.80`) of a gate that requires a KPI better than `baseline`, by `margin` if not 0."""
    than = _figure(baseline) if _number(baseline) else "its baseline"
    if kpi is None:
        return "", f"better than {than}{f' by {_figure(margin)}' if margin else ''}"
    compared, words = (kpi.interval, "") if kpi.gain is None else (kpi.gain, "less by " if kpi.less_is_better else "more by ")
    between = "" if compared is None else f" ({words}{_figure(compared[0])} to {_figure(compared[1])})"
    if not margin:
        return between, f"{'<' if kpi.less_is_better else '>'} {than}"
    return between, f"≤ {than} − {_figure(margin)}" if kpi.less_is_better else f"≥ {than} + {_figure(margin)}"  # noqa: RUF001


def _figure(value: float) -> str:
    """Format a number with two decimals below 10, one below 100, and none from 100 on (by absolute value)."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


WHOLE = 100_000
"""Console width for files and pipes, so that no line is wrapped."""


def screen() -> Console:
    """Return a rich console on stdout: as wide as the terminal, or without wrapping for a file or pipe."""
    target = console()
    if not target.is_terminal:
        target.width = WHOLE  # rich's soft wrapping does not apply to trees and tables
    return target
