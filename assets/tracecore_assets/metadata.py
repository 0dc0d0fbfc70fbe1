"""What the Dagster UI shows of an output: refs, counts, schema, pictures, KPIs, and what is unknown of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from tracecore_assets.curves import curves_picture, read_curves
from tracecore_assets.pictures import BOX_COLUMNS, FRAME_COLUMNS, picture_file, png_markdown, sample_frames
from tracecore_schemas.canonical import JSON
from tracecore_schemas.kinds import Media
from tracecore_schemas.run import Artifact

__all__ = ["artifact_metadata"]

_MAX_FACET = 20_000  # bytes of one facet's JSON in the event log
_MAX_ROWS = 100
_MAX_PLOTS = 6
_MAX_READ = 4 << 30  # bytes of a table that is opened for sample pictures
_PAGES = ("report.md", "README.md")
_PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg")

Metadata = dict[str, Any]


def artifact_metadata(artifact: Artifact, run_id: str, *, reused: bool, store: Any, inputs: Iterable[Artifact], quarantine: JSON = None) -> Metadata:
    """Describe one output for the Dagster UI, what one looks for first at the top.

    Args:
        artifact: the output.
        run_id: of the recorded run that made it.
        reused: whether an earlier run made it.
        store: opens artifacts.
        inputs: what the run read, for frames under boxes and boxes over frames.
        quarantine: the `tracecore_quarantine` facet of the run, if it left files out.
    """
    kpis, plotted = _kpis(artifact)
    found: Metadata = {**_pictures(artifact, store, list(inputs)), **kpis, **_quarantine(quarantine)}
    if artifact.unknowns:
        found["unknowns"] = _table([{"what": unknown.what, "why": unknown.why} for unknown in artifact.unknowns])
    found |= {
        "ref": dg.MetadataValue.text(artifact.ref),
        "run": dg.MetadataValue.text(f"run/{run_id}"),
        "reused": dg.MetadataValue.bool(reused),
    }
    if artifact.size_bytes is not None:
        found["size"] = dg.MetadataValue.int(artifact.size_bytes)
    if artifact.rows is not None:
        found["dagster/row_count"] = dg.MetadataValue.int(artifact.rows)
    if artifact.schema:
        columns = [dg.TableColumn(field.name, field.type, description=field.description or None) for field in artifact.schema]
        found["dagster/column_schema"] = dg.TableSchema(columns)
    return found | _facets(artifact) | plotted


def _quarantine(facet: JSON) -> Metadata:
    files = facet.get("files") if isinstance(facet, Mapping) else None
    if not isinstance(files, Sequence) or not files:
        return {}
    return {"quarantined": _table([{"file": str(file["name"]), "reason": str(file["reason"])} for file in files if isinstance(file, Mapping)])}


def _table(rows: Sequence[Mapping[str, str | int | float | bool]]) -> dg.TableMetadataValue:
    return dg.MetadataValue.table([dg.TableRecord(dict(row)) for row in rows[:_MAX_ROWS]])


def _kpis(artifact: Artifact) -> tuple[Metadata, Metadata]:
    """Give a report's KPIs as a table, and as numbers of their own: Dagster draws those over all materializations."""
    facet = artifact.facets.get("tracecore_kpis")
    values = facet.get("values") if isinstance(facet, Mapping) else None
    if not isinstance(values, Mapping) or not isinstance(facet, Mapping):
        return {}, {}
    given = facet.get("baseline")
    baseline = given if isinstance(given, Mapping) else {}
    intervals = facet.get("intervals")
    rows = [
        {"kpi": name, "value": _number(value), **_interval(name, intervals), "baseline": _number(baseline.get(name))}
        for name, value in values.items()
    ]
    numbers = {name: float(value) for name, value in values.items() if isinstance(value, int | float) and name.count(".") < 2}
    plotted = {f"kpi/{name}": dg.MetadataValue.float(value) for name, value in numbers.items()}
    return {"kpis": _table(rows)}, plotted


def _number(value: JSON) -> str:
    return f"{value:.4f}" if isinstance(value, int | float) and not isinstance(value, bool) else "-"


def _interval(name: str, intervals: JSON) -> dict[str, str]:
    """Give the column of confidence intervals, where a report has any."""
    if not isinstance(intervals, Mapping) or not intervals:
        return {}
    bounds = intervals.get(name)
    return {"95 % interval": " to ".join(map(_number, bounds)) if isinstance(bounds, Sequence) and not isinstance(bounds, str) else "-"}


def _facets(artifact: Artifact) -> Metadata:
    found: Metadata = {}
    for name, facet in artifact.facets.items():
        if name != "tracecore_kpis" and isinstance(facet, Mapping) and len(json.dumps(facet)) <= _MAX_FACET:
            found[name.removeprefix("tracecore_")] = dg.MetadataValue.json(facet)
    return found


def _pictures(artifact: Artifact, store: Any, inputs: Sequence[Artifact]) -> Metadata:
    if artifact.media is Media.DIRECTORY:
        return _of_directory(Path(store.open(artifact)))
    if artifact.media is not Media.DELTA:
        return {}
    of_boxes = [each for each in (artifact, *inputs) if _columns(each) >= BOX_COLUMNS]
    of_frames = [each for each in (artifact, *inputs) if _columns(each) >= FRAME_COLUMNS]
    if not of_frames or artifact not in (*of_boxes[:1], *of_frames[:1]):
        return {}
    if (of_frames[0].size_bytes or 0) > _MAX_READ:
        return {}
    sheet = sample_frames(store.open(of_frames[0]), store.open(of_boxes[0]) if of_boxes else None)
    return {"sample": dg.MetadataValue.md(sheet)} if sheet else {}


def _of_directory(folder: Path) -> Metadata:
    """Show what a directory holds for people: its page, its training curves, its pictures."""
    plots = [path for path in sorted(folder.rglob("*")) if path.suffix in _PICTURE_SUFFIXES]
    shown: Metadata = {f"plot/{path.stem}": dg.MetadataValue.md(picture_file(path)) for path in plots[:_MAX_PLOTS]}
    page = next((folder / name for name in _PAGES if (folder / name).is_file()), None)
    if page is not None and page.stat().st_size <= _MAX_FACET:
        # Its pictures stand beside it as plots: their paths mean nothing here.
        lines = page.read_text(encoding="utf-8", errors="replace").splitlines()
        shown["page"] = dg.MetadataValue.md("\n".join(line for line in lines if not line.startswith("![")))
    curves = read_curves(folder)
    if curves is None:
        return shown
    if (picture := curves_picture(curves)) is not None:
        shown["curves"] = dg.MetadataValue.md(png_markdown(picture, "training curves"))
    return shown | {f"curve/{name}": dg.MetadataValue.float(value) for name, value in curves.last.items()}


def _columns(artifact: Artifact) -> frozenset[str]:
    return frozenset(field.name for field in artifact.schema) if artifact.media is Media.DELTA else frozenset()
