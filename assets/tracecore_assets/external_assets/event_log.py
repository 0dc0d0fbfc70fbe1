"""Dagster's event log in SQLite, which also records external assets; `dagster.yaml` names it as the instance's storage.

An event is first stored as Dagster would store it, then recorded: later steps refer to its storage id. Dagster's web server and daemons open the
same class, but store no events of steps, so they record nothing twice.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from dagster import AssetKey, AssetMaterialization, AssetObservation, DagsterEventType, Field, StringSource

from tracecore.errors import RunFailed, UsageError
from tracecore.system.failures import tellable
from tracecore.system.locks import hold_run
from tracecore.system.settings import Settings
from tracecore.workspace import NamedWorkspace, Workspace
from tracecore_assets.external_assets.dagster_events import StepInputs, check_of, instant, output_of, raised_checks, ref_of
from tracecore_assets.external_assets.dagster_internals import ConfigurableClassData, SqliteEventLogStorage
from tracecore_assets.external_assets.recording import begin, finish, record_pending, spool
from tracecore_assets.external_assets.step_record import PROGRAM_TAG, CheckRecord, StepRecord, partition_name, run_id_of
from tracecore_lineage import Record

if TYPE_CHECKING:
    from dagster import DagsterEvent, DagsterInstance, EventLogEntry

    from tracecore_assets.external_assets.dagster_internals import AssetCheckEvaluationPlanned, EventLogStorage

__all__ = ["EventLogListener", "RecordingEventLogStorage", "recording_into", "workspace_of"]

_log = logging.getLogger(__name__)

_BEGIN = frozenset({DagsterEventType.STEP_START, DagsterEventType.STEP_RESTARTED})
_END = frozenset({DagsterEventType.STEP_SUCCESS, DagsterEventType.STEP_FAILURE, DagsterEventType.STEP_UP_FOR_RETRY})
_UNKNOWN_INPUTS = ("inputs", "an op of Dagster's made it, and Dagster does not say what an op reads")
_MADE = frozenset({DagsterEventType.ASSET_MATERIALIZATION, DagsterEventType.ASSET_OBSERVATION, DagsterEventType.ASSET_CHECK_EVALUATION})


def workspace_of(base: Path) -> Workspace:
    """Return the workspace for a Dagster instance: the one that contains its folder `base`, else the one that `TRACECORE_HOME` names.

    Settings are read from the environment. Raises UsageError if neither names a workspace.
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
    """State of a running attempt of a step; `lock` holds its run lock."""

    run: str
    started: float
    lock: ExitStack = field(default_factory=ExitStack)
    made: list[AssetMaterialization] = field(default_factory=list)
    observed: list[AssetObservation] = field(default_factory=list)
    checked: list[EventLogEntry] = field(default_factory=list)


class EventLogListener:
    """Recorder of external assets from the events stored by this process; steps of programs are recorded by the executor."""

    def __init__(self, storage: EventLogStorage, workspace: Workspace, instance: Callable[[], DagsterInstance]) -> None:
        self._storage = storage
        self._instance = instance
        self.workspace = workspace
        self._steps: dict[tuple[str, str], _Step] = {}
        self._planned: dict[str, Mapping[str, Collection[AssetKey]]] = {}
        self._program_steps: dict[str, Collection[str]] = {}
        self._record: Record | None = None
        self._lock = threading.RLock()

    def process(self, entry: EventLogEntry) -> None:
        """Record a stored Dagster event if it is about an external asset. Raises RunFailed if it can neither be recorded nor kept in a file."""
        event = entry.dagster_event
        if event is None or event.event_type not in _BEGIN | _END | _MADE:
            return
        with self._lock:
            if entry.step_key is None:
                self._record_reported(entry, event)
            elif entry.step_key not in self._steps_of_programs(entry.run_id):
                self._process_step(entry, event, entry.step_key)

    def close(self) -> None:
        """Close the ledger and catalog that external assets are recorded in, if open."""
        with self._lock:
            if self._record is not None:
                self._record.close()
            self._record = None

    def _process_step(self, entry: EventLogEntry, event: DagsterEvent, step_key: str) -> None:
        """Process an event of a Dagster step outside of programs: record its start, collect an asset or check that it reports, or record its end."""
        place = (entry.run_id, step_key)
        if event.event_type in _BEGIN:
            if step_key in self._makers(entry.run_id):
                self._steps[place] = self._new_step(entry, step_key)
                self._record_start(self._steps[place], entry, step_key)
            return
        if event.event_type in _MADE:
            # A step that makes no asset (an observable source, a separate check) is followed from its first event.
            step = self._steps.setdefault(place, self._steps.get(place) or self._new_step(entry, step_key))
            if event.event_type is DagsterEventType.ASSET_CHECK_EVALUATION:
                step.checked.append(entry)
            elif entry.asset_materialization is not None:
                step.made.append(entry.asset_materialization)
            elif entry.asset_observation is not None:
                step.observed.append(entry.asset_observation)
            return
        ended = self._steps.pop(place, None)
        if ended is None and event.event_type is DagsterEventType.STEP_FAILURE and self._planned_checks(entry.run_id, step_key):
            ended = self._new_step(entry, step_key)  # a separate check that raised: Dagster stores no evaluation
        if ended is not None:
            with ended.lock:
                self._record_end(ended, entry, event, step_key)

    def _steps_of_programs(self, run_id: str) -> Collection[str]:
        """Return the keys of a run's steps that belong to tracecore programs; the listener does not record these steps."""
        if run_id not in self._program_steps:
            instance = self._instance()
            run = instance.get_run_by_id(run_id)
            snapshot = instance.get_job_snapshot(run.job_snapshot_id) if run is not None and run.job_snapshot_id is not None else None
            ops = snapshot.node_defs_snapshot.op_def_snaps if snapshot is not None else ()
            self._program_steps[run_id] = frozenset(op.name for op in ops if PROGRAM_TAG in op.tags)
        return self._program_steps[run_id]

    def _makers(self, run_id: str) -> Mapping[str, Collection[AssetKey]]:
        """Return the assets that a run is planned to make or observe, by the key of their step."""
        if run_id not in self._planned:
            planned: dict[str, set[AssetKey]] = {}
            for each in self._storage.get_records_for_run(run_id, of_type=DagsterEventType.ASSET_MATERIALIZATION_PLANNED).records:
                event = each.event_log_entry.get_dagster_event()
                if event.asset_key is not None:
                    planned.setdefault(event.step_key or "", set()).add(event.asset_key)
            self._planned[run_id] = planned
        return self._planned[run_id]

    def _planned_checks(self, run_id: str, step_key: str) -> list[AssetCheckEvaluationPlanned]:
        """Return the asset checks that a step is planned to evaluate."""
        planned = self._storage.get_records_for_run(run_id, of_type=DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED).records
        events = [each.event_log_entry.get_dagster_event() for each in planned]
        return [event.asset_check_planned_data for event in events if event.step_key == step_key]

    def _new_step(self, entry: EventLogEntry, step_key: str) -> _Step:
        """Return the state of a step's new attempt, started at the time of `entry`. The attempt's run id depends on the number of earlier retries."""
        retries = self._storage.get_records_for_run(entry.run_id, of_type=DagsterEventType.STEP_UP_FOR_RETRY).records
        attempt = sum(each.event_log_entry.step_key == step_key for each in retries)
        return _Step(run_id_of(entry.run_id, step_key, attempt), entry.timestamp)

    def _record_start(self, step: _Step, entry: EventLogEntry, step_key: str) -> None:
        """Record START of a step and lock its run, so that `recover` can close the run if this process dies. An error is only logged."""
        try:
            record = self._open()
            step.lock.enter_context(hold_run(record.workspace.locks, step.run))
            begin(record.recorder, self._step_record(step, entry, step_key, None))
        except Exception as error:  # noqa: BLE001  # must not fail Dagster's run; the end records START too, or is spooled
            _log.warning("The start of step '%s' could not be recorded; its end will be: %s", step_key, error)

    def _record_end(self, step: _Step, entry: EventLogEntry, event: DagsterEvent, step_key: str) -> None:
        """Record the end of a step's attempt with outputs, inputs and checks; if that fails, write the step to a file to be recorded later."""
        failed = event.event_type is not DagsterEventType.STEP_SUCCESS
        outputs: list[AssetMaterialization | AssetObservation] = [each for each in step.made if ref_of(each) is None]
        read = list(step.observed)
        planned = self._makers(entry.run_id).get(step_key, ())
        if not step.made:
            # A step that made nothing has its observations as outputs, unless it was to make other assets.
            outputs = [each for each in step.observed if ref_of(each) is None and (not planned or each.asset_key in planned)]
            read = [each for each in step.observed if planned and each.asset_key not in planned]
        raised = self._planned_checks(entry.run_id, step_key) if event.event_type is DagsterEventType.STEP_FAILURE else []
        if not (outputs or step.checked or planned or raised):
            return
        ended = self._step_record(step, entry, step_key, _error_sentence(event, step_key) if failed else None, outputs, read)
        ended = replace(ended, checks=(*ended.checks, *self._raised(raised, step, entry, ended)))
        for each in ended.split():
            self._record_or_spool(each)

    def _step_record(
        self,
        step: _Step,
        entry: EventLogEntry,
        step_key: str,
        error: str | None,
        outputs: list[AssetMaterialization | AssetObservation] | None = None,
        observed: list[AssetObservation] | None = None,
    ) -> StepRecord:
        """Return the record of a step's attempt. Without `outputs` (for START) the record has no inputs and outputs. `error` is None for success."""
        slug = self.workspace.slug
        inputs = StepInputs(self._storage)
        read, unknowns = inputs.of(step.made, observed or [], step.started, entry.timestamp) if outputs is not None else ([], [])
        made = [output_of(each, f"run:{step.run}") for each in outputs or ()]
        if made and step_key not in self._makers(entry.run_id):
            unknowns.append(_UNKNOWN_INPUTS)
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

    def _raised(self, planned: Iterable[AssetCheckEvaluationPlanned], step: _Step, entry: EventLogEntry, ended: StepRecord) -> Iterator[CheckRecord]:
        """Yield a record of a failed check for each planned check that a failed step did not evaluate, if the checked version is known."""
        judged = {event.asset_check_evaluation_data.asset_check_key for each in step.checked if (event := each.dagster_event) is not None}
        made = {partition_name(each.key, each.partition): each.version for each in ended.outputs}
        for each in planned:
            if each.asset_check_key not in judged:
                yield from raised_checks(entry, each, self._storage, self.workspace.slug, made, self._makers(entry.run_id).get(ended.step, ()), ended)

    def _record_reported(self, entry: EventLogEntry, event: DagsterEvent) -> None:
        """Record an asset event that was reported manually or by API, outside any run."""
        found = entry.asset_materialization or entry.asset_observation
        if found is None or ref_of(found) is not None:
            return
        at = instant(entry.timestamp)
        run = run_id_of(entry.run_id, f"{event.event_type_value}:{found.asset_key.to_user_string()}:{found.partition}:{at}", 0)
        self._record_or_spool(StepRecord(run, "reported", "", "", at, at, outputs=(output_of(found, f"run:{run}"),)))

    def _record_or_spool(self, step: StepRecord) -> None:
        """Record steps kept in files, then `step`; if that fails, keep `step` in a file for later. Raises RunFailed if it can't be kept either."""
        try:
            record = self._open()
            record_pending(record)
            finish(record.recorder, step)
        except Exception as error:  # noqa: BLE001  # a record that can't be written must not fail Dagster's run
            _log.warning("Step '%s' could not be recorded now (%s): it is kept and will be recorded later.", step.step, error)
            try:
                spool(self.workspace, step)
            except Exception as worse:  # noqa: BLE001  # reported in one sentence
                raise RunFailed(
                    f"The step '{step.step}' can neither be recorded ({error}) nor kept to be recorded later ({worse}): "
                    "free space or grant rights in the workspace and run it again; nothing may silently be missing from the record."
                ) from error

    def _open(self) -> Record:
        if self._record is None:
            self._record = Record.open(self.workspace)
        return self._record


def _error_sentence(event: DagsterEvent, step_key: str) -> str:
    data = event.event_specific_data
    error = getattr(data, "error", None)
    cause = getattr(error, "cause", None) or error
    words = tellable(" ".join(cause.message.split())) if cause is not None else "no reason was given"
    return f"Step '{step_key}' of Dagster failed: {words.rstrip('.')}."


_RECORD_INTO: ContextVar[Workspace | None] = ContextVar("_RECORD_INTO", default=None)


@contextmanager
def recording_into(workspace: Workspace) -> Iterator[None]:
    """Within the block, make newly opened Dagster instances record into `workspace`; Dagster creates their storage without arguments."""
    token = _RECORD_INTO.set(workspace)
    try:
        yield
    finally:
        _RECORD_INTO.reset(token)


class RecordingEventLogStorage(SqliteEventLogStorage):
    """Dagster's SQLite event log, which also records external assets; in `base_dir`, by default `history/runs` in the instance's home."""

    def __init__(self, base_dir: str | None = None, inst_data: ConfigurableClassData | None = None) -> None:
        self._listener: EventLogListener | None = None
        self._inst_data = inst_data
        self._instance_weakref = None
        if base_dir is not None:
            self._open(base_dir)

    def _open(self, base_dir: str) -> None:
        super().__init__(base_dir, self._inst_data)
        self._listener = EventLogListener(self, _RECORD_INTO.get() or workspace_of(Path(base_dir).absolute()), lambda: self._instance)

    @property
    def workspace(self) -> Workspace:
        """Workspace that this Dagster event log records external assets into."""
        assert self._listener is not None, "an instance registers its storage before it uses it"
        return self._listener.workspace

    @classmethod
    def config_type(cls) -> Any:
        """Return the schema of this event log's configuration in `dagster.yaml`."""
        return {"base_dir": Field(StringSource, is_required=False)}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Any) -> Self:
        """Return an event log in the folder `base_dir` of the configuration; without `base_dir`, the Dagster instance later sets the folder."""
        return cls(config_value.get("base_dir"), inst_data)

    def register_instance(self, instance: DagsterInstance) -> None:
        """Open the event log in the folder `history/runs` of a Dagster instance's home, unless the configuration named another folder."""
        if self._listener is None:
            self._open(str(Path(instance.root_directory) / "history" / "runs"))
        super().register_instance(instance)

    def store_event(self, event: EventLogEntry) -> None:
        """Store an event in Dagster's event log, then record it in the workspace if it is about an external asset."""
        super().store_event(event)
        assert self._listener is not None, "an instance registers its storage before it uses it"
        self._listener.process(event)

    def dispose(self) -> None:
        """Close Dagster's event log and the workspace's ledger that it records into."""
        if self._listener is not None:
            self._listener.close()
        super().dispose()
