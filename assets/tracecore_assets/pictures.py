"""Pictures for the Dagster UI: sample frames with their boxes drawn, as data URIs that need no other host."""

from __future__ import annotations

import base64
import io
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.dataset as pads
    from PIL.Image import Image

__all__ = ["BOX_COLUMNS", "FRAME_COLUMNS", "Box", "contact_sheet", "picture_file"]

FRAME_COLUMNS = frozenset({"drive", "frame_id", "timestamp_ns", "image"})
BOX_COLUMNS = frozenset({"drive", "frame_id", "timestamp_ns", "x", "y", "width", "height", "category"})

MAX_BYTES = 200_000  # of one picture: metadata lies in Dagster's event log
_TILES, _COLUMNS, _TILE_WIDTH, _GAP = 6, 3, 320, 4
_CAPTION = 16
_PALETTE = ("#e6194b", "#3cb44b", "#ffe119", "#4363d8", "#f58231", "#46f0f0", "#f032e6", "#bcf60c")
_OF_TYPE = {"miss": "#ff2d2d", "false_positive": "#ffb000"}


@dataclass(frozen=True, slots=True)
class Box:
    """One box in pixels of the recorded image, origin top left, with what it is of."""

    x: float
    y: float
    width: float
    height: float
    label: str
    color: str


def contact_sheet(frames: pads.Dataset, boxes: pads.Dataset | None = None) -> str | None:
    """Draw a few sample frames, spread over all drives, as markdown with the picture in it.

    Args:
        frames: a table with `FRAME_COLUMNS`.
        boxes: a table with `BOX_COLUMNS`; frames that have boxes are preferred.

    Returns:
        Markdown, or None where there is no frame that can be shown.
    """
    index = frames.to_table(columns=["drive", "frame_id", "timestamp_ns"])
    by_frame = _boxes(boxes) if boxes is not None else {}
    chosen = _spread(index, by_frame)
    if not chosen:
        return None
    tiles = [_tile(row, by_frame.get(row["frame_id"], ())) for row in _rows(frames, chosen)]
    shown = [tile for tile in tiles if tile is not None]
    return _markdown(_montage(shown), "sample frames") if shown else None


def picture_file(path: Path) -> str:
    """Give a stored picture as markdown, made smaller where it is too big for an event log."""
    from PIL import Image

    if path.stat().st_size <= MAX_BYTES:
        return f"![{path.stem}](data:image/{path.suffix[1:]};base64,{base64.b64encode(path.read_bytes()).decode()})"
    with Image.open(path) as image:
        image.thumbnail((1400, 1400))
        return _markdown(image.convert("RGB"), path.stem)


def _boxes(table: pads.Dataset) -> dict[str, list[Box]]:
    typed = "type" in table.schema.names
    columns = ["frame_id", "x", "y", "width", "height", "category", *(["type"] if typed else [])]
    found: dict[str, list[Box]] = {}
    for row in table.to_table(columns=columns).to_pylist():
        if row["x"] is None or row["category"] is None:
            continue
        kind = str(row.get("type") or "")
        label = f"{row['category']} {kind.replace('_', ' ')}".strip()
        # crc32 and not hash(): the color of a class must not change from process to process.
        color = _OF_TYPE.get(kind) or _PALETTE[zlib.crc32(row["category"].encode()) % len(_PALETTE)]
        found.setdefault(row["frame_id"], []).append(Box(row["x"], row["y"], row["width"], row["height"], label, color))
    return found


def _spread(index: pa.Table, by_frame: Mapping[str, Sequence[Box]]) -> list[tuple[str, int]]:
    """Choose (drive, time) of frames spread evenly over the table."""
    rows = sorted(index.to_pylist(), key=lambda row: (row["drive"], row["timestamp_ns"], row["frame_id"]))
    preferred = [row for row in rows if row["frame_id"] in by_frame] or rows
    count = min(_TILES, len(preferred))
    return [
        (
            preferred[(2 * place + 1) * len(preferred) // (2 * count)]["drive"],
            preferred[(2 * place + 1) * len(preferred) // (2 * count)]["timestamp_ns"],
        )
        for place in range(count)
    ]


def _rows(frames: pads.Dataset, chosen: Sequence[tuple[str, int]]) -> list[dict[str, Any]]:
    import pyarrow.compute as pc

    # Drive and time prune partitions and row groups, so that only a few images are read.
    wanted = reduce(or_, ((pc.field("drive") == drive) & (pc.field("timestamp_ns") == time) for drive, time in chosen))
    rows = frames.to_table(columns=["drive", "timestamp_ns", "frame_id", "image"], filter=wanted).to_pylist()
    return sorted(rows, key=lambda row: (row["drive"], row["timestamp_ns"], row["frame_id"]))[:_TILES]


def _tile(row: Mapping[str, Any], boxes: Sequence[Box]) -> Image | None:
    from PIL import Image, ImageDraw, UnidentifiedImageError

    try:
        image = Image.open(io.BytesIO(row["image"])).convert("RGB")
    except (UnidentifiedImageError, OSError):
        return None  # the table's checks say what is wrong with an image; a picture of it can't
    scale = _TILE_WIDTH / image.width
    height = max(1, round(image.height * scale))
    tile = Image.new("RGB", (_TILE_WIDTH, height + _CAPTION), "white")
    tile.paste(image.resize((_TILE_WIDTH, height)), (0, 0))
    draw = ImageDraw.Draw(tile)
    for box in boxes:
        corner = (box.x * scale, box.y * scale)
        draw.rectangle((*corner, (box.x + box.width) * scale, (box.y + box.height) * scale), outline=box.color, width=2)
        if box.width * scale > 24:
            draw.text((corner[0] + 2, max(0.0, corner[1] - 11)), box.label, fill=box.color, stroke_width=1, stroke_fill="black")
    draw.text((2, height + 2), f"{row['drive']}  {row['timestamp_ns']}", fill="black")
    return tile


def _montage(tiles: Sequence[Image]) -> Image:
    from PIL import Image

    columns = min(_COLUMNS, len(tiles))
    height = max(tile.height for tile in tiles)
    rows = -(-len(tiles) // columns)
    sheet = Image.new("RGB", (columns * (_TILE_WIDTH + _GAP) - _GAP, rows * (height + _GAP) - _GAP), "white")
    for place, tile in enumerate(tiles):
        sheet.paste(tile, ((place % columns) * (_TILE_WIDTH + _GAP), (place // columns) * (height + _GAP)))
    return sheet


def _markdown(image: Image, name: str) -> str:
    while True:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=80)
        if buffer.tell() <= MAX_BYTES or image.width < _TILE_WIDTH:
            return f"![{name}](data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()})"
        image = image.resize((image.width * 3 // 4, image.height * 3 // 4))
