"""A step of external assets in plain values, as it is recorded or spooled."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from tracecore_lineage.events.artifacts import UNVERSIONED
from tracecore_schemas.canonical import JSON

__all__ = [
    "PROGRAM_TAG",
    "CheckRecord",
    "InputRecord",
    "OutputRecord",
    "StepRecord",
    "check_id",
    "external_namespace",
    "partition_name",
    "run_id_of",
]

PROGRAM_TAG = "tracecore/program"
"""Tag of the ops of programs; the executor records their runs, not the event log."""

_RUNS = uuid.UUID("3c1f6f0e-7f57-5d0b-8b7a-0a4d2b1f9e63")
"""Namespace of run ids: one for each attempt of a step, so that an event that is stored twice gives one run."""


def run_id_of(dagster_run: str, step: str, attempt: int) -> str:
    """Return the run id of one attempt of a step."""
    return str(uuid.uuid5(_RUNS, json.dumps([dagster_run, step, attempt])))


def check_id(run: str, asset: str, check: str, partition: str | None, at: str) -> str:
    """Return the run id of one evaluation of an asset check."""
    return str(uuid.uuid5(_RUNS, json.dumps(["check", run, asset, check, partition, at])))


def external_namespace(slug: str) -> str:
    """Return the namespace of a workspace's external assets; in the workspace's own, `kind/name` would be read as an artifact of the workspace."""
    return f"dagster.{slug}"


def partition_name(key: str, partition: str | None) -> str:
    """Return the name of an asset, or of one partition, which is data of its own."""
    return key if partition is None else f"{key}[{partition}]"


@dataclass(frozen=True, slots=True)
class InputRecord:
    """A version that a step read.

    Attributes:
        key: Dagster's asset key, slashes between its parts.
        ref: whole ref of an artifact of this record; None for an external asset.
        producer: run of this record that made it, if known.
        partition: of an external asset.
        version: of an external asset; `unversioned` if none was ever recorded.
    """

    key: str
    ref: str | None = None
    producer: str | None = None
    partition: str | None = None
    version: str = UNVERSIONED


@dataclass(frozen=True, slots=True)
class OutputRecord:
    """A version that a step made or observed.

    Attributes:
        key: Dagster's asset key, slashes between its parts.
        version: Dagster's data version.
        given: whether the asset gave its version itself; otherwise Dagster computed it from code and inputs.
        observed: whether the step only observed it.
        metadata: plain values only.
    """

    key: str
    partition: str | None
    version: str
    given: bool
    observed: bool = False
    code_version: str | None = None
    metadata: Mapping[str, JSON] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CheckRecord:
    """An evaluation of an asset check.

    Attributes:
        id: of the check's run.
        target: whole ref of the checked version.
        of_run: the run that made that version; None if it has to be looked up in the record.
        message: one sentence.
        metadata: plain values only.
        at: ISO 8601.
        step: the step that ran it.
    """

    id: str
    name: str
    target: str
    of_run: str | None
    passed: bool
    blocking: bool
    message: str
    metadata: Mapping[str, JSON]
    at: str
    step: str


@dataclass(frozen=True, slots=True)
class StepRecord:
    """An attempt of a step of external assets.

    Attributes:
        run: its run id in the record.
        step: Dagster's step key.
        dagster_run: Dagster's run id; empty for an asset reported outside a run.
        dagster_job: name of the job.
        started_at: ISO 8601.
        ended_at: ISO 8601.
        error: one sentence; None if the step succeeded.
        unknowns: (what, why) of the outputs.
        planned: whether it was to make assets; its start and end are then recorded even if it made none.
    """

    run: str
    step: str
    dagster_run: str
    dagster_job: str
    started_at: str
    ended_at: str
    error: str | None = None
    inputs: tuple[InputRecord, ...] = ()
    outputs: tuple[OutputRecord, ...] = ()
    unknowns: tuple[tuple[str, str], ...] = ()
    checks: tuple[CheckRecord, ...] = ()
    planned: bool = False

    def split(self) -> tuple[StepRecord, ...]:
        """Return the step as two runs if it failed after making assets (a blocking check, a second output that failed).

        Dagster keeps these assets, and later steps may read them: one run made them, another one failed.
        """
        if self.error is None or not self.outputs:
            return (self,)
        run = str(uuid.uuid5(_RUNS, json.dumps(["made", self.run])))
        checks = tuple(replace(each, of_run=run) if each.of_run == self.run else each for each in self.checks)
        afterwards = ("step", f"the step that made it failed afterwards: {self.error}")
        return (
            replace(self, outputs=(), unknowns=(), checks=()),
            replace(self, run=run, error=None, unknowns=(*self.unknowns, afterwards), checks=checks),
        )

    def dump(self) -> bytes:
        """Return the step as JSON."""
        return json.dumps(asdict(self), ensure_ascii=False).encode() + b"\n"

    @classmethod
    def load(cls, data: bytes) -> StepRecord:
        """Return the step of `dump`."""
        fields: dict[str, Any] = json.loads(data)
        parts = {"inputs": InputRecord, "outputs": OutputRecord, "checks": CheckRecord}
        for name, part in parts.items():
            fields[name] = tuple(part(**each) for each in fields[name])
        fields["unknowns"] = tuple((what, why) for what, why in fields["unknowns"])
        return cls(**fields)
