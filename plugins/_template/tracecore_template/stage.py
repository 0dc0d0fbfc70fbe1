"""The stage `template`: some frames of a frame table."""

from __future__ import annotations

import pyarrow.compute as pc

import tracecore as tc

__all__ = ["Template"]


class Template(tc.Stage):
    """Keep every n-th frame of each drive."""

    kind = tc.StageKind.CURATE
    name = "template"
    frames = tc.Input(table=tc.FRAMES, description="a frame table")
    kept = tc.Output(table=tc.FRAMES, checks=["not_empty", "unique_frame_ids"], description="the frames that are kept, whole rows with their images")

    class Params(tc.Params):
        """What to keep."""

        every: int = tc.Field(2, ge=1, description="keep one frame in so many, the first of each drive among them")

    def run(self, context: tc.Context, params: Params) -> None:
        """Choose and copy."""
        table = context.read(self.frames).to_table()
        place = table.column("index")
        left = pc.subtract(place, pc.multiply(pc.divide(place, params.every), params.every))
        context.write(self.kept, table.filter(pc.equal(left, 0)))
