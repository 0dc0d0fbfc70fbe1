"""Filters of frames: what a program can say about the frames it wants, without code."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from operator import and_
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

import tracecore as tc
from tracecore.suggest import suggestion

__all__ = ["FilterParams", "filter_expression", "labeled_frames", "selection"]


class FilterParams(tc.Params):
    """Which frames are taken at all."""

    drives: tuple[str, ...] = tc.Field((), description="only these drives; empty for all")
    sensors: tuple[str, ...] = tc.Field((), description="only these sensors; empty for all")
    regions: tuple[str, ...] = tc.Field((), description="only frames of these regions; empty for all")
    time_of_day: tuple[str, ...] = tc.Field((), description="only frames of these times of day (day, dusk, night); empty for all")
    min_luma: float | None = tc.Field(None, ge=0, le=1, description="least mean luma, 0 black to 1 white")
    max_luma: float | None = tc.Field(None, ge=0, le=1, description="greatest mean luma, 0 black to 1 white")
    every: int = tc.Field(1, ge=1, description="only each n-th frame of a drive and sensor, from its first")
    labeled: bool = tc.Field(False, description="only frames that the labels speak of (those labeled as empty too)")


_LISTED = {"drives": "drive", "sensors": "sensor", "regions": "region", "time_of_day": "time_of_day"}


def filter_expression(frames: Any, params: FilterParams, labels: Any = None) -> pc.Expression | None:
    """Give the filter that parameters stand for, None for no filter.

    Args:
        frames: the frame table.
        params: the filters.
        labels: the label table, which `labeled` needs.

    Raises:
        UsageProblem: a drive, sensor, region or time of day that no frame has, or `labeled` without labels.
    """
    parts: list[pc.Expression] = []
    for name, column in _LISTED.items():
        wanted: tuple[str, ...] = getattr(params, name)
        if wanted:
            _refuse_unknown(name, wanted, _values(frames, column))
            parts.append(pc.field(column).isin(pa.array(wanted, type=pa.string())))
    if params.min_luma is not None:
        parts.append(pc.field("luma") >= params.min_luma)
    if params.max_luma is not None:
        parts.append(pc.field("luma") <= params.max_luma)
    if params.every > 1:
        # Arrow has no remainder: what is left of the index after whole steps.
        index, step = pc.field("index").cast(pa.int64()), pa.scalar(params.every, pa.int64())
        parts.append((index - pc.divide(index, step) * step) == 0)
    if params.labeled:
        if labels is None:
            raise tc.UsageProblem("The filter 'labeled' needs the labels: wire the input 'labels' to a label batch.")
        parts.append(pc.field("frame_id").isin(pa.array(sorted(labeled_frames(labels)), type=pa.string())))
    return reduce(and_, parts) if parts else None


def labeled_frames(labels: Any) -> set[str]:
    """Give the refs of every frame that a label table speaks of."""
    return set(pc.unique(labels.to_table(columns=["frame_id"])["frame_id"]).to_pylist())


def selection(frames: Any, ids: Iterable[str]) -> pa.RecordBatchReader:
    """Give whole rows of a frame table by ref, as a stream: images of a large set don't fit into memory."""
    wanted = pc.field("frame_id").isin(pa.array(sorted(ids), type=pa.string()))
    reader: pa.RecordBatchReader = frames.scanner(filter=wanted, batch_size=256, batch_readahead=2, fragment_readahead=1).to_reader()
    return reader


def _values(frames: ds.Dataset, column: str) -> list[str]:
    return sorted(value for value in pc.unique(frames.to_table(columns=[column])[column]).to_pylist() if value is not None)


def _refuse_unknown(name: str, wanted: Iterable[str], known: list[str]) -> None:
    values = set(known)
    for value in wanted:
        if value not in values:
            what = {"drives": "drive", "sensors": "sensor", "regions": "region", "time_of_day": "time of day"}[name]
            raise tc.UsageProblem(f"The filter '{name}' names the {what} '{value}', which no frame has. {suggestion(value, known)}")
