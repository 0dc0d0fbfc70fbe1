"""The stage `requested-frames`: the frames of a pool that a data request asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

import tracecore as tc
from tracecore_curation.filters import selection
from tracecore_curation.request_file import read_request
from tracecore_curation.requested import Chosen, Pool, choose, read_pool
from tracecore_schemas.canonical import JSON

__all__ = ["RequestedFrames"]


class RequestedFrames(tc.Stage):
    """Choose the frames that a diagnosis asks for: those of its conditions, most like the mistakes it shows first."""

    kind = tc.StageKind.CURATE
    frames = tc.Input("dataset", description="the frames to choose from")
    request = tc.Input("data_request", description="what is wanted, as event-clusters gives it")
    labels = tc.Input("label_batch", optional=True, description="labels of the frames to choose from, whose attributes of frames are conditions too")
    examples = tc.Input("dataset", optional=True, description="the frames that the mistakes were made on, to see what they look like; none is chosen")
    exclude = tc.Input("dataset", optional=True, description="frames that are not to be chosen: those used already, those kept to judge by")
    chosen = tc.Output("dataset", checks=["unique_frame_ids", "request_met"], description="frames that meet what is asked for, whole rows")

    class Params(tc.Params):
        """How frames are chosen."""

        exclude_by: Literal["frame", "drive"] = tc.Field("frame", description="what an excluded frame bars: itself, or every frame of its drive")
        bits: int = tc.Field(
            2, ge=-1, le=32, description="of 64: two frames whose hashes differ in no more show the same, and one of them is enough; -1 takes both"
        )

    def run(self, context: tc.Context, params: Params) -> None:
        """Choose, and say of each want what was asked and found."""
        request = read_request(context.read(self.request))
        table, excluded, judged = (context.read(port) for port in (self.frames, self.exclude, self.examples))
        pool = read_pool(table, context.read(self.labels))
        ids, drives = _barred(excluded, by_drive=params.exclude_by == "drive")
        # What a mistake was seen on is there already.
        shown = {ref for want in request.wants for ref in want.like}
        examples = _joined([pool, *(read_pool(each) for each in (excluded, judged) if each is not None)])
        found = choose(request.wants, pool, examples, ids | shown, drives, params.bits)
        chosen = [ref for each in found for ref in each.ids]
        context.write(self.chosen, selection(table, chosen))
        by_drive = dict(zip(pool.ids.tolist(), pool.drives.tolist(), strict=True))
        counts: dict[str, int] = {}
        for ref in chosen:
            counts[by_drive[ref]] = counts.get(by_drive[ref], 0) + 1
        held = tc.summarize(f"{tc.count(len(chosen), 'frame')} of {tc.count(len(counts), 'drive')}")
        context.describe(self.chosen, "tracecore_frames", {"summary": held, "frames": len(chosen), "drives": dict(sorted(counts.items()))})
        context.describe(
            self.chosen,
            "tracecore_requested",
            {
                "summary": tc.summarize(f"{tc.count(sum(each.want.count for each in found), 'frame')} asked for in {tc.count(len(found), 'want')}"),
                "wants": [_said(each) for each in found],
                "of": len(pool),
                "kept": len(chosen),
                "excluded": len(ids),
                "exclude_by": params.exclude_by,
            },
        )
        for what, why in _unknowns(found, len(pool)):
            context.unknown(what, why, port=self.chosen)


def _barred(excluded: Any, *, by_drive: bool) -> tuple[set[str], set[str]]:
    if excluded is None:
        return set(), set()
    if "frame_id" not in excluded.schema.names:
        raise tc.UsageError("The input 'exclude' names no frames: expected a table with the column frame_id, such as training_set.validation.")
    table: pa.Table = excluded.to_table(columns=["frame_id", "drive"])
    return set(pc.unique(table["frame_id"]).to_pylist()), set(pc.unique(table["drive"]).to_pylist()) if by_drive else set()


def _joined(pools: Sequence[Pool]) -> Pool:
    """Return the frames that examples are looked up in, each once: those to choose from, those excluded, and those that mistakes were made on."""
    import numpy as np

    _, first = np.unique(np.concatenate([pool.ids for pool in pools]).astype(str), return_index=True)
    return Pool(*(np.concatenate([getattr(pool, field.name) for pool in pools])[first] for field in fields(Pool)))


def _said(each: Chosen) -> Mapping[str, JSON]:
    return {
        "cluster": each.want.cluster,
        "asked": each.want.count,
        "found": each.found,
        "chosen": len(each.ids),
        "matching": each.matching,
        "conditions": {name: list(values) for name, values in sorted(each.want.conditions.items())},
        "untold": list(each.untold),
        "of_shown_drives": each.of_shown_drives,
    }


def _unknowns(found: Sequence[Chosen], pool: int) -> list[tuple[str, str]]:
    said: dict[tuple[str, str], list[str]] = {}
    for each in found:
        if each.want.category:
            why = "A frame table does not tell what objects a frame holds; asked for was"
            said.setdefault(("objects on requested frames", why), []).append(each.want.category)
        for name in each.untold:
            why = f"A frame table does not tell the {name} of objects, so no chosen frame counts as found by it; asked for was"
            said.setdefault((f"{name} on requested frames", why), []).extend(each.want.conditions[name])
        for name, count in each.unsaid.items():
            words = name.replace("_", " ")
            why = f"Nobody said the {words} of {count} of {pool} frames, so they were not chosen by it; asked for was"
            said.setdefault((f"{words} of frames", why), []).extend(each.want.conditions[name])
        if each.unlike:
            why = "The frames that show the mistake are in none of 'frames', 'examples' and 'exclude', so likeness to them decided nothing for"
            said.setdefault(("likeness to mistakes", why), []).append(each.want.cluster)
        if not each.ids:
            said.setdefault(("requested frames", "No frame that is free to choose meets what is asked for by"), []).append(each.want.cluster)
    return [(what, f"{why} {', '.join(dict.fromkeys(values))}.") for (what, why), values in said.items()]
