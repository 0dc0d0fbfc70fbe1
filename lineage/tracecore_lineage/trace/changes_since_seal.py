"""Facts recorded about the nodes and runs of a build's trace after the build was sealed.

Bug reports count; later uses of the same versions and repeated facts do not.
"""

from __future__ import annotations

from typing import Any

from tracecore_lineage.catalog.prefix import recorded_at
from tracecore_lineage.catalog.signatures import cosignatures, home
from tracecore_lineage.trace.answer import Assembled
from tracecore_lineage.trace.bugs import reported_since
from tracecore_lineage.trace.reader import Reader
from tracecore_lineage.trace.walk import Walk

__all__ = ["changes_since_seal"]

_OF_STORAGE = frozenset({"tracecore_artifact", "symlinks", "version", "schema", "tracecore_port"})
"""Facets about storage: every run that makes or reads the same version repeats them with its own values."""
_TOMBSTONE = "tracecore_tombstone"
_OF_USE = frozenset({"dataQualityAssertions", "dataQualityMetrics", "outputStatistics", "inputStatistics", "inputSubset", "outputSubset"})


def changes_since_seal(now: Reader, walk: Walk, then: Assembled, bound: int) -> list[dict[str, Any]]:
    """Return what was recorded from position `bound` on about the nodes and runs of a trace.

    Args:
        now: reader of everything that the question may see, usually the whole ledger.
        walk: the walk in the build's prefix.
        then: the answer assembled from that walk.
        bound: end of the build's prefix.

    Returns:
        Entries with `at`, `what` (`facet`, `facet deleted`, `erased`, `gap filled`, `check failed`, `state`, `bug reported`, `cosigned`), details,
        `position` and `recorded_at`; sorted by position.
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
                entries.append(entry if name != _TOMBSTONE else _erased(entry))
    return entries


def _erased(entry: dict[str, Any]) -> dict[str, Any]:
    """Return the entry of a tombstone facet as an `erased` entry with a readable `text`."""
    facet = entry["value"]
    why = "consent withdrawn" if facet.get("what") == "consent_withdraw" else "pruned"
    done = "" if facet.get("done") else " (promised, not finished yet)"
    return {**entry, "what": "erased", "text": f"{facet.get('size_bytes')} bytes{done}: {why}: {facet.get('reason')}"}


def _filled_gaps(now: Reader, then: Assembled, bound: int) -> list[dict[str, Any]]:
    open_gaps = {gap["at"] for gap in then.trace["gaps"] if gap["missing"] == "producing run"}
    filled: dict[str, dict[str, Any]] = {}
    for link in now.outputs_like(open_gaps):
        if link.seq >= bound:
            filled.setdefault(link.ref, {"at": link.ref, "what": "gap filled", "run": link.run, "position": link.seq})
    return list(filled.values())


def _failed_checks(now: Reader, walk: Walk, bound: int) -> list[dict[str, Any]]:
    made = {(ref, run) for ref, runs in walk.made_by.items() for run in runs}
    return [
        {"at": check.target, "what": "check failed", "name": check.name, "severity": check.severity, "message": check.message, "position": check.seq}
        for check in now.checks(of_runs=walk.runs)
        if check.seq >= bound and not check.success and (check.target, check.of_run) in made
    ]


def _states(now: Reader, walk: Walk, then: Assembled, bound: int) -> list[dict[str, Any]]:
    known = now.runs(walk.runs)
    return [
        {"at": f"run/{run}", "what": "state", "state": known[run].state.value, "position": known[run].seq}
        for run in walk.runs
        if known[run].seq >= bound and known[run].state is not then.runs[run].state
    ]


def _cosignatures(now: Reader, walk: Walk, bound: int) -> list[dict[str, Any]]:
    """Return an entry for each later cosignature of the build, without verifying it; `show` and `verify` do."""
    if not walk.root.startswith("build/"):
        return []
    return [
        {"at": walk.root, "what": "cosigned", "name": str(event.facet.get("key")), "position": event.seq}
        for event in cosignatures(now.connection, home(now.connection, walk.root))
        if event.facet.get("build") == walk.root and bound <= event.seq < now.prefix.bound
    ]


def _bugs(now: Reader, walk: Walk, bound: int) -> list[dict[str, Any]]:
    """Return an entry for each later bug about a node of the walk, placed at the affected node nearest to the root."""
    entries: list[dict[str, Any]] = []
    for ref, facet, about in reported_since(now, bound):
        known = sorted((walk.levels[link.ref], link.ref) for link in about if link.ref in walk.levels)
        if known:
            details = {name: facet.value.get(name) for name in ("text", "severity")}
            entries.append({"at": known[0][1], "what": "bug reported", "name": ref, **details, "position": facet.seq})
    return entries
