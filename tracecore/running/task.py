"""The executor's request (`Task`: one asset of a program) and response (`Outcome`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tracecore.errors import NegativeVerdict, UsageError, suggestion
from tracecore.plugins.host import RegisteredStage
from tracecore.stage import Input
from tracecore_schemas.canonical import JSON
from tracecore_schemas.facets import count
from tracecore_schemas.run import Artifact, CheckRun, Parent

__all__ = ["DEFAULT_THREADS", "Outcome", "ResolvedInput", "Task"]

DEFAULT_THREADS = 2


@dataclass(frozen=True, slots=True)
class ResolvedInput:
    """An input version, the id of the run that produced it (None if unknown), and whether a blocking check rejected it."""

    artifact: Artifact
    producer: str | None
    rejected: bool = False


@dataclass(frozen=True, slots=True)
class Task:
    """One asset to make.

    Attributes:
        program_artifact: recorded as an input of the run, but not part of the staleness key.
        base: folder that relative file paths in `params` start from.
        checks: the program's settings by check name: `{"no_leak": {"blocking": False, "seconds": 2}}`; checks that the stage does not declare are
            added.
        readers: names of the assets that read an output, by port.
    """

    program: str
    asset: str
    stage: RegisteredStage
    params: Mapping[str, Any]
    inputs: Mapping[str, ResolvedInput]
    seed: int
    program_artifact: Artifact | None
    base: Path
    checks: Mapping[str, Mapping[str, JSON]] = field(default_factory=dict)
    readers: Mapping[str, Sequence[str]] = field(default_factory=dict)
    parent: Parent | None = None
    threads: int = DEFAULT_THREADS

    @property
    def job(self) -> str:
        """The name of the task's OpenLineage job, `<program>.<asset>`."""
        return f"{self.program}.{self.asset}"

    def output_name(self, port: str) -> str:
        """Return the artifact name of an output: `<program>.<asset>`, plus `.<port>` if the stage has several outputs."""
        return self.job if len(self.stage.stage_class.outputs()) == 1 else f"{self.job}.{port}"

    @property
    def in_words(self) -> str:
        """The task's stage and asset in words, to begin an error message."""
        return f"Stage '{self.stage.name}' of asset '{self.asset}'"

    def check_inputs(self) -> None:
        """Raise UsageError for a missing, undeclared or wrong input (by kind or table type), NegativeVerdict for one that failed a blocking check."""
        declared = self.stage.stage_class.inputs()
        for name in self.inputs:
            if name not in declared:
                offer = suggestion(name, declared, none_known="It has no inputs.")
                raise UsageError(f"{self.in_words} has no input '{name}'. {offer}")
        for name, port in declared.items():
            supplied = self.inputs.get(name)
            if supplied is None:
                if not port.optional:
                    raise UsageError(f"{self.in_words} needs a {port.kind} '{name}', which nothing supplies.")
                continue
            if supplied.artifact.kind != port.kind:
                raise UsageError(f"{self.in_words} needs a {port.kind} as '{name}', found {supplied.artifact.ref}.")
            self._check_table(name, port, supplied.artifact)
            if supplied.rejected:
                raise NegativeVerdict(f"{self.in_words} can't read {supplied.artifact.ref} as '{name}': it was rejected by a blocking check.")

    def _check_table(self, name: str, port: Input[Any], artifact: Artifact) -> None:
        """Raise UsageError if an artifact's recorded table type is not the port's, or an artifact without one lacks a column required by the port."""
        if port.table is None:
            return
        needed = f"{self.in_words} needs a table of {port.table.name} as '{name}', "
        if artifact.table is not None:
            if not artifact.table.fits(port.table.name):
                raise UsageError(f"{needed}found {artifact.ref}, one of {artifact.table.name}.")
            return
        known = {field.name for field in artifact.schema}
        lacking = [f"'{column.name}'" for column in port.table.columns if not column.nullable and column.name not in known]
        if known and lacking:
            columns = f"{count(len(lacking), 'column')} of it: {', '.join(lacking)}"
            raise UsageError(f"{needed}but {artifact.ref}, whose output declares no table type, lacks {columns}.")


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a task; `checks` includes those of a reused run, `rejected` are refs of outputs that failed a blocking check."""

    run_id: str
    reused: bool
    outputs: Mapping[str, Artifact]
    checks: tuple[CheckRun, ...]
    rejected: frozenset[str]
