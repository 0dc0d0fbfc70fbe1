"""The stage `template`: how good a perception is, as named figures."""

from __future__ import annotations

import json

import pyarrow.dataset as ds

import tracecore as tc

__all__ = ["Template"]


class Template(tc.Stage):
    """Report the share of the frames with an object on which anything was detected."""

    kind = tc.StageKind.EVALUATE
    name = "template"
    detections = tc.Input(table=tc.DETECTIONS, description="a detection table: what a model saw")
    labels = tc.Input(table=tc.LABELS, description="what is true of the same frames")
    report = tc.Output("kpi_report", file="report.json", description="figures by name")

    class Params(tc.Params):
        """What counts as seen."""

        score: float = tc.Field(0.3, ge=0, le=1, description="least score of a detection")

    def run(self, context: tc.Context, params: Params) -> None:
        """Compare frame by frame."""
        box = ds.field("geometry") == "box2d"
        table = context.read(self.labels).to_table(columns=["frame_id"], filter=box)
        true = set(table.column("frame_id").to_pylist())
        table = context.read(self.detections).to_table(columns=["frame_id"], filter=box & (ds.field("score") >= params.score))
        seen = set(table.column("frame_id").to_pylist())
        values = {"seen_frames": len(true & seen) / len(true)} if true else {}
        (context.path(self.report) / "report.json").write_text(json.dumps({"frames": len(true), "values": values}), encoding="utf-8")
        # What gates and the history of KPIs read; the baseline is a perception that sees nothing.
        summary = tc.summarize(*(f"{name} {value:.2f}" for name, value in values.items()), tc.count(len(true), "frame"))
        context.describe(self.report, "tracecore_kpis", {"summary": summary, "values": values, "baseline": dict.fromkeys(values, 0.0)})
        if not true:
            context.unknown("seen_frames", "no frame has an object", port=self.report)
