"""What an Ultralytics (YOLOv8) training wrote about itself: `results.csv`, one row an epoch; `args.yaml`, settings; `data.yaml`, classes."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]  # PyYAML ships no types

from tracecore import UsageError

__all__ = ["ARGS", "CLASSES", "RESULTS", "Results", "read_args", "read_classes", "read_results"]

RESULTS = "results.csv"
ARGS = "args.yaml"
CLASSES = "data.yaml"
_MOST_EPOCHS = 2**31
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|[+-]?(nan|inf)", re.IGNORECASE)


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
        UsageError: it isn't such a file, or that of more than one training; the line is named.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        lines = [(number, [cell.strip() for cell in line]) for number, line in enumerate(csv.reader(text.splitlines(), strict=True), start=1) if line]
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path.name} can't be read as the results of a training: {error}.") from error
    _, header = lines[0] if lines else (0, [])
    if not header or header[0] != "epoch" or not any(name.endswith("loss") for name in header):
        raise UsageError(
            f"{path.name} is no results.csv of an Ultralytics run: expected columns epoch, …loss, found {', '.join(header) or 'nothing'}."
        )
    if len(set(header)) < len(header):
        raise UsageError(f"{path.name} has two columns of one name: {', '.join(header)}.")
    if len(lines) == 1:
        raise UsageError(f"{path.name} holds no epoch: the training ended before its first, so there is nothing to take over.")
    rows: list[list[float]] = []
    for number, line in lines[1:]:
        rows.append(_row(path.name, number, line, len(header)))
        before = rows[-2][0] if len(rows) > 1 else -1
        if rows[-1][0] <= before:
            raise UsageError(
                f"{path.name}, line {number}: epoch {rows[-1][0]:g} comes after epoch {before:g}, so the file holds more than one training: "
                "nobody can tell which of them the weights are of. Give each a file of its own."
            )
    columns = {name: [row[place] for row in rows] for place, name in enumerate(header)}
    return Results([int(epoch) for epoch in columns.pop("epoch")], columns)


def _row(name: str, number: int, line: list[str], expected: int) -> list[float]:
    wrong = [cell for cell in line if not _NUMBER.fullmatch(cell)]
    if wrong:
        raise UsageError(f"{name}, line {number}: expected a number in each column, found {', '.join(line)!r}.")
    values = [float(cell) for cell in line]
    if len(values) != expected or not 0 <= values[0] < _MOST_EPOCHS or not values[0].is_integer():
        raise UsageError(f"{name}, line {number}: expected {expected} numbers beginning with an epoch, found {len(values)}.")
    return values


def read_args(path: Path) -> Mapping[str, Any]:
    """Read `args.yaml`.

    Raises:
        UsageError: it isn't such a file.
    """
    args = _yaml(path, yaml.SafeLoader, "the settings of a training")
    if not isinstance(args, Mapping):
        raise UsageError(f"{path.name} is no args.yaml of an Ultralytics run: expected names and values, found {type(args).__name__}.")
    return args


def read_classes(path: Path) -> list[str]:
    """Read the class names of a `data.yaml`, in the order of their numbers: a list, or names by number.

    Raises:
        UsageError: it isn't such a file.
    """
    # Read as texts: a class called `no` or `2` is no boolean and no number.
    document = _yaml(path, yaml.BaseLoader, "the classes of a data set")
    names = document.get("names") if isinstance(document, Mapping) else None
    if isinstance(names, Mapping) and sorted(map(str, names)) == sorted(map(str, range(len(names)))):
        names = [names[str(number)] for number in range(len(names))]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UsageError(f"{path.name} is no data.yaml: expected 'names', a list of class names or a mapping from 0, 1, 2 … to them.")
    return names


def _yaml(path: Path, loader: Any, what: str) -> Any:
    try:
        return yaml.load(path.read_text(encoding="utf-8-sig"), Loader=loader)  # noqa: S506  # both loaders make plain values alone
    except (UnicodeDecodeError, yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:  # a date that is none is a ValueError
        raise UsageError(f"{path.name} can't be read as {what}: {' '.join(str(error).split())}.") from error
