"""Plain values of a step of external assets, as recorded or spooled."""

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
"""Tag of the ops of programs, whose runs are recorded by the executor instead of the event log."""

_RUNS = uuid.UUID("3c1f6f0e-7f57-5d0b-8b7a-0a4d2b1f9e63")
"""UUID namespace of run ids: one id per attempt of a step, so that an event stored twice gives one run."""


def run_id_of(dagster_run: str, step: str, attempt: int) -> str:
    """Return the id of the recorded run for one attempt of a Dagster step, always the same for the same attempt."""
    return str(uuid.uuid5(_RUNS, json.dumps([dagster_run, step, attempt])))


def check_id(run: str, asset: str, check: str, partition: str | None, at: str) -> str:
    """Return the id of the recorded run for one evaluation of an asset check, always the same for the same evaluation."""
    return str(uuid.uuid5(_RUNS, json.dumps(["check", run, asset, check, partition, at])))


def external_namespace(slug: str) -> str:
    """Return the namespace for assets made outside of tracecore, `dagster.<slug>`, which separates them from the workspace's artifacts."""
    return f"dagster.{slug}"


def partition_name(key: str, partition: str | None) -> str:
    """Return the name under which an asset is recorded, `key`, or one of its partitions, `key[partition]`, which is a dataset of its own."""
    return key if partition is None else f"{key}[{partition}]"


@dataclass(frozen=True, slots=True)
class InputRecord:
    """A version that a step read; for an external asset with its partition and version.

    Attributes:
        key: Dagster's asset key, its parts joined by slashes.
        ref: whole ref of an artifact of this record; None for an external asset.
        producer: id of the recorded run that made it; None if unknown.
        version: `unversioned` if none was ever recorded.
    """

    key: str
    ref: str | None = None
    producer: str | None = None
    partition: str | None = None
    version: str = UNVERSIONED


@dataclass(frozen=True, slots=True)
class OutputRecord:
    """A version that a step made or observed; `given` if the asset states its data version, else Dagster computed it from code and inputs."""

    key: str
    partition: str | None
    version: str
    given: bool
    observed: bool = False
    code_version: str | None = None
    metadata: Mapping[str, JSON] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CheckRecord:
    """An evaluation of an asset check; `of_run` is the run that made the checked version, None if it has to be looked up in the record."""

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
        run: id of the recorded run.
        dagster_run: Dagster's run id; empty for an asset reported outside a run.
        started_at: ISO 8601, as `ended_at`.
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
        """Return the steps to record: if this one failed after it made assets, a failed step without outputs and a completed one; else only this one.

        Dagster keeps such assets (after a blocking check, or if a second output failed), and later steps may read them.
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
        """Return the record of the Dagster step as one line of UTF-8 JSON."""
        return json.dumps(asdict(self), ensure_ascii=False).encode() + b"\n"

    @classmethod
    def load(cls, data: bytes) -> StepRecord:
        """Return the record of a Dagster step, parsed from the JSON that `dump` returns."""
        fields: dict[str, Any] = json.loads(data)
        parts = {"inputs": InputRecord, "outputs": OutputRecord, "checks": CheckRecord}
        for name, part in parts.items():
            fields[name] = tuple(part(**each) for each in fields[name])
        fields["unknowns"] = tuple((what, why) for what, why in fields["unknowns"])
        return cls(**fields)
