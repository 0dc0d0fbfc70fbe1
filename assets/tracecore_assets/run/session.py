"""Run of a program in a workspace: makes each asset once, inputs first, unless the record has it."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

from tracecore.errors import NegativeVerdict, TracecoreError
from tracecore.plugins.host import PluginHost
from tracecore.running.executor import Executor
from tracecore.running.task import Outcome, ResolvedInput, Task
from tracecore.store import Stored, open_store
from tracecore.system.failures import clear_disk_errors
from tracecore.system.locks import hold_run, share_store
from tracecore.workspace import Workspace
from tracecore_assets.load.program import job_name
from tracecore_assets.resolve import ResolvedAsset, ResolvedProgram, program_document
from tracecore_assets.run.progress import Progress
from tracecore_lineage import Record
from tracecore_schemas.build import GateOutcome, SealedBuild
from tracecore_schemas.canonical import jcs
from tracecore_schemas.kinds import ArtifactKind
from tracecore_schemas.run import Artifact, CheckRun, Origin, Parent, Run, Unknown

__all__ = ["Session", "stored_artifact"]


class Session:
    """A running program; holds the store shared until it is closed. `run` is the id of the Dagster run, the parent of all its recorded runs.

    Attributes:
        outcomes: outcomes by asset, in execution order.
        gates: outcomes of the release's gates, once evaluated.
        selection: roles of the KPI reports on selection frames, once the gates are evaluated.
        failure: the error that finally stopped an asset or the release.
    """

    def __init__(self, program: ResolvedProgram, workspace: Workspace, host: PluginHost, *, run: str, progress: Progress | None = None) -> None:
        self.program = program
        self.workspace = workspace
        self.host = host
        self.progress = progress or Progress(lambda _line: None)
        with ExitStack() as opened:
            self.record = opened.enter_context(Record.open(workspace))
            self.recorder = self.record.recorder
            # Until the session is closed, nothing that it found or made may be pruned or withdrawn.
            opened.enter_context(share_store(workspace.locks))
            self.parent = Parent(run, job_name(program.name), self.recorder.namespace)
            self.store = open_store(workspace)
            self.executor = Executor(workspace, self.store, self.recorder, host, progress)
            opened.callback(self.executor.workers.close)
            self.program_artifact = self._keep_program()
            self._opened = opened.pop_all()
        self.outcomes: dict[str, Outcome] = {}
        self.gates: tuple[GateOutcome, ...] = ()
        self.selection: tuple[str, ...] = ()
        self.sealed: SealedBuild | None = None
        self.failure: TracecoreError | None = None
        self.interrupted = False

    def _keep_program(self) -> Artifact:
        """Store the effective program, and return its artifact. The first run with it as an input records it in the ledger."""
        return self._store_program(jcs(program_document(self.program)))

    def _store_program(self, data: bytes) -> Artifact:
        run_id = self.recorder.new_run_id()
        # Under a run's lock, like all staging, so that `recover` does not remove it.
        with hold_run(self.workspace.locks, run_id), clear_disk_errors(self.workspace.root):
            try:
                staged = self.store.staging(run_id) / f"{self.program.name}.json"
                staged.write_bytes(data)
                stored = self.store.put_file(staged, run_id=run_id, move=True)
            finally:
                self.store.discard(run_id)
        origin = Origin(f"{self.program.name}.json", stored.digest, stored.size_bytes, "vehicle program")
        return stored_artifact(stored, ArtifactKind.PROGRAM, self.program.name, origin=origin)

    def new_run(self, name: str, description: str) -> Run:
        """Return a new run of the job `<program>.<name>`, started now, whose parent is the Dagster run; it is not yet recorded."""
        return Run(
            id=self.recorder.new_run_id(),
            job=f"{self.program.name}.{name}",
            started_at=datetime.now(UTC),
            parent=self.parent,
            program=self.program_artifact,
            description=description,
        )

    def ensure(self, name: str) -> Outcome:
        """Return the outcome of making the asset called `name`: from this session, reused from the record, or by running its stage now.

        Raises NegativeVerdict if a blocking check rejected an input, UsageError for bad input, RunFailed if the stage failed.
        """
        if name not in self.outcomes:
            task = self._task(self.program.asset(name))  # ensures the inputs first, with progress of their own
            self.progress.begin(task.job, task.stage.name)
            try:
                self.outcomes[name] = self.executor.execute(task)
            except BaseException:
                self.progress.stopped()
                raise
            self.progress.outcome(self.outcomes[name])
        return self.outcomes[name]

    def _task(self, asset: ResolvedAsset) -> Task:
        program = self.program.spec
        return Task(
            program=self.program.name,
            asset=asset.name,
            stage=asset.stage,
            params=asset.params,
            inputs={source.port: self._supply_input(asset, source.asset, source.output) for source in asset.sources},
            seed=program.seed if asset.spec.seed is None else asset.spec.seed,
            program_artifact=self.program_artifact,
            base=self.program.base,
            checks=asset.spec.checks,
            readers={
                port: [
                    each.name for each in self.program.assets if any((source.asset, source.output) == (asset.name, port) for source in each.sources)
                ]
                for port in asset.outputs
            },
            parent=self.parent,
            threads=program.threads,
        )

    def _supply_input(self, asset: ResolvedAsset, supplier: str, port: str) -> ResolvedInput:
        """Return the output `port` of the asset `supplier` as an input, made first if missing. Raises NegativeVerdict if a check rejected it."""
        outcome = self.ensure(supplier)
        artifact = outcome.outputs[port]
        if artifact.ref in outcome.rejected:
            raise NegativeVerdict(
                f"Asset '{asset.name}' can't be made from '{self.program.asset(supplier).role(port)}': {rejection(outcome, artifact)}"
            )
        return ResolvedInput(artifact, outcome.run_id)

    def refuse_rejected(self, name: str) -> None:
        """Raise NegativeVerdict, with the check and its message, if a blocking check rejected an output of the asset called `name`."""
        outcome = self.outcomes[name]
        for port, artifact in outcome.outputs.items():
            if artifact.ref in outcome.rejected:
                raise NegativeVerdict(f"'{self.program.asset(name).role(port)}' is rejected: {rejection(outcome, artifact)}")

    def inputs_of(self, name: str) -> list[Artifact]:
        """Return the artifacts that the asset called `name` was made from, if they were made or reused in this session."""
        return [self.outcomes[source.asset].outputs[source.output] for source in self.program.asset(name).sources if source.asset in self.outcomes]

    def unknowns(self) -> list[tuple[str, Unknown]]:
        """Return (ref, unknown) of each distinct fact that the traces of the program's outputs record as not known."""
        read = {(source.asset, source.output) for asset in self.program.assets for source in asset.sources}
        found: dict[tuple[str, str, str], tuple[str, Unknown]] = {}
        for name, outcome in self.outcomes.items():
            for port, artifact in outcome.outputs.items():
                if (name, port) not in read:  # the traces of later outputs contain those that were read
                    for each in self.record.trace(artifact.ref)["unknowns"]:
                        found[each["at"], each["what"], each["why"]] = (each["at"], Unknown(each["what"], each["why"]))
        return list(found.values())

    def close(self) -> None:
        """Stop this session's worker processes, release its lock on the store and close its ledger."""
        self._opened.close()


def stored_artifact(stored: Stored, kind: str, name: str, **members: Any) -> Artifact:
    """Return an artifact called `name` with the digest, location and size of stored content; `members` are further fields of `Artifact`."""
    found = stored.digest, stored.media, stored.location, stored.size_bytes, stored.rows, stored.schema, stored.delta
    return Artifact(kind, name, *found, **members)


def rejection(outcome: Outcome, artifact: Artifact) -> str:
    """Return a sentence that names the failed checks of a rejected output, blocking or not, with the message of each."""
    failed: list[CheckRun] = [check for check in outcome.checks if not check.success and check.target == artifact.ref]
    if not failed:
        return f"{artifact.ref} was rejected by a blocking check."
    return " ".join(f"its check '{check.name}' failed: {check.message.rstrip('.')}." for check in failed)
