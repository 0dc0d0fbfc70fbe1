"""Pictures for the page: sample frames over all drives, boxes where there are any, small enough for an event log."""

from __future__ import annotations

import base64
import io
import json

import pyarrow as pa
import pyarrow.dataset as pads
from PIL import Image

from tracecore_assets.define.metadata import MAX_BYTES, curves_picture, picture_markdown, read_curves, sample_frames


def _jpeg(color, size=(96, 64)):
    buffer = io.BytesIO()
    Image.new("RGB", size, color).save(buffer, "JPEG")
    return buffer.getvalue()


def _frames(count=5, drives=("a", "b")):
    rows = [
        {"drive": drive, "frame_id": f"{drive}{index}", "timestamp_ns": index, "image": _jpeg((200, 200, 200))}
        for drive in drives
        for index in range(count)
    ]
    return pads.dataset(pa.Table.from_pylist(rows))


def _picture(markdown):
    data = base64.b64decode(markdown.partition("base64,")[2].rstrip(")"))
    assert len(data) <= MAX_BYTES
    return Image.open(io.BytesIO(data)).convert("RGB")


def test_a_sheet_shows_frames_of_all_drives_as_a_data_uri():
    """Six frames, three in a row; nothing is fetched from another host."""
    sheet = sample_frames(_frames())
    assert sheet.startswith("![sample frames](data:image/jpeg;base64,")
    assert _picture(sheet).width == 3 * 320 + 2 * 4


def test_boxes_are_drawn_and_frames_that_have_some_are_preferred():
    """The one labeled frame is the one shown, its box in a color of its class."""
    boxes = pa.Table.from_pylist(
        [{"drive": "b", "frame_id": "b3", "timestamp_ns": 3, "x": 20.0, "y": 10.0, "width": 50.0, "height": 40.0, "category": "car"}]
    )
    picture = _picture(sample_frames(_frames(), pads.dataset(boxes)))
    assert picture.width == 320
    scale = 320 / 96
    edge, inside = picture.getpixel((round(45 * scale), round(10 * scale))), picture.getpixel((round(45 * scale), round(30 * scale)))
    assert max(abs(one - other) for one, other in zip(edge, (200, 200, 200), strict=True)) > 60
    assert max(abs(one - other) for one, other in zip(inside, (200, 200, 200), strict=True)) < 20


def test_a_label_without_a_box_and_a_broken_image_disturb_nothing():
    """An empty frame has a row of its own; an image that can't be read is left to its check."""
    rows = [{"drive": "a", "frame_id": "a0", "timestamp_ns": 0, "image": b"no image"}]
    texts, numbers = ("drive", "frame_id", "category"), ("x", "y", "width", "height")
    columns = [(name, pa.string()) for name in texts] + [(name, pa.float64()) for name in numbers]
    empty = pads.dataset(pa.Table.from_pylist([{"drive": "a", "frame_id": "a0"}], schema=pa.schema(columns)))
    assert sample_frames(pads.dataset(pa.Table.from_pylist(rows)), empty) is None
    assert sample_frames(_frames(1), empty) is not None


def test_a_big_plot_is_made_smaller(tmp_path):
    """Plots of a report are stored in Dagster's event log, which should not hold megabytes."""
    path = tmp_path / "samples.png"
    Image.effect_noise((1600, 1200), 80).save(path)
    assert path.stat().st_size > MAX_BYTES
    assert _picture(picture_markdown(path.read_bytes(), "png", "samples")).width <= 1400


def _model(folder, **changes):
    said = {"v": 1, "type": "tracecore.curves", "x": {"name": "step", "values": [1, 2, 3]}}
    series = [{"name": "loss", "values": [3.0, 2.0, None]}, {"name": "learning rate", "values": [0.1, 0.2, 0.1]}]
    (folder / "curves.json").write_text(json.dumps(said | {"series": series} | changes))
    return folder


def test_training_curves_are_drawn_and_their_last_numbers_given(tmp_path):
    curves = read_curves(_model(tmp_path))
    assert curves.last == {"loss": 2.0, "learning rate": 0.1}
    assert Image.open(io.BytesIO(curves_picture(curves))).width > 400
    assert picture_markdown(curves_picture(curves), "png", "training curves").startswith("![training curves](data:image/png;base64,")


def test_curves_of_another_shape_are_none_of_ours(tmp_path):
    assert read_curves(tmp_path) is None
    assert read_curves(_model(tmp_path, type="other")) is None
    assert read_curves(_model(tmp_path, series=3)) is None
