"""The stage `ultralytics-run`: somebody else's training, committed as a folder, taken over as evidence of what was and wasn't recorded of it."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path, PureWindowsPath
from typing import Any

import tracecore as tc
from tracecore_training.ultralytics_results import ARGS, RESULTS, Results, read_args, read_results

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
            raise tc.UsageProblem(f"A training is known by its {RESULTS}, which 'paths' does not hold; found {found}. Give the run's own folder.")
        folder = context.path(self.model)
        evidence = folder / "evidence"
        evidence.mkdir()
        for done, source in enumerate(sources):
            context.progress(done, len(sources), source.name)
            shutil.copyfile(context.adopt(source, kind="external", name=source.name), evidence / source.name)
        results = read_results(evidence / RESULTS)
        args = read_args(evidence / ARGS) if ARGS in named else {}
        classes = _classes(evidence / "data.yaml") if "data.yaml" in named else []
        weights = sorted(name for name in named if name.endswith(_WEIGHTS))
        config = {
            "v": 1,
            "type": "tracecore.evidence",
            "tool": "ultralytics",
            "task": _text(args, "task"),
            "base_model": _text(args, "model"),
            "classes": classes,
            "weights": [f"evidence/{name}" for name in weights],
        }
        _write_json(folder / "config.json", config)
        _write_json(folder / "curves.json", _curves(results))
        context.describe(self.model, "tracecore_training", _facet(results, args, classes))
        for what, why in _unknowns(args, classes, weights):
            context.unknown(what, why, port=self.model)


def _text(args: Mapping[str, Any], name: str) -> str | None:
    return None if args.get(name) is None else str(args[name])


def _classes(path: Path) -> list[str]:
    """Read the class names of a `data.yaml`: a list, or names by number."""
    names = read_args(path).get("names", [])
    return [str(name) for _, name in sorted(names.items())] if isinstance(names, Mapping) else [str(name) for name in names]


def _curves(results: Results) -> dict[str, Any]:
    """Give the columns as curves; what is no finite number is null, for JSON has no word for it."""
    series = [{"name": name, "values": [value if math.isfinite(value) else None for value in values]} for name, values in results.columns.items()]
    return {"v": 1, "type": "tracecore.curves", "x": {"name": "epoch", "values": results.epochs}, "series": series}


def _facet(results: Results, args: Mapping[str, Any], classes: list[str]) -> dict[str, Any]:
    last = {name: values[-1] for name, values in {**results.losses, **results.metrics}.items()}
    seed, batch = args.get("seed"), args.get("batch")
    return {
        "summary": tc.summarize(tc.count(len(results.epochs), "epoch"), "ultralytics"),
        "tool": "ultralytics",
        "base_model": _text(args, "model") or "unknown",
        "epochs": len(results.epochs),
        **({"epochs_asked": args["epochs"]} if isinstance(args.get("epochs"), int) else {}),
        **({"batch": batch} if isinstance(batch, int) and batch >= 0 else {}),
        **({"seed": str(seed)} if isinstance(seed, int) else {}),
        **({"classes": classes} if classes else {}),
        "losses": {name: last[name] for name in results.losses if math.isfinite(last[name])},
        "metrics": {name: last[name] for name in results.metrics if math.isfinite(last[name])},
        # as text: JSON has no nan
        "not_finite": {
            name: {"epochs": len(epochs), "first": epochs[0], "last_value": str(last[name])} for name, epochs in results.not_finite().items()
        },
    }


def _unknowns(args: Mapping[str, Any], classes: list[str], weights: list[str]) -> Iterator[tuple[str, str]]:
    data = _text(args, "data")
    # the file alone: where it lay on somebody's machine is no part of the record
    said = f"{ARGS} names {PureWindowsPath(data).name!r} by its path, not by its bytes" if data else f"there is no {ARGS} that says so"
    yield "training data", f"nobody recorded which frames and labels it was trained on: {said}"
    yield "training environment", "nobody recorded the version of ultralytics, of torch and CUDA, or the machine"
    yield "training time", "nobody recorded when it ran"
    if not isinstance(args.get("seed"), int):
        yield "seed", f"there is no {ARGS} that says so" if not args else f"{ARGS} names none"
    if not classes:
        yield "classes", "no data.yaml with their names was given"
    if weights:
        yield "weights", f"{', '.join(weights)} kept, not opened: a pickle is code, and nobody has compared it with the run's figures"
    else:
        yield "weights", "the run's folder holds none: what was trained can't be run or compared"


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n", encoding="utf-8")
