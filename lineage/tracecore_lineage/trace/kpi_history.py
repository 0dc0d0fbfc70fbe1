"""KPIs of every version of a report, with the builds sealed on each version."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypedDict

from sqlalchemy import Connection, select

from tracecore.errors import UsageError, suggestion
from tracecore_lineage.catalog.prefix import readable_catalog
from tracecore_lineage.ledger.sql_tables import BUILDS
from tracecore_lineage.trace.facts import Link
from tracecore_lineage.trace.lineage import horizon
from tracecore_lineage.trace.reader import Reader
from tracecore_lineage.trace.resolve import known_refs, read_ref, resolve_version
from tracecore_schemas.facets import KPIS_FACET
from tracecore_schemas.kinds import ArtifactKind
from tracecore_schemas.refs import Ref

__all__ = ["KpiHistory", "KpiVersion", "kpi_history"]


class KpiChange(TypedDict):
    """Change of a KPI since the previous version; `overlap` is whether the confidence intervals overlap, None if either is unknown."""

    difference: float
    overlap: bool | None


class KpiVersion(TypedDict):
    """KPIs of one version of a report. `builds` are those sealed on it, in order; `build` is the first."""

    ref: str
    build: str | None
    builds: list[str]
    created_at: str
    values: dict[str, float | None]
    intervals: dict[str, list[float]]
    change: dict[str, KpiChange]


class KpiHistory(TypedDict):
    """KPIs of a report over its versions, oldest first."""

    name: str
    kpis: list[str]
    history: list[KpiVersion]


def kpi_history(connection: Connection, text: str, *, kpis: Sequence[str] = (), as_of: str | None = None) -> KpiHistory:
    """Return the KPIs (only `kpis`, if any) of each version of the KPI report with ref `text`, in the order in which the versions were made.

    `as_of` is an ISO 8601 time up to which events count. Raises UsageError for an unknown report or KPI, with the nearest match, or an invalid time.
    """
    with readable_catalog():
        reader = Reader(connection, horizon(connection, as_of))
        ref = read_ref(reader, text)
        if ref.kind != ArtifactKind.KPI_REPORT:
            reports = ", ".join(text for text in known_refs(reader) if text.startswith(f"{ArtifactKind.KPI_REPORT}/"))
            there = f"There are {reports}." if reports else "No report is recorded yet."
            raise UsageError(f"{ref} has no history of KPIs: expected kpi_report/NAME. {there}")
        resolve_version(reader, Ref(ref.kind, ref.segments))  # raises UsageError for an unknown report
        made: dict[str, Link] = {}
        for link in reader.outputs_named(ref.kind, [ref.name], preferred=True):
            made.setdefault(link.ref, link)  # the same report made again is not a new version
        facets = {version: found[KPIS_FACET.name].value for version, found in reader.facets(made).items() if KPIS_FACET.name in found}
        names = _chosen(ref, kpis, facets.values())
        builds = _builds(reader, made)
        history: list[KpiVersion] = []
        for version, link in made.items():
            facet = facets.get(version, {})
            known = facet.get("values")
            values = {name: known[name] for name in names if name in known} if isinstance(known, Mapping) else {}
            intervals = _intervals(facet.get("intervals"), names)
            before = history[-1] if history else None
            history.append(
                KpiVersion(
                    ref=version,
                    build=builds[version][0] if version in builds else None,
                    builds=builds.get(version, []),
                    created_at=link.event_time,
                    values=values,
                    intervals=intervals,
                    change={} if before is None else _change(before, values, intervals),
                )
            )
        return KpiHistory(name=ref.name, kpis=names, history=history)


def _chosen(ref: Ref, kpis: Sequence[str], facets: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the requested KPI names, or all: fewest dots first, then headline KPIs, then by name. Raises UsageError for an unknown name."""
    listed = list(facets)
    known = {name for facet in listed for name in facet.get("values") or ()}
    headline = {name for facet in listed for name in facet.get("headline") or ()}
    for name in kpis:
        if name not in known:
            raise UsageError(f"{ref.unversioned} has no KPI {name!r}. {suggestion(name, known, none_known='It says nothing of KPIs.')}")
    return list(dict.fromkeys(kpis)) or sorted(known, key=lambda name: (name.count("."), name not in headline, name))


def _builds(reader: Reader, refs: Iterable[str]) -> dict[str, list[str]]:
    """Return {version ref: names of the builds that have it as an input, in sealing order}; versions in no build are left out."""
    links = reader.inputs_like(refs)
    query = select(BUILDS.c.run_id, BUILDS.c.name).where(BUILDS.c.seq < reader.prefix.bound).order_by(BUILDS.c.seq)
    sealed = {row.run_id: row.name for row in reader.connection.execute(query)}
    places = {run: place for place, run in enumerate(sealed)}
    found: dict[str, list[str]] = {}
    for link in sorted((link for link in links if link.run in sealed), key=lambda link: places[link.run]):
        if sealed[link.run] not in found.setdefault(link.ref, []):
            found[link.ref].append(sealed[link.run])
    return found


def _intervals(stated: Any, names: Sequence[str]) -> dict[str, list[float]]:
    """Return {KPI name: [low, high]} for the named KPIs; missing or malformed intervals are left out."""
    if not isinstance(stated, Mapping):
        return {}
    found: dict[str, list[float]] = {}
    for name in names:
        ends = stated.get(name)
        if isinstance(ends, Mapping):
            ends = [ends.get("low"), ends.get("high")]
        if isinstance(ends, list) and len(ends) == 2 and all(isinstance(end, (int, float)) for end in ends):
            found[name] = [float(end) for end in ends]
    return found


def _change(before: KpiVersion, values: Mapping[str, float | None], intervals: Mapping[str, list[float]]) -> dict[str, KpiChange]:
    """Return {KPI name: difference from version `before`, and whether the intervals overlap} for KPIs with a value in both versions."""
    found: dict[str, KpiChange] = {}
    for name, value in values.items():
        earlier = before["values"].get(name)
        if value is None or earlier is None:
            continue
        now, then = intervals.get(name), before["intervals"].get(name)
        overlap = None if now is None or then is None else max(now[0], then[0]) <= min(now[1], then[1])
        found[name] = KpiChange(difference=value - earlier, overlap=overlap)
    return found
