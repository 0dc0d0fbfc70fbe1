"""The picture of a scene: a sheet of frames, one frame large, or the pictures that a directory holds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tracecore.errors import UsageError
from tracecore.images import AnnotatedImage, contact_sheet, draw_tile
from tracecore_lineage.looking.drawn import drawn
from tracecore_lineage.looking.scene import Scene

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["picture_of"]

_ALONE, _FEW, _MANY = 1280, 480, 320
_FILE_WIDTH = 900


def picture_of(scene: Scene) -> Image:
    """Draw a scene.

    Raises:
        UsageError: none of its images can be decoded.
    """
    tiles = _files(scene.pictures) if scene.pictures else _frames(scene)
    if not tiles:
        raise UsageError(f"{scene.ref} has nothing to look at: none of its images can be decoded.")
    if scene.pictures:
        return contact_sheet(tiles, 1 if len(tiles) == 1 else 2)
    return contact_sheet(tiles, 1 if len(tiles) == 1 else 2 if len(tiles) <= 4 else 3 if len(tiles) <= 12 else 4)


def _frames(scene: Scene) -> list[Image]:
    count = len(scene.views)
    width = _ALONE if count == 1 else _FEW if count <= 4 else _MANY
    tiles = (draw_tile(drawn(view, whole=count == 1), width) for view in scene.views)
    return [tile for tile in tiles if tile is not None]


def _files(pictures: Sequence[Path]) -> list[Image]:
    tiles = (draw_tile(AnnotatedImage(path.read_bytes(), path.name), _FILE_WIDTH) for path in pictures)
    return [tile for tile in tiles if tile is not None]
