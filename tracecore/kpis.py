"""KPIs as gates and people read them: each value with its baseline, its interval and the report that it stands in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from tracecore_schemas.canonical import JSON

__all__ = ["Kpi", "kpi_values", "read_kpis"]


@dataclass(frozen=True, slots=True)
class Kpi:
    """One KPI of one report.

    Attributes:
        name: as the report calls it, such as `recall.pedestrian.night`.
        role: of the report in its build: `<asset>` or `<asset>.<port>`.
        value: what was measured.
        baseline: the trivial baseline's value; None where the report has none.
        interval: its confidence interval, low and high; None where the report has none.
        gain: the same of how much better than the baseline it is on the same frames, above 0 where it is better; None where the report does not say.
        interval_by: what both intervals are, in words: its level, and whether it is by drive or by blocks of time.
        less_is_better: whether it is an error or a rate.
        behind: the KPIs that it is the mean of and that are not above their own baseline, as `ap50.sign 0 (baseline 0.01)`.
        headline: whether it is one of those that stand for the rest of its report.
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
    selection: bool

    @property
    def asset(self) -> str:
        """The asset that made the report."""
        return self.role.partition(".")[0]


def read_kpis(reports: Mapping[str, Mapping[str, JSON]], selection: Collection[str] = ()) -> dict[str, Kpi]:
    """Read the KPIs of reports, by `<asset>.<name>`, and by their names alone.

    A name to which two reports give different figures names none of them, for a gate must not pass by the wrong one; two reports of one asset have
    `<asset>.<port>.<name>` too. Reports on frames that selected something are no rivals for a name.

    Args:
        reports: facets by role.
        selection: roles of the reports on frames that selected something.
    """
    known = [kpi for role, facets in reports.items() for kpi in _of_report(role, facets.get("tracecore_kpis"), selection=role in selection)]
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
    values, baseline, intervals, gains = (_mapping(facet.get(key)) for key in ("values", "baseline", "intervals", "gains"))
    by, level, parts = facet.get("interval_by"), _number(facet.get("interval_level")), _mapping(facet.get("parts"))
    interval_by = f"{100 * (0.95 if level is None else level):g} % interval by {by if isinstance(by, str) else 'drive'}"
    lower, headline = _names(facet.get("lower_is_better")), _names(facet.get("headline"))
    found = []
    for name, value in values.items():
        measured = _number(value)
        if measured is None:
            continue
        less = name.partition(".")[0] in lower
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
