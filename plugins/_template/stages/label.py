"""The stage `template`: a label for each frame."""

from __future__ import annotations

import hashlib

import tracecore as tc
from tracecore_schemas.arrow_tables import LABELS, table_of

__all__ = ["Template"]

_COLUMNS = ["drive", "sensor", "timestamp_ns", "frame_id", "width", "height", "luma"]


class Template(tc.Stage):
    """Label each frame as bright or dark by its mean luma."""

    kind = tc.StageKind.LABEL
    name = "template"
    frames = tc.Input(table=tc.FRAMES, description="a frame table")
    labels = tc.Output(table=tc.LABELS, checks=["not_empty", "unique_label_ids"], description="one tag a frame")

    class Params(tc.Params):
        """What counts as dark."""

        dark: float = tc.Field(0.25, ge=0, le=1, description="greatest mean luma of a dark frame, 0 black to 1 white")

    def run(self, context: tc.Context, params: Params) -> None:
        """Label every frame once."""
        rows = [
            {
                **{name: frame[name] for name in _COLUMNS[:4]},
                # An id that is made of what it names stays the same in every run.
                "label_id": hashlib.sha256(f"brightness {frame['frame_id']}".encode()).hexdigest()[:32],
                "revision": 0,
                "geometry": "tag",
                "category": "brightness",
                "value": "dark" if frame["luma"] <= params.dark else "bright",
                "crowd": False,
                "ignore": False,
                "image_width": frame["width"],
                "image_height": frame["height"],
                "tool": "tracecore-template 0.1.0",
            }
            for frame in context.read(self.frames).to_table(columns=_COLUMNS).to_pylist()
        ]
        context.write(self.labels, table_of(LABELS, rows))
        context.unknown("labeler", "a rule labeled these frames, no person", port=self.labels)
