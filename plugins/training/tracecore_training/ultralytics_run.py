"""The stage `ultralytics-run`: imports a finished YOLOv8 training from its `results.csv`, `args.yaml` and `data.yaml`, as evidence; its check."""

from __future__ import annotations

import csv
import math
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

import yaml  # type: ignore[import-untyped]  # PyYAML ships no types

import tracecore as tc
from tracecore import UsageError
from tracecore_schemas.run import ExpectationOutcome
from tracecore_training.model_files import write_json
from tracecore_training.torch_stages import TRAINING_FACET

__all__ = ["ARGS", "CLASSES", "RESULTS", "LossesFinite", "Results", "UltralyticsRun", "read_args", "read_classes", "read_results"]

RESULTS = "results.csv"
ARGS = "args.yaml"
CLASSES = "data.yaml"
_MOST_EPOCHS = 2**31
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|[+-]?(nan|inf)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Results:
    """The columns of `results.csv`: epoch numbers, and the other columns' values by name in the file's order, including NaN and infinities."""

    epochs: list[int]
    columns: dict[str, list[float]]

    @property
    def losses(self) -> dict[str, list[float]]:
        """Values per epoch of each loss column in the results (`train/box_loss`), by name."""
        return {name: values for name, values in self.columns.items() if name.endswith("loss")}

    @property
    def metrics(self) -> dict[str, list[float]]:
        """Values per epoch of each metric column in the results (`metrics/mAP50(B)`), by name."""
        return {name: values for name, values in self.columns.items() if name.startswith("metrics/")}

    def not_finite(self) -> dict[str, list[int]]:
        """Return the epochs in which a loss is NaN or infinite, by the loss's name; losses that are always finite are left out."""
        found = {
            name: [epoch for epoch, value in zip(self.epochs, values, strict=True) if not math.isfinite(value)]
            for name, values in self.losses.items()
        }
        return {name: epochs for name, epochs in found.items() if epochs}


def read_results(path: Path) -> Results:
    """Return the content of a `results.csv`. Raises UsageError if it is invalid or contains more than one training."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        lines = [(number, [cell.strip() for cell in line]) for number, line in enumerate(csv.reader(text.splitlines(), strict=True), start=1) if line]
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path.name} can't be read as the results of a training: {error}.") from error
    _, header = lines[0] if lines else (0, [])
    if not header or header[0] != "epoch" or not any(name.endswith("loss") for name in header):
        raise UsageError(
            f"{path.name} is not a results.csv of an Ultralytics run: expected columns epoch, …loss, found {', '.join(header) or 'nothing'}."
        )
    if len(set(header)) < len(header):
        raise UsageError(f"{path.name} has two columns of one name: {', '.join(header)}.")
    if len(lines) == 1:
        raise UsageError(f"{path.name} holds no epoch: the training ended before its first, so there is nothing to take over.")
    rows: list[list[float]] = []
    for number, line in lines[1:]:
        rows.append(_parse_row(path.name, number, line, len(header)))
        before = rows[-2][0] if len(rows) > 1 else -1
        if rows[-1][0] <= before:
            raise UsageError(
                f"{path.name}, line {number}: epoch {rows[-1][0]:g} comes after epoch {before:g}, so the file holds more than one training: "
                "it is unknown which of them the weights are of. Give each a file of its own."
            )
    columns = {name: [row[place] for row in rows] for place, name in enumerate(header)}
    return Results([int(epoch) for epoch in columns.pop("epoch")], columns)


def _parse_row(name: str, number: int, line: list[str], expected: int) -> list[float]:
    wrong = [cell for cell in line if not _NUMBER.fullmatch(cell)]
    if wrong:
        raise UsageError(f"{name}, line {number}: expected a number in each column, found {', '.join(line)!r}.")
    values = [float(cell) for cell in line]
    if len(values) != expected or not 0 <= values[0] < _MOST_EPOCHS or not values[0].is_integer():
        raise UsageError(f"{name}, line {number}: expected {expected} numbers beginning with an epoch, found {len(values)}.")
    return values


def read_args(path: Path) -> Mapping[str, Any]:
    """Return the training settings in an `args.yaml`. Raises UsageError if the file is not a mapping."""
    args = _load_yaml(path, yaml.SafeLoader, "the settings of a training")
    if not isinstance(args, Mapping):
        raise UsageError(f"{path.name} is not an args.yaml of an Ultralytics run: expected names and values, found {type(args).__name__}.")
    return args


def read_classes(path: Path) -> list[str]:
    """Return the class names in a `data.yaml`, by number. Raises UsageError if its `names` is neither a list of texts nor a mapping from 0, 1, 2."""
    # Read as strings: a class named `no` or `2` must not become a boolean or a number.
    document = _load_yaml(path, yaml.BaseLoader, "the classes of a data set")
    names = document.get("names") if isinstance(document, Mapping) else None
    if isinstance(names, Mapping) and sorted(map(str, names)) == sorted(map(str, range(len(names)))):
        names = [names[str(number)] for number in range(len(names))]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UsageError(f"{path.name} is not a data.yaml: expected 'names', a list of class names or a mapping from 0, 1, 2 … to them.")
    return names


def _load_yaml(path: Path, loader: Any, what: str) -> Any:
    try:
        return yaml.load(path.read_text(encoding="utf-8-sig"), Loader=loader)  # noqa: S506  # both loaders make only plain values
    except (UnicodeDecodeError, yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:  # an invalid date is a ValueError
        raise UsageError(f"{path.name} can't be read as {what}: {' '.join(str(error).split())}.") from error


_WEIGHTS = ".pt"


class UltralyticsRun(tc.Stage):
    """Import the folder of an Ultralytics (YOLOv8) training as evidence: what its files state, and what was not recorded.

    Nothing is run again and no weights are opened: they are a pickle, which is code.
    """

    kind = tc.StageKind.TRAIN
    files = tc.Files("paths", suffixes=(".csv", ".yaml", _WEIGHTS, ".onnx", ".png", ".jpg"), note="training run file", outputs=True)
    model = tc.Output("model", checks=["losses_finite"], description="config.json, curves.json, and the run's files as they were found, in evidence/")

    class Params(tc.Params):
        """The training run to import."""

        paths: tuple[str, ...] = tc.Field((), description="the run's folder (runs/detect/train); a data.yaml next to it names the classes")

    def run(self, context: tc.Context, params: Params) -> None:  # noqa: ARG002  # the kernel finds the files that params name
        """Copy the training's files into `evidence/`, write `config.json` and `curves.json`, and record in the trace which facts are not known."""
        sources = context.files(self.files)
        named = {source.name: source for source in sources}
        if RESULTS not in named:
            found = ", ".join(sorted(named)[:5]) or "nothing"
            raise tc.UsageError(f"A training is known by its {RESULTS}, which 'paths' does not hold; found {found}. Give the run's own folder.")
        twice = [source.name for source in sources if named[source.name].digest != source.digest]
        if twice:
            raise tc.UsageError(f"'paths' holds two different files named {twice[0]}, so more than one training: give the folder of one run only.")
        folder = context.path(self.model)
        evidence = folder / "evidence"
        evidence.mkdir()
        for done, source in enumerate(sources):
            context.progress(done, len(sources), source.name)
            shutil.copyfile(context.adopt(source, kind="external", name=source.name), evidence / source.name)
        results = read_results(evidence / RESULTS)
        args = read_args(evidence / ARGS) if ARGS in named else {}
        classes = read_classes(evidence / CLASSES) if CLASSES in named else []
        weights = sorted(name for name in named if name.endswith(_WEIGHTS))
        config = {
            "v": 1,
            "type": "tracecore.evidence",
            "tool": "ultralytics",
            "task": _text_setting(args, "task"),
            "base_model": _file_setting(args, "model"),
            "classes": classes,
            "weights": [f"evidence/{name}" for name in weights],
        }
        write_json(folder / "config.json", config)
        write_json(folder / "curves.json", _curves_document(results))
        context.describe(self.model, TRAINING_FACET, _training_facet(results, args, classes))
        for what, why in _unknowns(results, args, classes, weights):
            context.unknown(what, why, port=self.model)


def _text_setting(args: Mapping[str, Any], name: str) -> str | None:
    value = args.get(name)
    return value if isinstance(value, str) and value else None


def _file_setting(args: Mapping[str, Any], name: str) -> str | None:
    """Return the file name of the path in the setting `name`, without its folder (of another machine); None if it is not set or not text."""
    text = _text_setting(args, name)
    return None if text is None else PureWindowsPath(text).name


def _integer_setting(args: Mapping[str, Any], name: str) -> int | None:
    value = args.get(name)
    return value if type(value) is int else None


def _curves_document(results: Results) -> dict[str, Any]:
    """Return the content of `curves.json` for the columns of a `results.csv`. Values that are not finite become null, which JSON can express."""
    series = [{"name": name, "values": [value if math.isfinite(value) else None for value in values]} for name, values in results.columns.items()]
    return {"v": 1, "type": "tracecore.curves", "x": {"name": "epoch", "values": results.epochs}, "series": series}


def _training_facet(results: Results, args: Mapping[str, Any], classes: list[str]) -> dict[str, Any]:
    last = {name: values[-1] for name, values in {**results.losses, **results.metrics}.items()}
    seed, batch, asked = (_integer_setting(args, name) for name in ("seed", "batch", "epochs"))
    return {
        "tool": "ultralytics",
        "base_model": _file_setting(args, "model") or "unknown",
        "epochs": len(results.epochs),
        **({"epochs_asked": asked} if asked is not None else {}),
        **({"batch": batch} if batch is not None and batch >= 0 else {}),
        **({"seed": str(seed)} if seed is not None else {}),
        **({"classes": classes} if classes else {}),
        "losses": {name: last[name] for name in results.losses if math.isfinite(last[name])},
        "metrics": {name: last[name] for name in results.metrics if math.isfinite(last[name])},
        # as text: JSON has no nan
        "not_finite": {
            name: {"epochs": len(epochs), "first": epochs[0], "last_value": str(last[name])} for name, epochs in results.not_finite().items()
        },
    }


def _unknowns(results: Results, args: Mapping[str, Any], classes: list[str], weights: list[str]) -> Iterator[tuple[str, str]]:
    """Yield (what is not known, why) for each fact about the training that its files don't state."""
    data = _file_setting(args, "data")
    source = f"{ARGS} names {data!r} by its path, not by its bytes" if data else f"there is no {ARGS} that says so"
    yield "training data", f"nobody recorded which frames and labels it was trained on: {source}"
    yield "training environment", "nobody recorded the version of ultralytics, of torch and CUDA, or the machine"
    yield "training time", "nobody recorded when it ran"
    first, last, count = results.epochs[0], results.epochs[-1], len(results.epochs)
    if first > 1 or last - first >= count:
        yield "epochs", f"{RESULTS} holds {count} epochs, the first {first} and the last {last}: what the others came to is not in it"
    asked = _integer_setting(args, "epochs")
    if asked is not None and count > asked:
        yield "epochs", f"{RESULTS} holds {count} epochs where {ARGS} asks for {asked}: they may be of different trainings"
    if _integer_setting(args, "seed") is None:
        yield "seed", f"there is no {ARGS} that says so" if not args else f"{ARGS} names none"
    if not classes:
        yield "classes", "no data.yaml with their names was given"
    if weights:
        yield "weights", f"{', '.join(weights)} kept, not opened: a pickle is code, and nobody has compared it with the run's figures"
    else:
        yield "weights", "the run's folder holds none: what was trained can't be run or compared"


class LossesFinite(tc.Check):
    """Check that no loss of an imported training is NaN or infinite in any epoch."""

    name = "losses_finite"
    description = "Every loss of a training taken over is a finite number in every epoch."

    def run(self, context: tc.CheckContext) -> tc.CheckResult:
        """Pass if every loss in the model's `evidence/results.csv` is finite in every epoch; fail if not, or if the file is missing."""
        path = Path(context.read()) / "evidence" / RESULTS
        if not path.is_file():
            return tc.CheckResult(False, f"The model holds no evidence/{RESULTS}, so nothing is known of its losses.")
        results = read_results(path)
        bad = results.not_finite()
        good = not bad
        outcome = ExpectationOutcome("losses_are_finite", good, expected="a finite number for every loss in every epoch", actual=_facts(results, bad))
        message = f"All {len(results.losses)} losses are finite in all {len(results.epochs)} epochs." if good else _message(results, bad)
        return tc.CheckResult(
            good, message, (outcome,), {"epochs": len(results.epochs), "not_finite": {name: len(each) for name, each in bad.items()}}
        )


def _facts(results: Results, bad: dict[str, list[int]]) -> str:
    if not bad:
        return f"{len(results.losses)} finite losses in {len(results.epochs)} epochs"
    return ", ".join(f"{name}: {len(epochs)} of {len(results.epochs)} epochs" for name, epochs in bad.items())


def _message(results: Results, bad: dict[str, list[int]]) -> str:
    """Return a sentence for the failed check: which losses are not finite, and in which epochs."""
    count = len(results.epochs)
    metrics = [value for values in results.metrics.values() for value in values]
    powerless = f", and every metric is 0 in all {count}" if metrics and not any(metrics) else ""
    values = {str(value) for name in bad for value in results.losses[name] if not math.isfinite(value)}
    word = values.pop() if len(values) == 1 else "no finite number"
    if bad.keys() == results.losses.keys() and all(len(epochs) == count for epochs in bad.values()):
        return f"Every loss is {word} in all {count} epochs{powerless}: this training has learned nothing."
    name, epochs = min(bad.items(), key=lambda entry: entry[1][0])
    return (
        f"{len(bad)} of {len(results.losses)} losses are {word} in some epochs: {name} first in epoch {epochs[0]}, "
        f"in {len(epochs)} of {count}{powerless}. What came after can't be trusted."
    )
