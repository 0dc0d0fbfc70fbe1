"""The stage contract: what a plugin author subclasses.

A stage declares what it reads (`Input`, `Files`), what it writes (`Output`), its parameters (nested `Params`), and does its work in `run`. The kernel
gives it a `Context`; everything it reads and writes goes through that, so that everything is recorded.
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
    """Base of a stage's nested `Params`: frozen, and an unknown name is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Port:
    """A declared place where a stage reads or writes; it learns its name from the attribute it is assigned to."""

    name: str = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"


@runtime_checkable
class Table(Protocol):
    """What `context.read` returns of a table: the part of `pyarrow.dataset.Dataset` that stages use."""

    @property
    def schema(self) -> Any:
        """The `pyarrow.Schema`."""

    def to_table(self, columns: Any = None, filter: Any = None, **options: Any) -> Any:  # noqa: A002  # pyarrow's own name
        """Return the rows that a filter lets pass as a `pyarrow.Table`."""

    def to_batches(self, columns: Any = None, filter: Any = None, **options: Any) -> Iterator[Any]:  # noqa: A002  # as above
        """Yield them as `pyarrow.RecordBatch`es."""

    def count_rows(self, filter: Any = None, **options: Any) -> int:  # noqa: A002  # as above
        """Return the number of rows that a filter lets pass."""

    def scanner(self, columns: Any = None, filter: Any = None, **options: Any) -> Any:  # noqa: A002  # as above
        """Return a `pyarrow.dataset.Scanner`."""


Value_co = TypeVar("Value_co", covariant=True)
FileKind = Literal["drive_log", "model", "engine", "kpi_report", "data_request"]
"""Built-in kinds whose versions are files or folders."""
_UseName = Literal["learn", "select", "measure"]


class Input(Port, Generic[Value_co]):
    """An artifact that a stage reads; its type parameter is what `context.read` returns.

    Args:
        kind: what it must be: the name of a built-in kind, or a plugin's `ArtifactKind`; the table's own where left out.
        table: type of the table that it must hold, checked when a program is loaded and when the stage runs.
        use: what the stage does with it: `learn` from it, `select` by it (a training snapshot, a threshold, frames to train on) or `measure` on it.
            Undeclared, inputs of train and compress are learned from, those of diagnose and the data requests of curate select, those of evaluate
            measure; inputs of other stages have no use. It is recorded with the input, and the gate `no_leak` is judged by it.
        optional: whether a program may leave it out; `context.read` then returns None.

    Raises:
        TypeError: not a known kind, or not the kind of the table.
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
        self.kind = _kind(kind, table)
        self.table = table
        self.use = None if use is None else Use(use)
        self.optional = optional
        self.description = description


class Output(Port):
    """An artifact that a stage writes.

    Args:
        kind: what it is: the name of a built-in kind, or a plugin's `ArtifactKind`; the table's own where left out.
        table: type of the table that it holds; recorded with each version.
        checks: names of checks that are run on it.
        file: where given, the output is the one file of this name under `context.path`, not the directory.

    Raises:
        TypeError: not a known kind, or not the kind of the table.
    """

    def __init__(
        self, kind: str = "", *, table: TableType | None = None, checks: Sequence[str] = (), file: str | None = None, description: str = ""
    ) -> None:
        self.kind = _kind(kind, table)
        self.table = table
        self.checks = tuple(checks)
        self.file = file
        self.description = description


def _kind(kind: str, table: TableType | None) -> ArtifactKind:
    if not kind and table is None:
        raise TypeError('a port needs its kind or its table: tc.Input("model"), tc.Input(table=tc.FRAMES)')
    if kind and not isinstance(kind, ArtifactKind) and kind not in BUILT_IN_KINDS:
        raise TypeError(
            f"'{kind}' is not a built-in kind of artifacts ({', '.join(BUILT_IN_KINDS)}): pass the tc.ArtifactKind that a plugin registers"
        )
    if table is not None and kind and kind != table.kind:
        raise TypeError(f"a table of {table.name} is a {table.kind}, not a {kind}: leave the kind out")
    return kind_of(kind or (table.kind if table is not None else ""))


class Files(Port):
    """Files from outside the record: drive logs, label files. Found by the kernel, which puts their digests into the staleness key.

    Args:
        param: the parameter that holds their paths: a list of files, folders and globs, relative to the program's file.
        suffixes: which files of a folder are meant: suffixes (`.mcap`), whole names (`metadata.yaml`), patterns of a path's last parts
            (`calib/*.txt`); a file named outright is always taken.
        note: what they are, in words (`drive file`).
        optional: whether no path need be given; a folder or glob that is given must hold such a file all the same.
        nested: whether files are called by their place in the folder they were found in, its own name first (`set/train/images/7.jpg`): for data
            to which folders mean something. The names are part of the staleness key.
        surveyed: whether the record names what the folders list besides: for data, of which nothing may be missed in silence.
        companions: endings of names of files that belong to one found, and are taken with it: with `-wal`, `x.db3-wal` goes with `x.db3`.
        outputs: whether what a project wrote itself counts too: a training tool's `runs` folder, a workspace.
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
    """One file that a stage may adopt: found outside the record before the run started, or a member of an input (`part_of` names its port)."""

    path: Path
    name: str
    digest: str
    size_bytes: int
    part_of: str = ""


@runtime_checkable
class Lineage(Protocol):
    """What a stage may ask of the record: read-only."""

    def trace(self, ref: str) -> Mapping[str, Any]:
        """Return the backward trace of a ref, as `tracecore trace --json` does."""

    def facets(self, ref: str) -> Mapping[str, JSON]:
        """Return the facets of one whole artifact ref by name."""


class Context(Protocol):
    """What a running stage is given.

    Attributes:
        seed: of this stage; the only source of randomness it may use.
        threads: intra-op CPU threads it should use, recorded with the run.
        log: goes to the run's log.
        lineage: read-only questions to the record.
    """

    seed: int
    threads: int
    log: logging.Logger
    lineage: Lineage

    def read(self, port: Input[Value_co]) -> Value_co:
        """Return an input: a `pyarrow.dataset.Dataset` (`to_table(filter=, columns=)`) for a table, else a `Path`.

        None for an optional input that the program leaves out.
        """

    def artifact(self, port: Input[Any]) -> Artifact | None:
        """Return the recorded identity of an input: its ref, digest and facets."""

    def files(self, port: Files) -> list[SourceFile]:
        """Return the files found for a port, sorted by name; a read that is recorded."""

    def members(self, port: Input[Any]) -> list[SourceFile]:
        """Return the files of an input that is a directory, by path; empty for an optional input left out.

        One that is adopted is recorded as made from that input, so that its trace continues at the run that wrote the directory.
        """

    def scratch(self) -> Path:
        """Return a folder that outlives a kill: the next run that is to make the same finds what this one left there.

        For checkpoints of long work. What is made must be the same with and without it; it is removed when the run completes.
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
        """Keep a source file in the store, with its declared origin or as part of an input, and give its stored path.

        A `drive_log` is recorded by a child run and becomes an input of this one (role `drive_log`); an `external` becomes an input with an origin.

        Raises:
            UsageError: two different files claim one name, or a member of an input is to become an `external`.
        """

    def quarantine(self, file: SourceFile, reason: str) -> None:
        """Leave a damaged file out, by name and with its reason, in the record."""

    def write(self, port: Output, value: Any) -> None:
        """Write an output table: a `pyarrow.Table`, or a `RecordBatchReader` to write more than memory holds."""

    def path(self, port: Output) -> Path:
        """Return the directory to write an output's files to."""

    def describe(self, port: Output, facet: str | FacetSpec, value: Mapping[str, JSON]) -> None:
        """Attach a facet to an output: counts, versions, and a `summary` of at most 120 characters that traces show.

        Args:
            facet: a `FacetSpec`, which makes the summary; or a name, whose value has one (`tc.summarize` makes it).

        Raises:
            TypeError: the summary is missing, empty or too long, or the facet is not JSON.
        """

    def unknown(self, what: str, why: str, *, port: Output | None = None) -> None:
        """State a fact that is missing about an output (about all outputs without `port`)."""

    def progress(self, done: int, total: int, note: str = "") -> None:
        """Report how far the work is."""


def kebab_case(name: str) -> str:
    """Turn a class name into a name for programs: `NightFrames` gives `night-frames`."""
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
        """Do the work: read inputs, write every output, only through `context`."""

    @classmethod
    def inputs(cls) -> dict[str, Input[Any]]:
        """The declared inputs by name, in order of declaration."""
        return cls._ports(Input)

    @classmethod
    def use_of(cls, port: str) -> Use | None:
        """The use of an input: what its port declares, else what the stage's kind implies."""
        declared = cls.inputs()[port]
        return declared.use or default_use(cls.kind, declared.kind)

    @classmethod
    def outputs(cls) -> dict[str, Output]:
        """The declared outputs by name, in order of declaration."""
        return cls._ports(Output)

    @classmethod
    def file_ports(cls) -> dict[str, Files]:
        """The declared sources of outside files by name."""
        return cls._ports(Files)

    @classmethod
    def _ports(cls, type_: type[P]) -> dict[str, P]:
        found: dict[str, P] = {}
        for klass in reversed(cls.__mro__):
            found.update({name: port for name, port in vars(klass).items() if isinstance(port, type_)})
        return found

    @classmethod
    def description(cls) -> str:
        """The first line of the stage's docstring."""
        return (cls.__doc__ or "").strip().partition("\n")[0]
