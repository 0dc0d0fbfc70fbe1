"""Specs of the KPIs that this plugin reports: unit, direction, range, level, and whether a KPI is a headline."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence

import tracecore as tc
from tracecore.kpis import spec_of

__all__ = ["KPIS", "better", "headline", "kpi_of", "lower_is_better", "parts_of"]

_SHARE = tc.KpiSpec("share", "A share from 0 to 1.")
KPIS = {
    spec.name: spec
    for spec in (
        tc.KpiSpec("map50", "Mean average precision at an overlap of 0.5.", headline=True),
        tc.KpiSpec("path_error", "Lateral error of the path.", unit="m", better="less", most=math.inf),
        tc.KpiSpec("path_error.mean", "Mean lateral error of the path.", unit="m", better="less", headline=True, most=math.inf),
        tc.KpiSpec("light", "Answers on the state of the light."),
        tc.KpiSpec("light.accuracy", "Share of frames whose light was read rightly.", headline=True),
        tc.KpiSpec("mistakes_per_hour", "Mistakes of the perception per hour of driving.", unit="1/h", better="less", level=2, most=math.inf),
        tc.KpiSpec("mistakes_per_hour.total", "All mistakes per hour of driving.", unit="1/h", better="less", headline=True, level=2, most=math.inf),
        # 1 less misses, false boxes and switches by object: more mistakes than objects make it negative (Bernardin and Stiefelhagen 2008).
        tc.KpiSpec("mota", "Multiple object tracking accuracy.", headline=True, level=2, least=-math.inf),
        tc.KpiSpec("idf1", "F1 of identities over tracks.", headline=True, level=2),
    )
}
"""Specs by KPI or family name; a name without an entry is a share from 0 to 1."""


def kpi_of(name: str) -> tc.KpiSpec:
    """Return the spec of a KPI, else that of its family (`recall` for `recall.car`), else a spec for a share from 0 to 1."""
    return spec_of(name, KPIS) or _SHARE


def headline(names: Collection[str], level: int) -> list[str]:
    """Return those of `names` that are headline KPIs of a level (1 frame by frame, 2 while driving), in the order of `KPIS`."""
    return [spec.name for spec in KPIS.values() if spec.headline and spec.level == level and spec.name in names]


def better(name: str, value: float, other: float) -> bool:
    """Whether a KPI's `value` is strictly better than `other`."""
    return value < other if kpi_of(name).less_is_better else value > other


def lower_is_better(names: Iterable[str]) -> list[str]:
    """Return the sorted family names (`path_error` for `path_error.mean`) of the KPIs in `names` for which a lower value is better."""
    return sorted({name.partition(".")[0] for name in names if kpi_of(name).less_is_better})


def parts_of(names: Collection[str], classes: Sequence[str]) -> dict[str, list[str]]:
    """Map each mean KPI in `names` (`map50`, `map`) to the KPIs per class that it averages."""
    return {mean: [f"{part}.{name}" for name in classes] for mean, part in {"map50": "ap50", "map": "ap"}.items() if mean in names}
