"""Follows the steps of a process by the events that Dagster stores for them, and records each when it ends."""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dagster import AssetKey, AssetMaterialization, AssetObservation, DagsterEventType

from tracecore.errors import RunFailed, UsageError
from tracecore.system.failures import tellable
from tracecore.system.locks import hold_run
from tracecore.system.settings import Settings
from tracecore.workspace import NamedWorkspace, Workspace
from tracecore_assets.external_assets import retry_spool
from tracecore_assets.external_assets.dagster_events import Inputs, check_of, instant, is_ours, output_of, raised_checks
from tracecore_assets.external_assets.recording import begin, finish
from tracecore_assets.external_assets.step_record import CheckRecord, OutputRecord, StepRecord, is_program_step, partition_name, run_id_of
from tracecore_lineage import Record

if TYPE_CHECKING:
    from dagster import DagsterEvent, EventLogEntry
    from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationPlanned
    from dagster._core.storage.event_log import EventLogStorage

__all__ = ["Watch", "workspace_of"]

_log = logging.getLogger(__name__)

_BEGIN = frozenset({DagsterEventType.STEP_START, DagsterEventType.STEP_RESTARTED})
_END = frozenset({DagsterEventType.STEP_SUCCESS, DagsterEventType.STEP_FAILURE, DagsterEventType.STEP_UP_FOR_RETRY})
_READINGS = ("inputs", "an op of Dagster's made it, and Dagster does not say what an op reads")
_MADE = frozenset({DagsterEventType.ASSET_MATERIALIZATION, DagsterEventType.ASSET_OBSERVATION, DagsterEventType.ASSET_CHECK_EVALUATION})


def workspace_of(base: Path) -> Workspace:
    """Return the workspace that an instance of Dagster's records into: the one that its files lie in, else the one that `TRACECORE_HOME` names.

    The settings are read here: for this process's part in the record, opening the instance is its entry.

    Raises:
        UsageError: there is neither; none is made, wherever the process happened to be started.
    """
    settings = Settings.read()
    around = next((folder for folder in (base, *base.parents) if (folder / "workspace.json").is_file()), None)
    named = NamedWorkspace(settings, around)
    if around is None and (settings.home is None or not (Workspace.locate(named) / "workspace.json").is_file()):
        names = "TRACECORE_HOME names none" if settings.home is None else f"TRACECORE_HOME ({settings.home}) is none"
        raise UsageError(
            f"Dagster's files in {base} lie in no workspace, and {names}: nothing could be recorded. "
            "Set DAGSTER_HOME to <workspace>/dagster of one that 'tracecore init' made, or TRACECORE_HOME to the workspace."
        )
    return Workspace.open(named)


@dataclass
class _Step:
    """An attempt of a step under way."""

    run: str
    started: float
    lock: ExitStack = field(default_factory=ExitStack)
    made: list[AssetMaterialization] = field(default_factory=list)
    observed: list[AssetObservation] = field(default_factory=list)
    checked: list[EventLogEntry] = field(default_factory=list)


class Watch:
    """Sees every event that this process stores, after it was stored; those of a program's own steps it passes by.

    Args:
        storage: the event log.
        workspace: that it records into.
    """

    def __init__(self, storage: EventLogStorage, workspace: Workspace) -> None:
        self._storage = storage
        self.workspace = workspace
        self._steps: dict[tuple[str, str], _Step] = {}
        self._planned: dict[str, Mapping[str, Collection[AssetKey]]] = {}
        self._record: Record | None = None
        self._lock = threading.RLock()

    def see(self, entry: EventLogEntry) -> None:
        """Take an event in.

        Raises:
            RunFailed: a step can neither be recorded nor written down to be recorded later.
        """
        event = entry.dagster_event
        if event is None or event.event_type not in _BEGIN | _END | _MADE:
            return
        with self._lock:
            if entry.step_key is None:
                self._reported(entry, event)
            elif not is_program_step(entry.step_key, self._makers(entry.run_id).get(entry.step_key, ())):
                self._step(entry, event, entry.step_key)

    def close(self) -> None:
        """Let go of the record."""
        with self._lock:
            if self._record is not None:
                self._record.close()
            self._record = None

    # --- a step

    def _step(self, entry: EventLogEntry, event: DagsterEvent, step_key: str) -> None:
        place = (entry.run_id, step_key)
        if event.event_type in _BEGIN:
            if step_key in self._makers(entry.run_id):
                self._steps[place] = self._begun(entry, step_key)
                self._start(self._steps[place], entry, step_key)
            return
        if event.event_type in _MADE:
            # A step that makes nothing and sees something (an observable source, a check alone) is told of when it has seen it.
            step = self._steps.setdefault(place, self._steps.get(place) or self._begun(entry, step_key))
            _take(step, entry, event)
            return
        ended = self._steps.pop(place, None)
        if ended is None and event.event_type is DagsterEventType.STEP_FAILURE and self._judges(entry.run_id, step_key):
            ended = self._begun(entry, step_key)  # an asset check alone that raised: Dagster stores no evaluation of it
        if ended is not None:
            with ended.lock:
                self._end(ended, entry, event, step_key)

    def _makers(self, run_id: str) -> Mapping[str, Collection[AssetKey]]:
        """Name the steps of a run that are to make assets (or, of observable sources, to see them), and which."""
        if run_id not in self._planned:
            planned: dict[str, set[AssetKey]] = {}
            for each in self._storage.get_records_for_run(run_id, of_type=DagsterEventType.ASSET_MATERIALIZATION_PLANNED).records:
                event = each.event_log_entry.get_dagster_event()
                if event.asset_key is not None:
                    planned.setdefault(event.step_key or "", set()).add(event.asset_key)
            self._planned[run_id] = planned
        return self._planned[run_id]

    def _judges(self, run_id: str, step_key: str) -> list[AssetCheckEvaluationPlanned]:
        """Return the asset checks that a step is to evaluate."""
        planned = self._storage.get_records_for_run(run_id, of_type=DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED).records
        events = [each.event_log_entry.get_dagster_event() for each in planned]
        return [event.asset_check_planned_data for event in events if event.step_key == step_key]

    def _begun(self, entry: EventLogEntry, step_key: str) -> _Step:
        retries = self._storage.get_records_for_run(entry.run_id, of_type=DagsterEventType.STEP_UP_FOR_RETRY).records
        attempt = sum(each.event_log_entry.step_key == step_key for each in retries)
        return _Step(run_id_of(entry.run_id, step_key, attempt), entry.timestamp)

    def _start(self, step: _Step, entry: EventLogEntry, step_key: str) -> None:
        """Record START under the run's lock, so that `recover` closes it should this process die; what fails here is made good at the end."""
        try:
            record = self._open()
            step.lock.enter_context(hold_run(record.workspace.locks, step.run))
            begin(record, self._told(step, entry, step_key, None))
        except Exception as error:  # noqa: BLE001  # Dagster's run must not feel it; the end is recorded with its START, or kept
            _log.warning("The start of step '%s' could not be recorded; its end will be: %s", step_key, error)

    def _end(self, step: _Step, entry: EventLogEntry, event: DagsterEvent, step_key: str) -> None:
        failed = event.event_type is not DagsterEventType.STEP_SUCCESS
        outputs: list[AssetMaterialization | AssetObservation] = [each for each in step.made if not is_ours(each)]
        said = list(step.observed)
        planned = self._makers(entry.run_id).get(step_key, ())
        if not step.made:
            # It looked at something outside, and made nothing: what it saw is what it brings, unless it was to make something else.
            outputs = [each for each in step.observed if not is_ours(each) and (not planned or each.asset_key in planned)]
            said = [each for each in step.observed if planned and each.asset_key not in planned]
        raised = self._judges(entry.run_id, step_key) if event.event_type is DagsterEventType.STEP_FAILURE else []
        if not (outputs or step.checked or planned or raised):
            return
        told = self._told(step, entry, step_key, _error(event, step_key) if failed else None, outputs, said)
        told = replace(told, checks=(*told.checks, *self._raised(raised, step, entry, told)))
        for each in told.parted():
            self._keep(each)

    def _told(
        self,
        step: _Step,
        entry: EventLogEntry,
        step_key: str,
        error: str | None,
        outputs: list[AssetMaterialization | AssetObservation] | None = None,
        said: list[AssetObservation] | None = None,
    ) -> StepRecord:
        slug = self.workspace.slug
        inputs = Inputs(self._storage, slug)
        read, unknowns = inputs.of(step.made, said or [], step.started, entry.timestamp) if outputs is not None else ([], [])
        made = [output_of(each, f"run:{step.run}") for each in outputs or ()]
        if made and step_key not in self._makers(entry.run_id):
            unknowns.append(_READINGS)
        versions = {partition_name(each.key, each.partition): each.version for each in made}
        checks = [
            check_of(each, each.dagster_event.asset_check_evaluation_data, self._storage, slug, versions, step.run)
            for each in step.checked
            if each.dagster_event is not None
        ]
        return StepRecord(
            step.run,
            step_key,
            entry.run_id,
            entry.job_name or "",
            instant(step.started),
            instant(entry.timestamp),
            error,
            tuple(read),
            tuple(made),
            tuple(unknowns),
            tuple(each for each in checks if each is not None),
            planned=step_key in self._makers(entry.run_id),
        )

    def _raised(self, planned: Iterable[AssetCheckEvaluationPlanned], step: _Step, entry: EventLogEntry, told: StepRecord) -> Iterator[CheckRecord]:
        """Return a failed verdict for each asset check that a failed step was to evaluate and did not, if there is a version to stand on."""
        judged = {event.asset_check_evaluation_data.asset_check_key for each in step.checked if (event := each.dagster_event) is not None}
        made = {partition_name(each.key, each.partition): each.version for each in told.outputs}
        for each in planned:
            if each.asset_check_key not in judged:
                yield from raised_checks(entry, each, self._storage, self.workspace.slug, made, self._makers(entry.run_id).get(told.step, ()), told)

    # --- what is reported outside any run

    def _reported(self, entry: EventLogEntry, event: DagsterEvent) -> None:
        """Record what somebody reported by hand or by API, without a run of Dagster's."""
        found = entry.asset_materialization or entry.asset_observation
        if found is None or is_ours(found):
            return
        at = instant(entry.timestamp)
        run = run_id_of(entry.run_id, f"{event.event_type_value}:{found.asset_key.to_user_string()}:{found.partition}:{at}", 0)
        output: OutputRecord = output_of(found, f"run:{run}")
        self._keep(StepRecord(run, "reported", "", "", at, at, outputs=(output,)))

    # --- the record

    def _keep(self, told: StepRecord) -> None:
        try:
            record = self._open()
            retry_spool.record_pending(record)
            finish(record, told)
        except Exception as error:  # noqa: BLE001  # whatever hinders the record must not fail Dagster's run
            _log.warning("Step '%s' could not be recorded now (%s): it is kept and will be recorded later.", told.step, error)
            try:
                retry_spool.spool(self.workspace, told)
            except Exception as worse:  # noqa: BLE001  # told in one sentence
                raise RunFailed(
                    f"The step '{told.step}' can neither be recorded ({error}) nor kept to be recorded later ({worse}): "
                    "make room or rights in the workspace and run it again; nothing may be missing from the record in silence."
                ) from error

    def _open(self) -> Record:
        if self._record is None:
            self._record = Record.open(self.workspace)
        return self._record


def _take(step: _Step, entry: EventLogEntry, event: DagsterEvent) -> None:
    if event.event_type is DagsterEventType.ASSET_CHECK_EVALUATION:
        step.checked.append(entry)
    elif entry.asset_materialization is not None:
        step.made.append(entry.asset_materialization)
    elif entry.asset_observation is not None:
        step.observed.append(entry.asset_observation)


def _error(event: DagsterEvent, step_key: str) -> str:
    data = event.event_specific_data
    error = getattr(data, "error", None)
    cause = getattr(error, "cause", None) or error
    words = tellable(" ".join(cause.message.split())) if cause is not None else "no reason was given"
    return f"Step '{step_key}' of Dagster failed: {words.rstrip('.')}."
