"""Watching: a run whose stage opens many files, as every run is watched, against the same run without watching."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from unittest.mock import patch

from measure import Comparison, compare

import tracecore as tc
from tracecore.plugins.host import PluginHost, RegisteredStage
from tracecore.running.audit_hook import Watch
from tracecore.running.executor import Executor, ResolvedInput, Task
from tracecore.store.local import LocalStore
from tracecore.workspace import Workspace
from tracecore_lineage import Record
from tracecore_schemas.run import Artifact

__all__ = ["watched_run"]

FILES, ROUNDS = 150, 20


class ManyFiles(tc.Stage):
    """Open every file of a folder, round after round: what is watched, and next to nothing else."""

    kind = tc.StageKind.COMPILE
    folder = tc.Input("model")
    size = tc.Output("engine", file="size")

    def run(self, context: tc.Context, params: tc.Params) -> None:  # noqa: ARG002  # it has none
        total = sum(len(path.read_bytes()) for _ in range(ROUNDS) for path in context.read(self.folder).iterdir())
        (context.path(self.size) / "size").write_text(str(total), encoding="utf-8")


def watched_run(folder: Path, times: int) -> Comparison:
    """A run from START to COMPLETE in strict mode, its stage opening many small files, against the same without a watch."""
    workspace = Workspace.create(folder / "watched")
    store, record = LocalStore(workspace), Record.open(workspace)
    source = store.staging("source") / "files"
    source.mkdir()
    for number in range(FILES):
        (source / f"{number}.bin").write_bytes(b"0123456789")
    stored = store.put_directory(source, run_id="source")
    given = ResolvedInput(Artifact("model", "bench.files", stored.digest, stored.media, stored.location, stored.size_bytes), None)
    host = PluginHost(())
    host.settings = host.settings.model_copy(update={"strict_io": True})
    executor = Executor(workspace, store, record.recorder, host)
    stage = RegisteredStage(ManyFiles, "bench", "tracecore", "0")
    seeds = count()

    def run() -> None:
        executor.execute(Task("bench", "size", stage, {}, {"folder": given}, next(seeds), None, folder))

    def unwatched() -> None:
        with patch.object(Watch, "on", _nobody):
            run()

    try:
        run()  # what is looked up once a process, such as the digests of the code, is not part of either
        return compare("a watched run (strict)", f"{FILES * ROUNDS:,} opens", "the same run unwatched", run, unwatched, bound=3, times=times)
    finally:
        record.close()


@contextmanager
def _nobody(self: Watch) -> Iterator[None]:  # noqa: ARG001  # replaces a method
    yield
