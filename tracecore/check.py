"""Checks: assertions about outputs, each recorded as a run that reads what it checks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from tracecore_schemas.canonical import JSON
from tracecore_schemas.kinds import Severity
from tracecore_schemas.run import Artifact, ExpectationOutcome, Unknown

__all__ = ["Check", "CheckContext", "CheckResult", "Described"]


class Described:
    """Base of what plugins register: a class without a `description` takes the first line of its docstring."""

    description: str = ""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "description" not in vars(cls) and cls.__doc__ and Described not in cls.__bases__:
            cls.description = cls.__doc__.strip().partition("\n")[0]


class CheckContext(Protocol):
    """What a check may read.

    Attributes:
        target: the output that the check is recorded for; of a check over several outputs, the first.
        params: what the program says of this check (`checks: {no_leak: {seconds: 2}}`).
    """

    target: Artifact
    ports: Sequence[str]
    params: Mapping[str, JSON]
    readers: Sequence[str]

    def read(self, port: str | None = None) -> Any:
        """Return an output as a stage would read it, the target without `port`; recorded as an input of the check's run."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a check found.

    Attributes:
        message: one sentence: what was found, with the first offending names.
        outcomes: each assertion; a result without any gets one of the check's own name.
        severity: what a failure means, where the check itself weighs it; what the program says goes before.
    """

    success: bool
    message: str
    outcomes: tuple[ExpectationOutcome, ...] = ()
    details: Mapping[str, JSON] = field(default_factory=dict)
    unknowns: tuple[Unknown, ...] = ()
    severity: Severity | None = None


class Check(Described, ABC):
    """An assertion about one output, or about several outputs of one run together.

    Attributes:
        severity: blocking unless the program says otherwise.
        asks_readers: whether its answer depends on which assets read the output.
    """

    name: str
    severity: Severity = Severity.BLOCKING
    asks_readers: bool = False

    @abstractmethod
    def run(self, context: CheckContext) -> CheckResult:
        """Read and judge."""
