"""Data exchanged between a build and a worker: a pickled job to the worker, JSON back.

The build never unpickles a worker's data, since workers run plugin code.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracecore.errors import NegativeVerdict, RunFailed, TracecoreError, UsageError
from tracecore.running.audit_hook import Access
from tracecore.running.erasure_filter import ErasureFilter
from tracecore.running.worker.load_observer import Loaded
from tracecore.stage import SourceFile, Stage
from tracecore.store.protocol import StagedTable, TableFile
from tracecore.workspace import Workspace
from tracecore_schemas.canonical import JSON
from tracecore_schemas.run import Artifact, Unknown

if TYPE_CHECKING:
    from pydantic import BaseModel

__all__ = ["Job", "StageRaised", "StageResult", "error_class", "make_error", "shape_of"]

_ERRORS = {each.__name__: each for each in (TracecoreError, UsageError, NegativeVerdict, RunFailed)}


def error_class(error: BaseException) -> str:
    """Return the name of the nearest of tracecore's own error classes that an exception is an instance of; empty if there is none."""
    return next((each.__name__ for each in type(error).__mro__ if each in _ERRORS.values()), "")


def make_error(name: str, message: str) -> TracecoreError:
    """Return an exception of tracecore's error class `name` with a message, both received from another process."""
    return _ERRORS[name](message)


@dataclass(frozen=True, slots=True)
class Job:
    """One execution of one stage.

    Attributes:
        module: module of the stage class; `name` is its qualified name.
        shape: the stage's ports and effective parameters as the build read them (`shape_of`).
        started_ns: start of the run; code that was written later may differ from the code at START.
        hashed: folders and files whose code is recorded file by file.
        levels: logging levels of the root logger and of the run's logger.
        listened: whether progress is reported.
        around: `module:name` of the function that runs the stage in a trial, with `asked`; None outside of trials.
    """

    module: str
    name: str
    asset: str
    job: str
    run_id: str
    params: Mapping[str, Any]
    shape: JSON
    seed: int
    threads: int
    inputs: Mapping[str, Artifact]
    found: Mapping[str, Sequence[SourceFile]]
    withdrawn: ErasureFilter
    workspace: Workspace
    scratch: Path
    started_ns: int
    hashed: tuple[str, ...]
    import_path: tuple[str, ...]
    environment: Mapping[str, str]
    folder: str
    levels: tuple[int, int]
    listened: bool
    around: str | None = None
    asked: JSON = None


@dataclass(frozen=True, slots=True)
class StageResult:
    """The result of a stage: staged outputs, facets and unknowns by port (None for all outputs), and what its process accessed and loaded.

    `strays` are accesses that were not allowed, `uncounted` the number of further ones, `trial` the results of a trial.
    """

    tables: Mapping[str, StagedTable]
    folders: Mapping[str, Path]
    facets: dict[str, dict[str, JSON]]
    unknowns: tuple[tuple[str | None, Unknown], ...]
    strays: tuple[Access, ...]
    uncounted: int
    loaded: Loaded
    trial: Mapping[str, Any] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """Return the stage's result as JSON data, from which `StageResult.read` restores it."""
        return {
            "tables": {port: _table_as_json(table) for port, table in self.tables.items()},
            "folders": {port: str(folder) for port, folder in self.folders.items()},
            "facets": self.facets,
            "unknowns": [[port, unknown.what, unknown.why] for port, unknown in self.unknowns],
            "strays": [[each.verb, each.target, each.where] for each in self.strays],
            "uncounted": self.uncounted,
            "loaded": asdict(self.loaded),
            "trial": self.trial,
        }

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> StageResult:
        """Return the stage's result from the JSON data of `StageResult.document`."""
        loaded = document["loaded"]
        return cls(
            tables={port: _table_from_json(plain) for port, plain in document["tables"].items()},
            folders={port: Path(folder) for port, folder in document["folders"].items()},
            facets=document["facets"],
            unknowns=tuple((port, Unknown(what, why)) for port, what, why in document["unknowns"]),
            strays=tuple(Access(*each) for each in document["strays"]),
            uncounted=document["uncounted"],
            loaded=Loaded(
                loaded["modules"], loaded["hashed"], *(tuple(loaded[name]) for name in ("natives", "named", "absent", "changed", "touched"))
            ),
            trial=document["trial"],
        )


@dataclass(eq=False)
class StageRaised(Exception):
    """A stage failed or was stopped (`interrupt`) in its worker, or the worker process died.

    `trace` is the stack trace to record, `text` the traceback to show, `known` the name of the kernel's error class if it is one, `disk` the message
    if the disk was full or read-only, `trial` the results of a trial.
    """

    reason: str
    trace: str = ""
    text: str = ""
    known: str = ""
    disk: str = ""
    interrupt: bool = False
    trial: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.reason}\n{self.text}" if self.text else self.reason


def shape_of(stage: type[Stage], params: BaseModel) -> JSON:
    """Return a stage's ports and parameters as JSON; if a worker's differ from the build's, the stage was edited after the build read it."""
    return {
        "kind": stage.kind.value,
        "name": stage.name,
        "inputs": [[port.name, port.kind, port.optional] for port in stage.inputs().values()],
        "outputs": [[port.name, port.kind, port.file] for port in stage.outputs().values()],
        "files": [[port.name, port.param, list(port.suffixes), port.note, port.optional, port.nested] for port in stage.file_ports().values()],
        "params": params.model_dump_json(warnings=False),
    }


def _table_as_json(table: StagedTable) -> dict[str, Any]:
    files = [[each.name, each.digest, each.size_bytes, each.rows, each.partition, each.stats] for each in table.files]
    schema = base64.b64encode(table.schema.serialize().to_pybytes()).decode()
    return {"folder": str(table.folder), "schema": schema, "partition_columns": table.partition_columns, "files": files}


def _table_from_json(plain: Mapping[str, Any]) -> StagedTable:
    import pyarrow as pa

    files = tuple(
        TableFile(name, digest, size, rows, tuple((column, value) for column, value in partition), stats)
        for name, digest, size, rows, partition, stats in plain["files"]
    )
    schema = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(plain["schema"])))
    return StagedTable(Path(plain["folder"]), schema, tuple(plain["partition_columns"]), files)
