"""Label files that an editor saved with a byte order mark read as without; bytes that are not text are refused by the file's name."""

from __future__ import annotations

import codecs
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tracecore.errors import UsageError
from tracecore_labeling.imports.coco import read_coco
from tracecore_labeling.imports.cvat import read_cvat
from tracecore_labeling.imports.kitti import read_kitti
from tracecore_labeling.imports.openlabel import read_openlabel
from tracecore_labeling.imports.yolo_files import read_lines, read_set
from tracecore_labeling.linking import LabeledImage

DIGEST = "sha256:" + "0" * 64
BOX = '<box label="car" occluded="0" xtl="1" ytl="2" xbr="3" ybr="4"/>'
KITTI = "Car 0.00 0 1.5 10.0 20.0 30.0 40.0 1.5 1.6 3.9 1.0 1.7 12.0 1.5\n"
COCO = (
    '{"images": [{"id": 1, "file_name": "a.png", "width": 9, "height": 9}], "categories": [{"id": 1, "name": "car"}],'
    ' "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]}]}'
)
OPENLABEL = '{"openlabel": {"metadata": {"schema_version": "1.0.0"}, "objects": {}, "frames": {"0": {"objects": {}}}}}'
FILES: dict[str, tuple[str, str, Callable[[Path], Any]]] = {
    "coco": (
        "a.json",
        COCO,
        lambda path: read_coco(path, path.name, DIGEST),
    ),
    "cvat": (
        "a.xml",
        f'<?xml version="1.0" encoding="utf-8"?><annotations><image id="0" name="a.png" width="9" height="9">{BOX}</image></annotations>',
        lambda path: read_cvat(path, path.name, DIGEST),
    ),
    "openlabel": ("b.json", OPENLABEL, lambda path: read_openlabel(path, path.name, DIGEST, {})),
    "yolo boxes": ("a.txt", "0 0.5 0.5 0.2 0.2\n", lambda path: read_lines(path, path.name, ("car",))),
    "yolo obj.names": ("obj.names", "car\nvan\n", lambda path: read_set(path, path.name)),
    "yolo data.yaml": ("data.yaml", "names: [car, van]\n", lambda path: read_set(path, path.name)),
    "kitti": ("000001.txt", KITTI, lambda path: read_kitti(path, path.name, DIGEST, LabeledImage("a", "a.png"), "camera")),
}


@pytest.mark.parametrize("format_", FILES)
def test_a_byte_order_mark_changes_nothing(tmp_path: Path, format_: str) -> None:
    name, text, read = FILES[format_]
    (tmp_path / name).write_bytes(text.encode())
    plain = read(tmp_path / name)
    (tmp_path / name).write_bytes(codecs.BOM_UTF8 + text.encode())
    assert read(tmp_path / name) == plain


@pytest.mark.parametrize("format_", FILES)
def test_what_is_no_utf_8_is_refused_by_the_file_s_name(tmp_path: Path, format_: str) -> None:
    name, text, read = FILES[format_]
    (tmp_path / name).write_bytes(
        text.encode().replace(b"car", b"c\xffr").replace(b"0.5", b"\xff").replace(b"1.0.0", b"\xff").replace(b"Car", b"\xff")
    )
    with pytest.raises(UsageError, match=name.replace(".", r"\.")):
        read(tmp_path / name)
