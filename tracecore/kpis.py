"""KPIs: their registered traits, and the values of reports as gates and people read them, each with its baseline and interval."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tracecore_schemas.canonical import JSON
from tracecore_schemas.facets import KPIS_FACET

__all__ = ["Kpi", "KpiSpec", "kpi_values", "read_kpis", "spec_of", "with_traits"]


@dataclass(frozen=True, slots=True)
class KpiSpec:
    """A KPI, or a family of them: all whose names begin with its name and a dot.

    Attributes:
        name: `map50`, or `path_error` for `path_error.mean` and `path_error.mean.night`; of several that fit a KPI the longest counts.
        unit: of its values; `share` for shares from 0 to 1.
        better: whether more or less of it is better.
        headline: whether the KPI of this very name is a headline of its report.
        level: 1 frame by frame, 2 while driving.
        least: no value is below.
        most: no value is above.
    """

    name: str
    description: str
    unit: str = "share"
    better: Literal["more", "less"] = "more"
    headline: bool = False
    level: Literal[1, 2] = 1
    least: float = 0.0
    most: float = 1.0

    @property
    def less_is_better(self) -> bool:
        """Whether it is an error or a rate."""
        return self.better == "less"


def spec_of(name: str, specs: Mapping[str, KpiSpec]) -> KpiSpec | None:
    """Find the KPI or family that a KPI's name belongs to."""
    return next((specs[prefix] for prefix in _prefixes(name) if prefix in specs), None)


def _prefixes(name: str) -> Iterable[str]:
    """Yield a KPI's name and its families, longest first."""
    parts = name.split(".")
    return (".".join(parts[:length]) for length in range(len(parts), 0, -1))


def with_traits(facet: Mapping[str, Any], specs: Mapping[str, KpiSpec]) -> dict[str, JSON]:
    """Return a facet `tracecore_kpis` with what registered KPIs say of its values, so that readers need none of them.

    Added where the facet does not give them: `lower_is_better` and `units` by KPI or family, `headline`, and `level` where all are of one.
    """
    values: Mapping[str, Any] = facet.get("values") or {}
    found = {spec.name: spec for name in values if (spec := spec_of(name, specs)) is not None}
    families = {_family(spec, specs): spec for _, spec in sorted(found.items())}
    levels = {spec.level for spec in found.values()}
    added: dict[str, Any] = {
        "lower_is_better": sorted(name for name, spec in families.items() if spec.less_is_better),
        "headline": [name for name in specs if name in values and specs[name].headline],
        "units": {name: spec.unit for name, spec in families.items() if spec.unit != "share"},
        **({"level": levels.pop()} if len(levels) == 1 else {}),
    }
    return {**(added if found else {}), **facet}


def _family(spec: KpiSpec, specs: Mapping[str, KpiSpec]) -> str:
    """Return the widest family of a KPI whose values have the same unit and direction."""
    alike = [name for name in _prefixes(spec.name) if name in specs and (specs[name].unit, specs[name].better) == (spec.unit, spec.better)]
    return alike[-1]


@dataclass(frozen=True, slots=True)
class Kpi:
    """One KPI of one report.

    Attributes:
        name: as the report calls it, such as `recall.pedestrian.night`.
        role: of the report in its build: `<asset>` or `<asset>.<port>`.
        baseline: the trivial baseline's value; None where the report has none.
        interval: its confidence interval, low and high; None where the report has none.
        gain: the same of how much better than the baseline it is on the same frames, above 0 where it is better; None where the report does not say.
        interval_by: what both intervals are, in words: its level, and whether it is by drive or by blocks of time.
        less_is_better: whether it is an error or a rate.
        behind: the KPIs that it is the mean of and that are not above their own baseline, as `ap50.sign 0 (baseline 0.01)`.
        headline: whether it is a headline of its report.
        unit: of its values, where its report gives one; empty for shares.
        selection: whether the frames that it was measured on selected something in the report's own trace.
    """

    name: str
    role: str
    value: float
    baseline: float | None
    interval: tuple[float, float] | None
    gain: tuple[float, float] | None
    interval_by: str
    less_is_better: bool
    behind: tuple[str, ...]
    headline: bool
    unit: str
    selection: bool

    @property
    def asset(self) -> str:
        """The asset that made the report."""
        return self.role.partition(".")[0]


def read_kpis(reports: Mapping[str, Mapping[str, JSON]], selection: Collection[str] = ()) -> dict[str, Kpi]:
    """Read the KPIs of reports, by `<asset>.<name>`, and by their bare names.

    A name to which two reports give different figures names none of them, for a gate must not pass by the wrong one; two reports of one asset have
    `<asset>.<port>.<name>` too. Reports on frames that selected something do not compete for a name.

    Args:
        reports: facets by role.
        selection: roles of the reports on frames that selected something.
    """
    known = [kpi for role, facets in reports.items() for kpi in _of_report(role, facets.get(KPIS_FACET.name), selection=role in selection)]
    reporting = Counter(role.partition(".")[0] for role in {kpi.role for kpi in known})
    named: dict[str, list[Kpi]] = {}
    for kpi in known:
        owners = [kpi.asset] if reporting[kpi.asset] == 1 else [kpi.asset, kpi.role]
        for name in [*(f"{owner}.{kpi.name}" for owner in owners), kpi.name]:
            named.setdefault(name, []).append(kpi)
    found = {}
    for name, kpis in named.items():
        rivals = [kpi for kpi in kpis if not kpi.selection] or kpis
        if len({(kpi.value, kpi.baseline, kpi.interval, kpi.gain) for kpi in rivals}) == 1:
            found[name] = rivals[0]
    return found


def kpi_values(reports: Mapping[str, Mapping[str, JSON]], selection: Collection[str] = ()) -> dict[str, float]:
    """Return the values of KPIs by the names that `read_kpis` finds them by."""
    return {name: kpi.value for name, kpi in read_kpis(reports, selection).items()}


def _of_report(role: str, facet: JSON, *, selection: bool) -> list[Kpi]:
    if not isinstance(facet, Mapping):
        return []
    values, baseline, intervals, gains, units = (_mapping(facet.get(key)) for key in ("values", "baseline", "intervals", "gains", "units"))
    by, level, parts = facet.get("interval_by"), _number(facet.get("interval_level")), _mapping(facet.get("parts"))
    interval_by = f"{100 * (0.95 if level is None else level):g} % interval by {by if isinstance(by, str) else 'drive'}"
    lower, headline = _names(facet.get("lower_is_better")), _names(facet.get("headline"))
    found = []
    for name, value in values.items():
        measured = _number(value)
        if measured is None:
            continue
        less = any(prefix in lower for prefix in _prefixes(name))
        found.append(
            Kpi(
                name,
                role,
                measured,
                _number(baseline.get(name)),
                _interval(intervals.get(name)),
                _interval(gains.get(name)),
                interval_by,
                less,
                _behind(_names(parts.get(name)), values, baseline, less_is_better=less),
                name in headline,
                next((unit for prefix in _prefixes(name) if isinstance(unit := units.get(prefix), str)), ""),
                selection,
            )
        )
    return found


def _behind(parts: Sequence[str], values: Mapping[str, JSON], baseline: Mapping[str, JSON], *, less_is_better: bool) -> tuple[str, ...]:
    found = []
    for part in parts:
        value, trivial = _number(values.get(part)), _number(baseline.get(part))
        if value is not None and trivial is not None and (value >= trivial if less_is_better else value <= trivial):
            found.append(f"{part} {value:.4g} (baseline {trivial:.4g})")
    return tuple(found)


def _number(value: JSON) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _names(value: JSON) -> list[str]:
    return [name for name in value if isinstance(name, str)] if isinstance(value, list) else []


def _interval(value: JSON) -> tuple[float, float] | None:
    numbers: Sequence[float | None] = [_number(each) for each in value] if isinstance(value, list) else []
    return (numbers[0], numbers[1]) if len(numbers) == 2 and numbers[0] is not None and numbers[1] is not None else None


def _mapping(value: JSON) -> Mapping[str, JSON]:
    return value if isinstance(value, Mapping) else {}
