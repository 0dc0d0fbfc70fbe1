"""The stage contract: the classes that a plugin author uses to define a stage.

A stage declares what it reads (`Input`, `Files`), what it writes (`Output`) and its parameters (nested `Params`), and works in `run`. Everything it
reads and writes goes through its `Context`, so that it is recorded.
"""

from __future__ import annotations

import logging
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, Protocol, TypeVar, overload, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field

from tracecore_schemas.arrow_tables import TableType
from tracecore_schemas.canonical import JSON
from tracecore_schemas.facets import FacetSpec
from tracecore_schemas.kinds import BUILT_IN_KINDS, ArtifactKind, StageKind, Use, default_use, kind_of
from tracecore_schemas.run import Artifact

__all__ = ["Context", "Field", "Files", "Input", "Lineage", "Output", "Params", "Port", "SourceFile", "Stage", "StageKind", "Table", "kebab_case"]

P = TypeVar("P", bound="Port")


class Params(BaseModel):
    """Base class of a stage's nested `Params`: immutable, unknown names are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Port:
    """A declared input or output of a stage; its name is that of the attribute it is assigned to."""

    name: str = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"


@runtime_checkable
class Table(Protocol):
    """The table that `context.read` returns: the part of `pyarrow.dataset.Dataset` that stages use."""

    @property
    def schema(self) -> Any:
        """The table's `pyarrow.Schema`."""

    def to_table(self, columns: Any = None, filter: Any = None, **options: Any) -> Any:  # noqa: A002  # pyarrow's own name
        """Return the table's rows that match `filter`, by default all, as a `pyarrow.Table` with the given columns, by default all."""

    def to_batches(self, columns: Any = None, filter: Any = None, **options: Any) -> Iterator[Any]:  # noqa: A002  # as above
        """Yield the table's rows that match `filter`, by default all, as `pyarrow.RecordBatch`es with the given columns, by default all."""

    def count_rows(self, filter: Any = None, **options: Any) -> int:  # noqa: A002  # as above
        """Return the number of the table's rows that match `filter`, by default of all rows."""

    def scanner(self, columns: Any = None, filter: Any = None, **options: Any) -> Any:  # noqa: A002  # as above
        """Return a `pyarrow.dataset.Scanner` of the table's rows that match `filter`, by default all, with the given columns, by default all."""


Value_co = TypeVar("Value_co", covariant=True)
FileKind = Literal["drive_log", "model", "engine", "kpi_report", "data_request"]
"""Names of built-in kinds that are files or folders."""
_UseName = Literal["learn", "select", "measure"]


class Input(Port, Generic[Value_co]):
    """An artifact that a stage reads; its type parameter is the type that `context.read` returns.

    Args:
        kind: name of a built-in kind, or a plugin's `ArtifactKind`; by default the table type's kind.
        table: required table type, checked when a program is loaded and when the stage runs.
        use: what the stage does with it: `learn` from it, `select` by it (a training snapshot, a threshold, frames to train on) or `measure` on it.
            By default, inputs of train and compress are learned from, those of diagnose and the data requests of curate select, those of evaluate
            measure, and others have no use. It is recorded with the input and decides the gate `no_leak`.
        optional: whether a program may leave it out; `context.read` then returns None.

    Raises:
        TypeError: the kind is unknown, or not the table type's kind.
    """

    @overload
    def __init__(
        self: Input[Table], kind: str = "", *, table: TableType, use: _UseName | None = None, optional: Literal[False] = False, description: str = ""
    ) -> None: ...
    @overload
    def __init__(
        self: Input[Table | None], kind: str = "", *, table: TableType, use: _UseName | None = None, optional: Literal[True], description: str = ""
    ) -> None: ...
    @overload
    def __init__(
        self: Input[Path], kind: FileKind, *, use: _UseName | None = None, optional: Literal[False] = False, description: str = ""
    ) -> None: ...
    @overload
    def __init__(
        self: Input[Path | None], kind: FileKind, *, use: _UseName | None = None, optional: Literal[True], description: str = ""
    ) -> None: ...
    @overload
    def __init__(self: Input[Any], kind: str, *, use: _UseName | None = None, optional: bool = False, description: str = "") -> None: ...
    def __init__(
        self, kind: str = "", *, table: TableType | None = None, use: _UseName | None = None, optional: bool = False, description: str = ""
    ) -> None:
        self.kind = _port_kind(kind, table)
        self.table = table
        self.use = None if use is None else Use(use)
        self.optional = optional
        self.description = description


class Output(Port):
    """An artifact that a stage writes.

    Args:
        kind: name of a built-in kind, or a plugin's `ArtifactKind`; by default the table type's kind.
        table: table type; recorded with each version.
        checks: names of checks to run on it.
        file: name of a single file below `context.path` that is the output, instead of the whole directory.

    Raises:
        TypeError: the kind is unknown, or not the table type's kind.
    """

    def __init__(
        self, kind: str = "", *, table: TableType | None = None, checks: Sequence[str] = (), file: str | None = None, description: str = ""
    ) -> None:
        self.kind = _port_kind(kind, table)
        self.table = table
        self.checks = tuple(checks)
        self.file = file
        self.description = description


def _port_kind(kind: str, table: TableType | None) -> ArtifactKind:
    """Return the artifact kind of a stage's input or output, by default that of its table type; raises TypeError for invalid or conflicting ones."""
    if not kind and table is None:
        raise TypeError('a port needs its kind or its table: tc.Input("model"), tc.Input(table=tc.FRAMES)')
    if table is not None and not isinstance(table, TableType):
        raise TypeError(f"table={table!r} is not a table type: pass the object, such as table=tc.FRAMES")
    if kind and not isinstance(kind, ArtifactKind) and kind not in BUILT_IN_KINDS:
        raise TypeError(
            f"'{kind}' is not a built-in kind of artifacts ({', '.join(BUILT_IN_KINDS)}): pass the tc.ArtifactKind that a plugin registers"
        )
    if table is not None and kind and kind != table.kind:
        raise TypeError(f"a table of {table.name} is a {table.kind}, not a {kind}: leave the kind out")
    return kind_of(kind or (table.kind if table is not None else ""))


class Files(Port):
    """Files from outside the record, such as drive logs and label files; the kernel finds them, and their digests are part of the staleness key.

    Args:
        param: name of the parameter with the paths: files, folders and globs, relative to the program's file.
        suffixes: which files of a folder are accepted: suffixes (`.mcap`), file names (`metadata.yaml`) or patterns of a path's last parts
            (`calib/*.txt`); a file named directly is always accepted.
        note: what they are, in words (`drive file`).
        optional: whether the parameter may be empty; a given folder or glob must still match a file.
        nested: whether a file's name is its path from the folder it was found in, including that folder (`set/train/images/7.jpg`), for data in which
            folders have a meaning. Names are part of the staleness key.
        surveyed: whether the other files in the searched folders are recorded too.
        companions: suffixes appended to a found file's name that select files to take with it: with `-wal`, `x.db3-wal` goes with `x.db3`.
        outputs: whether a training tool's `runs` folders and workspaces are searched too.
    """

    def __init__(
        self,
        param: str,
        *,
        suffixes: Sequence[str],
        note: str,
        optional: bool = False,
        nested: bool = False,
        surveyed: bool = False,
        companions: Sequence[str] = (),
        outputs: bool = False,
    ) -> None:
        self.param = param
        self.suffixes = tuple(suffixes)
        self.note = note
        self.optional = optional
        self.nested = nested
        self.surveyed = surveyed
        self.companions = tuple(companions)
        self.outputs = outputs


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file that a stage may adopt: an external file found before the run, or a member of the input port `part_of`."""

    path: Path
    name: str
    digest: str
    size_bytes: int
    part_of: str = ""


@runtime_checkable
class Lineage(Protocol):
    """Read-only queries of the record."""

    def trace(self, ref: str) -> Mapping[str, Any]:
        """Return the backward trace (provenance) of a ref in the format of `tracecore trace --json`."""

    def facets(self, ref: str) -> Mapping[str, JSON]:
        """Return {facet name: value} of the recorded artifact with a full ref."""


class Context(Protocol):
    """The access of a running stage to its inputs, outputs and settings.

    Attributes:
        seed: the stage's seed, its only source of randomness.
        threads: intra-op CPU threads to use, recorded with the run.
    """

    seed: int
    threads: int
    log: logging.Logger
    lineage: Lineage

    def read(self, port: Input[Value_co]) -> Value_co:
        """Return an input's content: a `pyarrow.dataset.Dataset` for a table, else a `Path`; None if the program leaves out an optional input."""

    def artifact(self, port: Input[Any]) -> Artifact | None:
        """Return the recorded artifact (ref, digest, facets, …) that an input reads; None if the program leaves out an optional input."""

    def files(self, port: Files) -> list[SourceFile]:
        """Return the files that match a declared file port, sorted by name; they are recorded as inputs of the run."""

    def members(self, port: Input[Any]) -> list[SourceFile]:
        """Return the files in an input that is a directory, sorted by path; empty if the program leaves out an optional input.

        A file of them that is passed to `adopt` is recorded as derived from the input, so that its trace continues at the run that wrote it.
        """

    def scratch(self) -> Path:
        """Return a folder for checkpoints of long work; if the run is killed, the next run with equal code, parameters, seed and inputs gets it.

        Outputs must be the same with and without the checkpoints. The folder is removed when the run completes.
        """

    def adopt(
        self,
        file: SourceFile,
        *,
        kind: str,
        name: str,
        facets: Mapping[str | FacetSpec, JSON] | None = None,
        unknowns: Sequence[tuple[str, str]] = (),
    ) -> Path:
        """Copy a source file into the artifact store as an artifact of a kind and name, record it as read by the run, and return its stored path.

        A `drive_log` is recorded as the output of a child run and as an input of this run; an `external` is recorded only as an input of this run.

        Raises:
            UsageError: two different files have the same name, or a member of an input is adopted as `external`.
        """

    def quarantine(self, file: SourceFile, reason: str) -> None:
        """Record a damaged source file's name, and the reason why the stage leaves it out."""

    def write(self, port: Output, value: Any) -> None:
        """Write the content of an output that is a table: a `pyarrow.Table`, or a `RecordBatchReader` for more rows than fit in memory."""

    def path(self, port: Output) -> Path:
        """Return the folder into which the stage writes the files of an output."""

    def describe(self, port: Output, facet: str | FacetSpec, value: Mapping[str, JSON]) -> None:
        """Attach metadata to an output as a facet: counts, versions, and a `summary` of at most 120 characters that traces show.

        Args:
            facet: a `FacetSpec`, which adds the summary, or a name, whose value must have one (see `tc.summarize`).

        Raises:
            TypeError: the summary is missing or invalid, or the value is not JSON.
        """

    def unknown(self, what: str, why: str, *, port: Output | None = None) -> None:
        """Record in the trace of an output (by default of all outputs) that the fact `what` is not known, and why."""

    def progress(self, done: int, total: int, note: str = "") -> None:
        """Report to the user that `done` of `total` steps of the stage are done; `note` is a remark to show with it."""


def kebab_case(name: str) -> str:
    """Return a CamelCase class name in kebab case: `NightFrames` as `night-frames`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", name).lower()


class Stage(ABC):
    """One step of the perception loop.

    Attributes:
        name: what a program's `plugin:` says; the class name in kebab-case where not set.
        checks: names of checks over several outputs together (`no_leak` over a split).
    """

    kind: ClassVar[StageKind]
    name: ClassVar[str] = ""
    checks: ClassVar[Sequence[str]] = ()
    Params: ClassVar[type[BaseModel]] = Params

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "name" not in cls.__dict__:
            cls.name = kebab_case(cls.__name__)

    @abstractmethod
    def run(self, context: Context, params: Any) -> None:
        """Execute the stage: read its inputs from `context` and write every output to it."""

    @classmethod
    def inputs(cls) -> dict[str, Input[Any]]:
        """Return the stage's declared inputs by name, in order of declaration, those of base classes first."""
        return cls._ports(Input)

    @classmethod
    def use_of(cls, port: str) -> Use | None:
        """Return the use of an input by port name: the declared use, else the default for the kinds of stage and artifact, None without a default."""
        declared = cls.inputs()[port]
        return declared.use or default_use(cls.kind, declared.kind)

    @classmethod
    def outputs(cls) -> dict[str, Output]:
        """Return the stage's declared outputs by name, in order of declaration, those of base classes first."""
        return cls._ports(Output)

    @classmethod
    def file_ports(cls) -> dict[str, Files]:
        """Return the stage's declared ports for external files (`Files`) by name, in order of declaration."""
        return cls._ports(Files)

    @classmethod
    def _ports(cls, type_: type[P]) -> dict[str, P]:
        found: dict[str, P] = {}
        for klass in reversed(cls.__mro__):
            found.update({name: port for name, port in vars(klass).items() if isinstance(port, type_)})
        return found

    @classmethod
    def description(cls) -> str:
        """Return the stage's description: the first line of its class docstring, empty if it has none."""
        return (cls.__doc__ or "").strip().partition("\n")[0]
