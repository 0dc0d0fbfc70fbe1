"""Checks: assertions about outputs, each recorded as a run that has the checked outputs as inputs."""

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
    """Base class of registered objects; a subclass without a `description` gets the first line of its docstring."""

    description: str = ""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "description" not in vars(cls) and cls.__doc__ and Described not in cls.__bases__:
            cls.description = cls.__doc__.strip().partition("\n")[0]


class CheckContext(Protocol):
    """Access of a check to the outputs that it may read.

    Attributes:
        target: the output that the check is recorded for; the first one if it covers several.
        params: the check's parameters in the program (`checks: {no_leak: {seconds: 2}}`).
    """

    target: Artifact
    ports: Sequence[str]
    params: Mapping[str, JSON]
    readers: Sequence[str]

    def read(self, port: str | None = None) -> Any:
        """Return the content of an output port (by default the port of `target`), a `pyarrow.dataset.Dataset` or `Path`; the reading is recorded."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of a check.

    Attributes:
        message: one sentence with the finding and the first offending names.
        outcomes: one per assertion; if empty, one named after the check is recorded.
        severity: severity chosen by the check for this result; the program's setting takes precedence.
    """

    success: bool
    message: str
    outcomes: tuple[ExpectationOutcome, ...] = ()
    details: Mapping[str, JSON] = field(default_factory=dict)
    unknowns: tuple[Unknown, ...] = ()
    severity: Severity | None = None


class Check(Described, ABC):
    """An assertion about outputs of one run; `asks_readers` if the result depends on which assets read the output."""

    name: str
    severity: Severity = Severity.BLOCKING
    asks_readers: bool = False

    @abstractmethod
    def run(self, context: CheckContext) -> CheckResult:
        """Read the outputs to be checked through `context`, and return whether they pass, with a message."""
