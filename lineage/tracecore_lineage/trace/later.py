"""What became known after the position of a sealed build about the very things its trace names.

A later run that uses the same version is no news about it, nor is the same fact said again; neither is listed. A bug is news.
"""

from __future__ import annotations

from typing import Any

from tracecore_lineage.catalog.prefix import recorded_at
from tracecore_lineage.catalog.signatures import cosignatures, home
from tracecore_lineage.trace.answer import Assembled
from tracecore_lineage.trace.bugs import reported_since
from tracecore_lineage.trace.reader import Reader
from tracecore_lineage.trace.walk import Walk

__all__ = ["what_came_later"]

_OF_STORAGE = frozenset({"tracecore_artifact", "symlinks", "version", "schema", "tracecore_port"})
"""Facets of where the bytes lie and how one run used them: another run that makes or reads the same version says them again, in its own way."""
_TOMBSTONE = "tracecore_tombstone"
_OF_USE = frozenset({"dataQualityAssertions", "dataQualityMetrics", "outputStatistics", "inputStatistics", "inputSubset", "outputSubset"})


def what_came_later(now: Reader, found: Walk, then: Assembled, bound: int) -> list[dict[str, Any]]:
    """List what events from `bound` on say about the nodes and runs of a trace.

    Args:
        now: reads the prefix that the question may look at, usually all of the ledger.
        found: the walk in the build's prefix.
        then: its answer.
        bound: where the build's prefix ends.

    Returns:
        Entries with `at`, `what` (`facet`, `facet deleted`, `erased`, `gap filled`, `check failed`, `state`, `bug reported`, `cosigned`), what it
        says, `position` and `recorded_at`; by position.
    """
    if now.prefix.bound <= bound:
        return []
    entries = [
        *_facets(now, found, then, bound),
        *_filled_gaps(now, then, bound),
        *_failed_checks(now, found, bound),
        *_states(now, found, then, bound),
        *_bugs(now, found, bound),
        *_cosignatures(now, found, bound),
    ]
    times = recorded_at(now.connection, (entry["position"] for entry in entries))
    for entry in entries:
        entry["recorded_at"] = times.get(entry["position"])
    return sorted(entries, key=lambda entry: (entry["position"], entry["at"], entry["what"], str(entry.get("name"))))


def _facets(now: Reader, found: Walk, then: Assembled, bound: int) -> list[dict[str, Any]]:
    subjects = {ref: ref for ref in found.levels} | {f"run:{run}": f"run/{run}" for run in found.runs}
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
                entries.append(entry if name != _TOMBSTONE else _erased(entry))
    return entries


def _erased(entry: dict[str, Any]) -> dict[str, Any]:
    """Say a tombstone as what it is, in words too."""
    said = entry["value"]
    why = f"consent withdrawn: {said.get('reason')}" if said.get("what") == "consent_withdraw" else f"pruned: {said.get('reason')}"
    done = "" if said.get("done") else " (promised, not finished yet)"
    amount = f"{said.get('size_bytes')} bytes"
    return {**entry, "what": "erased", "text": f"{amount}{done}: {why}"}


def _filled_gaps(now: Reader, then: Assembled, bound: int) -> list[dict[str, Any]]:
    open_gaps = {gap["at"] for gap in then.trace["gaps"] if gap["missing"] == "producing run"}
    filled: dict[str, dict[str, Any]] = {}
    for link in now.outputs_like(open_gaps):
        if link.seq >= bound:
            filled.setdefault(link.ref, {"at": link.ref, "what": "gap filled", "run": link.run, "position": link.seq})
    return list(filled.values())


def _failed_checks(now: Reader, found: Walk, bound: int) -> list[dict[str, Any]]:
    made = {(ref, run) for ref, runs in found.made_by.items() for run in runs}
    return [
        {"at": check.target, "what": "check failed", "name": check.name, "severity": check.severity, "message": check.message, "position": check.seq}
        for check in now.checks(of_runs=found.runs)
        if check.seq >= bound and not check.success and (check.target, check.of_run) in made
    ]


def _states(now: Reader, found: Walk, then: Assembled, bound: int) -> list[dict[str, Any]]:
    known = now.runs(found.runs)
    return [
        {"at": f"run/{run}", "what": "state", "state": known[run].state.value, "position": known[run].seq}
        for run in found.runs
        if known[run].seq >= bound and known[run].state is not then.runs[run].state
    ]


def _cosignatures(now: Reader, found: Walk, bound: int) -> list[dict[str, Any]]:
    """List each later signature over the build's own payload; whether it is valid, and enough, 'show' and 'verify' say."""
    if not found.root.startswith("build/"):
        return []
    return [
        {"at": found.root, "what": "cosigned", "name": str(event.facet.get("key")), "position": event.seq}
        for event in cosignatures(now.connection, home(now.connection, found.root))
        if event.facet.get("build") == found.root and bound <= event.seq < now.prefix.bound
    ]


def _bugs(now: Reader, found: Walk, bound: int) -> list[dict[str, Any]]:
    """List each later bug once, at the thing it is about that stands nearest to the root: the build itself before its drives."""
    entries: list[dict[str, Any]] = []
    for ref, facet, about in reported_since(now, bound):
        known = sorted((found.levels[link.ref], link.ref) for link in about if link.ref in found.levels)
        if known:
            said = facet.value
            entries.append(
                {
                    "at": known[0][1],
                    "what": "bug reported",
                    "name": ref,
                    "text": said.get("text"),
                    "severity": said.get("severity"),
                    "position": facet.seq,
                }
            )
    return entries
