"""A Dagster step in plain values, as it is recorded or spooled; and which steps belong to programs, whose runs the executor records."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from tracecore_lineage.events.artifacts import UNVERSIONED
from tracecore_schemas.canonical import JSON

if TYPE_CHECKING:
    from dagster import AssetKey

__all__ = [
    "CheckRecord",
    "InputRecord",
    "OutputRecord",
    "StepRecord",
    "check_id",
    "external_namespace",
    "is_program_step",
    "partition_name",
    "register_step",
    "run_id_of",
]

_RUNS = uuid.UUID("3c1f6f0e-7f57-5d0b-8b7a-0a4d2b1f9e63")
"""Namespace of the runs that stand for Dagster's steps: one for each attempt, so that an event that is stored twice is one run."""


def run_id_of(dagster_run: str, step: str, attempt: int) -> str:
    """Return the run id of one attempt of a step."""
    return str(uuid.uuid5(_RUNS, json.dumps([dagster_run, step, attempt])))


def check_id(run: str, asset: str, check: str, partition: str | None, at: str) -> str:
    """Return the run id of one evaluation of an asset check."""
    return str(uuid.uuid5(_RUNS, json.dumps(["check", run, asset, check, partition, at])))


def external_namespace(slug: str) -> str:
    """Name the namespace that a workspace's foreign assets have; not the workspace's own, where `kind/name` would be read as an artifact of ours."""
    return f"dagster.{slug}"


def partition_name(key: str, partition: str | None) -> str:
    """Name an asset, or one partition of it: each partition is data of its own."""
    return key if partition is None else f"{key}[{partition}]"


@dataclass(frozen=True, slots=True)
class InputRecord:
    """One version that a step read.

    Attributes:
        key: Dagster's asset key, slashes between its parts.
        ref: whole ref where it is an artifact of ours; None for a foreign asset.
        producer: run of ours that made it, where it is known.
        partition: of a foreign asset.
        version: of a foreign asset; `unversioned` where nobody ever said one.
    """

    key: str
    ref: str | None = None
    producer: str | None = None
    partition: str | None = None
    version: str = UNVERSIONED


@dataclass(frozen=True, slots=True)
class OutputRecord:
    """One version that a step made, or saw outside.

    Attributes:
        key: Dagster's asset key.
        partition: of it.
        version: Dagster's data version.
        given: whether the asset said its version itself; else Dagster computed it from code and inputs.
        observed: whether it was only seen, not made.
        code_version: the asset's.
        metadata: its plain values.
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
    """One evaluation of an asset check.

    Attributes:
        id: of its run.
        name: of the check.
        target: whole ref of the version it was about.
        of_run: the run that made that version; None where the record has to be asked.
        passed: what came of it.
        blocking: whether a failure keeps others from reading.
        message: one sentence.
        metadata: its plain values.
        at: when, ISO 8601.
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
    """One attempt of a step of somebody else's.

    Attributes:
        run: its run id in the record.
        step: Dagster's step key.
        dagster_run: Dagster's run id; empty for what was reported outside a run.
        dagster_job: name of the job.
        started_at: ISO 8601.
        ended_at: ISO 8601.
        error: what went wrong; None where it succeeded.
        inputs: exact versions read.
        outputs: versions made.
        unknowns: (what, why) nobody can say of the outputs.
        checks: that ran in it.
        planned: whether it was to make something: its START is recorded, and so is its end, though it made nothing.
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

    def parted(self) -> tuple[StepRecord, ...]:
        """Tell a step that failed after it had made something (a blocking check, a second output that came to nothing) as two runs.

        Dagster keeps what it made, and others may read it: a run of its own made that, beside the one that failed.
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
        """Write it as JSON."""
        return json.dumps(asdict(self), ensure_ascii=False).encode() + b"\n"

    @classmethod
    def load(cls, data: bytes) -> StepRecord:
        """Read it back."""
        said: dict[str, Any] = json.loads(data)
        parts = {"inputs": InputRecord, "outputs": OutputRecord, "checks": CheckRecord}
        for name, part in parts.items():
            said[name] = tuple(part(**each) for each in said[name])
        said["unknowns"] = tuple((what, why) for what, why in said["unknowns"])
        return cls(**said)


_OWN: dict[str, set[AssetKey]] = {}


def register_step(step: str, keys: Iterable[AssetKey]) -> None:
    """Note a step of a program and what it makes; whatever executes it has made its definition first, in the same process."""
    _OWN.setdefault(step, set()).update(keys)


def is_program_step(step: str, planned: Iterable[AssetKey]) -> bool:
    """Whether a step is a program's: by its name and by what it is to make, for a stranger's step may be called the same."""
    return not _OWN.get(step, set()).isdisjoint(planned)
