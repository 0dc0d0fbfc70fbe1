"""Contact sheets of clusters: example mistakes with detections (solid) and ground truth (dashed), as whole frame and close-up."""

from __future__ import annotations

import io
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image, ImageDraw

from tracecore.geometry import Rig
from tracecore.images import AnnotatedImage, Line, Mark, contact_sheet, draw_tile, save_png, upright
from tracecore_diagnosis.clusters import NO_OBJECT, Cluster
from tracecore_diagnosis.mistakes import FrameFacts, Mistake, Scene

__all__ = ["LEGEND", "SheetContent", "draw_sheet", "examples_of", "sheet_name"]

LEGEND = "orange, solid: seen · green, dashed: true · red: the mistake itself (dashed where something true was not seen)"

_SEEN, _TRUE, _WRONG = "#ff9f1c", "#2ee66b", "#ff2d55"
_WIDTH = 320
_HEAD = 34
_CLOSER = (3.0, 2.0)  # size of a close-up in widths and heights of the box, which shows its surroundings
_NARROWEST = 0.12  # least width of a close-up as a share of the frame's; less would show only pixels
_NOT_SEEN = frozenset({"miss", "lost_track"})


@dataclass(frozen=True, slots=True)
class SheetContent:
    """Sources of the sheets: encoded images, facts and scenes by frame ref, and the cameras' calibrations."""

    images: Mapping[str, bytes]
    frames: Mapping[str, FrameFacts]
    scenes: Mapping[str, Scene]
    rig: Rig


def sheet_name(cluster: Cluster) -> str:
    """Return the path of a cluster's contact sheet relative to the data request's folder: `sheets/<rank>-<id>.png`."""
    return f"sheets/{cluster.rank:02d}-{cluster.id}.png"


def examples_of(cluster: Cluster, count: int) -> list[Mistake]:
    """Return up to `count` mistakes of a cluster, each on another frame: drives take turns, and a drive's clearest mistakes come first."""
    by_drive: dict[str, list[Mistake]] = {}
    seen: set[str] = set()
    for mistake in cluster.members:
        if mistake.frame_id not in seen:
            seen.add(mistake.frame_id)
            by_drive.setdefault(mistake.drive, []).append(mistake)
    queues = list(by_drive.values())
    rounds = max((len(queue) for queue in queues), default=0)
    return [queue[turn] for turn in range(rounds) for queue in queues if turn < len(queue)][:count]


def draw_sheet(path: Path, cluster: Cluster, examples: Sequence[Mistake], gallery: SheetContent) -> bool:
    """Write a cluster's contact sheet as PNG from the examples whose images are available; return False, with no file, if there are none."""
    tiles = []
    for mistake in examples:
        image = gallery.images.get(mistake.frame_id)
        whole = None if image is None else draw_tile(_whole(mistake, image, gallery), _WIDTH)
        if whole is None:
            continue
        closer = None if cluster.type in NO_OBJECT else draw_tile(_closer(mistake, image or b"", gallery), _WIDTH)
        tiles.append(whole if closer is None else contact_sheet([whole, closer], 2))
    if not tiles:
        return False
    save_png(_headed(contact_sheet(tiles, 3 if cluster.type in NO_OBJECT else 2), cluster), path)
    return True


def _headed(sheet: Image.Image, cluster: Cluster) -> Image.Image:
    width = max(sheet.width, 640)
    headed = Image.new("RGB", (width, sheet.height + _HEAD), "white")
    headed.paste(sheet, (0, _HEAD))
    pen = ImageDraw.Draw(headed)
    pen.text((4, 3), f"{cluster.rank}. {cluster.name}: {len(cluster.members)} mistakes on {cluster.frames} frames", fill="black", font_size=13)
    pen.text((4, 20), LEGEND.replace("·", "|"), fill="#555555")
    return headed


def _whole(mistake: Mistake, image: bytes, gallery: SheetContent) -> AnnotatedImage:
    frame, scene = gallery.frames[mistake.frame_id], gallery.scenes[mistake.frame_id]
    conditions = " ".join(frame.conditions.values())
    notes = [
        (f"{name.replace('_', ' ')}: {scene.seen.tags.get(name, '?')}, true {value}", "white") for name, value in sorted(scene.true.tags.items())
    ]
    if mistake.confusion:
        notes.insert(0, (mistake.confusion, _WRONG))
    if mistake.error is not None:
        notes.insert(0, (f"off by {mistake.error:.2f}", _WRONG))
    return AnnotatedImage(image, f"{frame.drive}  {frame.timestamp_ns}  {conditions}", _marks(mistake, scene), _paths(frame, scene, gallery), notes)


def _marks(mistake: Mistake, scene: Scene) -> list[Mark]:
    """Return the boxes to draw on a mistake's frame: true boxes (dashed), detected boxes and last, if it concerns an object, the mistake's box."""
    marks = [Mark(*box, _TRUE, dashed=True) for box in scene.true.boxes] + [Mark(*box, _SEEN) for box in scene.seen.boxes]
    if mistake.type not in NO_OBJECT:
        label = mistake.category if mistake.score is None else f"{mistake.category} {mistake.score:.2f}"
        marks.append(Mark(*mistake.box, label, _WRONG, dashed=mistake.type in _NOT_SEEN))
    return marks


def _paths(frame: FrameFacts, scene: Scene, gallery: SheetContent) -> list[Line]:
    camera = gallery.rig.camera(frame.drive, frame.sensor, frame.timestamp_ns)
    if camera is None:
        return []
    lines = []
    if scene.true.path:
        # Every other segment, for a dashed line.
        for start, end in itertools.pairwise(camera.ground(scene.true.path)):
            lines += [Line((_between(start, end, at / 8), _between(start, end, (at + 1) / 8)), _TRUE) for at in range(0, 8, 2)]
    if scene.seen.path:
        lines.append(Line(camera.ground(scene.seen.path), _SEEN))
    return lines


def _between(start: tuple[float, float], end: tuple[float, float], share: float) -> tuple[float, float]:
    return start[0] + (end[0] - start[0]) * share, start[1] + (end[1] - start[1]) * share


def _closer(mistake: Mistake, image: bytes, gallery: SheetContent) -> AnnotatedImage:
    """Return a close-up of the mistake's box and its surroundings, with the frame's aspect ratio, and the marks to draw on it."""
    with Image.open(io.BytesIO(image)) as opened:
        whole = upright(opened).convert("RGB")
    x, y, width, height = mistake.box
    wide = min(whole.width, max(_CLOSER[0] * width, _CLOSER[1] * height * whole.width / whole.height, _NARROWEST * whole.width))
    high = wide * whole.height / whole.width
    left = int(min(max(0.0, x + width / 2 - wide / 2), whole.width - wide))
    top = int(min(max(0.0, y + height / 2 - high / 2), whole.height - high))
    cut = whole.crop((left, top, left + max(2, int(wide)), top + max(2, int(high))))
    buffer = io.BytesIO()
    cut.save(buffer, "BMP")  # read back at once, so compression is useless
    marks = [replace(mark, x=mark.x - left, y=mark.y - top) for mark in _marks(mistake, gallery.scenes[mistake.frame_id])]
    of_object = " ".join(mistake.of_object.values())
    return AnnotatedImage(buffer.getvalue(), f"{mistake.category}  {round(width)} x {round(height)} px  {of_object}", marks)
