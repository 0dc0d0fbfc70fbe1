"""What an Ultralytics (YOLOv8) training wrote down about itself: `results.csv`, one row an epoch, and `args.yaml`, its settings."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]  # PyYAML ships no types

from tracecore import UsageProblem

__all__ = ["ARGS", "RESULTS", "Results", "read_args", "read_results"]

RESULTS = "results.csv"
ARGS = "args.yaml"


@dataclass(frozen=True, slots=True)
class Results:
    """The columns of `results.csv`.

    Attributes:
        epochs: numbers as written, one a row.
        columns: values by column name, in the file's order; NaN and infinities as they stand there.
    """

    epochs: list[int]
    columns: dict[str, list[float]]

    @property
    def losses(self) -> dict[str, list[float]]:
        """The columns that are losses (`train/box_loss`)."""
        return {name: values for name, values in self.columns.items() if name.endswith("loss")}

    @property
    def metrics(self) -> dict[str, list[float]]:
        """The columns that say how good the model is (`metrics/mAP50(B)`)."""
        return {name: values for name, values in self.columns.items() if name.startswith("metrics/")}

    def not_finite(self) -> dict[str, list[int]]:
        """Give the epochs in which a loss is no finite number, by loss."""
        found = {
            name: [epoch for epoch, value in zip(self.epochs, values, strict=True) if not math.isfinite(value)]
            for name, values in self.losses.items()
        }
        return {name: epochs for name, epochs in found.items() if epochs}


def read_results(path: Path) -> Results:
    """Read `results.csv`.

    Raises:
        UsageProblem: it isn't such a file; the line is named.
    """
    try:
        lines = [line for line in csv.reader(path.read_text(encoding="utf-8").splitlines()) if line]
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageProblem(f"{path.name} can't be read as the results of a training: {error}.") from error
    header = [name.strip() for name in lines[0]] if lines else []
    if not header or header[0] != "epoch" or not any(name.endswith("loss") for name in header):
        raise UsageProblem(
            f"{path.name} is no results.csv of an Ultralytics run: expected columns epoch, …loss, found {', '.join(header) or 'nothing'}."
        )
    if len(lines) == 1:
        raise UsageProblem(f"{path.name} holds no epoch: the training ended before its first, so there is nothing to take over.")
    rows: list[list[float]] = []
    for number, line in enumerate(lines[1:], start=2):
        try:
            values = [float(cell) for cell in line]
        except ValueError as error:
            raise UsageProblem(f"{path.name}, line {number}: expected a number in each column, found {', '.join(line).strip()!r}.") from error
        if len(values) != len(header) or not values[0].is_integer():
            raise UsageProblem(f"{path.name}, line {number}: expected {len(header)} numbers beginning with an epoch, found {len(values)}.")
        rows.append(values)
    columns = {name: [row[place] for row in rows] for place, name in enumerate(header)}
    return Results([int(epoch) for epoch in columns.pop("epoch")], columns)


def read_args(path: Path) -> Mapping[str, Any]:
    """Read `args.yaml`.

    Raises:
        UsageProblem: it isn't such a file.
    """
    try:
        args = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageProblem(f"{path.name} can't be read as the settings of a training: {' '.join(str(error).split())}.") from error
    if not isinstance(args, Mapping):
        raise UsageProblem(f"{path.name} is no args.yaml of an Ultralytics run: expected names and values, found {type(args).__name__}.")
    return args
