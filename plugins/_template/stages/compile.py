"""The stage `template`: a model made into one file for a target."""

from __future__ import annotations

import json

import tracecore as tc

__all__ = ["Template"]


class Template(tc.Stage):
    """Pack a model's folder into one file: a line of JSON that says what follows, then the bytes."""

    kind = tc.StageKind.COMPILE
    name = "template"
    model = tc.Input("model", description="a folder")
    engine = tc.Output("engine", file="model.engine", description="all of its files in one")

    class Params(tc.Params):
        """What it is made for."""

        target: str = tc.Field("cpu", description="name of the machine that is to run it")

    def run(self, context: tc.Context, params: Params) -> None:
        """Pack the files in the order of their names."""
        folder = context.read(self.model)
        parts = [(file.relative_to(folder).as_posix(), file.read_bytes()) for file in sorted(folder.rglob("*")) if file.is_file()]
        head = json.dumps({"target": params.target, "files": [[name, len(data)] for name, data in parts]})
        packed = b"".join([head.encode(), b"\n", *(data for _, data in parts)])
        (context.path(self.engine) / "model.engine").write_bytes(packed)
        context.unknown("not executed", "packing a model runs nothing", port=self.engine)
