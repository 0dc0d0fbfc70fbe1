"""Pictures for the Dagster UI: sample frames with their boxes drawn, as data URIs that need no other host."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from functools import reduce
from operator import or_
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracecore.images import AnnotatedImage, Mark, color_of, contact_sheet, draw_tile

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.dataset as pads
    from PIL.Image import Image

__all__ = ["BOX_COLUMNS", "FRAME_COLUMNS", "picture_file", "png_markdown", "sample_frames"]

FRAME_COLUMNS = frozenset({"drive", "frame_id", "timestamp_ns", "image"})
BOX_COLUMNS = frozenset({"drive", "frame_id", "timestamp_ns", "x", "y", "width", "height", "category"})

MAX_BYTES = 200_000  # of one picture: metadata lies in Dagster's event log
_TILES, _COLUMNS, _TILE_WIDTH = 6, 3, 320
_OF_TYPE = {"miss": "#ff2d2d", "false_positive": "#ffb000"}


def sample_frames(frames: pads.Dataset, boxes: pads.Dataset | None = None) -> str | None:
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
    return _markdown(contact_sheet(shown, _COLUMNS), "sample frames") if shown else None


def picture_file(path: Path) -> str:
    """Give a stored picture as markdown, made smaller where it is too big for an event log."""
    from PIL import Image

    if path.stat().st_size <= MAX_BYTES:
        return _data_uri(path.read_bytes(), path.suffix[1:], path.stem)
    with Image.open(path) as image:
        image.thumbnail((1400, 1400))
        return _markdown(image.convert("RGB"), path.stem)


def _boxes(table: pads.Dataset) -> dict[str, list[Mark]]:
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


def _spread(index: pa.Table, by_frame: Mapping[str, Sequence[Mark]]) -> list[tuple[str, int]]:
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


def _tile(row: Mapping[str, Any], boxes: Sequence[Mark]) -> Image | None:
    # None for an image that can't be decoded: the table's checks say what is wrong with it; a picture of it can't.
    return draw_tile(AnnotatedImage(row["image"], caption=f"{row['drive']}  {row['timestamp_ns']}", marks=boxes), _TILE_WIDTH)


def _markdown(image: Image, name: str) -> str:
    while True:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=80)
        if buffer.tell() <= MAX_BYTES or image.width < _TILE_WIDTH:
            return _data_uri(buffer.getvalue(), "jpeg", name)
        image = image.resize((image.width * 3 // 4, image.height * 3 // 4))


def png_markdown(picture: bytes, name: str) -> str:
    """Give a PNG as markdown, made smaller where it is too big for an event log."""
    from PIL import Image

    if len(picture) <= MAX_BYTES:
        return _data_uri(picture, "png", name)
    return _markdown(Image.open(io.BytesIO(picture)).convert("RGB"), name)


def _data_uri(picture: bytes, type_: str, name: str) -> str:
    return f"![{name}](data:image/{type_};base64,{base64.b64encode(picture).decode()})"
