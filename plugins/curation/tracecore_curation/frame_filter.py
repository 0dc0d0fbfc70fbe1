"""The stage `frame-filter`: the frames that filters let pass."""

from __future__ import annotations

import tracecore as tc
from tracecore_curation.filters import FilterParams, filter_expression, selection
from tracecore_curation.frame_facts import read_facts

__all__ = ["FrameFilter"]


class FrameFilter(tc.Stage):
    """Keep the frames of some drives, sensors, regions, times of day or brightness."""

    kind = tc.StageKind.CURATE
    frames = tc.Input("dataset", description="a frame table")
    labels = tc.Input("label_batch", optional=True, description="labels of those frames; needed for the filter 'labeled'")
    kept = tc.Output("dataset", checks=["not_empty", "unique_frame_ids"], description="the frames that every filter lets pass")

    class Params(FilterParams):
        """The filters; all of them must let a frame pass."""

    def run(self, context: tc.Context, params: Params) -> None:
        """Copy the rows that pass."""
        frames = context.read(self.frames)
        facts = read_facts(frames, filter_expression(frames, params, context.read(self.labels)))
        if not len(facts):
            raise tc.UsageError(f"No frame is left: the filters let none of {frames.count_rows()} frames pass.")
        context.write(self.kept, selection(frames, facts.ids.tolist()))
        drives = {drive: int((facts.drives == drive).sum()) for drive in facts.drive_names}
        held, of = tc.summarize(f"{tc.count(len(facts), 'frame')} of {tc.count(len(drives), 'drive')}"), frames.count_rows()
        context.describe(self.kept, "tracecore_frames", {"summary": held, "frames": len(facts), "drives": drives})
        said = {"filters": params.model_dump(mode="json"), "of": of, "kept": len(facts)}
        context.describe(self.kept, "tracecore_filter", {"summary": f"filtered from {tc.count(of, 'frame')}", **said})
