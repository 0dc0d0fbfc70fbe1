"""Point clouds in PCD files, as ASCII or binary.

Source: 'The PCD (Point Cloud Data) file format', version 0.7, Point Cloud Library.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tracecore_ingest.damage import Damaged

__all__ = ["PCD", "read_pcd"]

PCD = b"# .PCD"
"""What a PCD file begins with."""

_KINDS = {"F": "f", "I": "i", "U": "u"}


def read_pcd(data: bytes) -> npt.NDArray[np.float32]:
    """Read a file.

    Returns:
        (points, 4): x, y, z in m, and `intensity`; 0 where the file has none. Points without a place (NaN) stand for no echo and are left out.

    Raises:
        Damaged: a header that is none, a layout that is not read, or fewer points than it says.
    """
    head: dict[str, list[str]] = {}
    at = 0
    while "DATA" not in head:
        end = data.find(b"\n", at)
        if end < 0 or end - at > 4096:
            raise Damaged("is no PCD file: its header has no line 'DATA'")
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
        raise Damaged(f"is no PCD file: its header can't be read ({problem})") from problem
    if not single or count < 0 or not {"x", "y", "z"} <= set(names):
        raise Damaged(f"is no PCD file that is read: expected single fields x, y, z, found {' '.join(names)}")
    columns = _ascii(data[at:], names, count) if how == "ascii" else _binary(data[at:], dtype, count, how)
    points = np.stack([*(columns[axis] for axis in "xyz"), columns.get("intensity", np.zeros(count))], axis=1).astype(np.float32)
    return points[np.isfinite(points[:, :3]).all(axis=1)]


def _ascii(text: bytes, names: list[str], count: int) -> dict[str, npt.NDArray[np.float64]]:
    try:
        values = np.asarray([float(value) for value in text.split()])
    except ValueError as problem:
        raise Damaged(f"is no PCD file: {problem}") from problem
    if values.size != count * len(names):
        raise Damaged(f"is no PCD file: expected {count} points of {len(names)} numbers, found {values.size} numbers")
    return dict(zip(names, values.reshape(count, len(names)).T, strict=True))


def _binary(data: bytes, dtype: np.dtype[np.void], count: int, how: str) -> dict[str, npt.NDArray[np.float64]]:
    if how != "binary":
        raise Damaged(f"is no PCD file that is read: expected 'DATA ascii' or 'DATA binary', found '{how}'")
    if len(data) < count * dtype.itemsize:
        raise Damaged(f"is no PCD file: expected {count} points of {dtype.itemsize} bytes, found {len(data)} bytes")
    points = np.frombuffer(data, dtype, count)
    return {name: points[name].astype(np.float64) for name in dtype.names or ()}
