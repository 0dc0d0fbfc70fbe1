"""Executing a task: START durable, stage run, outputs moved from staging into the store, COMPLETE durable, checks run.

If the record has a reusable run with the same staleness key, nothing is run.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, cast

from pydantic import BaseModel

from tracecore.engines import separate, with_roles
from tracecore.environment import accelerator, current_environment, host_name
from tracecore.errors import RunFailed, TracecoreError, UsageError
from tracecore.files import remove_tree
from tracecore.hookspecs import RunSummary
from tracecore.plugins.host import PluginHost
from tracecore.running.checks import PlannedCheck, known_result, plan_checks, rejected_refs, run_check
from tracecore.running.dependencies import FACET as DEPENDENCIES
from tracecore.running.dependencies import Code, KeptSources, facet
from tracecore.running.erasure_filter import ErasureFilter
from tracecore.running.external_files import Intake, read_sources
from tracecore.running.recorder import Progress, Recorder
from tracecore.running.staleness import staleness_key
from tracecore.running.task import DEFAULT_THREADS, Outcome, ResolvedInput, Task
from tracecore.running.undeclared import FACET as UNDECLARED
from tracecore.running.undeclared import UNKNOWN, UndeclaredAccess
from tracecore.running.validation import effective_params, finish_facets, validate_params
from tracecore.running.worker.handover import answers, job_for
from tracecore.running.worker.jobs import StageRaised, StageResult, make_error
from tracecore.running.worker.workers import Workers
from tracecore.stage import Output, SourceFile
from tracecore.store import Store, Stored
from tracecore.system.failures import absent_column, clear_disk_errors, disk_problem, failure_trace, reason_of, tellable, without_places
from tracecore.system.locks import hold_key, hold_run, share_store
from tracecore.workspace import Workspace
from tracecore_schemas.canonical import JSON
from tracecore_schemas.facets import ENGINE_FACET
from tracecore_schemas.kinds import ArtifactKind, Media, RunState
from tracecore_schemas.run import Artifact, CheckRun, CompletedRun, Dependencies, Run, RunInput, Unknown

__all__ = ["DEFAULT_THREADS", "Executor", "Outcome", "ResolvedInput", "Task"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A validated task: its parameters, the files found for its file ports, its planned checks, and its staleness key.

    `recorded` are the parameters as they are recorded; `left_out` are withdrawn files with the reason; `not_taken` summarizes files of other formats.
    """

    params: BaseModel
    recorded: Mapping[str, JSON]
    found: Mapping[str, Sequence[SourceFile]]
    checks: Sequence[PlannedCheck]
    key: str
    withdrawn: ErasureFilter
    left_out: Sequence[tuple[SourceFile, str]]
    not_taken: Sequence[str]


class Executor:
    """Makes assets, or reuses recorded ones. Every recorder call returns when the event is durable."""

    def __init__(self, workspace: Workspace, store: Store, recorder: Recorder, host: PluginHost, progress: Progress | None = None) -> None:
        self.workers = Workers()
        self._workspace = workspace
        self._store = store
        self._recorder = recorder
        self._host = host
        self._progress = progress
        self._sources = KeptSources(store)

    def execute(self, task: Task) -> Outcome:
        """Run an asset's stage, or reuse a completed run with the same staleness key (digest of parameters and inputs), and return the outputs.

        Raises:
            UsageError: a parameter, input or file is wrong, or the disk is full or read-only.
            NegativeVerdict: a blocking check rejected an input.
            RunFailed: the stage failed; FAIL is recorded.
            KeyboardInterrupt: the run was stopped; ABORT is recorded.
        """
        # Shared before the first query, so that stored bytes that are found are not erased until the run has ended.
        with share_store(self._workspace.locks):
            prepared = self._prepare(task)
            with hold_key(self._workspace.locks, prepared.key, lambda: self._report_waiting(task)):
                code = Code()
                for known in self._recorder.reusable(prepared.key):
                    if _is_current(known, code) and self._usable(task, known):
                        return self._reuse(task, prepared, known)
                return self._make(task, prepared)

    # --- before a run

    def _prepare(self, task: Task) -> _Prepared:
        """Return a task's validated parameters, files to read, planned checks and staleness key; raises UsageError or NegativeVerdict."""
        params = validate_params(task.stage, task.params, task.asset)
        recorded = effective_params(task.stage, params, task.asset)
        task.check_inputs()
        self._refuse_erased(task)
        checks = plan_checks(task, self._host)
        ports = task.stage.stage_class.file_ports()
        values = {port.param: getattr(params, port.param) for port in ports.values()}
        withdrawn = self._recorder.withdrawn()
        found: dict[str, Sequence[SourceFile]] = {}
        left_out: list[tuple[SourceFile, str]] = []
        not_taken: list[str] = []
        for name, port in ports.items():
            sources, besides = read_sources(port, values, task.base)
            found[name], refused = withdrawn.sift(sources)
            not_taken += [besides] if besides else []
            if refused and not found[name] and not port.optional:
                raise UsageError(f"The parameter '{port.param}' names no {port.note} that may be read. '{refused[0][0].name}': {refused[0][1]}")
            left_out.extend(refused)
        inputs = {name: task.inputs[name].artifact.digest for name in task.stage.stage_class.inputs() if name in task.inputs}
        key = staleness_key(task.job, task.stage, recorded, task.seed, inputs, found, not_taken)
        names: dict[str, JSON] = {port.param: [file.name for file in found[name]] for name, port in ports.items()}
        return _Prepared(params, {**recorded, **names}, found, checks, key, withdrawn, left_out, not_taken)

    def _refuse_erased(self, task: Task) -> None:
        """Raise UsageError if one of the task's inputs was erased, even if its bytes are still stored."""
        for name, supplied in task.inputs.items():
            reason = self._recorder.erased(supplied.artifact)
            if reason is not None:
                raise UsageError(f"{task.in_words} can't read its input '{name}': {reason}")

    def _report_waiting(self, task: Task) -> None:
        """Report in the log, and to the progress callback, that this build waits for another process that makes the same outputs."""
        _log.info("Another process makes the same as '%s': waiting for it.", task.job)
        if self._progress is not None:
            with contextlib.suppress(Exception):  # a listener can't disturb a run
                self._progress(0, 0, "another process makes the same: waiting for it")

    def _usable(self, task: Task, known: CompletedRun) -> bool:
        """Whether a completed run's outputs can be reused: all are stored, none is erased, and, in strict mode, the run read nothing undeclared."""
        wanted = set(task.stage.stage_class.outputs())
        if not wanted <= known.outputs.keys():
            return False
        outputs = [known.outputs[port] for port in wanted]
        if self._host.settings.strict_io and any(unknown.what == UNKNOWN for output in outputs for unknown in output.unknowns):
            return False  # what it read is not in the record; made again, it has to say so
        return all(self._store.exists(output) and self._recorder.erased(output) is None for output in outputs)

    def _reuse(self, task: Task, prepared: _Prepared, known: CompletedRun) -> Outcome:
        """Return an outcome with an earlier run's outputs; checks that have no recorded result under the present settings are run first."""
        outputs = {port: known.outputs[port] for port in task.stage.stage_class.outputs()}
        checks = tuple(
            known_result(planned, outputs[planned.port], known.checks) or self._check(planned, task, known.id, outputs) for planned in prepared.checks
        )
        return Outcome(known.id, reused=True, outputs=outputs, checks=checks, rejected=rejected_refs(checks))

    # --- a run

    def _make(self, task: Task, prepared: _Prepared) -> Outcome:
        """Run a task's stage and checks, and return the outcome; the run is locked until its COMPLETE, FAIL or ABORT event is recorded."""
        run = self._run(task, prepared)
        with hold_run(self._workspace.locks, run.id):
            try:
                outputs = self._run_stage(task, prepared, run)
            finally:
                self._store.discard(run.id)
        checks = tuple(self._check(planned, task, run.id, outputs) for planned in prepared.checks)
        return Outcome(run.id, reused=False, outputs=outputs, checks=checks, rejected=rejected_refs(checks))

    def _run(self, task: Task, prepared: _Prepared) -> Run:
        """Return the description of a new run, not yet recorded: its id, parameters, staleness key, environment and the plugin's code location."""
        return Run(
            id=self._recorder.new_run_id(),
            job=task.job,
            started_at=datetime.now(UTC),
            stage=task.stage.kind,
            plugin=task.stage.plugin,
            params=prepared.recorded,
            seed=task.seed,
            key=prepared.key,
            environment=current_environment(),
            host=host_name(),
            accelerator=accelerator(),
            threads=task.threads,
            parent=task.parent,
            program=task.program_artifact,
            code=task.stage.code,
            description=task.stage.stage_class.description(),
        )

    def _run_stage(self, task: Task, prepared: _Prepared, run: Run) -> dict[str, Artifact]:
        """Run a task's stage, record START and COMPLETE, and return the outputs by port; any exception is recorded as FAIL or ABORT."""
        files = Code().files()
        with clear_disk_errors(self._workspace.root):
            self._recorder.start(run)
        self._host.notify("run_started", _summary(task, run, RunState.OPEN))
        stage = task.stage.stage_class
        supplied = {
            name: RunInput(name, task.inputs[name].artifact, task.inputs[name].producer, stage.use_of(name))
            for name in stage.inputs()
            if name in task.inputs
        }
        adoptions = Intake(
            run, self._store, self._recorder, self._workspace.locks, prepared.found, stage.file_ports(), supplied, prepared.withdrawn,
            prepared.not_taken,
        )  # fmt: skip
        for file, reason in prepared.left_out:
            adoptions.quarantine(file, reason)
        scratch = self._workspace.scratch_of(prepared.key)
        try:
            self._store.staging(run.id)
            listened = self._progress is not None
            job = job_for(task, run, prepared.params, prepared.found, prepared.withdrawn, self._workspace, scratch, listened=listened)
            finish = partial(finish_facets, self._host, task.stage)
            made = self.workers.run(job, answers(adoptions, self._recorder, self._workspace.root, finish, self._progress))
            unknowns = [*made.unknowns, *((None, unknown) for unknown in adoptions.unknowns)]
            loaded = self._dependencies(task, run, made, files, prepared.withdrawn)
            facets = {**adoptions.facets, **self._undeclared(task, made, unknowns), DEPENDENCIES: facet(loaded)}
            outputs = self._put_outputs(task, run, prepared, made, unknowns)
            with clear_disk_errors(self._workspace.root):
                self._recorder.complete(run, [*supplied.values(), *adoptions.inputs], outputs, facets)
            self._sources.remember(loaded)
        except BaseException as error:
            raised = self._record_failure(task, run, [*supplied.values(), *adoptions.inputs], error)
            if raised is error:
                raise
            raise raised from error
        remove_tree(scratch)  # only now: until COMPLETE is durable, a kill may need it again
        self._host.notify("run_finished", _summary(task, run, RunState.COMPLETE, outputs=tuple(artifact.ref for artifact in outputs.values())))
        return outputs

    def _undeclared(self, task: Task, made: StageResult, unknowns: list[tuple[str | None, Unknown]]) -> dict[str, JSON]:
        """Return the run facet that lists a run's undeclared accesses, or an empty mapping if there are none.

        Adds a statement on undeclared reads to `unknowns`. In strict mode, raises RunFailed if there is any undeclared access.
        """
        found = UndeclaredAccess.of(made.strays, made.uncounted, self._workspace.root, task.base)
        if not found:
            return {}
        if self._host.settings.strict_io:
            raise RunFailed(found.sentence(task.in_words))
        _log.warning("%s", found.sentence(task.in_words))
        unknown = found.unknown()
        if unknown is not None:
            unknowns.append((None, unknown))
        return {UNDECLARED: found.facet()}

    def _dependencies(self, task: Task, run: Run, made: StageResult, files: Mapping[str, str], withdrawn: ErasureFilter) -> Dependencies:
        """Return the code that a run depends on, after storing its source texts; raises RunFailed if code changed while the stage ran."""
        code = Code()
        found, places = code.dependencies(made.loaded)
        assert run.environment is not None
        changed = code.changed(made.loaded, found, run.environment, files)
        if not changed:
            found, changed = self._sources.keep(found, places, run.id, withdrawn.files)
        if changed:
            more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
            raise RunFailed(f"{task.in_words} was changed while it ran: {changed[0]}{more}. Run it again.")
        return found

    def _put_outputs(
        self, task: Task, run: Run, prepared: _Prepared, made: StageResult, unknowns: list[tuple[str | None, Unknown]]
    ) -> dict[str, Artifact]:
        """Move each declared output of a stage from staging into the store; return the artifacts by port. Raises RunFailed if one is missing."""
        declared = task.stage.stage_class.outputs()
        missing = [name for name in declared if name not in made.tables and name not in made.folders]
        if missing:
            raise RunFailed(f"{task.in_words} ended without writing its output '{missing[0]}'.")
        outputs: dict[str, Artifact] = {}
        for name, port in declared.items():
            stored = self._put(task, run, prepared, made, port, unknowns)
            outputs[name] = Artifact(
                kind=port.kind,
                name=task.output_name(name),
                digest=stored.digest,
                media=stored.media,
                location=stored.location,
                size_bytes=stored.size_bytes,
                rows=stored.rows,
                schema=stored.schema,
                delta=stored.delta,
                unknowns=tuple(dict.fromkeys(unknown for of, unknown in unknowns if of in {None, name})),
                facets=finish_facets(self._host, task.stage, f"its output '{name}'", made.facets.get(name, {})),
                table=None if port.table is None else port.table.recorded,
            )
        return outputs

    def _put(self, task: Task, run: Run, prepared: _Prepared, made: StageResult, port: Output, unknowns: list[tuple[str | None, Unknown]]) -> Stored:
        """Move one output from staging into the store and return its digest and location; raises RunFailed if it is not what the port declares."""
        name, file = port.name, port.file
        if name in made.tables:
            if file is not None:
                raise RunFailed(f"{task.in_words} wrote its output '{name}' as a table, but declares it as the file '{file}'.")
            called = task.output_name(name)
            after = self._recorder.newest_table(port.kind, called)
            return self._store.put_table(made.tables[name], kind=port.kind, name=called, run_id=run.id, after=after)
        folder = made.folders[name]
        link = next((each for each in (folder, folder / (file or "")) if each.is_symlink()), None)
        if link is not None:
            raise RunFailed(f"{task.in_words} left a link where its output '{name}' should be ('{link.name}'): write the content there instead.")
        unknowns.extend((name, Unknown("file withdrawn", reason)) for reason in prepared.withdrawn.drop_files(folder))
        if file is None and not any(folder.iterdir()):
            raise RunFailed(f"{task.in_words} ended without writing anything to its output '{name}'.")
        if file is not None and not (folder / file).is_file():
            raise RunFailed(f"{task.in_words} ended without writing the file '{file}' of its output '{name}'.")
        if port.kind == ArtifactKind.ENGINE:
            folder = folder if file is None else separate(folder, file)
            facets = made.facets.setdefault(name, {})
            facets[ENGINE_FACET.name] = with_roles(facets.get(ENGINE_FACET.name), folder, file or "model.engine")
        if file is None or port.kind == ArtifactKind.ENGINE:
            return self._store.put_directory(folder, run_id=run.id)
        return self._store.put_file(folder / file, run_id=run.id, move=True)

    # --- after a run

    def _record_failure(self, task: Task, run: Run, inputs: Sequence[RunInput], error: BaseException) -> BaseException:
        """Record that an exception ended a run (FAIL or ABORT), delete its staging, and return what to raise: a TracecoreError or the interrupt."""
        # Interrupts (Dagster's own too) are BaseExceptions; a plugin's sys.exit is a failure of that plugin, not an interrupt.
        stage = error if isinstance(error, StageRaised) else None
        aborted = stage.interrupt if stage is not None else not isinstance(error, Exception | SystemExit)
        problem = disk_problem(error, self._workspace.root) if isinstance(error, Exception) and stage is None else None
        raised: BaseException
        if aborted:
            raised = error if stage is None else KeyboardInterrupt()
            message = f"{task.in_words} was stopped: {type(raised).__name__}."
        elif stage is not None and stage.known:
            message, raised = stage.reason, make_error(stage.known, stage.reason)
        elif stage is not None and stage.disk:
            message, raised = stage.disk, UsageError(stage.disk)
        elif isinstance(error, TracecoreError):
            message, raised = str(error), error
        elif problem is not None:
            message, raised = str(problem), problem
        else:
            reason = reason_of(error) if stage is None else stage.reason
            message = f"{task.in_words} failed: {reason}."
            raised = RunFailed(message.replace("..", "."))
            if lacking := self._lacking_column(task, reason, inputs):
                message, raised = lacking, UsageError(lacking)
        # Before anything is recorded: where the disk is full, what was staged makes room for the FAIL.
        self._store.discard(run.id)
        shown = without_places(message, self._workspace.root, task.base)
        try:
            self._recorder.fail(run, shown, trace=failure_trace(error) if stage is None else tellable(stage.trace), inputs=inputs, aborted=aborted)
        except Exception:  # noqa: BLE001  # whatever hinders the record must not hide what ended the run
            # The disk may be full for the record too: the run stays open, and `recover` closes it.
            _log.warning("The end of run %s could not be recorded: 'tracecore recover' will close it.", run.id)
            return raised
        self._host.notify("run_finished", _summary(task, run, RunState.ABORT if aborted else RunState.FAIL, error=shown))
        return raised

    def _lacking_column(self, task: Task, reason: str, inputs: Sequence[RunInput]) -> str | None:
        """Return an error message if `reason`, the message of a stage's exception, names a column that an input table lacks, else None."""
        column = absent_column(reason)
        tables = [each for each in inputs if column and each.artifact.media is Media.DELTA]
        lacking = [each for each in tables if column not in cast("Any", self._store.open(each.artifact)).schema.names]
        if not lacking:
            return None
        named = " and ".join(f"'{each.role}' ({each.artifact.kind}/{each.artifact.name})" for each in lacking)
        return f"{task.in_words} needs the column '{column}', which its input {named} does not have: wire it to a table that does."

    def _check(self, planned: PlannedCheck, task: Task, run_id: str, outputs: Mapping[str, Artifact]) -> CheckRun:
        """Run a check of a run's outputs, record it and return its record; raises UsageError for a disk error."""
        with clear_disk_errors(self._workspace.root):
            return run_check(planned, task.job, run_id, outputs, self._store, self._recorder)


def _is_current(known: CompletedRun, code: Code) -> bool:
    """Whether the code that a completed run depends on is recorded and has not changed since."""
    return known.dependencies is not None and next(code.changes(known.dependencies), None) is None


def _summary(task: Task, run: Run, state: RunState, *, outputs: tuple[str, ...] = (), error: str | None = None) -> RunSummary:
    """Return a run's summary, the argument of plugins' observer hooks."""
    return RunSummary(run.id, run.job, task.stage.kind.value, task.stage.name, state, outputs, error)
