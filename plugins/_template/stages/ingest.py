"""The stage `template`: text files into a table of signals."""

from __future__ import annotations

import json

import tracecore as tc
from tracecore_schemas.arrow_tables import SIGNALS, table_of

__all__ = ["Template"]


class Template(tc.Stage):
    """Read log files of one number a line into a table of signals."""

    kind = tc.StageKind.INGEST
    name = "template"
    logs = tc.Files("paths", suffixes=[".txt"], note="log file")
    signals = tc.Output(table=tc.SIGNALS, checks=["not_empty", "signals_complete"], description="one row a line")

    class Params(tc.Params):
        """Which files to read."""

        paths: list[str] = tc.Field(description="files, folders and globs, relative to the program's file")
        topic: str = tc.Field("/value", description="name of the signal")

    def run(self, context: tc.Context, params: Params) -> None:
        """Keep each file as a drive log, and read its lines; a file with a line that is not a number is left out by name."""
        rows = []
        for file in context.files(self.logs):
            try:
                values = [float(line) for line in file.path.read_text(encoding="utf-8").split()]
            except ValueError as error:
                context.quarantine(file, str(error))
                continue
            drive = file.path.stem
            context.adopt(file, kind="drive_log", name=drive, unknowns=[("time", "the file has no clock")])
            rows += [
                {
                    "drive": drive,
                    "topic": params.topic,
                    "timestamp_ns": place,
                    "sequence": place,
                    "values": {"value": value},
                    "message": json.dumps({"value": value}),
                }
                for place, value in enumerate(values)
            ]
        context.write(self.signals, table_of(SIGNALS, rows))
        context.unknown("time", "the files have no clock: a line's number stands for it", port=self.signals)
