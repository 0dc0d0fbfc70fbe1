"""Files of KITTI object sets: place of a file by its name, calibration files, Velodyne scans, and PCD point clouds.

Sources: A. Geiger, P. Lenz, R. Urtasun, 'Are we ready for Autonomous Driving? The KITTI Vision Benchmark Suite', CVPR 2012, and the object
development kit's readme: P0..P3 (3x4) project points of the rectified reference camera's frame, R0_rect (3x3) rectifies that camera's frame,
Tr_velo_to_cam (3x4) transforms points of the Velodyne's frame to it; 'The PCD (Point Cloud Data) file format', version 0.7, Point Cloud Library.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from tracecore_ingest.errors import Damaged

__all__ = ["CALIBRATION", "CAMERAS", "PATTERNS", "PCD", "VELODYNE", "KittiCalibration", "KittiFile", "read_calibration", "read_pcd", "read_scan"]

PCD = b"# .PCD"
"""The first bytes of a PCD file."""

_KINDS = {"F": "f", "I": "i", "U": "u"}


def read_pcd(data: bytes) -> npt.NDArray[np.float32]:
    """Return the points of a PCD file as (points, 4): x, y, z in m, and `intensity` (0 if absent). Points with NaN coordinates are left out.

    Raises Damaged if the header is not valid, the layout is not supported, or points are missing.
    """
    head: dict[str, list[str]] = {}
    at = 0
    while "DATA" not in head:
        end = data.find(b"\n", at)
        if end < 0 or end - at > 4096:
            raise Damaged("is not a PCD file: its header has no line 'DATA'")
        name, *values = data[at:end].decode("ascii", "replace").split() or ["#"]
        head[name] = values
        at = end + 1
    try:
        names, count = head["FIELDS"], int(head["POINTS"][0])
        sizes, kinds = [int(size) for size in head["SIZE"]], [_KINDS[kind] for kind in head["TYPE"]]
        dtype = np.dtype([(name, f"<{kind}{size}") for name, size, kind in zip(names, sizes, kinds, strict=True)])
        single = all(each == "1" for each in head.get("COUNT", []))
        how = head["DATA"][0]
    except (KeyError, IndexError, ValueError, TypeError) as problem:
        raise Damaged(f"is not a PCD file: its header can't be read ({problem})") from problem
    if not single or count < 0 or not {"x", "y", "z"} <= set(names):
        raise Damaged(f"is not a supported PCD file: expected single fields x, y, z, found {' '.join(names)}")
    columns = _ascii(data[at:], names, count) if how == "ascii" else _binary(data[at:], dtype, count, how)
    points = np.stack([*(columns[axis] for axis in "xyz"), columns.get("intensity", np.zeros(count))], axis=1).astype(np.float32)
    return points[np.isfinite(points[:, :3]).all(axis=1)]


def _ascii(text: bytes, names: list[str], count: int) -> dict[str, npt.NDArray[np.float64]]:
    try:
        values = np.asarray([float(value) for value in text.split()])
    except ValueError as problem:
        raise Damaged(f"is not a PCD file: {problem}") from problem
    if values.size != count * len(names):
        raise Damaged(f"is not a PCD file: expected {count} points of {len(names)} numbers, found {values.size} numbers")
    return dict(zip(names, values.reshape(count, len(names)).T, strict=True))


def _binary(data: bytes, dtype: np.dtype[np.void], count: int, how: str) -> dict[str, npt.NDArray[np.float64]]:
    if how != "binary":
        raise Damaged(f"is not a supported PCD file: expected 'DATA ascii' or 'DATA binary', found '{how}'")
    if len(data) < count * dtype.itemsize:
        raise Damaged(f"is not a PCD file: expected {count} points of {dtype.itemsize} bytes, found {len(data)} bytes")
    points = np.frombuffer(data, dtype, count)
    return {name: points[name].astype(np.float64) for name in dtype.names or ()}


CAMERAS = {"image_0": "P0", "image_1": "P1", "image_2": "P2", "image_3": "P3"}
"""Name of a camera's projection in calibration files, by image folder."""

VELODYNE = "velodyne"
RAW_CAMERAS = ("image_00", "image_01", "image_02", "image_03")
RAW_VELODYNE = "velodyne_points"
CALIBRATION = "calib"
_FOLDERS = (*CAMERAS, VELODYNE, CALIBRATION)
_RAW_FOLDERS = (*RAW_CAMERAS, RAW_VELODYNE)

PATTERNS = (
    *(f"{folder}/*.{suffix}" for folder in CAMERAS for suffix in ("png", "jpg")),
    f"{VELODYNE}/*.bin",
    f"{CALIBRATION}/*.txt",
    *(f"{folder}/data/*.{suffix}" for folder in ("image_0[0-3]", "IMAGE_0[0-3]") for suffix in ("png", "jpg")),
    *(f"{RAW_VELODYNE}/data/*.{suffix}" for suffix in ("bin", "pcd")),
)
"""The files of object sets and raw drives, without labels, tracklets, time stamps and oxts."""

_NUMBERED = re.compile(r"[0-9]{1,18}")
_SIZES = {"P0": 12, "P1": 12, "P2": 12, "P3": 12, "R0_rect": 9, "Tr_velo_to_cam": 12, "Tr_imu_to_velo": 12}
_NEEDED = ("P2", "R0_rect", "Tr_velo_to_cam")
_POINT = 16  # bytes: x, y, z, reflectance as float32

Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class KittiFile:
    """Place of a file in a KITTI set, from its name.

    Attributes:
        drive: names of the set's folders, joined by `-`.
        folder: `image_2`, `velodyne`, `calib`; in a raw drive `image_02`, `velodyne_points`.
        raw: whether the file belongs to a raw drive (`image_02/data/0000000007.png`).
    """

    drive: str
    folder: str
    number: int
    raw: bool = False

    @property
    def is_image(self) -> bool:
        """Whether the KITTI file is a camera image."""
        return self.folder in CAMERAS or self.folder in RAW_CAMERAS

    @classmethod
    def of(cls, name: str) -> KittiFile:
        """Return drive, folder and number in a path (`kitti/training/image_2/000001.png`). Raises Damaged if it is not the path of a KITTI file."""
        path = PurePosixPath(name)
        *folders, folder = path.parent.parts or ("",)
        raw = folder == "data" and bool(folders) and folders[-1].lower() in _RAW_FOLDERS
        if raw:
            folder = folders.pop().lower()
        elif folder not in _FOLDERS:
            raise Damaged(f"is not in a folder of a KITTI object set: expected one of {', '.join(_FOLDERS)}, found '{folder}'")
        if not _NUMBERED.fullmatch(path.stem):
            raise Damaged(f"is called '{path.name}': expected the number of a frame, as 000001{path.suffix}")
        return cls("-".join(folders) or "kitti", folder, int(path.stem), raw)


@dataclass(frozen=True, slots=True)
class KittiCalibration:
    """Content of a calibration file: 3x4 `projections` by name (`P2`), and (4, 4) from the Velodyne's to the rectified reference camera's frame."""

    projections: dict[str, Matrix]
    velodyne_to_camera: Matrix


def read_calibration(path: Path) -> KittiCalibration:
    """Return the matrices of a KITTI calibration file. Raises Damaged if a matrix is missing, has a wrong size or has no inverse."""
    matrices: dict[str, Matrix] = {}
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except UnicodeDecodeError as problem:
        raise Damaged("is not a KITTI calibration: it is not text") from problem
    for line in filter(str.strip, lines):
        name, colon, text = line.partition(":")
        size = _SIZES.get(name.strip())
        if not colon or size is None:
            continue
        try:
            values = np.asarray([float(value) for value in text.split()])
        except ValueError as problem:
            raise Damaged(f"is not a KITTI calibration: {name} holds {text.strip()!r:.60}") from problem
        if values.shape != (size,) or not np.isfinite(values).all():
            raise Damaged(f"is not a KITTI calibration: expected {size} finite numbers as '{name}', found {values.size}")
        matrices[name.strip()] = values.reshape(3, -1)
    missing = [name for name in _NEEDED if name not in matrices]
    if missing:
        raise Damaged(f"is not a KITTI calibration: it holds no '{missing[0]}'")
    whole = _square(matrices["R0_rect"]) @ _square(matrices["Tr_velo_to_cam"])
    if abs(np.linalg.det(whole)) < 1e-6:
        raise Damaged("is not a KITTI calibration: its rotation has no inverse")
    return KittiCalibration({name: matrix for name, matrix in matrices.items() if name.startswith("P")}, whole)


def _square(matrix: Matrix) -> Matrix:
    square = np.eye(4)
    square[: matrix.shape[0], : matrix.shape[1]] = matrix
    return square


def read_scan(path: Path) -> npt.NDArray[np.float32]:
    """Return the points of a KITTI `.bin` or PCD scan as (points, 4): x, y, z in m, reflectance 0 to 1 (0 if absent).

    Raises Damaged for a partial point, a value that is not finite, or a reflectance out of range.
    """
    data = path.read_bytes()
    if data.lstrip().startswith(PCD):
        points = read_pcd(data)
    elif len(data) % _POINT:
        raise Damaged(f"is not a Velodyne scan: its {len(data)} bytes are not a whole number of points of {_POINT} bytes")
    else:
        points = np.frombuffer(data, "<f4").reshape(-1, 4)
    if not np.isfinite(points).all():
        raise Damaged("is not a Velodyne scan: it holds numbers that are not finite")
    if points.size and not 0 <= points[:, 3].min() <= points[:, 3].max() <= 1:
        raise Damaged(f"is not a Velodyne scan: expected reflectances from 0 to 1, found {points[:, 3].min():g} to {points[:, 3].max():g}")
    return points
