"""The build before: what its KPIs were, so that a gate can say how far a new one fell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tracecore_lineage.kpis import kpi_values
from tracecore_schemas.kinds import ArtifactKind
from tracecore_schemas.refs import parse_ref

if TYPE_CHECKING:
    from tracecore_lineage import Record

__all__ = ["EarlierBuild", "earlier_build"]


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
            selection: Any = record.facets(build.ref).get("tracecore_selection") or {}
            apart = {report["role"] for report in selection.get("reports", ())}  # what selected is no figure to compare with
            reports = {
                entry["role"]: record.facets(entry["ref"])
                for entry in predicate["artifacts"]
                if parse_ref(entry["ref"]).kind == ArtifactKind.KPI_REPORT
            }
            before = EarlierBuild(build.name, kpi_values(reports, apart))
    return before
