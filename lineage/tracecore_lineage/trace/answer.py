"""Build `Trace` answers from walks: nodes, runs, edges, gaps and unknowns; and what was recorded about a build after its seal.

The order depends only on the content of events, not on arrival order or later events: the answer for a prefix never changes, byte for byte. Later
uses of the same versions and repeated facts are not changes since the seal; bug reports are.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tracecore_lineage.catalog.prefix import recorded_at
from tracecore_lineage.catalog.signatures import cosignatures, home
from tracecore_lineage.trace.bugs import reported_since
from tracecore_lineage.trace.facts import CheckVerdict, Facet, RunFacts
from tracecore_lineage.trace.reader import Reader
from tracecore_lineage.trace.walk import Walk
from tracecore_schemas.facets import ENGINE_FACET
from tracecore_schemas.kinds import Severity
from tracecore_schemas.refs import parse_ref
from tracecore_schemas.trace import Check, Node, RunNode, Trace, UnknownFact

__all__ = ["Assembled", "assemble", "changes_since_seal"]

Facets = Mapping[str, Mapping[str, Facet]]


_OF_CHECKS = frozenset({"dataQualityAssertions"})
"""Facets left out of nodes: each check records its own, so none is complete; the results are listed with the checked runs."""


@dataclass(frozen=True, slots=True)
class Assembled:
    """An answer with the resolved facts behind it, kept to compare with later events."""

    trace: Trace
    facets: Facets
    runs: Mapping[str, RunFacts]
    checks: tuple[CheckVerdict, ...]


def assemble(reader: Reader, walk: Walk) -> Assembled:
    """Return a finished walk's sorted trace, and the facts used for it. Adds to `walk` a gap (missing fact) for each version without a maker."""
    runs = reader.runs([*walk.runs, *(run for makers in walk.made_by.values() for run in makers)])
    checks = reader.checks(of_runs=walk.runs, targets=walk.levels)
    facets = reader.facets([*walk.levels, *(f"run:{run}" for run in [*walk.runs, *(check.run for check in checks)])])
    _add_unmade_gaps(walk, facets)
    nodes = _nodes(reader, walk, runs, checks, facets)
    checked: dict[str, list[CheckVerdict]] = {}
    for check in checks:
        checked.setdefault(check.of_run, []).append(check)
    unknowns = _unknowns(walk, runs, checks, facets, recorded_at(reader.connection, (seq for run in walk.runs for _, seq in runs[run].times)))
    trace = Trace(
        root=walk.root,
        direction=walk.direction,
        position=reader.prefix.position,
        complete=not walk.gaps and not walk.truncated,
        truncated=walk.truncated,
        gaps=[walk.gaps[key] for key in sorted(walk.gaps)],
        unknowns=unknowns,
        nodes=nodes,
        runs=[
            _run_node(reader, runs[run], checked.get(run, ()), facets)
            for run in sorted(walk.runs, key=lambda run: (walk.runs[run], runs[run].job, run))
        ],
        edges=sorted(walk.edges.values(), key=lambda edge: (walk.runs[edge["run"]], edge["run"], edge["direction"], edge["role"], edge["ref"])),
        later=[],
        claims=[claim for claim in reader.claims(walk.levels) if claim["run"] not in walk.made_by.get(claim["at"], ())],
        static=walk.static,
    )
    if walk.note is not None:
        trace["note"] = walk.note
    return Assembled(trace, facets, runs, tuple(checks))


def _add_unmade_gaps(walk: Walk, facets: Facets) -> None:
    """Add a gap (missing fact) to a backward walk for each version with neither a recorded maker nor a declared origin, except labelers (persons)."""
    if walk.direction != "backward":
        return
    named = {at for at, _ in walk.gaps}
    for ref in (ref for ref in walk.levels if ref not in walk.made_by):
        if not ref.startswith("labeler/") and "tracecore_origin" not in facets.get(ref, {}) and ref not in named:
            walk.gap(ref, "producing run", "No recorded run made it, and no origin is declared for it.")


def _nodes(reader: Reader, walk: Walk, runs: Mapping[str, RunFacts], checks: list[CheckVerdict], facets: Facets) -> list[Node]:
    """Return the nodes of a walk, sorted by distance from the root, then ref; in a forward walk, builds come first."""
    makers = {
        ref: sorted((runs[run] for run in made_by if run in runs), key=lambda run: (run.ended_at or "", run.id))
        for ref, made_by in walk.made_by.items()
    }
    unmade = reader.first_readings(ref for ref in walk.levels if not makers.get(ref))
    positions = {ref: made[0].seq for ref, made in makers.items() if made} | {ref: link.seq for ref, link in unmade.items()}
    times = recorded_at(reader.connection, positions.values())
    blocked: dict[str, set[str]] = {}
    for check in checks:
        if not check.success and check.severity == Severity.BLOCKING.value:
            blocked.setdefault(check.target, set()).add(check.of_run)
    nodes: list[Node] = []
    forward = walk.direction == "forward"  # builds come first
    for ref in sorted(walk.levels, key=lambda ref: (forward and not ref.startswith("build/"), walk.levels[ref], ref)):
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
                rejected=bool(blocked.get(ref, set()) & walk.made_by.get(ref, set())) if made else ref in blocked,
                facets={name: of_node[name].value for name in sorted(of_node.keys() - _OF_CHECKS)},
            )
        )
        if made and (origin := reader.origin(made[0])) is not None:
            nodes[-1]["origin"] = origin
    return nodes


def _run_node(reader: Reader, run: RunFacts, checks: Sequence[CheckVerdict], facets: Facets) -> RunNode:
    """Return a run as shown in a trace, with its checks, and with the stage, plugin and parameters in its facet `tracecore_execution`."""
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


def _unknowns(walk: Walk, runs: Mapping[str, RunFacts], checks: list[CheckVerdict], facets: Facets, recorded: Mapping[int, str]) -> list[UnknownFact]:
    """Return, sorted, what is recorded as not known about a walk's versions, checks and runs, and each version name that several runs made."""
    listed: dict[tuple[str, str, str], UnknownFact] = {}

    def add(at: str, what: str, why: str) -> None:
        listed[at, what, why] = UnknownFact(at=at, what=what, why=why)

    for ref in walk.levels:
        of_node = facets.get(ref, {})
        stated = _pairs(of_node, "tracecore_unknowns", "unknowns", "what", "why")
        for what, why in stated:
            add(ref, what, why)
        engine: dict[str, Any] = of_node[ENGINE_FACET.name].value if ENGINE_FACET.name in of_node else {}
        if engine.get("executed") is False and all(what != "not executed" for what, _ in stated):
            add(ref, "not executed", str(engine.get("why") or "The engine was never executed."))
    for check in checks:
        for what, why in _pairs(facets.get(f"run:{check.run}", {}), "tracecore_check", "unknowns", "what", "why"):
            add(check.target, what, why)
    for ref, times in walk.remade.items():
        add(
            ref,
            f"made {times} times",
            f"{times} runs made a version of this name: the label is no digest, and each reading is of the one made last before it.",
        )
    if (followed := walk.gaps.get((walk.root, "frame"))) is not None:
        add(walk.root, "frame", followed["why"])
    for run in walk.runs:
        _unknowns_of_ends(runs[run], recorded, add)
    with_outputs = {(run, why) for at, _, why in listed for run in walk.made_by.get(at, ())}
    _unknowns_of_runs(walk, runs, facets, add, with_outputs)
    return [listed[key] for key in sorted(listed)]


def _unknowns_of_ends(run: RunFacts, recorded: Mapping[int, str], add: Callable[[str, str, str], None]) -> None:
    """Call `add` (at, what, why) for each inconsistency in a run's events: contradictory clocks, several terminal events, several jobs.

    `recorded` maps ledger positions to recorded times.
    """
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
    walk: Walk, runs: Mapping[str, RunFacts], facets: Facets, add: Callable[[str, str, str], None], stated: Collection[tuple[str, str]]
) -> None:
    """Call `add` (at, what, why) for each file that a run did not ingest, unless (run, why) is in `stated`, and each run without execution facts."""
    for run in walk.runs:
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
    """Return (member `one`, member `other`) as strings for each entry in the list `key` of the facet `name`; empty without that facet.

    Facets of other producers may have any shape: a missing member becomes `no <name> in <entry>`.
    """
    value = facets[name].value.get(key) if name in facets else None
    entries: list[Any] = value if isinstance(value, list) else [] if value is None else [value]
    return [(_member(entry, one), _member(entry, other)) for entry in entries]


def _member(entry: Any, name: str) -> str:
    """Return the member `name` of a list entry as text, or `no <name> in <entry>` if it is missing."""
    members = _members(entry)
    return str(members[name]) if name in members else f"no {name} in {json.dumps(entry, ensure_ascii=False)[:80]}"


def _members(value: Any) -> Mapping[str, Any]:
    """Return the value if it is a JSON object, else an empty mapping."""
    return value if isinstance(value, dict) else {}


_OF_STORAGE = frozenset({"tracecore_artifact", "symlinks", "version", "schema", "tracecore_port"})
"""Facets about storage: every run that makes or reads the same version repeats them with its own values."""
_OF_USE = frozenset({"dataQualityAssertions", "dataQualityMetrics", "outputStatistics", "inputStatistics", "inputSubset", "outputSubset"})


def changes_since_seal(now: Reader, walk: Walk, then: Assembled, bound: int) -> list[dict[str, Any]]:
    """Return what was recorded about the nodes and runs of a build's trace after its seal, as entries sorted by ledger position.

    `now` reads a later state of the ledger; `walk` and its answer `then` are of the ledger at the seal, which ends before position `bound`. Entries
    have `at`, `what` (`facet`, `facet deleted`, `erased`, `gap filled`, `check failed`, `state`, `bug reported`, `cosigned`), details, `position`
    and `recorded_at`.
    """
    if now.prefix.bound <= bound:
        return []
    entries = [
        *_facets(now, walk, then, bound),
        *_filled_gaps(now, then, bound),
        *_failed_checks(now, walk, bound),
        *_states(now, walk, then, bound),
        *_bugs(now, walk, bound),
        *_cosignatures(now, walk, bound),
    ]
    times = recorded_at(now.connection, (entry["position"] for entry in entries))
    for entry in entries:
        entry["recorded_at"] = times.get(entry["position"])
    return sorted(entries, key=lambda entry: (entry["position"], entry["at"], entry["what"], str(entry.get("name"))))


def _facets(now: Reader, walk: Walk, then: Assembled, bound: int) -> list[dict[str, Any]]:
    """Return a dict for each facet of a node or run in `walk` that events from position `bound` on changed, except storage facts and statistics."""
    subjects = {ref: ref for ref in walk.levels} | {f"run:{run}": f"run/{run}" for run in walk.runs}
    entries: list[dict[str, Any]] = []
    for subject, facets in now.facets(subjects, since=bound, deleted=True).items():
        for name, facet in facets.items():
            before = then.facets.get(subject, {}).get(name)
            if name in _OF_STORAGE | _OF_USE or (before is not None and before.value == facet.value):
                continue
            if before is None or facet.order > before.order:
                if facet.is_deleted and before is None:
                    continue
                what, value = ("facet deleted", None) if facet.is_deleted else ("facet", facet.value)
                entry = {"at": subjects[subject], "what": what, "name": name, "value": value, "position": facet.seq}
                entries.append(_erased(entry) if name == "tracecore_tombstone" else entry)
    return entries


def _erased(entry: dict[str, Any]) -> dict[str, Any]:
    """Return the change of a tombstone facet as an `erased` entry, with the size, progress and reason of the erasure in `text`."""
    facet = entry["value"]
    why = "consent withdrawn" if facet.get("what") == "consent_withdraw" else "pruned"
    done = "" if facet.get("done") else " (promised, not finished yet)"
    return {**entry, "what": "erased", "text": f"{facet.get('size_bytes')} bytes{done}: {why}: {facet.get('reason')}"}


def _filled_gaps(now: Reader, then: Assembled, bound: int) -> list[dict[str, Any]]:
    """Return a dict for each version without a maker in `then` for which an event from position `bound` on names the run that made it."""
    open_gaps = {gap["at"] for gap in then.trace["gaps"] if gap["missing"] == "producing run"}
    filled: dict[str, dict[str, Any]] = {}
    for link in now.outputs_like(open_gaps):
        if link.seq >= bound:
            filled.setdefault(link.ref, {"at": link.ref, "what": "gap filled", "run": link.run, "position": link.seq})
    return list(filled.values())


def _failed_checks(now: Reader, walk: Walk, bound: int) -> list[dict[str, Any]]:
    """Return a dict for each failed check of a version in the walk whose failure was recorded from position `bound` on."""
    made = {(ref, run) for ref, runs in walk.made_by.items() for run in runs}
    return [
        {"at": check.target, "what": "check failed", "name": check.name, "severity": check.severity, "message": check.message, "position": check.seq}
        for check in now.checks(of_runs=walk.runs)
        if check.seq >= bound and not check.success and (check.target, check.of_run) in made
    ]


def _states(now: Reader, walk: Walk, then: Assembled, bound: int) -> list[dict[str, Any]]:
    """Return the new state, and the ledger position of its event, of each run of the walk whose state an event from position `bound` on changed."""
    known = now.runs(walk.runs)
    return [
        {"at": f"run/{run}", "what": "state", "state": known[run].state.value, "position": known[run].seq}
        for run in walk.runs
        if known[run].seq >= bound and known[run].state is not then.runs[run].state
    ]


def _cosignatures(now: Reader, walk: Walk, bound: int) -> list[dict[str, Any]]:
    """Return a dict for each cosignature (further signature) of the build recorded from position `bound` on, without verifying it."""
    if not walk.root.startswith("build/"):
        return []
    return [
        {"at": walk.root, "what": "cosigned", "name": str(event.facet.get("key")), "position": event.seq}
        for event in cosignatures(now.connection, home(now.connection, walk.root))
        if event.facet.get("build") == walk.root and bound <= event.seq < now.prefix.bound
    ]


def _bugs(now: Reader, walk: Walk, bound: int) -> list[dict[str, Any]]:
    """Return a dict for each bug reported from position `bound` on about nodes of the walk; `at` is the affected node nearest to the root."""
    entries: list[dict[str, Any]] = []
    for ref, facet, about in reported_since(now, bound):
        known = sorted((walk.levels[link.ref], link.ref) for link in about if link.ref in walk.levels)
        if known:
            details = {name: facet.value.get(name) for name in ("text", "severity")}
            entries.append({"at": known[0][1], "what": "bug reported", "name": ref, **details, "position": facet.seq})
    return entries
