"""Built-in samples of the built-in tables and artifact kinds, the same bytes each time.

Two drives of a few frames each (by day and by night): JPEGs, labels of every geometry, detections, perception errors, LiDAR sweeps, signals and
calibrations. They are meant to be read, not to be realistic.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image, ImageDraw

from tracecore.stage import Input, Output
from tracecore.testing.drawn_frames import EPOCH_NS, HEIGHT, SENSOR, WIDTH, Row, frame
from tracecore_schemas.arrow_tables import CALIBRATIONS, DETECTIONS, EVENTS, FRAMES, LABELS, POINTS_DTYPE, SIGNALS, SWEEPS, table_of
from tracecore_schemas.data_request import FILE as REQUEST_FILE
from tracecore_schemas.data_request import DataRequest, Want
from tracecore_schemas.kinds import ArtifactKind
from tracecore_schemas.refs import frame_ref

__all__ = [
    "built_in",
    "calibrations",
    "detections",
    "events",
    "frames",
    "labels",
    "manifest",
    "model_folder",
    "request_folder",
    "signals",
    "sweeps",
    "trace",
]

LIDAR = "/lidar/top/points"
_DRIVES = (("sample-day", "day", 0.6), ("sample-night", "night", 0.1))
_FRAMES = 4
_STATES = ("none", "red", "yellow", "green")


def _hex(*parts: object) -> str:
    return hashlib.sha256(" ".join(map(str, parts)).encode()).hexdigest()


def _box(drive: int, index: int) -> tuple[int, int, int, int]:
    return 8 + 14 * index + 3 * drive, 20 + 4 * index, 18 + 2 * index, 14 + drive


def _picture(drive: int, index: int, light: float) -> bytes:
    """Return the JPEG image of a sample frame: a noisy gradient times `light`, with a bright box where the frame's label is."""
    rng = np.random.default_rng(100 * drive + index)
    slope = np.linspace(40, 180, WIDTH)[None, :] + np.linspace(0, 40, HEIGHT)[:, None]
    patches = np.kron(rng.uniform(-60, 60, (HEIGHT // 16, WIDTH // 16)), np.ones((16, 16)))
    gray = (slope + patches + rng.normal(0, 25, (HEIGHT, WIDTH))) * light
    image = Image.fromarray(gray.clip(0, 255).astype(np.uint8)).convert("RGB")
    x, y, width, height = _box(drive, index)
    ImageDraw.Draw(image).rectangle((x, y, x + width - 1, y + height - 1), fill=(250, 240, 200))
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=85)
    return stream.getvalue()


def _place(drive: int, index: int, sensor: str = SENSOR, ref_column: str = "frame_id") -> Row:
    """Return the columns that identify a sample frame or LiDAR sweep: drive, sensor, time and, in the column `ref_column`, its ref."""
    name = _DRIVES[drive][0]
    time = EPOCH_NS + drive * 3_600_000_000_000 + index * 500_000_000
    return {"drive": name, "sensor": sensor, "timestamp_ns": time, ref_column: frame_ref(name, sensor, time)}


def _each() -> list[tuple[int, int]]:
    """Return (number of its drive, index in that drive) of every sample frame, from 0."""
    return [(drive, index) for drive in range(len(_DRIVES)) for index in range(_FRAMES)]


@cache
def frames() -> pa.Table:
    """Return the sample frame table: two drives of four JPEG frames, 96x64 px, with measured time and place."""
    rows = []
    for drive, index in _each():
        name, time_of_day, light = _DRIVES[drive]
        image = _picture(drive, index, light)
        region, weather = (("DE", "clear"), ("JP", "rain"))[drive]
        measured = {"clock": "measured", "latitude": 48.0 + drive, "longitude": 9.0 + index / 1000}
        conditions = {"region": region, "time_of_day": time_of_day, "weather": weather}
        drawn = frame(name, index, image, encoding="jpeg", luma=light / 2, region=region, time_of_day=time_of_day)
        rows.append(drawn | _place(drive, index) | measured | {"conditions": conditions})
    return table_of(FRAMES, rows)


@cache
def labels() -> pa.Table:
    """Return the sample label table: a box, its cuboid, the path and the traffic light's state for each frame in `frames`."""
    rows = []
    for drive, index in _each():
        place = _place(drive, index)
        common = place | {
            "revision": 0,
            "crowd": False,
            "ignore": False,
            "image_width": WIDTH,
            "image_height": HEIGHT,
            "labeler": "labeler-1",
            "labeled_at": "2026-11-01T10:00:00Z",
            "tool": "sample 1",
            "guideline": "v1",
            "refusals": 0,
            "qa": "accepted",
        }
        x, y, width, height = _box(drive, index)
        category = ("car", "pedestrian")[index % 2]
        ahead = 12.0 + 3 * index
        of_kind: Mapping[str, Row] = {
            "box2d": {"category": category, "x": x, "y": y, "width": width, "height": height, "area": width * height, "track": f"t{drive}"},
            "cuboid": {
                "category": category,
                "cuboid": [ahead, 1.0, 0.8, 0.0, 0.0, 0.0, 1.0, 4.0, 1.8, 1.6],
                "cuboid_frame": "vehicle",
                "track": f"t{drive}",
            },
            "path": {"path": [value for step in range(1, 7) for value in (5.0 * step, 0.02 * step * index)]},
            "tag": {"category": "light_state", "value": _STATES[index % 4]},
        }
        rows += [common | {"label_id": _hex(place["frame_id"], kind)[:32], "geometry": kind} | of for kind, of in of_kind.items()]
    return table_of(LABELS, rows)


@cache
def detections() -> pa.Table:
    """Return the sample detection table: for each frame in `frames` a box 1 px off, a path and a light state; a false box in every other one."""
    rows = []
    for drive, index in _each():
        place = _place(drive, index)
        x, y, width, height = _box(drive, index)
        boxes = [(x + 1, y - 1, 0.9)] + ([(60, 4, 0.4)] if index % 2 else [])
        seen: list[Row] = [
            {"geometry": "box2d", "category": "car", "score": score, "x": left, "y": top, "width": width, "height": height}
            for left, top, score in boxes
        ]
        seen.append({"geometry": "path", "score": 0.8, "path": [value for step in range(1, 7) for value in (5.0 * step, 0.1)]})
        seen.append({"geometry": "tag", "category": "light_state", "score": 0.7, "value": "red"})
        rows += [place | {"number": number} | each for number, each in enumerate(seen)]
    return table_of(DETECTIONS, rows)


@cache
def events() -> pa.Table:
    """Return the sample table of perception errors: one for each frame in `frames`, a miss by day, a false positive by night."""
    rows = []
    for drive, index in _each():
        place = _place(drive, index)
        x, y, width, height = _box(drive, index)
        type_ = ("miss", "false_positive")[drive]
        event: Row = {
            "event_id": _hex(place["frame_id"], type_)[:32],
            "type": type_,
            "category": ("car", "pedestrian")[index % 2],
            "score": None if drive == 0 else 0.6,
            "iou": 0.1,
            "label_id": _hex(place["frame_id"], "box2d")[:32] if drive == 0 else None,
            "distance": 12.0 + 3 * index,
            "conditions": {"time_of_day": _DRIVES[drive][1], "region": ("DE", "JP")[drive], "size": "small", "distance": "near"},
        }
        rows.append(place | {"x": x, "y": y, "width": width, "height": height} | event)
    return table_of(EVENTS, rows)


@cache
def sweeps() -> pa.Table:
    """Return the sample table of LiDAR sweeps: one of 64 random points at the time of each frame in `frames`."""
    rows = []
    for drive, index in _each():
        place = _place(drive, index, LIDAR, "sweep_id")
        cloud = np.zeros(64, dtype=POINTS_DTYPE)
        rng = np.random.default_rng(1000 + 10 * drive + index)
        for name, low, high in (("x", 2.0, 40.0), ("y", -8.0, 8.0), ("z", -1.7, 1.0), ("intensity", 0.0, 1.0)):
            cloud[name] = rng.uniform(low, high, 64)
        rows.append(
            place
            | {
                "index": index,
                "points": 64,
                "frame": "lidar_top",
                "clock": "measured",
                "drive_log": f"sha256:{_hex(place['drive'])}",
                "data": cloud.tobytes(),
            }
        )
    return table_of(SWEEPS, rows)


@cache
def signals() -> pa.Table:
    """Return the sample table of vehicle signals: a speed and a steering message at the time of each frame in `frames`."""
    rows = []
    for drive, index in _each():
        place = _place(drive, index)
        for topic, value in (("/vehicle/speed", 8.0 + index), ("/vehicle/steering", 0.01 * index)):
            message = {"value": value}
            rows.append(
                {
                    "drive": place["drive"],
                    "topic": topic,
                    "timestamp_ns": place["timestamp_ns"],
                    "sequence": index,
                    "schema": "Value",
                    "values": message,
                    "message": json.dumps(message),
                }
            )
    return table_of(SIGNALS, rows)


@cache
def calibrations() -> pa.Table:
    """Return the sample calibration table: one camera and one LiDAR calibration for each of the two drives."""
    to_vehicle = [0.0, 0.0, 1.0, 1.5, -1.0, 0.0, 0.0, 0.0, 0.0, -1.0, 0.0, 1.4, 0.0, 0.0, 0.0, 1.0]
    mounted = [1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.8, 0.0, 0.0, 0.0, 1.0]
    projection = [80.0, 0.0, WIDTH / 2, 0.0, 0.0, 80.0, HEIGHT / 2, 0.0, 0.0, 0.0, 1.0, 0.0]
    rows: list[Row] = []
    for drive in range(len(_DRIVES)):
        place = _place(drive, 0)
        common = {"drive": place["drive"], "timestamp_ns": place["timestamp_ns"], "source": "sample"}
        camera = {"sensor": SENSOR, "frame": "camera_front", "width": WIDTH, "height": HEIGHT, "projection": projection, "to_vehicle": to_vehicle}
        rows += [common | camera, common | {"sensor": LIDAR, "frame": "lidar_top", "to_vehicle": mounted}]
    return table_of(CALIBRATIONS, rows)


def model_folder(folder: Path) -> Path:
    """Write a sample model to `folder`, a small safetensors file and a config.json without an architecture, and return `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = np.linspace(-1, 1, 12, dtype="<f4").reshape(3, 4)
    header = json.dumps({"weight": {"dtype": "F32", "shape": [3, 4], "data_offsets": [0, weights.nbytes]}}, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + weights.tobytes())
    config = {"v": 1, "type": "tracecore.model", "classes": ["car", "pedestrian"], "input": {"name": "image", "height": HEIGHT, "width": WIDTH}}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def request_folder(folder: Path) -> Path:
    """Write a sample data request, for two frames with pedestrians at night, to a file in `folder`, and return `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    want = Want(cluster="c1", why="4 pedestrians were missed at night", category="pedestrian", conditions={"time_of_day": ("night",)}, count=2)
    (folder / REQUEST_FILE).write_text(DataRequest(wants=(want,)).model_dump_json(), encoding="utf-8")
    return folder


_MADE_AT = "2026-11-22T15:39:47.000000Z"


def _ref(kind: str, name: str) -> str:
    return f"{kind}/{name}@{_hex(kind, name)}"


_PROGRAM, _TRAIN, _MODEL, _BUILD = _ref("program", "sample"), _ref("dataset", "sample.train"), _ref("model", "sample.model"), _ref("build", "sample")
_RUNS = {job: f"019ab2c4-1111-7000-8000-{number:012}" for number, job in enumerate(("sample.model", "sample.release"))}


def _node(ref: str, run: str | None, **facets: Row) -> Row:
    kind, _, name = ref.partition("@")[0].partition("/")
    artifact = {"kind": kind, "media": "file", "size_bytes": 7, "summary": "7 bytes"}
    times = {"created_at": _MADE_AT if run else None, "recorded_at": _MADE_AT, "run": run}
    size = {"size_bytes": 7, "rows": None, "rejected": False}
    digest = f"sha256:{ref.rpartition('@')[2]}"
    return {"ref": ref, "kind": kind, "name": name, "digest": digest, **times, **size, "facets": {"tracecore_artifact": artifact, **facets}}


def trace() -> dict[str, Any]:
    """Return a made-up backward trace of a sealed build with one model, in the format of `tracecore trace --json`."""
    train, release = _RUNS.values()
    check = {"name": "finite", "success": True, "severity": "blocking"}
    made_by = {"stage": "train", "plugin": "sample", "plugin_version": "0.1.0", "params": {"steps": 2}, "checks": [check]}
    of_no_stage: Row = {"stage": None, "plugin": None, "plugin_version": None, "params": {}, "checks": []}
    ended = {"state": "COMPLETE", "started_at": _MADE_AT, "ended_at": _MADE_AT}
    edges = [
        (train, _TRAIN, "input", "frames"), (train, _PROGRAM, "input", "program"), (train, _MODEL, "output", "model"),
        (release, _MODEL, "input", "model"), (release, _PROGRAM, "input", "program"), (release, _BUILD, "output", "build"),
    ]  # fmt: skip
    return {
        "root": _BUILD, "direction": "backward", "position": 12, "complete": False, "truncated": False,
        "gaps": [{"at": _TRAIN, "missing": "producer", "why": "No recorded run made it."}],
        "unknowns": [{"at": _MODEL, "what": "labeler", "why": "the file names none"}],
        "nodes": [
            _node(_BUILD, release), _node(_MODEL, train, acme_training={"summary": "2 steps"}), _node(_TRAIN, None), _node(_PROGRAM, None),
        ],
        "runs": [{"id": train, "job": "sample.model", **ended, **made_by}, {"id": release, "job": "sample.release", **ended, **of_no_stage}],
        "edges": [{"run": run, "ref": ref, "direction": way, "role": role, "inferred": False} for run, ref, way, role in edges],
        "later": [], "claims": [], "static": [],
    }  # fmt: skip


def manifest() -> dict[str, Any]:
    """Return the made-up manifest (in-toto predicate) of the sealed build whose trace the function `trace` returns."""
    gate = {"name": "no_leak", "passed": True, "waived": False, "measured": 0, "required": 0, "message": "No frame is shared."}
    return {
        "type": "urn:tracecore:build:1", "name": "sample", "program": _PROGRAM, "run": _RUNS["sample.release"], "sealed_at": _MADE_AT,
        "artifacts": [{"role": "model", "ref": _MODEL, "run": _RUNS["sample.model"]}], "gates": [gate], "waivers": [],
        "approver": f"person-{_hex('approver')[:32]}", "content_digest": f"sha256:{_hex('content')}", "key": f"ed25519:{_hex('key')}",
        "ledger": {"origin": "tracecore/sample", "position": 12, "root": _hex("root")}, "checkpoint": "tracecore/sample\n12\n",
    }  # fmt: skip


_TABLES: Mapping[str, Callable[[], pa.Table]] = {
    "frames": frames,
    "labels": labels,
    "detections": detections,
    "events": events,
    "signals": signals,
    "sweeps": sweeps,
    "calibrations": calibrations,
}
_KINDS: Mapping[str, Callable[[Path], pa.Table | Path]] = {
    ArtifactKind.DATASET: lambda _: frames(),
    ArtifactKind.EVENT_SET: lambda _: events(),
    ArtifactKind.LABEL_BATCH: lambda _: labels(),
    ArtifactKind.MODEL: model_folder,
    ArtifactKind.DATA_REQUEST: request_folder,
}


def built_in(port: Input[Any] | Output, folder: Path) -> pa.Table | Path | None:
    """Return a built-in sample (table or folder) for a stage's port, chosen by table type, else by name or kind; None if there is none."""
    if port.table is not None:
        make = port.table.sample or _TABLES.get(port.table.name)
        return None if make is None else make()
    named = next((make for name, make in _TABLES.items() if name in port.name), None)
    if named is not None and port.kind in {ArtifactKind.DATASET, ArtifactKind.EVENT_SET}:
        return named()
    of_kind = port.kind.sample or _KINDS.get(port.kind)
    return None if of_kind is None else of_kind(folder / port.name)
