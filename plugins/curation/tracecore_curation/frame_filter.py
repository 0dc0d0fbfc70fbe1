"""Filter frames by drive, sensor, condition and brightness, as set in a program; and the stage `frame-filter`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from operator import and_
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from pydantic import BeforeValidator

import tracecore as tc
from tracecore.errors import suggestion
from tracecore_curation.frame_facts import read_facts
from tracecore_schemas.conditions import ATTRIBUTE_COLUMNS, CONDITION_COLUMNS, frame_conditions
from tracecore_schemas.facets import FRAMES_FACET

__all__ = ["FilterParams", "FrameFilter", "Names", "condition_names", "filter_expression", "labeled_frames", "read_conditions", "selection"]

FILTER_FACET = tc.FacetSpec("tracecore_filter", lambda value: f"filtered from {tc.count(value['of'], 'frame')}", __package__)


def read_conditions(frames: Any, labels: Any = None) -> dict[str, dict[str, str]]:
    """Map each frame's ref to its conditions (`{weather: rain}`); frame attributes in a label table, if given, are conditions too."""
    attributes = () if labels is None else labels.to_table(columns=[*ATTRIBUTE_COLUMNS]).to_pylist()
    return frame_conditions(frames.to_table(columns=["frame_id", *CONDITION_COLUMNS]), attributes)


def condition_names(conditions: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Return the names of all conditions that any frame has, sorted."""
    return sorted({name for of_frame in conditions.values() for name in of_frame})


def _listed(value: Any) -> Any:
    """Return a list, or a single value, as a tuple; integers become strings, since YAML reads digits as a number."""
    values = value if isinstance(value, list | tuple) else [value]
    return tuple(str(each) if type(each) is int else each for each in values)


Names = Annotated[tuple[str, ...], BeforeValidator(_listed)]
"""Names, or a single one: `holdout: 0001TP`."""


class FilterParams(tc.Params):
    """Filters of frames."""

    drives: Names = tc.Field((), description="only these drives; empty for all")
    sensors: Names = tc.Field((), description="only these sensors; empty for all")
    regions: Names = tc.Field((), description="only frames of these regions; empty for all")
    time_of_day: Names = tc.Field((), description="only frames of these times of day (day, dusk, night); empty for all")
    conditions: dict[str, Names] = tc.Field(
        {}, description="only frames of these values, by condition ({weather: [rain, snow]}); a frame whose condition is unknown does not meet it"
    )
    min_luma: float | None = tc.Field(None, ge=0, le=1, description="least mean luma, 0 black to 1 white")
    max_luma: float | None = tc.Field(None, ge=0, le=1, description="greatest mean luma, 0 black to 1 white")
    every: int = tc.Field(1, ge=1, description="only each n-th frame of a drive and sensor, from its first")
    labeled: bool = tc.Field(False, description="only frames that the labels speak of (those labeled as empty too)")


_COLUMNS = {"drives": "drive", "sensors": "sensor"}
_CONDITIONS = {"regions": "region", "time_of_day": "time_of_day"}


def filter_expression(frames: Any, params: FilterParams, labels: Any = None) -> pc.Expression | None:
    """Return `params` as an Arrow filter expression; None if they filter nothing. Frame attributes in `labels` count as conditions.

    Raises:
        UsageError: a filter names a drive, sensor, condition or value that no frame has, or `labeled` is set without labels.
    """
    parts: list[pc.Expression] = []
    for name, column in _COLUMNS.items():
        wanted: tuple[str, ...] = getattr(params, name)
        if wanted:
            _refuse_unknown(f"filter '{name}' names the {column}", wanted, _values(frames, column))
            parts.append(pc.field(column).isin(pa.array(wanted, type=pa.string())))
    asked = {(name, condition): getattr(params, name) for name, condition in _CONDITIONS.items()}
    asked |= {("conditions", name): values for name, values in params.conditions.items()}
    asked = {key: values for key, values in asked.items() if values}
    if asked:
        parts.append(pc.field("frame_id").isin(pa.array(_meeting(read_conditions(frames, labels), asked), type=pa.string())))
    if params.min_luma is not None:
        parts.append(pc.field("luma") >= params.min_luma)
    if params.max_luma is not None:
        parts.append(pc.field("luma") <= params.max_luma)
    if params.every > 1:
        # Arrow has no remainder function.
        index, step = pc.field("index").cast(pa.int64()), pa.scalar(params.every, pa.int64())
        parts.append((index - pc.divide(index, step) * step) == 0)
    if params.labeled:
        if labels is None:
            raise tc.UsageError("The filter 'labeled' needs the labels: wire the input 'labels' to a label batch.")
        parts.append(pc.field("frame_id").isin(pa.array(sorted(labeled_frames(labels)), type=pa.string())))
    return reduce(and_, parts) if parts else None


def labeled_frames(labels: Any) -> set[str]:
    """Return the refs of all frames in a label table."""
    return set(pc.unique(labels.to_table(columns=["frame_id"])["frame_id"]).to_pylist())


def selection(frames: Any, ids: Iterable[str]) -> pa.RecordBatchReader:
    """Return the rows of a frame table with the refs `ids` as a stream, since images of a large set don't fit into memory."""
    wanted = pc.field("frame_id").isin(pa.array(sorted(ids), type=pa.string()))
    reader: pa.RecordBatchReader = frames.scanner(filter=wanted, batch_size=256, batch_readahead=2, fragment_readahead=1).to_reader()
    return reader


def _values(frames: ds.Dataset, column: str) -> list[str]:
    return sorted(value for value in pc.unique(frames.to_table(columns=[column])[column]).to_pylist() if value is not None)


def _meeting(known: Mapping[str, Mapping[str, str]], asked: Mapping[tuple[str, str], tuple[str, ...]]) -> list[str]:
    """Return the sorted refs of frames that meet every condition; `asked` maps (filter parameter, condition) to the accepted values."""
    for (filter_, name), wanted in asked.items():
        if filter_ == "conditions":
            _refuse_unknown("filter 'conditions' names the condition", [name], condition_names(known))
        values = {of_frame[name] for of_frame in known.values() if name in of_frame}
        _refuse_unknown(f"filter '{filter_}' names the {name.replace('_', ' ')}", wanted, sorted(values))
    return sorted(ref for ref, of_frame in known.items() if all(of_frame.get(name) in wanted for (_, name), wanted in asked.items()))


def _refuse_unknown(what: str, wanted: Iterable[str], known: Sequence[str]) -> None:
    for value in wanted:
        if value not in known:
            raise tc.UsageError(f"The {what} '{value}', which no frame has. {suggestion(value, known)}")


class FrameFilter(tc.Stage):
    """Keep the frames of some drives, sensors, regions, times of day or brightness."""

    kind = tc.StageKind.CURATE
    frames = tc.Input(table=tc.FRAMES, description="a frame table")
    labels = tc.Input(table=tc.LABELS, optional=True, description="labels of those frames; needed for the filter 'labeled'")
    kept = tc.Output(table=tc.FRAMES, checks=["not_empty", "unique_frame_ids"], description="the frames that every filter lets pass")

    class Params(FilterParams):
        """Filters; a frame must pass all."""

    def run(self, context: tc.Context, params: Params) -> None:
        """Write the frames that pass all filters; raises UsageError if none does."""
        frames = context.read(self.frames)
        facts = read_facts(frames, filter_expression(frames, params, context.read(self.labels)))
        if not len(facts):
            raise tc.UsageError(f"No frame is left: the filters let none of {frames.count_rows()} frames pass.")
        context.write(self.kept, selection(frames, facts.ids.tolist()))
        drives = {drive: int((facts.drives == drive).sum()) for drive in facts.drive_names}
        context.describe(self.kept, FRAMES_FACET, {"frames": len(facts), "drives": drives})
        context.describe(self.kept, FILTER_FACET, {"filters": params.model_dump(mode="json"), "of": frames.count_rows(), "kept": len(facts)})
