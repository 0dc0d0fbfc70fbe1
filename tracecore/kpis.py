"""KPI traits that plugins register, and the KPI values of reports with their baselines and intervals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tracecore_schemas.canonical import JSON
from tracecore_schemas.facets import KPIS_FACET, SEPARATOR

__all__ = ["Kpi", "KpiSpec", "kpi_values", "prefixes", "read_kpis", "spec_of", "with_traits"]


@dataclass(frozen=True, slots=True)
class KpiSpec:
    """A KPI, or a family of KPIs whose names start with its name and a dot.

    Attributes:
        name: `map50`, or `path_error` for `path_error.mean` and `path_error.mean.night`; the longest matching name applies.
        unit: unit of the values; `share` for shares from 0 to 1.
        headline: whether the KPI with exactly this name is a headline of its report.
        level: 1 for single frames, 2 for driving.
        least, most: bounds of the values.
    """

    name: str
    description: str
    unit: str = "share"
    better: Literal["more", "less"] = "more"
    headline: bool = False
    level: Literal[1, 2] = 1
    least: float = 0.0
    most: float = 1.0

    def __post_init__(self) -> None:
        """Raise ValueError if `better` is neither `more` nor `less`, or `level` neither 1 nor 2."""
        if self.better not in ("more", "less") or self.level not in (1, 2):
            raise ValueError(f"the KPI '{self.name}' needs better='more' or 'less' and level=1 or 2, found {self.better!r} and {self.level!r}")

    @property
    def less_is_better(self) -> bool:
        """Whether a lower value of the KPI is better."""
        return self.better == "less"


def spec_of(name: str, specs: Mapping[str, KpiSpec]) -> KpiSpec | None:
    """Return the registered spec with the KPI's name, else of its nearest family (`recall` for `recall.night`); None if there is neither."""
    return next((specs[prefix] for prefix in prefixes(name) if prefix in specs), None)


def prefixes(name: str) -> Iterable[str]:
    """Return a dotted KPI name and each of its prefixes, longest first: `recall.sign.night`, `recall.sign`, `recall`."""
    parts = name.split(".")
    return (".".join(parts[:length]) for length in range(len(parts), 0, -1))


def with_traits(facet: Mapping[str, Any], specs: Mapping[str, KpiSpec]) -> dict[str, JSON]:
    """Return a `tracecore_kpis` facet with members added from the registered specs of the KPIs that it has values of.

    Added unless present: `lower_is_better` and `units` (by KPI or family), `headline`, `descriptions`, and `level` if it is the same for all. A
    summary that only lists the values is replaced by a summary of the headline KPIs.
    """
    values: Mapping[str, Any] = facet.get("values") or {}
    found = {spec.name: spec for name in values if (spec := spec_of(name, specs)) is not None}
    families = {_family(spec, specs): spec for _, spec in sorted(found.items())}
    levels = {spec.level for spec in found.values()}
    added: dict[str, Any] = {
        "lower_is_better": sorted(name for name, spec in families.items() if spec.less_is_better),
        "headline": [name for name in specs if name in values and specs[name].headline],
        "units": {name: spec.unit for name, spec in families.items() if spec.unit != "share"},
        "descriptions": {name: spec.description for name, spec in sorted(found.items()) if spec.description},
        **({"level": levels.pop()} if len(levels) == 1 else {}),
    }
    if not found:
        return dict(facet)
    if added["headline"] and "headline" not in facet and KPIS_FACET.problem(facet) is None:
        listed = {KPIS_FACET.summarized({"values": {name: value}, "baseline": facet["baseline"]})["summary"] for name, value in values.items()}
        if listed.issuperset(facet["summary"].split(SEPARATOR)):
            return dict(KPIS_FACET.summarized({**added, **{name: member for name, member in facet.items() if name != "summary"}}))
    return {**added, **facet}


def _family(spec: KpiSpec, specs: Mapping[str, KpiSpec]) -> str:
    """Return the shortest prefix of a KPI's name (`recall` of `recall.night`) that is registered with the KPI's unit and direction."""
    alike = [name for name in prefixes(spec.name) if name in specs and (specs[name].unit, specs[name].better) == (spec.unit, spec.better)]
    return alike[-1]


@dataclass(frozen=True, slots=True)
class Kpi:
    """One KPI of one report.

    Attributes:
        name: name in the report, such as `recall.pedestrian.night`.
        role: the report's role in its build: `<asset>` or `<asset>.<port>`.
        baseline: the trivial baseline's value, or None.
        interval: confidence interval (low, high), or None.
        gain: confidence interval of the improvement over the baseline on the same frames, positive if better, or None.
        interval_by: description of both intervals: level, and whether by drive or by blocks of time.
        behind: the KPIs averaged in this one that are not better than their baseline, as `ap50.sign 0 (baseline 0.01)`.
        unit: unit of the value; empty for shares.
        description: recorded description of it or of its family; empty if it was not registered.
        selection: whether it was measured on frames that were also used for selection.
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
    description: str = ""

    @property
    def asset(self) -> str:
        """Name of the asset (node of the program) that made the KPI's report."""
        return self.role.partition(".")[0]


def read_kpis(reports: Mapping[str, Mapping[str, JSON]], selection: Collection[str] = ()) -> dict[str, Kpi]:
    """Return all KPIs of reports, each by its name and by `<asset>.<name>`; `reports` has the facets of artifacts by role in the build.

    A name with different values in two reports is omitted, and `<asset>.<port>.<name>` added if an asset has several reports. Reports with a role
    in `selection` (measured on frames that were also used to select models) count only for names that no other report has.
    """
    known = [kpi for role, facets in reports.items() for kpi in _kpis_of_report(role, facets.get(KPIS_FACET.name), selection=role in selection)]
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
    """Return the values of all KPIs in `reports` (facets by role in the build), by the names that `read_kpis` returns."""
    return {name: kpi.value for name, kpi in read_kpis(reports, selection).items()}


def _kpis_of_report(role: str, facet: JSON, *, selection: bool) -> list[Kpi]:
    """Return the KPIs in a report's `tracecore_kpis` facet; values that are not numbers are left out."""
    if not isinstance(facet, Mapping):
        return []
    values, baseline, intervals, gains, units = (_mapping(facet.get(key)) for key in ("values", "baseline", "intervals", "gains", "units"))
    descriptions = _mapping(facet.get("descriptions"))
    by, level, parts = facet.get("interval_by"), _number(facet.get("interval_level")), _mapping(facet.get("parts"))
    interval_by = f"{100 * (0.95 if level is None else level):g} % interval by {by if isinstance(by, str) else 'drive'}"
    lower, headline = _names(facet.get("lower_is_better")), _names(facet.get("headline"))
    found = []
    for name, value in values.items():
        measured = _number(value)
        if measured is None:
            continue
        less = any(prefix in lower for prefix in prefixes(name))
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
                next((unit for prefix in prefixes(name) if isinstance(unit := units.get(prefix), str)), ""),
                selection,
                next((text for prefix in prefixes(name) if isinstance(text := descriptions.get(prefix), str)), ""),
            )
        )
    return found


def _behind(parts: Sequence[str], values: Mapping[str, JSON], baseline: Mapping[str, JSON], *, less_is_better: bool) -> tuple[str, ...]:
    """Return a text (`ap50.sign 0 (baseline 0.01)`) for each KPI in `parts` whose value is not better than its baseline, if both are numbers."""
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
