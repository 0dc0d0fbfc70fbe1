"""The stage `template`: what data is missing, derived from mistakes."""

from __future__ import annotations

from collections import Counter

import tracecore as tc
from tracecore_schemas.data_request import FILE, DataRequest, Want

__all__ = ["Template"]


class Template(tc.Stage):
    """Ask for more frames of the classes and times of day in which most mistakes were made."""

    kind = tc.StageKind.DIAGNOSE
    name = "template"
    events = tc.Input(table=tc.EVENTS, description="a table of mistakes")
    request = tc.Output("data_request", description="what is wanted, most needed first")

    class Params(tc.Params):
        """How much to ask for."""

        most: int = tc.Field(3, ge=1, description="greatest number of things to ask for")

    def run(self, context: tc.Context, params: Params) -> None:
        """Count mistakes, and ask for as many frames."""
        table = context.read(self.events).to_table(columns=["category", "conditions"])
        counted = Counter((row["category"], dict(row["conditions"]).get("time_of_day", "")) for row in table.to_pylist())
        # Sorted by name within a count, so that the order never depends on how rows were read.
        worst = sorted(counted.items(), key=lambda each: (-each[1], each[0]))[: params.most]
        wants = tuple(
            Want(
                cluster=f"{category}-{time or 'any'}",
                why=f"{count} mistakes about {category}{f' at {time}' if time else ''}",
                category=category,
                conditions={"time_of_day": (time,)} if time else {},
                count=count,
            )
            for (category, time), count in worst
        )
        (context.path(self.request) / FILE).write_text(DataRequest(wants=wants).model_dump_json(indent=2), encoding="utf-8")
