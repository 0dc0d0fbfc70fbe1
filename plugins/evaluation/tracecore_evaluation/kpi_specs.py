"""The KPIs that this plugin reports: unit, which direction is better, the range of values, and which of them are headlines."""

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
"""By name; what none of them names is a share."""


def kpi_of(name: str) -> tc.KpiSpec:
    """Return the KPI or family that a name belongs to."""
    return spec_of(name, KPIS) or _SHARE


def headline(names: Collection[str], level: int) -> list[str]:
    """Return the headline KPIs of a level among names."""
    return [spec.name for spec in KPIS.values() if spec.headline and spec.level == level and spec.name in names]


def better(name: str, value: float, other: float) -> bool:
    """Whether one value of a KPI is better than another."""
    return value < other if kpi_of(name).less_is_better else value > other


def lower_is_better(names: Iterable[str]) -> list[str]:
    """Return the families (first parts of names) of which less is better."""
    return sorted({name.partition(".")[0] for name in names if kpi_of(name).less_is_better})


def parts_of(names: Collection[str], classes: Sequence[str]) -> dict[str, list[str]]:
    """Return, for each KPI over all frames that is the mean of one KPI a class, the names of those."""
    return {mean: [f"{part}.{name}" for name in classes] for mean, part in {"map50": "ap50", "map": "ap"}.items() if mean in names}
