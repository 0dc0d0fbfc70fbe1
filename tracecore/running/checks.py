"""Planning and running the checks of a run's outputs; each is recorded as a separate run."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import rfc8785

from tracecore.check import Check, CheckResult
from tracecore.errors import UsageError
from tracecore.plugins.host import PluginHost, Registered, RegisteredStage
from tracecore.running.recorder import Recorder
from tracecore.running.task import Task
from tracecore.store import Store
from tracecore.system.failures import reason_of, recordable, tellable
from tracecore_schemas.canonical import JSON, jcs
from tracecore_schemas.kinds import Severity
from tracecore_schemas.run import Artifact, CheckRun, ExpectationOutcome, RunInput, Unknown

__all__ = ["PlannedCheck", "known_result", "plan_checks", "recordable_result", "rejected_refs", "run_check"]

_BLOCKING = "blocking"
_WEIGHED = "weighed"  # in the details of a check that weighed its failure itself
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PlannedCheck:
    """A check to run on an output, with the program's severity and parameters; `settled` if the program sets the severity."""

    check: Check
    port: str
    severity: Severity
    params: Mapping[str, JSON]
    settled: bool = False
    readers: tuple[str, ...] = ()

    @property
    def details(self) -> dict[str, JSON]:
        """The check's parameters (`params`) and the names of the assets that read the judged output (`readers`); empty members are left out."""
        return {**({"params": self.params} if self.params else {}), **({"readers": list(self.readers)} if self.readers else {})}


def plan_checks(task: Task, host: PluginHost) -> list[PlannedCheck]:
    """Return the checks to run on a task's outputs, declared by its stage or added by the program; raises UsageError if a check is invalid."""
    return [
        _plan_check(check.item, port, task.checks.get(key, {}) if key is not None else {}, task)
        for check, port, key in choose_checks(task.stage, task.checks, task.asset, host)
    ]


def choose_checks(stage: RegisteredStage, settings: Iterable[str], asset: str, host: PluginHost) -> list[tuple[Registered[Check], str, str | None]]:
    """Return (check, port of the output to judge, name of the check in `settings` or None if it is not there) for each check of an asset.

    Checks that the stage declares are looked up first in the stage's own plugin. Checks that only `settings` names judge the stage's first output.
    Raises UsageError for a check that no plugin or several plugins have, and for two checks of one name.
    """
    outputs = stage.stage_class.outputs()
    first = next(iter(outputs))
    named = [(name, port) for port, output in outputs.items() for name in output.checks] + [(name, first) for name in stage.stage_class.checks]
    declared = [(host.check(name, stage.entry_point), port) for name, port in dict.fromkeys(named)]
    keys: dict[int, str] = {}
    for key in settings:
        meant = next((each for each, _ in declared if key == each.item.name), None) or host.check(key)
        if id(meant.item) in keys:
            raise UsageError(f"Asset '{asset}' names one check twice, as '{keys[id(meant.item)]}' and as '{key}': leave one.")
        keys[id(meant.item)] = key
        if all(meant.item is not each.item for each, _ in declared):
            declared.append((meant, first))
    for each, _ in declared:
        other = next((other for other, _ in declared if other.item.name == each.item.name and other.entry_point != each.entry_point), None)
        if other is not None:
            name = each.item.name
            raise UsageError(
                f"Asset '{asset}' runs two checks called '{name}', '{each.entry_point}/{name}' and '{other.entry_point}/{name}': leave one."
            )
    return [(each, port, keys.get(id(each.item))) for each, port in declared]


def _plan_check(check: Check, port: str, settings: Mapping[str, JSON], task: Task) -> PlannedCheck:
    """Return a check of the output `port`, with the program's settings; raises UsageError for a setting that is invalid or can't be recorded."""
    asset = task.asset
    blocking = settings.get(_BLOCKING)
    if blocking is not None and not isinstance(blocking, bool):
        raise UsageError(f"The setting 'blocking' of check '{check.name}' of asset '{asset}' expects true or false, found {blocking!r}.")
    severity = check.severity if blocking is None else Severity.BLOCKING if blocking else Severity.WARN
    params = {name: value for name, value in settings.items() if name != _BLOCKING}
    try:
        jcs(params)
    except rfc8785.CanonicalizationError as error:
        raise UsageError(f"The settings of check '{check.name}' of asset '{asset}' can't be recorded: {error}.") from error
    readers = tuple(sorted(task.readers.get(port, ()))) if check.asks_readers else ()
    return PlannedCheck(check, port, severity, params, blocking is not None, readers)


def known_result(planned: PlannedCheck, target: Artifact, known: Sequence[CheckRun]) -> CheckRun | None:
    """Return the newest result in `known` of the same check with the same settings on the output `target`, or None if there is none."""
    return next(
        (
            check
            for check in sorted(known, key=lambda each: each.ended_at, reverse=True)
            if check.name == planned.check.name
            and check.target == target.ref
            and (not planned.settled if _WEIGHED in check.details else check.severity == planned.severity)
            and check.details.get("params", {}) == planned.params
            and (not planned.check.asks_readers or check.details.get("readers", []) == list(planned.readers))
        ),
        None,
    )


def rejected_refs(checks: Sequence[CheckRun]) -> frozenset[str]:
    """Return the refs (`kind/name@digest`) of the outputs that failed one of these checks with the severity `blocking`."""
    return frozenset(check.target for check in checks if not check.success and check.severity is Severity.BLOCKING)


class _Reading:
    """The `CheckContext` of one check, which remembers the outputs that it reads."""

    def __init__(self, planned: PlannedCheck, run_id: str, outputs: Mapping[str, Artifact], store: Store) -> None:
        self.target = copy.deepcopy(outputs[planned.port])
        self.ports: Sequence[str] = tuple(outputs)
        self.params: Mapping[str, JSON] = dict(planned.params)
        self.readers: Sequence[str] = planned.readers
        self._port = planned.port
        self._run_id = run_id
        self._outputs = outputs
        self._store = store
        self._read: dict[str, None] = {}

    def read(self, port: str | None = None) -> Any:
        """Return the content of the checked run's output at `port`, None for the one that the check judges; raises KeyError for a wrong port."""
        name = port or self._port
        if name not in self._outputs:
            raise KeyError(f"the run has no output '{name}'; it has {', '.join(self._outputs)}")
        self._read[name] = None
        return self._store.open(self._outputs[name])

    @property
    def inputs(self) -> tuple[RunInput, ...]:
        """The outputs of the checked run that the check has read so far, or, if it has read none, the output that the check judges."""
        return tuple(RunInput(name, self._outputs[name], self._run_id) for name in self._read or {self._port: None})


def run_check(planned: PlannedCheck, job: str, run_id: str, outputs: Mapping[str, Artifact], store: Store, recorder: Recorder) -> CheckRun:
    """Run a check, record it durably and return its record; a check that raises is recorded as failed."""
    reading = _Reading(planned, run_id, outputs, store)
    started = datetime.now(UTC)
    try:
        result = recordable_result(planned.check.run(reading))
    except (Exception, SystemExit) as error:  # noqa: BLE001  # a plugin may raise anything; its exit must end its check, not the build
        _log.exception("The check '%s' raised", planned.check.name)
        result = CheckResult(success=False, message=f"The check '{planned.check.name}' itself failed: {reason_of(error)}.")
    success = bool(result.success) and all(outcome.success for outcome in result.outcomes)
    weighed = None if success or planned.settled else result.severity
    outcomes = result.outcomes or (ExpectationOutcome(planned.check.name, success=success, actual=result.message),)
    check = CheckRun(
        id=recorder.new_run_id(),
        job=f"{job}.check.{planned.check.name}",
        name=planned.check.name,
        of_run=run_id,
        target=outputs[planned.port].ref,
        inputs=reading.inputs,
        success=success,
        severity=weighed or planned.severity,
        outcomes=outcomes,
        message=result.message,
        started_at=started,
        ended_at=datetime.now(UTC),
        details={**result.details, **planned.details, **({_WEIGHED: weighed.value} if weighed else {})},
        unknowns=result.unknowns,
    )
    recorder.check(check)
    return check


def recordable_result(result: object) -> CheckResult:
    """Return a copy of a check's result with surrogates escaped and memory addresses removed; raises TypeError if it is not a CheckResult."""
    if not isinstance(result, CheckResult):
        raise TypeError(f"it returned {type(result).__name__}, expected a CheckResult")
    details = recordable(result.details)
    jcs(details)
    return CheckResult(
        result.success,
        tellable(result.message),
        tuple(ExpectationOutcome(**recordable(asdict(outcome))) for outcome in result.outcomes),
        details,
        tuple(Unknown(**recordable(asdict(unknown))) for unknown in result.unknowns),
        None if result.severity is None else Severity(result.severity),
    )
