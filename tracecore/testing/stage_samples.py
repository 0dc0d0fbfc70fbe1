"""What a stage is tried on: its own samples where its author gives some, else the built-in ones for the shared tables."""

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
"""Where in its project's folder a plugin keeps its own samples."""
FUNCTION = "tracecore_samples"


@dataclass(frozen=True, slots=True)
class Sample:
    """What one stage is tried on.

    Attributes:
        params: as a program would write them; make them small (`{"steps": 2}`).
        inputs: by input port, a table or the path of a file or folder. A required port left out gets the built-in sample of its kind.
        facets: by input port, what the record would say of that input.
        not_here: why the stage can't be run on this machine (`needs a GPU`); it is then reported as not run.
    """

    params: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, pa.Table | Path] = field(default_factory=dict)
    facets: Mapping[str, Mapping[str, JSON]] = field(default_factory=dict)
    seed: int = 7
    not_here: str = ""


SampleSource = Callable[[str, Path], Sample | None]
"""Given a stage's name and an empty folder to write files to, gives its sample; None takes the built-in one."""


class NoSample(Exception):
    """There is nothing to try a stage on; the message says what to do."""


def find_samples(distribution: metadata.Distribution | None) -> SampleSource | None:
    """Find a plugin's own samples: `tracecore_samples` in `tests/conformance.py` of the project folder that it is installed from.

    A distribution installed as a wheel has no such folder: only the built-in samples are left then.
    """
    project = None if distribution is None else project_folder(distribution)
    if project is None or not (project / FILE).is_file():
        return None
    return read_samples(project / FILE)


def read_samples(file: Path) -> SampleSource:
    """Read the function `tracecore_samples` out of a Python file.

    Raises:
        UsageError: the file can't be read or has no such function.
    """
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
    """Put together what a stage is tried on: every required input, its own sample before the built-in one.

    Raises:
        NoSample: a required input or parameter that neither the author nor the suite has a sample of.
    """
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
                raise NoSample(f"there is no built-in sample of kind {port.kind} for the input '{name}': give one in {FILE.as_posix()}")
            inputs[name] = given
    lacking = [name for name, each in stage.Params.model_fields.items() if each.is_required() and name not in sample.params]
    if lacking and not sample.not_here:
        raise NoSample(f"the parameter '{lacking[0]}' has no default: give a value in {FILE.as_posix()}")
    return Sample(sample.params, inputs, sample.facets, sample.seed, sample.not_here)


def own_sample(name: str, source: SampleSource | None, folder: Path) -> Sample | None:
    """Return the author's sample of a stage or of another object, None where the built-in one is to be taken.

    Raises:
        NoSample: the function raised, or returned something else.
    """
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
    """Return an input of a sample as it was given: a table from an Arrow file, else the path."""
    if path.suffix != ".arrow":
        return path
    with pa.memory_map(str(path)) as source:
        return pa.ipc.open_file(source).read_all()
