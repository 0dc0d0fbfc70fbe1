"""From what a walk found to the answer of the public contract: nodes, runs, edges, gaps and unknowns, each in one fixed order.

The order depends on what the events say alone, never on the order in which they came or on what came later: the answer for a prefix is the same, byte
for byte, for ever.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tracecore_lineage.catalog.prefix import recorded_at
from tracecore_lineage.trace.facts import CheckVerdict, Facet, RunFacts
from tracecore_lineage.trace.reader import Reader
from tracecore_lineage.trace.walk import Walk
from tracecore_schemas.kinds import Severity
from tracecore_schemas.refs import parse_ref
from tracecore_schemas.trace import Check, Edge, Node, RunNode, Trace, UnknownFact

__all__ = ["Assembled", "assemble"]

Facets = Mapping[str, Mapping[str, Facet]]


_OF_CHECKS = frozenset({"dataQualityAssertions"})
"""Each check says its own; one of them would pass for all. What checks found stands in the runs they checked."""


@dataclass(frozen=True, slots=True)
class Assembled:
    """An answer, and the resolved facts it was made of, for whoever asks what changed since."""

    trace: Trace
    facets: Facets
    runs: Mapping[str, RunFacts]
    checks: tuple[CheckVerdict, ...]


def assemble(reader: Reader, found: Walk) -> Assembled:
    """Look up everything there is to say of the found nodes and runs, and put it in order."""
    runs = reader.runs([*found.runs, *(run for makers in found.made_by.values() for run in makers)])
    checks = reader.checks(of_runs=found.runs, targets=found.levels)
    facets = reader.facets([*found.levels, *(f"run:{run}" for run in [*found.runs, *(check.run for check in checks)])])
    _name_unmade(found, facets)
    nodes = _nodes(reader, found, runs, checks, facets)
    checked: dict[str, list[CheckVerdict]] = {}
    for check in checks:
        checked.setdefault(check.of_run, []).append(check)
    unknowns = _unknowns(found, runs, checks, facets, recorded_at(reader.connection, (seq for run in found.runs for _, seq in runs[run].times)))
    trace = Trace(
        root=found.root,
        direction=found.direction,
        position=reader.prefix.position,
        complete=not found.gaps and not found.truncated,
        truncated=found.truncated,
        gaps=[found.gaps[key] for key in sorted(found.gaps)],
        unknowns=unknowns,
        nodes=nodes,
        runs=[
            _run_node(reader, runs[run], checked.get(run, ()), facets)
            for run in sorted(found.runs, key=lambda run: (found.runs[run], runs[run].job, run))
        ],
        edges=sorted(found.edges.values(), key=lambda edge: _edge_order(found, edge)),
        later=[],
        claims=[claim for claim in reader.claims(found.levels) if claim["run"] not in found.made_by.get(claim["at"], ())],
        static=found.static,
    )
    if found.note is not None:
        trace["note"] = found.note
    return Assembled(trace, facets, runs, tuple(checks))


def _name_unmade(found: Walk, facets: Facets) -> None:
    """Name every version that neither a recorded run made nor a declared origin explains; forward there is nothing to explain."""
    if found.direction != "backward":
        return
    named = {at for at, _ in found.gaps}
    for ref in found.unmade():
        if not ref.startswith("labeler/") and "tracecore_origin" not in facets.get(ref, {}) and ref not in named:
            found.gap(ref, "producing run", "No recorded run made it, and no origin is declared for it.")


def _nodes(reader: Reader, found: Walk, runs: Mapping[str, RunFacts], checks: list[CheckVerdict], facets: Facets) -> list[Node]:
    makers = {
        ref: sorted((runs[run] for run in made_by if run in runs), key=lambda run: (run.ended_at or "", run.id))
        for ref, made_by in found.made_by.items()
    }
    unmade = reader.first_readings(ref for ref in found.levels if not makers.get(ref))
    positions = {ref: made[0].seq for ref, made in makers.items() if made} | {ref: link.seq for ref, link in unmade.items()}
    times = recorded_at(reader.connection, positions.values())
    blocked: dict[str, set[str]] = {}
    for check in checks:
        if not check.success and check.severity == Severity.BLOCKING.value:
            blocked.setdefault(check.target, set()).add(check.of_run)
    nodes: list[Node] = []
    for ref in sorted(found.levels, key=lambda ref: _node_order(found, ref)):
        parsed = parse_ref(ref)
        of_node = facets.get(ref, {})
        artifact: dict[str, Any] = of_node["tracecore_artifact"].value if "tracecore_artifact" in of_node else {}
        made = makers.get(ref)
        nodes.append(
            Node(
                ref=ref,
                kind=parsed.kind,
                name=ref.partition("@")[0].partition("/")[2],
                digest=f"sha256:{parsed.version}" if parsed.is_artifact and parsed.version else None,
                created_at=made[0].ended_at if made else None,
                recorded_at=times.get(positions[ref]) if ref in positions else None,
                run=made[0].id if made else None,
                size_bytes=artifact.get("size_bytes"),
                rows=artifact.get("rows"),
                rejected=bool(blocked.get(ref, set()) & found.made_by.get(ref, set())) if made else ref in blocked,
                facets={name: of_node[name].value for name in sorted(of_node.keys() - _OF_CHECKS)},
            )
        )
        if made and (origin := reader.origin(made[0])) is not None:
            nodes[-1]["origin"] = origin
    return nodes


def _node_order(found: Walk, ref: str) -> tuple[bool, int, str]:
    """Builds first when looking forward: they are what was asked for."""
    return (found.direction == "forward" and not ref.startswith("build/"), found.levels[ref], ref)


def _edge_order(found: Walk, edge: Edge) -> tuple[int, str, str, str, str]:
    return (found.runs[edge["run"]], edge["run"], edge["direction"], edge["role"], edge["ref"])


def _run_node(reader: Reader, run: RunFacts, checks: Sequence[CheckVerdict], facets: Facets) -> RunNode:
    of_run = facets.get(f"run:{run.id}", {})
    execution: dict[str, Any] = of_run["tracecore_execution"].value if "tracecore_execution" in of_run else {}
    plugin, params = _members(execution.get("plugin")), _members(execution.get("params"))
    node = RunNode(
        id=run.id,
        job=run.job,
        stage=execution.get("stage"),
        plugin=plugin.get("stage"),
        plugin_version=plugin.get("version"),
        state=run.state.value,
        started_at=run.started_at,
        ended_at=run.ended_at,
        params=dict(params),
        checks=[Check(name=check.name, success=check.success, severity=check.severity) for check in checks],
    )
    if (origin := reader.origin(run)) is not None:
        node["origin"] = origin
    return node


def _unknowns(
    found: Walk, runs: Mapping[str, RunFacts], checks: list[CheckVerdict], facets: Facets, recorded: Mapping[int, str]
) -> list[UnknownFact]:
    """Collect the facts that nobody recorded: of versions, of checks, of files left out, of engines not executed, of other producers' runs."""
    listed: dict[tuple[str, str, str], UnknownFact] = {}

    def add(at: str, what: str, why: str) -> None:
        listed[at, what, why] = UnknownFact(at=at, what=what, why=why)

    for ref in found.levels:
        of_node = facets.get(ref, {})
        stated = _pairs(of_node, "tracecore_unknowns", "unknowns", "what", "why")
        for what, why in stated:
            add(ref, what, why)
        engine: dict[str, Any] = of_node["tracecore_engine"].value if "tracecore_engine" in of_node else {}
        if engine.get("executed") is False and all(what != "not executed" for what, _ in stated):
            add(ref, "not executed", str(engine.get("why") or "The engine was never executed."))
    for check in checks:
        for what, why in _pairs(facets.get(f"run:{check.run}", {}), "tracecore_check", "unknowns", "what", "why"):
            add(check.target, what, why)
    for ref, times in found.remade.items():
        add(
            ref,
            f"made {times} times",
            f"{times} runs made a version of this name: the label is no digest, and each reading is of the one made last before it.",
        )
    _unknown_frame(found, add)
    for run in found.runs:
        _unknowns_of_ends(runs[run], recorded, add)
    with_outputs = {(run, why) for at, _, why in listed for run in found.made_by.get(at, ())}
    _unknowns_of_runs(found, runs, facets, add, with_outputs)
    return [listed[key] for key in sorted(listed)]


def _unknown_frame(found: Walk, add: Callable[[str, str, str], None]) -> None:
    """Name as unknown which versions hold the asked frame, where a walk followed its drive instead."""
    followed = found.gaps.get((found.root, "frame"))
    if followed is not None:
        add(found.root, "frame", followed["why"])


def _unknowns_of_ends(run: RunFacts, recorded: Mapping[int, str], add: Callable[[str, str, str], None]) -> None:
    """Collect what the events of one run leave open: clocks that disagree, several ends, an id that several jobs used."""
    at = f"run/{run.id}"
    if run.ended_at is not None and run.started_at > run.ended_at:
        add(at, "clock", f"It started at {run.started_at}, after its end at {run.ended_at}.")
    late = [(time, recorded[seq]) for time, seq in run.times if time > recorded.get(seq, time)]
    if late:
        add(at, "clock", f"Its event is dated {late[-1][0]}, later than it was recorded ({late[-1][1]}).")
    if len(run.ends) > 1:
        add(
            at,
            "end",
            f"{len(run.ends)} terminal events are recorded ({', '.join(run.ends)}); the first decides its state, and all of them add to it.",
        )
    if len(run.jobs) > 1:
        add(at, "job", f"{len(run.jobs)} jobs used its id: {', '.join(run.jobs)}.")


def _unknowns_of_runs(
    found: Walk, runs: Mapping[str, RunFacts], facets: Facets, add: Callable[[str, str, str], None], stated: Collection[tuple[str, str]]
) -> None:
    """Collect what the runs left out and what others' runs don't say; `stated` holds, by run, what stands with its outputs already."""
    for run in found.runs:
        of_run = facets.get(f"run:{run}", {})
        for file, reason in _pairs(of_run, "tracecore_quarantine", "files", "name", "reason"):
            why = f"{file}: {reason}"
            if (run, why) not in stated:
                add(f"run/{run}", "drive file not ingested", why)
        if not (runs[run].is_fact or of_run.keys() & {"tracecore_execution", "tracecore_build"}):
            add(
                f"run/{run}",
                "execution",
                f"{runs[run].producer} recorded this run and did not say what code, parameters and environment it ran with.",
            )


def _pairs(facets: Mapping[str, Facet], name: str, key: str, one: str, other: str) -> list[tuple[str, str]]:
    """Read two members of each entry of a facet's list; anybody may send such a facet, and an entry that lacks a member is shown as it stands."""
    value = facets[name].value.get(key) if name in facets else None
    entries: list[Any] = value if isinstance(value, list) else [] if value is None else [value]
    return [(_told(entry, one), _told(entry, other)) for entry in entries]


def _told(entry: Any, member: str) -> str:
    found = _members(entry)
    return str(found[member]) if member in found else f"no {member} in {json.dumps(entry, ensure_ascii=False)[:80]}"


def _members(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
