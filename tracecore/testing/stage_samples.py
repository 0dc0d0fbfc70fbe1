"""Choosing the samples for trials: the author's where given, else the built-in ones."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import pyarrow as pa

from tracecore.errors import UsageError
from tracecore.stage import Stage
from tracecore.system.distributions import project_folder
from tracecore.system.failures import reason_of
from tracecore.testing.samples import built_in
from tracecore_schemas.canonical import JSON

__all__ = ["FILE", "FUNCTION", "NoSample", "Sample", "SampleSource", "find_samples", "own_sample", "read_input", "read_samples", "sample_of"]

FILE = Path("tests") / "conformance.py"
"""Path of a plugin's samples file in its project folder."""
FUNCTION = "tracecore_samples"


@dataclass(frozen=True, slots=True)
class Sample:
    """The sample for one stage: inputs as tables or paths by port, recorded facets of inputs by port, and parameters, chosen to need little work.

    Missing required inputs get the built-in sample of their kind. `not_here` says why the stage can't run on this machine (`needs a GPU`).
    """

    params: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, pa.Table | Path] = field(default_factory=dict)
    facets: Mapping[str, Mapping[str, JSON]] = field(default_factory=dict)
    seed: int = 7
    not_here: str = ""


SampleSource = Callable[[str, Path], Sample | None]
"""Function of a stage's name and a folder to write files to that returns its sample, or None for the built-in one."""


class NoSample(Exception):
    """There is no sample for a stage; the message says what to do."""


def find_samples(distribution: metadata.Distribution | None) -> SampleSource | None:
    """Return the function `tracecore_samples` in a plugin's `tests/conformance.py`; None without that file or an editable installation."""
    project = None if distribution is None else project_folder(distribution)
    if project is None or not (project / FILE).is_file():
        return None
    return read_samples(project / FILE)


def read_samples(file: Path) -> SampleSource:
    """Return the function `tracecore_samples` (makes test inputs by name) of a Python file; raises UsageError if it can't be imported or lacks it."""
    spec = importlib.util.spec_from_file_location(f"_tracecore_samples_{abs(hash(file))}", file)
    if spec is None or spec.loader is None or not file.is_file():
        raise UsageError(f"The samples file '{file}' is not a Python file that can be read.")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UsageError(f"The samples file '{file}' can't be imported: {type(error).__name__}: {error}.") from error
    found: SampleSource | None = getattr(module, FUNCTION, None)
    if not callable(found):
        raise UsageError(f"The samples file '{file}' has no function {FUNCTION}(stage, folder).")
    return found


def sample_of(stage: type[Stage], source: SampleSource | None, folder: Path) -> Sample:
    """Return the test inputs and parameters for a stage: those of `source`, else built-in ones; raises NoSample if a required one is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    sample = own_sample(stage.name, source, folder) or Sample()
    inputs = dict(sample.inputs)
    unknown = [name for name in inputs if name not in stage.inputs()]
    if unknown:
        raise NoSample(f"the sample is for the input '{unknown[0]}', which the stage does not declare")
    for name, port in stage.inputs().items():
        if name not in inputs and not port.optional:
            given = built_in(port, folder)
            if given is None:
                of = f"kind {port.kind}" if port.table is None else f"table type {port.table.name}"
                raise NoSample(f"there is no built-in sample of {of} for the input '{name}': give one in {FILE.as_posix()}, or the type a sample=")
            inputs[name] = given
    lacking = [name for name, each in stage.Params.model_fields.items() if each.is_required() and name not in sample.params]
    if lacking and not sample.not_here:
        raise NoSample(f"the parameter '{lacking[0]}' has no default: give a value in {FILE.as_posix()}")
    return Sample(sample.params, inputs, sample.facets, sample.seed, sample.not_here)


def own_sample(name: str, source: SampleSource | None, folder: Path) -> Sample | None:
    """Return the sample that `source` makes for a stage or object, None if it makes none; raises NoSample if it fails or returns a wrong type."""
    if source is None:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    try:
        found = source(name, folder)
    except Exception as error:
        raise NoSample(f"{FUNCTION}('{name}', folder) raised {reason_of(error)}") from error
    if found is not None and not isinstance(found, Sample):
        raise NoSample(f"{FUNCTION}('{name}', folder) must give a tracecore.testing.Sample or None, it gave {type(found).__name__}")
    return found


def read_input(path: Path) -> pa.Table | Path:
    """Return the content of a sample input: the table in a file with the suffix `.arrow`, else `path` itself."""
    if path.suffix != ".arrow":
        return path
    with pa.memory_map(str(path)) as source:
        return pa.ipc.open_file(source).read_all()
