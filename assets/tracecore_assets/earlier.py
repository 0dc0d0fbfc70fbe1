"""The build before: what its KPIs were, so that a gate can say how far a new one fell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tracecore_schemas.canonical import JSON
from tracecore_schemas.kinds import ArtifactKind
from tracecore_schemas.refs import parse_ref

if TYPE_CHECKING:
    from tracecore_lineage import Record

__all__ = ["EarlierBuild", "earlier_build", "kpi_values", "less_is_better"]


@dataclass(frozen=True, slots=True)
class EarlierBuild:
    """The build of the same program that was sealed last before.

    Attributes:
        name: its name; None where there is none.
        kpis: its KPIs by name, as `kpi_values` names them.
    """

    name: str | None = None
    kpis: Mapping[str, float] = field(default_factory=dict)


def earlier_build(record: Record, program: str, name: str) -> EarlierBuild:
    """Find the build before.

    A name that is sealed already is compared with what was sealed before it: made again, it has to come out the same.

    Args:
        record: of the workspace.
        program: the program's name.
        name: of the build that is to be sealed.
    """
    before: EarlierBuild = EarlierBuild()
    for build in record.builds():
        if build.name == name:
            break
        predicate = build.statement["predicate"]
        if parse_ref(predicate["program"]).segments[0] == program:
            reports = {
                entry["role"]: record.facets(entry["ref"])
                for entry in predicate["artifacts"]
                if parse_ref(entry["ref"]).kind == ArtifactKind.KPI_REPORT
            }
            before = EarlierBuild(build.name, kpi_values(reports))
    return before


def kpi_values(reports: Mapping[str, Mapping[str, JSON]]) -> dict[str, float]:
    """Collect the KPIs of reports, by their names and by `<asset>.<name>`.

    A name to which two reports give different values stands only under the latter: a gate must not pass by the wrong one.

    Args:
        reports: facets by role.
    """
    plain: dict[str, set[float]] = {}
    qualified: dict[str, float] = {}
    for role, facets in reports.items():
        facet = facets.get("tracecore_kpis")
        values = facet.get("values") if isinstance(facet, Mapping) else None
        for name, value in (values if isinstance(values, Mapping) else {}).items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                plain.setdefault(name, set()).add(float(value))
                qualified[f"{role.partition('.')[0]}.{name}"] = float(value)
    return qualified | {name: next(iter(values)) for name, values in plain.items() if len(values) == 1}


def less_is_better(kpi: str, reports: Mapping[str, Mapping[str, JSON]]) -> bool:
    """Say whether less of a KPI is better, as its report says (`lower_is_better`: first parts of names, such as path_error).

    Args:
        kpi: its name, with its asset before it or without.
        reports: facets by role.
    """
    for role, facets in reports.items():
        facet = facets.get("tracecore_kpis")
        families = facet.get("lower_is_better") if isinstance(facet, Mapping) else None
        name = kpi.removeprefix(f"{role.partition('.')[0]}.")
        if isinstance(families, list) and name.partition(".")[0] in families:
            return True
    return False
