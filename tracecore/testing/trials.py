"""Trying a plugin's stages in two processes with the same samples and seed, but another workspace, folder, hash seed and time zone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import pyarrow as pa

from tracecore.testing.stage_samples import Sample
from tracecore_schemas.kinds import StageKind

__all__ = ["Trials", "Tried", "try_stages"]

_TIMEOUT_S = 300.0
"""Time limit of a trial process."""
_DIFFERENT = ({"PYTHONHASHSEED": "1", "TZ": "UTC"}, {"PYTHONHASHSEED": "4242", "TZ": "Asia/Tokyo"})


@dataclass(frozen=True, slots=True)
class Tried:
    """The result of one stage or object in one process: why it failed (`error`), its outputs' `ref`, `digest` and `rows` by port, and its accesses.

    `refused` says why an object other than a stage could not be tried with the built-in sample; `extra` are files next to an output's single file.
    """

    error: str | None
    refused: str = ""
    outputs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    connects: tuple[str, ...] = ()
    starts: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    state: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Trials:
    """The results of both processes by stage or object name; `imports` are messages about forbidden or failed imports."""

    imports: tuple[str, ...]
    stages: Mapping[str, tuple[Tried, Tried]]
    workspaces: tuple[Path, Path]


def try_stages(entry: metadata.EntryPoint, strangers: Iterable[str], samples: Mapping[str, tuple[str, Sample]], folder: Path) -> Trials:
    """Test a plugin's stages, each in two new processes, and its other objects in one, and return all results.

    Args:
        strangers: packages that importing the plugin must not import.
        samples: (kind, sample) by name; the kind of an object other than a stage is the plural of its type, as in `TRIALS`.
    """
    wanted = [_trial_request(kind, name, sample, folder / "samples" / name) for name, (kind, sample) in samples.items()]
    twice = [each for each in wanted if each["kind"] in set(StageKind)]
    processes = [
        _Process(entry, sorted(strangers), [{**each, "state": number == 0} for each in asked], folder / f"process-{number}", different)
        for number, (asked, different) in enumerate(zip((wanted, twice), _DIFFERENT, strict=True))
    ]
    # Where no stage is run, one process is enough.
    running = processes if twice else processes[:1]
    try:
        for process in running:
            process.start()
        answers = [process.wait() for process in running]
    finally:
        for process in running:
            process.end()
    first, second = answers[0], answers[-1]
    gone = Tried("its process ended before it was tried")
    stages = {name: (first[1].get(name, gone), second[1].get(name, gone)) for name in samples}
    return Trials(tuple(first[0]), stages, (processes[0].workspace, processes[-1].workspace))


def _trial_request(kind: str, name: str, sample: Sample, folder: Path) -> dict[str, Any]:
    """Return the entry for one stage or object in a test process's specification; tables in the sample are written to `folder` as Arrow files."""
    inputs: dict[str, str] = {}
    folder.mkdir(parents=True, exist_ok=True)
    for port, value in sample.inputs.items():
        if isinstance(value, pa.Table):
            file = folder / f"{port}.arrow"
            with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, value.schema) as writer:
                writer.write_table(value)
            inputs[port] = str(file)
        else:
            inputs[port] = str(Path(value).absolute())
    return {
        "kind": kind,
        "name": name,
        "params": _plain(sample.params),
        "seed": sample.seed,
        "inputs": inputs,
        "facets": _plain(sample.facets),
        "base": str(folder),
    }


def _plain(value: Any) -> Any:
    """Return a copy of a nested value with paths as texts and tuples as lists, as JSON needs."""
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, Path) else value


@dataclass
class _Process:
    """A process that tries stages, restarted after a stage that crashes it; `different` are its own environment variables."""

    entry: metadata.EntryPoint
    strangers: Sequence[str]
    wanted: list[dict[str, Any]]
    folder: Path
    different: Mapping[str, str]
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.workspace = self.folder / "workspace"
        self.answers = self.folder / "answers.jsonl"

    def start(self) -> None:
        for name in ("here", "temporary", "cache"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        specification = self.folder / "specification.json"
        whole = {
            "plugin": self.entry.name,
            "module": self.entry.module,
            "strangers": self.strangers,
            "stages": self.wanted,
            "workspace": str(self.workspace),
            "answers": str(self.answers),
        }
        specification.write_text(json.dumps(whole), encoding="utf-8")
        with (self.folder / "log.txt").open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603  # this interpreter, on a file of ours
                [sys.executable, "-m", "tracecore.testing.trial_process", str(specification), str(os.getpid())],
                cwd=self.folder / "here",
                env=_environment(self.entry.name, self.folder, self.different),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def wait(self) -> tuple[list[str], dict[str, Tried]]:
        """Wait for the test process, and restart it after a crash or timeout; return (messages on forbidden imports, {stage or object: result})."""
        while True:
            assert self.process is not None, "start comes first"
            try:
                code = self.process.wait(_TIMEOUT_S)
                words = f"it ended its process with {'signal' if code < 0 else 'exit code'} {abs(code)}"
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                words = f"it had not ended after {_TIMEOUT_S:g} s: give it a smaller sample"
            alone, tried, begun = self._read()
            if begun is None or begun in tried:
                if not alone and not tried and self.process.returncode:
                    alone = [f"importing {self.entry.module} failed: {self._last_line()}"]
                return alone, tried
            with self.answers.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps({"stage": begun, "error": f"{words} ({self._last_line()})"}) + "\n")
            self.wanted = self.wanted[[each["name"] for each in self.wanted].index(begun) + 1 :]
            if not self.wanted:
                return alone, self._read()[1]
            self.start()

    def end(self) -> None:
        """Kill the test process if it still runs; its worker processes end with it."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def _read(self) -> tuple[list[str], dict[str, Tried], str | None]:
        alone: list[str] = []
        tried: dict[str, Tried] = {}
        begun: str | None = None
        for line in self.answers.read_text(encoding="utf-8").splitlines() if self.answers.exists() else ():
            answer = json.loads(line)
            alone += answer.get("alone", [])
            begun = answer.get("begun", begun)
            if (name := answer.pop("stage", None)) is not None:
                listed = {key: tuple(answer.get(key, ())) for key in ("reads", "writes", "connects", "starts", "extra", "state")}
                tried[name] = Tried(answer["error"], answer.get("refused", ""), answer.get("outputs", {}), **listed)
        return list(dict.fromkeys(alone)), tried, begun

    def _last_line(self) -> str:
        text = (self.folder / "log.txt").read_text(encoding="utf-8", errors="replace").strip()
        return text.splitlines()[-1][:300] if text else "it printed nothing"


def _environment(plugin: str, folder: Path, different: Mapping[str, str]) -> dict[str, str]:
    """Return a test process's environment: this one's without `TRACECORE_*`, `PYTEST_*` and `COV_*`, `different`, and the import path and folders."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TRACECORE_", "PYTEST_", "COV_"))}
    return {
        **kept,
        **different,
        "TRACECORE_PLUGINS": plugin,
        "PYTHONPATH": os.pathsep.join(_import_path()),
        "PYTHONDONTWRITEBYTECODE": "1",
        "TMPDIR": str(folder / "temporary"),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "MPLCONFIGDIR": str(folder / "temporary"),
        "TORCHINDUCTOR_CACHE_DIR": str(folder / "temporary"),  # torch leaves the place it once chose in its environment, for children to find
    }


def _import_path() -> Iterator[str]:
    """Yield the entries of `sys.path` outside the Python installation and virtual environment, which a new interpreter would lack."""
    own = tuple(str(Path(each)) + os.sep for each in (sys.prefix, sys.base_prefix))
    yield from (each for each in dict.fromkeys(sys.path) if each and not f"{each}{os.sep}".startswith(own))
