"""One run of a program against a workspace: each asset ensured once, what it stands on first; the record decides what is stale."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from tracecore.errors import NegativeVerdict, TracecoreError
from tracecore.plugins.host import PluginHost
from tracecore.running.executor import Executor
from tracecore.running.task import Outcome, ResolvedInput, Task
from tracecore.store import open_store
from tracecore.system.failures import clear_disk_errors
from tracecore.system.locks import hold_run, share_store
from tracecore.workspace import Workspace
from tracecore_assets.load.program import job_name
from tracecore_assets.resolve import ResolvedAsset, ResolvedProgram, program_document
from tracecore_lineage import Record
from tracecore_schemas.build import GateOutcome, SealedBuild
from tracecore_schemas.canonical import jcs
from tracecore_schemas.kinds import ArtifactKind
from tracecore_schemas.run import Artifact, CheckRun, Origin, Parent, Unknown

if TYPE_CHECKING:
    from tracecore_assets.run.progress import Progress

__all__ = ["Session"]


class Session:
    """A program being run: what was ensured so far, and the way to ensure the rest.

    Args:
        wired: the program.
        workspace: where everything goes.
        host: the installed plugins.
        run: id of the Dagster run that it works for, the parent of all its runs in the record.
        progress: shown how far the work is.

    Attributes:
        outcomes: by asset, in the order they were ensured.
        gates: outcomes of the release's gates, once judged.
        selection: roles of the KPI reports that are of selection, once judged.
        sealed: the build, once sealed.
        failure: what stopped an asset or the release for good.
        interrupted: whether somebody stopped it.
    """

    def __init__(self, wired: ResolvedProgram, workspace: Workspace, host: PluginHost, *, run: str, progress: Progress | None = None) -> None:
        self.wired = wired
        self.workspace = workspace
        self.host = host
        self.progress = progress
        self.record = Record.open(workspace)
        # Until the session is closed, nothing that it found or made is pruned or withdrawn under its feet.
        self._sharing = ExitStack()
        self._sharing.enter_context(share_store(workspace.locks))
        self.parent = Parent(run, job_name(wired.name), self.record.namespace)
        self.store = open_store(workspace)
        self.executor = Executor(workspace, self.store, self.record, host, progress)
        self.program_artifact = self._keep_program()
        self.outcomes: dict[str, Outcome] = {}
        self.gates: tuple[GateOutcome, ...] = ()
        self.selection: tuple[str, ...] = ()
        self.sealed: SealedBuild | None = None
        self.failure: TracecoreError | None = None
        self.interrupted = False

    def _keep_program(self) -> Artifact:
        """Keep the effective program in the store; the record learns of it with the first run that has it as an input."""
        data = jcs(program_document(self.wired))
        run_id = self.record.new_run_id()
        # Under a run's lock, as any staging: `recover` leaves it alone.
        with hold_run(self.workspace.locks, run_id), clear_disk_errors(self.workspace.root):
            try:
                staged = self.store.staging(run_id) / f"{self.wired.name}.json"
                staged.write_bytes(data)
                stored = self.store.put_file(staged, run_id=run_id, move=True)
            finally:
                self.store.discard(run_id)
        return Artifact(
            kind=ArtifactKind.PROGRAM,
            name=self.wired.name,
            digest=stored.digest,
            media=stored.media,
            location=stored.location,
            size_bytes=stored.size_bytes,
            origin=Origin(f"{self.wired.name}.json", stored.digest, stored.size_bytes, "vehicle program"),
        )

    def ensure(self, name: str) -> Outcome:
        """Return an asset's outcome: from this session, from the record, or made now.

        Raises:
            NegativeVerdict: an input was rejected by a blocking check.
            UsageError: bad input.
            RunFailed: the stage failed.
        """
        if name not in self.outcomes:
            # What it stands on comes first, and has lines of its own.
            task = self._task(self.wired.asset(name))
            self.outcomes[name] = self._execute(task)
        return self.outcomes[name]

    def _execute(self, task: Task) -> Outcome:
        if self.progress is None:
            return self.executor.execute(task)
        self.progress.begin(task.job, task.stage.name)
        try:
            outcome = self.executor.execute(task)
        except BaseException:
            self.progress.stopped()
            raise
        self.progress.outcome(outcome)
        return outcome

    def _task(self, asset: ResolvedAsset) -> Task:
        program = self.wired.program
        return Task(
            program=self.wired.name,
            asset=asset.name,
            stage=asset.stage,
            params=asset.params,
            inputs={wire.port: self._supply(asset, wire.asset, wire.output) for wire in asset.wires},
            seed=program.seed if asset.spec.seed is None else asset.spec.seed,
            program_artifact=self.program_artifact,
            base=self.wired.base,
            checks=asset.spec.checks,
            readers={port: self._readers(asset.name, port) for port in asset.outputs},
            parent=self.parent,
            threads=program.threads,
        )

    def _readers(self, asset: str, port: str) -> list[str]:
        return [each.name for each in self.wired.assets if any((wire.asset, wire.output) == (asset, port) for wire in each.wires)]

    def _supply(self, asset: ResolvedAsset, supplier: str, port: str) -> ResolvedInput:
        outcome = self.ensure(supplier)
        artifact = outcome.outputs[port]
        if artifact.ref in outcome.rejected:
            raise NegativeVerdict(
                f"Asset '{asset.name}' can't be made from '{self.wired.asset(supplier).role(port)}': {rejection(outcome, artifact)}"
            )
        return ResolvedInput(artifact, outcome.run_id, rejected=artifact.ref in outcome.rejected)

    def refuse_rejected(self, name: str) -> None:
        """Stop a build at an output that a blocking check rejected: nothing may read it, so nothing can be sealed with it.

        Raises:
            NegativeVerdict: naming the check and what it found.
        """
        outcome = self.outcomes[name]
        for port, artifact in outcome.outputs.items():
            if artifact.ref in outcome.rejected:
                raise NegativeVerdict(f"'{self.wired.asset(name).role(port)}' is rejected: {rejection(outcome, artifact)}")

    def inputs_of(self, name: str) -> list[Artifact]:
        """Return what an ensured asset was made from."""
        return [self.outcomes[wire.asset].outputs[wire.output] for wire in self.wired.asset(name).wires if wire.asset in self.outcomes]

    def unknowns(self) -> list[tuple[str, Unknown]]:
        """Return all unknowns of the traces behind the program's outputs, each once, with the ref they are of."""
        read = {(wire.asset, wire.output) for asset in self.wired.assets for wire in asset.wires}
        found: dict[tuple[str, str, str], tuple[str, Unknown]] = {}
        for name, outcome in self.outcomes.items():
            for port, artifact in outcome.outputs.items():
                if (name, port) not in read:  # what others were made from is in their traces
                    for each in self.record.trace(artifact.ref)["unknowns"]:
                        found[each["at"], each["what"], each["why"]] = (each["at"], Unknown(each["what"], each["why"]))
        return list(found.values())

    def close(self) -> None:
        """Let go of the record and the stored bytes, and end the workers."""
        self.executor.workers.close()
        self._sharing.close()
        self.record.close()


def rejection(outcome: Outcome, artifact: Artifact) -> str:
    """Return which blocking check rejected an output, and what it found."""
    failed: list[CheckRun] = [check for check in outcome.checks if not check.success and check.target == artifact.ref]
    if not failed:
        return f"{artifact.ref} was rejected by a blocking check."
    return " ".join(f"its check '{check.name}' failed: {check.message.rstrip('.')}." for check in failed)
