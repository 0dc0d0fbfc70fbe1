"""Metadata of artifacts in the Dagster UI: facets, KPIs, a contact sheet of frames, training curves."""

from __future__ import annotations

import base64
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from tracecore.images import AnnotatedImage, Mark, color_of, contact_sheet, draw_tile
from tracecore.kpis import read_kpis
from tracecore_schemas.canonical import JSON
from tracecore_schemas.facets import KPIS_FACET
from tracecore_schemas.kinds import ArtifactKind, Media
from tracecore_schemas.run import Artifact
from tracecore_schemas.strict_json import loads_strict

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.dataset as pads
    from PIL.Image import Image

__all__ = ["FILE", "FRAME_COLUMNS", "Curves", "artifact_metadata", "curves_picture", "picture_markdown", "read_curves", "sample_frames"]

FRAME_COLUMNS = frozenset({"drive", "frame_id", "timestamp_ns", "image"})
BOX_COLUMNS = frozenset({"drive", "frame_id", "timestamp_ns", "x", "y", "width", "height", "category"})

MAX_BYTES = 200_000  # per picture, since metadata is stored in Dagster's event log
_TILES, _COLUMNS, _TILE_WIDTH = 6, 3, 320
_OF_TYPE = {"miss": "#ff2d2d", "false_positive": "#ffb000"}


def sample_frames(frames: pads.Dataset, boxes: pads.Dataset | None = None) -> str | None:
    """Return a few sample frames, spread over all drives, as Markdown with an embedded picture; None if no frame can be drawn.

    `frames` has `FRAME_COLUMNS`, `boxes` has `BOX_COLUMNS`; frames with boxes are preferred.
    """
    index = frames.to_table(columns=["drive", "frame_id", "timestamp_ns"])
    by_frame = _marks_by_frame(boxes) if boxes is not None else {}
    chosen = _choose_frames(index, by_frame)
    if not chosen:
        return None
    tiles = (
        draw_tile(
            AnnotatedImage(row["image"], caption=f"{row['drive']}  {row['timestamp_ns']}", marks=by_frame.get(row["frame_id"], ())), _TILE_WIDTH
        )
        for row in _read_frames(frames, chosen)
    )
    shown = [tile for tile in tiles if tile is not None]  # None for an image that can't be decoded, which the table's checks report
    return _image_markdown(contact_sheet(shown, _COLUMNS), "sample frames") if shown else None


def picture_markdown(picture: bytes, format: str, name: str) -> str:  # noqa: A002  # the image format
    """Return an encoded picture as Markdown with a data URL. A picture of more than 200 kB is scaled down, since Dagster stores the text."""
    from PIL import Image

    if len(picture) <= MAX_BYTES:
        return f"![{name}](data:image/{format};base64,{base64.b64encode(picture).decode()})"
    with Image.open(io.BytesIO(picture)) as image:
        image.thumbnail((1400, 1400))
        return _image_markdown(image.convert("RGB"), name)


def _marks_by_frame(table: pads.Dataset) -> dict[str, list[Mark]]:
    """Return the boxes of a table as marks to draw on images, by frame id; rows without a box or category are left out."""
    typed = "type" in table.schema.names
    columns = ["frame_id", "x", "y", "width", "height", "category", *(["type"] if typed else [])]
    found: dict[str, list[Mark]] = {}
    for row in table.to_table(columns=columns).to_pylist():
        if row["x"] is None or row["category"] is None:
            continue
        kind = str(row.get("type") or "")
        label = f"{row['category']} {kind.replace('_', ' ')}".strip()
        color = _OF_TYPE.get(kind) or color_of(row["category"])
        found.setdefault(row["frame_id"], []).append(Mark(row["x"], row["y"], row["width"], row["height"], label, color))
    return found


def _choose_frames(index: pa.Table, by_frame: Mapping[str, Sequence[Mark]]) -> list[tuple[str, int]]:
    """Return (drive, timestamp in ns) of a few evenly spaced frames. If any frame in `index` has boxes, only frames with boxes are chosen."""
    rows = sorted(index.to_pylist(), key=lambda row: (row["drive"], row["timestamp_ns"], row["frame_id"]))
    preferred = [row for row in rows if row["frame_id"] in by_frame] or rows
    count = min(_TILES, len(preferred))
    chosen = (preferred[(2 * place + 1) * len(preferred) // (2 * count)] for place in range(count))
    return [(row["drive"], row["timestamp_ns"]) for row in chosen]


def _read_frames(frames: pads.Dataset, chosen: Sequence[tuple[str, int]]) -> list[dict[str, Any]]:
    import pyarrow.compute as pc

    # Drive and time prune partitions and row groups, so that only a few images are read.
    wanted = reduce(or_, ((pc.field("drive") == drive) & (pc.field("timestamp_ns") == time) for drive, time in chosen))
    rows = frames.to_table(columns=["drive", "timestamp_ns", "frame_id", "image"], filter=wanted).to_pylist()
    return sorted(rows, key=lambda row: (row["drive"], row["timestamp_ns"], row["frame_id"]))[:_TILES]


def _image_markdown(image: Image, name: str) -> str:
    """Return an image as Markdown with an embedded JPEG, scaled down until the JPEG has at most 200 kB."""
    while True:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=80)
        if buffer.tell() <= MAX_BYTES:
            return picture_markdown(buffer.getvalue(), "jpeg", name)
        image = image.resize((image.width * 3 // 4, image.height * 3 // 4))


FILE = "curves.json"
_TYPE = "tracecore.curves"
_LINES = 12


@dataclass(frozen=True, slots=True)
class Curves:
    """Training curves of a model over the axis `x`; `series` are (name, value for each step) in file order, NaN for other than numbers."""

    x: str
    steps: Sequence[float]
    series: Sequence[tuple[str, Sequence[float]]]

    @property
    def last(self) -> dict[str, float]:
        """Last finite value of each training curve, by the curve's name; a curve without a finite value is left out."""
        found = {name: next((value for value in reversed(values) if math.isfinite(value)), None) for name, values in self.series}
        return {name: value for name, value in found.items() if value is not None}


def read_curves(folder: Path) -> Curves | None:
    """Read the training curves in a model's folder; None if their file is missing or not in the supported format."""
    try:
        document: Any = loads_strict((folder / FILE).read_bytes())
        if document["type"] != _TYPE:
            return None
        series = [(str(each["name"]), _floats(each["values"])) for each in document["series"]]
        return Curves(str(document["x"]["name"]), _floats(document["x"]["values"]), series)
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return None


def _floats(values: Sequence[Any]) -> list[float]:
    return [float(value) if isinstance(value, int | float) else math.nan for value in values]


def curves_picture(curves: Curves) -> bytes | None:
    """Return a PNG with a separate plot of each curve, since scales differ; None if no curve has a value for each step of the axis."""
    from matplotlib.figure import Figure

    shown = [(name, values) for name, values in curves.series if len(values) == len(curves.steps)][:_LINES]
    if not shown:
        return None
    columns = min(3, len(shown))
    rows = -(-len(shown) // columns)
    figure = Figure(figsize=(4 * columns, 2.4 * rows), layout="constrained")
    for place, (name, values) in enumerate(shown, start=1):
        axes = figure.add_subplot(rows, columns, place)
        axes.plot(curves.steps, values, linewidth=1)
        axes.set_title(name, fontsize=9)
        axes.set_xlabel(curves.x, fontsize=8)
        axes.tick_params(labelsize=7)
        axes.grid(alpha=0.3)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=80)
    return buffer.getvalue()


_MAX_FACET = 20_000  # bytes of one facet's JSON in the event log
_MAX_ROWS = 100
_MAX_PLOTS = 6
_MAX_READ = 4 << 30  # bytes of a table that is opened for sample pictures
_PAGES = ("report.md", "README.md")
_PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg")

Metadata = dict[str, Any]


def artifact_metadata(artifact: Artifact, run_id: str, *, reused: bool, store: Any, inputs: Iterable[Artifact], quarantine: JSON = None) -> Metadata:
    """Return the metadata that the Dagster UI shows for an output, the most important first. Boxes are drawn on frames from `inputs`.

    `run_id` is the id of the run that made the output. `quarantine` is that run's facet `tracecore_quarantine`; None if it read all input files.
    """
    kpis, plotted = _kpi_metadata(artifact)
    found: Metadata = {**_sample_metadata(artifact, store, list(inputs)), **kpis, **_quarantine_metadata(quarantine)}
    if artifact.unknowns:
        found["unknowns"] = _table([{"what": unknown.what, "why": unknown.why} for unknown in artifact.unknowns])
    found |= {
        "ref": dg.MetadataValue.text(artifact.ref),
        "run": dg.MetadataValue.text(f"run/{run_id}"),
        "reused": dg.MetadataValue.bool(reused),
    }
    if isinstance(artifact.kind, ArtifactKind) and not artifact.kind.is_built_in:
        found["kind"] = dg.MetadataValue.text(f"{artifact.kind}: {artifact.kind.description}")
    if artifact.table is not None:
        found["table"] = dg.MetadataValue.text(f"{artifact.table.name}: {artifact.table.description}")
    if artifact.size_bytes is not None:
        found["size"] = dg.MetadataValue.int(artifact.size_bytes)
    if artifact.rows is not None:
        found["dagster/row_count"] = dg.MetadataValue.int(artifact.rows)
    if artifact.schema:
        columns = [dg.TableColumn(field.name, field.type, description=field.description or None) for field in artifact.schema]
        found["dagster/column_schema"] = dg.TableSchema(columns)
    return found | _facet_metadata(artifact) | plotted


def _quarantine_metadata(facet: JSON) -> Metadata:
    files = facet.get("files") if isinstance(facet, Mapping) else None
    if not isinstance(files, Sequence) or not files:
        return {}
    return {"quarantined": _table([{"file": str(file["name"]), "reason": str(file["reason"])} for file in files if isinstance(file, Mapping)])}


def _table(rows: Sequence[Mapping[str, str | int | float | bool]]) -> dg.TableMetadataValue:
    return dg.MetadataValue.table([dg.TableRecord(dict(row)) for row in rows[:_MAX_ROWS]])


def _kpi_metadata(artifact: Artifact) -> tuple[Metadata, Metadata]:
    """Return (table of all KPIs of a report, main KPIs as numbers, which Dagster plots), both as metadata. Both are empty without KPIs."""
    kpis = [kpi for name, kpi in read_kpis({"": artifact.facets}).items() if name == kpi.name]
    if not kpis:
        return {}, {}
    measured = any(kpi.interval for kpi in kpis)
    rows = [
        {
            "kpi": kpi.name,
            "value": f"{_format_number(kpi.value)} {kpi.unit}".rstrip(),
            **({"95 % interval": " to ".join(map(_format_number, kpi.interval)) if kpi.interval else "-"} if measured else {}),
            "baseline": _format_number(kpi.baseline),
        }
        for kpi in kpis
    ]
    plotted = {f"kpi/{kpi.name}": dg.MetadataValue.float(kpi.value) for kpi in kpis if kpi.name.count(".") < 2}
    return {"kpis": _table(rows)}, plotted


def _format_number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _facet_metadata(artifact: Artifact) -> Metadata:
    return {
        name.removeprefix("tracecore_"): dg.MetadataValue.json(facet)
        for name, facet in artifact.facets.items()
        if name != KPIS_FACET.name and isinstance(facet, Mapping) and len(json.dumps(facet)) <= _MAX_FACET
    }


def _sample_metadata(artifact: Artifact, store: Any, inputs: Sequence[Artifact]) -> Metadata:
    """Return metadata with a directory's pictures or, for a table, sample frames with boxes from the table and `inputs`; empty if there are none."""
    if artifact.media is Media.DIRECTORY:
        return _directory_metadata(Path(store.open(artifact)))
    if artifact.media is not Media.DELTA:
        return {}
    of_boxes = [each for each in (artifact, *inputs) if _column_names(each) >= BOX_COLUMNS]
    of_frames = [each for each in (artifact, *inputs) if _column_names(each) >= FRAME_COLUMNS]
    if not of_frames or artifact not in (*of_boxes[:1], *of_frames[:1]) or (of_frames[0].size_bytes or 0) > _MAX_READ:
        return {}
    sheet = sample_frames(store.open(of_frames[0]), store.open(of_boxes[0]) if of_boxes else None)
    return {"sample": dg.MetadataValue.md(sheet)} if sheet else {}


def _directory_metadata(folder: Path) -> Metadata:
    """Return Dagster metadata of a directory: its pictures, its report page, and its training curves as a picture and last values."""
    plots = [path for path in sorted(folder.rglob("*")) if path.suffix in _PICTURE_SUFFIXES]
    shown: Metadata = {
        f"plot/{path.stem}": dg.MetadataValue.md(picture_markdown(path.read_bytes(), path.suffix[1:], path.stem)) for path in plots[:_MAX_PLOTS]
    }
    page = next((folder / name for name in _PAGES if (folder / name).is_file()), None)
    if page is not None and page.stat().st_size <= _MAX_FACET:
        # Without its pictures, which are shown as plots: their paths are not valid here.
        lines = page.read_text(encoding="utf-8", errors="replace").splitlines()
        shown["page"] = dg.MetadataValue.md("\n".join(line for line in lines if not line.startswith("![")))
    curves = read_curves(folder)
    if curves is None:
        return shown
    if (picture := curves_picture(curves)) is not None:
        shown["curves"] = dg.MetadataValue.md(picture_markdown(picture, "png", "training curves"))
    return shown | {f"curve/{name}": dg.MetadataValue.float(value) for name, value in curves.last.items()}


def _column_names(artifact: Artifact) -> frozenset[str]:
    return frozenset(field.name for field in artifact.schema) if artifact.media is Media.DELTA else frozenset()
