"""The stage `ultralytics-run`: somebody else's training, committed as a folder, taken over as evidence of what was and wasn't recorded of it."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path, PureWindowsPath
from typing import Any

import tracecore as tc
from tracecore_training.ultralytics_results import ARGS, CLASSES, RESULTS, Results, read_args, read_classes, read_results

__all__ = ["UltralyticsRun"]

_WEIGHTS = ".pt"


class UltralyticsRun(tc.Stage):
    """Take the folder of an Ultralytics (YOLOv8) training over as evidence: what it says of itself, and what nobody recorded.

    Nothing is run again and no weights are opened: they are a pickle, which is code.
    """

    kind = tc.StageKind.TRAIN
    files = tc.Files("paths", suffixes=(".csv", ".yaml", _WEIGHTS, ".onnx", ".png", ".jpg"), note="training run file", outputs=True)
    model = tc.Output("model", checks=["losses_finite"], description="config.json, curves.json, and the run's files as they were found, in evidence/")

    class Params(tc.Params):
        """What is taken."""

        paths: tuple[str, ...] = tc.Field((), description="the run's folder (runs/detect/train); a data.yaml beside it tells the classes")

    def run(self, context: tc.Context, params: Params) -> None:  # noqa: ARG002  # the kernel finds the files that params name
        """Keep each file, read what it says, state what none says."""
        sources = context.files(self.files)
        named = {source.name: source for source in sources}
        if RESULTS not in named:
            found = ", ".join(sorted(named)[:5]) or "nothing"
            raise tc.UsageError(f"A training is known by its {RESULTS}, which 'paths' does not hold; found {found}. Give the run's own folder.")
        twice = [source.name for source in sources if named[source.name].digest != source.digest]
        if twice:
            raise tc.UsageError(f"'paths' holds two different files named {twice[0]}, so more than one training: give the folder of one run alone.")
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
            "task": _text(args, "task"),
            "base_model": _file(args, "model"),
            "classes": classes,
            "weights": [f"evidence/{name}" for name in weights],
        }
        _write_json(folder / "config.json", config)
        _write_json(folder / "curves.json", _curves(results))
        context.describe(self.model, "tracecore_training", _facet(results, args, classes))
        for what, why in _unknowns(results, args, classes, weights):
            context.unknown(what, why, port=self.model)


def _text(args: Mapping[str, Any], name: str) -> str | None:
    value = args.get(name)
    return value if isinstance(value, str) and value else None


def _file(args: Mapping[str, Any], name: str) -> str | None:
    """Return the name of a file that a setting names: where it lay on somebody's machine is no part of the record."""
    text = _text(args, name)
    return None if text is None else PureWindowsPath(text).name


def _whole(args: Mapping[str, Any], name: str) -> int | None:
    value = args.get(name)
    return value if type(value) is int else None


def _curves(results: Results) -> dict[str, Any]:
    """Give the columns as curves; what is no finite number is null, for JSON has no word for it."""
    series = [{"name": name, "values": [value if math.isfinite(value) else None for value in values]} for name, values in results.columns.items()]
    return {"v": 1, "type": "tracecore.curves", "x": {"name": "epoch", "values": results.epochs}, "series": series}


def _facet(results: Results, args: Mapping[str, Any], classes: list[str]) -> dict[str, Any]:
    last = {name: values[-1] for name, values in {**results.losses, **results.metrics}.items()}
    seed, batch, asked = (_whole(args, name) for name in ("seed", "batch", "epochs"))
    return {
        "summary": tc.summarize(tc.count(len(results.epochs), "epoch"), "ultralytics"),
        "tool": "ultralytics",
        "base_model": _file(args, "model") or "unknown",
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
    data = _file(args, "data")
    said = f"{ARGS} names {data!r} by its path, not by its bytes" if data else f"there is no {ARGS} that says so"
    yield "training data", f"nobody recorded which frames and labels it was trained on: {said}"
    yield "training environment", "nobody recorded the version of ultralytics, of torch and CUDA, or the machine"
    yield "training time", "nobody recorded when it ran"
    first, last, count = results.epochs[0], results.epochs[-1], len(results.epochs)
    if first > 1 or last - first >= count:
        yield "epochs", f"{RESULTS} holds {count} epochs, the first {first} and the last {last}: what the others came to is not in it"
    asked = _whole(args, "epochs")
    if asked is not None and count > asked:
        yield "epochs", f"{RESULTS} holds {count} epochs where {ARGS} asks for {asked}: they may be of different trainings"
    if _whole(args, "seed") is None:
        yield "seed", f"there is no {ARGS} that says so" if not args else f"{ARGS} names none"
    if not classes:
        yield "classes", "no data.yaml with their names was given"
    if weights:
        yield "weights", f"{', '.join(weights)} kept, not opened: a pickle is code, and nobody has compared it with the run's figures"
    else:
        yield "weights", "the run's folder holds none: what was trained can't be run or compared"


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n", encoding="utf-8")
