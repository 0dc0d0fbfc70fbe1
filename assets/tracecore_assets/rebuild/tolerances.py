"""Tolerances for versions whose bytes differ: KPIs, weights and rows within limits; engines with the same program or recipe."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracecore.engines import CARRIED, engine_roles, rename_inner
from tracecore.errors import TracecoreError
from tracecore.store import Store
from tracecore_assets.rebuild.answer import Verdict
from tracecore_schemas.facets import ENGINE_FACET, KPIS_FACET
from tracecore_schemas.kinds import ArtifactKind, Media
from tracecore_schemas.run import Artifact

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

__all__ = ["KPI", "ROWS", "WEIGHTS", "Distance", "compare_engines", "measure"]

KPI = 1e-3
"""Maximum absolute difference of a KPI's value."""

WEIGHTS = 1e-4
"""Maximum difference of a weight, relative to the greatest absolute weight of its tensor."""

ROWS = 1e-4
"""Maximum difference of a number in a table, relative to the greatest absolute value of its column."""

_MOST_ROWS = 1_000_000


@dataclass(frozen=True, slots=True)
class Distance:
    """Difference between two versions: the greatest in the unit of its kind (infinite if not only numbers differ), and the tolerated limit."""

    value: float
    limit: float
    words: str

    @property
    def within(self) -> bool:
        """Whether the difference between two versions is at most the tolerated limit."""
        return self.value <= self.limit


def measure(one: Artifact, other: Artifact, facets: Mapping[str, Any], rebuilt: Mapping[str, Any], stores: tuple[Store, Store]) -> Distance | None:
    """Return the numerical difference between a sealed version and its rebuild, with the limit; None if it can't be measured.

    `one`, `facets` and the first store are of the sealed version; `other`, `rebuilt` and the second store are of its rebuild.
    """
    if one.kind == ArtifactKind.KPI_REPORT:
        return _kpi_distance(facets, rebuilt)
    opened = stores[0].open(one), stores[1].open(other)
    if one.media is Media.DELTA:
        return _row_distance(opened[0], opened[1])
    if one.kind == ArtifactKind.MODEL:
        return _weight_distance(opened[0], opened[1])
    return None


def _kpi_distance(one: Mapping[str, Any], other: Mapping[str, Any]) -> Distance | None:
    then, now = ((each.get(KPIS_FACET.name) or {}).get("values") for each in (one, other))
    if not isinstance(then, Mapping) or not isinstance(now, Mapping):
        return None
    if then.keys() != now.keys():
        return Distance(math.inf, KPI, f"its KPIs are others: {', '.join(sorted(then.keys() ^ now.keys())[:5])}")
    apart = {name: abs(float(then[name]) - float(now[name])) for name in then}
    worst = max(apart, key=lambda name: apart[name], default=None)
    if worst is None:
        return None
    return Distance(apart[worst], KPI, f"its KPIs differ by at most {apart[worst]:.3g} ({worst}: {then[worst]:.6g} then, {now[worst]:.6g} now)")


def _weight_distance(one: Path, other: Path) -> Distance | None:
    then, now = dict(_tensors(one)), dict(_tensors(other))
    if not then:
        return None
    if {name: each.shape for name, each in then.items()} != {name: each.shape for name, each in now.items()}:
        return Distance(math.inf, WEIGHTS, "its tensors are others by name or shape")
    apart = {name: _relative_difference(then[name], now[name]) for name in then}
    worst = max(apart, key=lambda name: apart[name])
    differing = sum(value > 0 for value in apart.values())
    words = f"{differing} of {len(apart)} tensors differ, by at most {apart[worst]:.3g} of the tensor's greatest weight ({worst})"
    return Distance(apart[worst], WEIGHTS, words)


def _tensors(place: Path) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    """Yield (name, weights) of each tensor in the safetensors and ONNX files at a path; files whose library is not installed are skipped."""
    for file in [place] if place.is_file() else sorted(each for each in place.rglob("*") if each.is_file()):
        label = "" if file == place else f"{file.relative_to(place).as_posix()}:"
        try:
            if file.suffix == ".safetensors":
                from safetensors.numpy import load_file

                yield from ((f"{label}{name}", tensor) for name, tensor in load_file(file).items())
            elif file.suffix == ".onnx":
                import onnx
                from onnx import numpy_helper

                yield from ((f"{label}{each.name}", numpy_helper.to_array(each)) for each in onnx.load(str(file)).graph.initializer)
        except ImportError:  # the plugins that write these files install the libraries, and a rebuild needs the same plugins
            continue


def _row_distance(one: Any, other: Any) -> Distance | None:
    if one.schema != other.schema:
        return Distance(math.inf, ROWS, f"its columns are others: {_schema_differences(one.schema, other.schema)}")
    rows = one.count_rows(), other.count_rows()
    if rows[0] != rows[1]:
        return Distance(math.inf, ROWS, f"it has {rows[1]:,} rows, {rows[0]:,} then{_drive_differences(one, other)}")
    if rows[0] > _MOST_ROWS:
        return None
    worst, words = 0.0, []
    for column in one.schema.names:
        # Tables are written in a fixed order, so rows compare by position; one column at a time, because images are large.
        then, now = (each.to_table(columns=[column]).column(0).combine_chunks() for each in (one, other))
        apart, differing = _compare_columns(then, now)
        if differing:
            worst = max(worst, apart)
            by = "" if math.isinf(apart) else f" by at most {apart:.3g} of its greatest value"
            words.append(f"{column} in {differing:,} of {rows[0]:,} rows{by}")
    return Distance(worst, ROWS, f"it differs in {'; '.join(words)}" if words else "its rows are the same, their files are not")


def _compare_columns(one: pa.Array, other: pa.Array) -> tuple[float, int]:
    """Return (greatest relative difference, number of differing rows) of two columns; infinity if list lengths, nulls or non-float values differ."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if one.equals(other):
        return 0.0, 0
    then, now = one, other
    while pa.types.is_list(then.type) or pa.types.is_large_list(then.type) or pa.types.is_fixed_size_list(then.type):
        if not pc.list_value_length(then).equals(pc.list_value_length(now)):
            return math.inf, _count_differing_rows(one, other)
        then, now = pc.list_flatten(then), pc.list_flatten(now)
    if not pa.types.is_floating(then.type) or not then.is_null().equals(now.is_null()):
        return math.inf, _count_differing_rows(one, other)
    filled = (each.drop_null().to_numpy(zero_copy_only=False) for each in (then, now))
    return _relative_difference(*filled), _count_differing_rows(one, other)


def _count_differing_rows(one: pa.Array, other: pa.Array) -> int:
    return sum(left != right for left, right in zip(one.to_pylist(), other.to_pylist(), strict=True)) or 1


def _relative_difference(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> float:
    """Return max |one - other| / max |one| over finite values; infinity if non-numeric values or the positions of non-finite ones differ."""
    import numpy as np

    if one.dtype.kind not in "fiu" or other.dtype.kind not in "fiu":
        return 0.0 if np.array_equal(one, other) else math.inf
    left, right = one.astype(np.float64), other.astype(np.float64)
    if not left.size or np.array_equal(left, right, equal_nan=True):
        return 0.0
    if not np.array_equal(np.isfinite(left), np.isfinite(right)):
        return math.inf
    finite = np.isfinite(left)
    greatest = float(np.max(np.abs(left[finite]), initial=0.0)) or 1.0
    return float(np.max(np.abs(left[finite] - right[finite]), initial=0.0)) / greatest


def _schema_differences(one: pa.Schema, other: pa.Schema) -> str:
    gone, new = sorted(set(one.names) - set(other.names)), sorted(set(other.names) - set(one.names))
    parts = [f"{', '.join(names)} {word}" for names, word in ((gone, "gone"), (new, "new")) if names]
    return " and ".join(parts) or "their types or descriptions"


def _drive_differences(one: Any, other: Any) -> str:
    """Return a clause naming the drives with different numbers of rows in two tables; empty if there are none or the first has no column `drive`."""
    if "drive" not in one.schema.names:
        return ""
    from collections import Counter

    then, now = (Counter(each.to_table(columns=["drive"]).column(0).to_pylist()) for each in (one, other))
    apart = [f"{drive} ({then[drive]:,} then, {now[drive]:,} now)" for drive in sorted(then.keys() | now.keys()) if then[drive] != now[drive]]
    shown = ", ".join(apart[:5]) + (f" and {len(apart) - 5} more" if len(apart) > 5 else "")
    return f": of the drives {shown}" if apart else ""


def compare_engines(
    engines: tuple[Artifact | None, Artifact], facets: tuple[Mapping[str, Any], Mapping[str, Any]], stores: tuple[Store, Store]
) -> tuple[Verdict, str] | None:
    """Return (verdict, reason) for a sealed and a rebuilt engine that are equal or equivalent; None if they are different.

    The sealed engine, the first of `engines`, is None if its bytes are not kept.
    """
    described = [each.get(ENGINE_FACET.name) or {} for each in facets]
    then, now = (engine_roles(each) for each in described)
    differ = sorted(role for role in then.keys() | now.keys() if then.get(role, ("", ""))[1] != now.get(role, ("", ""))[1])
    carried = [role for role in CARRIED if role in differ]
    rest = [role for role in differ if role not in CARRIED]
    beside = f"; no vehicle carries what differs: {', '.join(rest)}" if rest else ""
    if "engine" in then and not carried:
        return Verdict.IDENTICAL, f"the same bytes in all that a vehicle carries{beside}"
    if all(role in then and role in now for role in carried) and _is_same_program(engines, [(then[role], now[role]) for role in carried], stores):
        return Verdict.PROGRAM, f"{', '.join(carried)} equal once the compiler's inner names are numbered by order of appearance{beside}"
    recipes = [each.get("recipe_digest") for each in described]
    if recipes[0] is None or recipes[0] != recipes[1]:
        return None
    words = "network, config, builder, target and inspector verbosity"
    return Verdict.RECIPE, f"the same recipe ({recipes[0][:19]}…: {words}); an engine's bytes are not reproducible{beside}"


def _is_same_program(
    engines: tuple[Artifact | None, Artifact], files: Sequence[tuple[tuple[str, str], tuple[str, str]]], stores: tuple[Store, Store]
) -> bool:
    """Whether two engines' files are equal with compiler-generated names renumbered; False if one is damaged. `files`: pairs of (path, SHA-256)."""
    sealed, rebuilt = engines
    if sealed is None or not files or not stores[0].exists(sealed):
        return False
    try:
        places = stores[0].open(sealed), stores[1].open(rebuilt)
        return all(one is not None and one == other for one, other in (_normalized_files(places, pair) for pair in files))
    except (TracecoreError, OSError):
        return False


def _normalized_files(places: tuple[Any, Any], pair: tuple[tuple[str, str], tuple[str, str]]) -> Iterator[bytes | None]:
    """Yield the bytes of two files with compiler-generated names renumbered; None for a file with a wrong SHA-256. `pair`: (path, SHA-256) each."""
    for place, (file, sha256) in zip(places, pair, strict=True):
        data = (Path(place) / file).read_bytes()
        yield rename_inner(data) if hashlib.sha256(data).hexdigest() == sha256 else None
