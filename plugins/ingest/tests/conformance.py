"""What the ingest stages are tried on: one small drive file, one KITTI frame, a folder of pictures."""

from __future__ import annotations

import io
import runpy
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from tracecore.testing import Sample, samples

__all__ = ["tracecore_samples"]


def tracecore_samples(stage: str, folder: Path) -> Sample | None:
    """Return what a stage is tried on."""
    write = {"mcap": _mcap, "kitti": _kitti, "images": _images}.get(stage)
    return None if write is None else Sample(params={"paths": [str(write(folder))]})


def _picture() -> bytes:
    image: bytes = samples.frames().column("image")[0].as_py()
    return image


def _mcap(folder: Path) -> Path:
    sys.path.insert(0, str(Path(__file__).parent))
    try:
        beside = runpy.run_path(str(Path(__file__).with_name("conftest.py")))
    finally:
        sys.path.pop(0)
    file = beside["DriveFile"](folder / "alpha.mcap").drive(drive="alpha", region="DE", time_of_day="day", clock="measured")
    start = beside["START"]
    for index in range(3):
        file.see(start + index * 500_000_000, _picture())
        file.say("/car/speed", start + index * 500_000_000, {"speed_mps": 1.5 * index}, "Speed")
    file.locate(start, 48.0, 9.0)
    written: Path = file.done()
    return written


def _kitti(folder: Path) -> Path:
    for name in ("image_2", "velodyne", "calib"):
        (folder / name).mkdir()
    stream = io.BytesIO()
    with Image.open(io.BytesIO(_picture())) as image:
        image.save(stream, "PNG")
    (folder / "image_2" / "000000.png").write_bytes(stream.getvalue())
    points = np.random.default_rng(1).uniform(0, 1, (32, 4)).astype("<f4")
    (folder / "velodyne" / "000000.bin").write_bytes(points.tobytes())
    projection = "80 0 48 0 0 80 32 0 0 0 1 0"
    lines = [*(f"P{number}: {projection}" for number in range(4)), "R0_rect: 1 0 0 0 1 0 0 0 1", "Tr_velo_to_cam: 0 -1 0 0 0 0 -1 -0.1 1 0 0 -0.3"]
    (folder / "calib" / "000000.txt").write_text("\n".join([*lines, "Tr_imu_to_velo: 1 0 0 0 0 1 0 0 0 0 1 0", ""]), encoding="utf-8")
    return folder


def _images(folder: Path) -> Path:
    for number, image in enumerate(samples.frames().column("image").to_pylist()):
        (folder / f"{number:03}.jpg").write_bytes(image)
    return folder
