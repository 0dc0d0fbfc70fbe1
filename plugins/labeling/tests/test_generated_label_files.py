"""COCO, CVAT and YOLO files as Hypothesis draws them: taken whole where they are valid by their format, else refused by place or stated by count."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st
from label_rows import statement

from tracecore.errors import UsageError
from tracecore_labeling.exports import FORMATS
from tracecore_labeling.exports.batch import labeled_frames
from tracecore_labeling.imports.coco import read_coco
from tracecore_labeling.imports.cvat import read_cvat
from tracecore_labeling.imports.label_file import LabelFile
from tracecore_labeling.imports.label_import import LinkedFile, label_rows, left_out_counts
from tracecore_labeling.imports.yolo import _image, _label_file
from tracecore_labeling.imports.yolo_files import Splits, read_lines, read_set
from tracecore_labeling.label_table import label_table
from tracecore_labeling.linking import FrameIndex, link
from tracecore_schemas.refs import frame_ref

DIGEST = "sha256:" + "0" * 64
SIZE = (96, 64)
COLUMNS = ("area", "crowd", "ignore", "score", "track", "tier", "attributes", "frame_attributes")
EXAMPLES = settings(max_examples=100, deadline=None, derandomize=True, database=None)

names = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z"), exclude_characters="/\\%"), min_size=1, max_size=8)
categories = st.lists(names, min_size=1, max_size=3, unique=True)
files = st.lists(
    st.builds("{}/{}.png".format, st.sampled_from(["cam_a", "cam_b"]), st.integers(0, 99) | names), min_size=1, max_size=3, unique_by=str.casefold
)
attributes = st.dictionaries(names.filter(lambda name: name not in {"track", "occluded"}), names, max_size=2)


@st.composite
def spans(draw: st.DrawFn, side: int) -> tuple[float, float]:
    """Draw where something begins along a side of the image, and how long it is there."""
    start = draw(st.floats(0, side - 1))
    return start, draw(st.floats(0.5, side - start))


@st.composite
def rings(draw: st.DrawFn) -> list[float]:
    """Draw an outline inside the image, with an area."""
    left, top, right, bottom = draw(st.tuples(st.floats(0, 40), st.floats(0, 20), st.floats(50, 96), st.floats(30, 64)))
    more = draw(st.lists(st.tuples(st.floats(left, right), st.floats(top, bottom)), max_size=3))
    return [left, top, right, top, right, bottom, *(value for point in more for value in point)]


def frames(images: Sequence[str]) -> FrameIndex:
    """Return the frames that ingest makes of image files."""
    rows = [
        {
            "drive": "pics",
            "sensor": "camera",
            "timestamp_ns": place,
            "frame_id": frame_ref("pics", "camera", place),
            "index": place,
            "width": SIZE[0],
            "height": SIZE[1],
            "file": name,
        }
        for place, name in enumerate(sorted(images))
    ]
    return FrameIndex.of(pa.Table.from_pylist(rows))


def rows_of(read: Sequence[LabelFile], index: FrameIndex) -> tuple[pa.Table, dict[str, int]]:
    """Return the rows that files become, and what is left out of them."""
    images = [image for file in read for image in file.images]
    linked = link("a file", images, index)
    batches = [LinkedFile(file, linked) for file in read]
    table = label_table(row for batch in batches for row in label_rows(batch) if row.frame.frame_id)
    left_out = left_out_counts(batches)
    assert sum(file.found for file in read) == sum(geometry != "none" for geometry in table["geometry"].to_pylist()) + sum(left_out.values())
    return table, left_out


def told(table: pa.Table, *columns: str) -> list[tuple[Any, ...]]:
    return sorted(statement(row, *columns) for row in table.to_pylist())


def judged(read: Callable[[Path], tuple[pa.Table, dict[str, int]]], folder: Path, *, valid: bool) -> pa.Table | None:
    """Return the rows of a file; one that is not valid may be refused by a sentence that names it."""
    refused = ""
    try:
        table, left_out = read(folder)
    except UsageError as problem:
        refused = str(problem)
    if refused:
        assert not valid, refused
        assert "\n" not in refused
        assert any(word in refused for word in ("labels.", ".txt", "data.yaml", "a file"))
        return None
    assert not (valid and left_out), left_out
    return table


def half_are_valid(drawn: Counter[bool]) -> None:
    assert drawn[True] >= drawn[False] > 0, drawn


# COCO


@st.composite
def coco_documents(draw: st.DrawFn) -> dict[str, Any]:
    images = [{"id": number, "file_name": name, "width": SIZE[0], "height": SIZE[1]} for number, name in enumerate(draw(files))]
    classes = [{"id": number, "name": name} for number, name in enumerate(draw(categories), start=1)]
    annotations = []
    for number in range(draw(st.integers(0, 5))):
        entry: dict[str, Any] = {
            "id": draw(st.sampled_from([number, f"a{number}"])),
            "image_id": draw(st.sampled_from(images))["id"],
            "category_id": draw(st.sampled_from(classes))["id"],
        }
        outline = draw(st.lists(rings(), min_size=1, max_size=2))
        (x, width), (y, height) = draw(spans(SIZE[0])), draw(spans(SIZE[1]))
        if draw(st.booleans()):
            entry["bbox"] = [x, y, width, height]
            entry["area"] = draw(st.floats(0, 1e6))
        if "bbox" not in entry or draw(st.booleans()):
            entry["segmentation"] = outline
        optional = {"iscrowd": st.sampled_from([0, 1]), "score": st.floats(0, 1), "attributes": attributes, "track_id": st.just(number)}
        entry |= {key: draw(value) for key, value in optional.items() if draw(st.booleans())}
        annotations.append(entry)
    return {"images": images, "annotations": annotations, "categories": classes}


ODD = st.sampled_from([None, [], {}, "", "x", -1, 0, 2.5, 10**30, 10**400, True, [[]], [1, 2, 3], {"counts": []}, ["a", 1, 2, 3], [1e308] * 4])


@st.composite
def spoiled(draw: st.DrawFn, document: dict[str, Any]) -> dict[str, Any]:
    """Draw a copy of a document in which some value is another, or is not there."""
    changed: dict[str, Any] = json.loads(json.dumps(document))
    at: Any = changed
    for _ in range(draw(st.integers(0, 3))):
        inner = [each for each in (at.values() if isinstance(at, dict) else at) if isinstance(each, dict | list) and each]
        if not inner:
            break
        at = draw(st.sampled_from(inner))
    key = draw(st.sampled_from(sorted(at) if isinstance(at, dict) else range(len(at))))
    if draw(st.booleans()):
        at[key] = draw(ODD)
    else:
        del at[key]
    return changed


def read_coco_rows(folder: Path, index: FrameIndex) -> tuple[pa.Table, dict[str, int]]:
    read = read_coco(folder / "labels.json", "labels.json", DIGEST)
    assert read.found == len(json.loads((folder / "labels.json").read_text())["annotations"])
    return rows_of([read], index)


def test_a_coco_file_is_taken_whole_refused_or_stated() -> None:
    drawn: Counter[bool] = Counter()

    @EXAMPLES
    @given(coco_documents(), st.integers(0, 9), st.data())
    def each(document: dict[str, Any], kind: int, data: st.DataObject) -> None:
        valid = kind < 6
        drawn[valid] += 1
        index = frames([image["file_name"] for image in document["images"]])
        content = document if valid else data.draw(spoiled(document))
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "labels.json").write_text(json.dumps(content), encoding="utf-8")
            table = judged(lambda folder: read_coco_rows(folder, index), folder, valid=valid)
            if not valid or table is None or not table.num_rows or not document["annotations"]:
                return
            boxes = {str(entry["id"]): entry for entry in document["annotations"]}
            assert sorted(row["geometry"] != "none" for row in table.to_pylist()).count(True) == len(boxes)
            FORMATS["coco"](labeled_frames(table), folder / "labels.json")
            again, left_out = read_coco_rows(folder, index)
            assert not left_out
            assert told(again, *COLUMNS) == told(with_areas(table), *COLUMNS)

    each()
    half_are_valid(drawn)


def with_areas(table: pa.Table) -> pa.Table:
    """Return the rows with the area that COCO gives a box that none is known of."""
    rows = table.to_pylist()
    for row in rows:
        if row["geometry"] == "box2d" and row["area"] is None:
            row["area"] = row["width"] * row["height"]
    return pa.Table.from_pylist(rows, schema=table.schema)


# CVAT


def cvat_box(label: str, box: Sequence[float], turned: float, extra: str = "") -> str:
    left, top, width, height = box
    corners = f'xtl="{left!r}" ytl="{top!r}" xbr="{left + width!r}" ybr="{top + height!r}"'
    return f'<box label={quoteattr(label)} occluded="0" {corners} rotation="{turned!r}" z_order="0">{extra}</box>'


@st.composite
def cvat_files(draw: st.DrawFn) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """Draw (image names, shapes of each image)."""
    classes = draw(categories)
    listed = []
    for name in draw(files):
        shapes = []
        for _ in range(draw(st.integers(0, 3))):
            label = draw(st.sampled_from(classes))
            own = "".join(f"<attribute name={quoteattr(key)}>{escaped(value)}</attribute>" for key, value in draw(attributes).items())
            if draw(st.booleans()):
                (x, width), (y, height) = draw(spans(SIZE[0])), draw(spans(SIZE[1]))
                shapes.append(cvat_box(label, (x, y, width, height), draw(st.sampled_from([0.0, 0.0, 90.0, 33.5, 360.0])), own))
            else:
                flat = draw(rings())
                points = ";".join(f"{x!r},{y!r}" for x, y in zip(flat[::2], flat[1::2], strict=True))
                shapes.append(f'<polygon label={quoteattr(label)} points="{points}">{own}</polygon>')
        listed.append((name, shapes))
    return [name for name, _ in listed], listed


def escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


ODD_SHAPES = [
    '<polyline label="a" points="1,2;3,4"/>',
    '<points label="a" points="1,2"/>',
    '<ellipse label="a" cx="9" cy="9" rx="2" ry="3"/>',
    '<mask label="a" rle="1, 2" left="0" top="0" width="3" height="1"/>',
    '<skeleton label="a"><points label="b" points="1,2"/></skeleton>',
    '<cuboid label="a" xtl1="1"/>',
    '<tag label="rain"/>',
    '<polygon label="a" points="1,2;3"/>',
    '<polygon label="" points="1,2;3,4;5,6"/>',
    '<polygon label="a" points="1,nan;3,4;5,6"/>',
    '<box label="a" xtl="1" ytl="1" xbr="inf" ybr="2"/>',
    '<box label="a" xtl="5" ytl="1" xbr="4" ybr="2"/>',
    '<box label="a" xtl="-50" ytl="-50" xbr="-10" ybr="-20" rotation="45"/>',
    '<box label="a" xtl="1" ytl="1" xbr="9" ybr="2" rotation="x"/>',
    '<box xtl="1_0" ytl="1" xbr="9" ybr="2"/>',
]


def read_cvat_rows(folder: Path, index: FrameIndex) -> tuple[pa.Table, dict[str, int]]:
    return rows_of([read_cvat(folder / "labels.xml", "labels.xml", DIGEST)], index)


def test_a_cvat_file_is_taken_whole_refused_or_stated() -> None:
    drawn: Counter[bool] = Counter()

    @EXAMPLES
    @given(cvat_files(), st.integers(0, 9), st.sampled_from(ODD_SHAPES))
    def each(drawn_file: tuple[list[str], list[tuple[str, list[str]]]], kind: int, odd: str) -> None:
        listed, images = drawn_file
        valid = kind < 6
        drawn[valid] += 1
        index = frames(listed)
        shapes = [(name, [*inside, *([] if valid else [odd])]) for name, inside in images]
        elements = [
            f'<image id="{number}" name={quoteattr(name)} width="{SIZE[0]}" height="{SIZE[1]}">{"".join(inside)}</image>'
            for number, (name, inside) in enumerate(shapes)
        ]
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "labels.xml").write_text(f"<annotations>{''.join(elements)}</annotations>", encoding="utf-8")
            table = judged(lambda folder: read_cvat_rows(folder, index), folder, valid=valid)
            if table is None:
                return
            empty = {row["frame_id"] for row in table.to_pylist() if row["geometry"] == "none"}
            assert len(empty) == (sum(not inside for _, inside in images) if valid else 0)
            if valid and any(inside for _, inside in images):
                FORMATS["coco"](labeled_frames(table), folder / "labels.json")
                again, _ = read_coco_rows(folder, index)
                assert told(again, *COLUMNS) == told(with_areas(table), *COLUMNS)

    each()
    half_are_valid(drawn)


# YOLO


@st.composite
def yolo_lines(draw: st.DrawFn, classes: int) -> str:
    number = draw(st.integers(0, classes - 1))
    if draw(st.booleans()):
        (x, width), (y, height) = draw(spans(SIZE[0])), draw(spans(SIZE[1]))
        shares = [(x + width / 2) / SIZE[0], (y + height / 2) / SIZE[1], width / SIZE[0], height / SIZE[1]]
    else:
        shares = [value / SIZE[place % 2] for place, value in enumerate(draw(rings()))]
    return " ".join([str(number), *(f"{share:.6f}" for share in shares)])


ODD_LINES = [
    "0 0.5 0.5 0.2",
    "0 0.5 0.5 0.2 0.1 0.9",
    "0 0.9 0.5 0.5 0.2 0.1",
    "0 0.5 0.5 0.2 0.1 0.9 7",
    "0 0.5 0.5 0.2 0.1 0.9 1",
    "0 0.5 0.5 0.2 0.1 0.45 0.5 2 0.55 0.5 2",
    "-1 0.5 0.5 0.2 0.1",
    "99 0.5 0.5 0.2 0.1",
    "0.5 0.5 0.5 0.2 0.1",
    "0 0.5 0.5 0 0.1",
    "0 0.5 0.5 -0.2 0.1",
    "0 nan 0.5 0.2 0.1",
    "0 0.5 0.5 0.2 inf",
    "0 50 50 20 10",
    "0 0.05 0.5 0.2 0.1",
    "0 0.1 0.1 0.1 0.1 0.1 0.1",
    "car 0.5 0.5 0.2 0.1",
    "0,0.5,0.5,0.2,0.1",
    "1e400 0.5 0.5 0.2 0.1",
]


def read_yolo_rows(folder: Path, index: FrameIndex) -> tuple[pa.Table, dict[str, int]]:
    about = read_set(folder / "data.yaml", "data.yaml")
    assert about.names is not None
    read = []
    for path in sorted((folder / "labels").rglob("*.txt")):
        name = f"set/{path.relative_to(folder).as_posix()}"
        image = _image(name, {}, Splits())
        frame = link("a file", [image], index).frames.get(image.id)
        lines, again = read_lines(path, name, about.names)
        read.append(_label_file(Source(name), image, lines, again, about.names, frame, clip=False))
        assert read[-1].found == sum(bool(line.strip()) for line in path.read_text().splitlines())
    return rows_of(read, index)


class Source:
    """A source as far as labels read it."""

    digest = DIGEST

    def __init__(self, name: str) -> None:
        self.name = name


def test_a_yolo_set_is_taken_whole_refused_or_stated() -> None:
    drawn: Counter[bool] = Counter()

    @EXAMPLES
    @given(categories, files, st.integers(0, 9), st.sampled_from(ODD_LINES), st.data())
    def each(classes: list[str], listed: list[str], kind: int, odd: str, data: st.DataObject) -> None:
        valid = kind < 6
        drawn[valid] += 1
        index = frames([f"images/{name}" for name in listed])
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            (folder / "labels").mkdir()
            (folder / "data.yaml").write_text(f"names: {json.dumps(classes)}\n", encoding="utf-8")
            for name in listed:
                lines = data.draw(st.lists(yolo_lines(len(classes)), max_size=3, unique=True))
                path = folder / "labels" / f"{name.removesuffix('.png')}.txt"
                path.parent.mkdir(exist_ok=True)
                path.write_text("".join(f"{line}\n" for line in [*lines, *([] if valid else [odd])]), encoding="utf-8")
            table = judged(lambda folder: read_yolo_rows(folder, index), folder, valid=valid)
            if not valid or table is None or "box2d" not in table["geometry"].to_pylist():
                return
            FORMATS["yolo"](labeled_frames(table), folder / "again")
            again, left_out = read_yolo_rows(folder / "again", index)
            assert not left_out
            assert [nearly(row) for row in told(again)] == [nearly(row) for row in told(table)]

    each()
    half_are_valid(drawn)


def nearly(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return what a row says, to a thousandth of a px."""
    return tuple(round(value, 3) if isinstance(value, float) else value for value in row if not isinstance(value, str) or not value.startswith("[["))
