"""The stage `template`: made-up drives."""

from __future__ import annotations

import json

import numpy as np

import tracecore as tc

__all__ = ["Template"]


class Template(tc.Stage):
    """Drive through a made-up world and write down how fast: one log file a drive."""

    kind = tc.StageKind.SIMULATE
    name = "template"
    drives = tc.Output("drive_log", description="<drive>.jsonl: one line a tenth of a second, speed in m/s")

    class Params(tc.Params):
        """How much to drive."""

        drives: int = tc.Field(2, ge=1, le=1000, description="number of drives")
        seconds: float = tc.Field(1.0, gt=0, le=3600, description="length of each")

    def run(self, context: tc.Context, params: Params) -> None:
        """Draw each drive from its own stream, so that one more drive changes none of the others."""
        folder = context.path(self.drives)
        for drive in range(params.drives):
            rng = np.random.default_rng([context.seed, drive])
            speed = 10 + np.cumsum(rng.normal(0, 0.1, int(params.seconds * 10)))
            lines = [json.dumps({"time_s": round(place / 10, 1), "speed": round(float(value), 3)}) for place, value in enumerate(speed)]
            (folder / f"drive-{drive:03}.jsonl").write_text("\n".join(lines), encoding="utf-8")
            context.progress(drive + 1, params.drives)
