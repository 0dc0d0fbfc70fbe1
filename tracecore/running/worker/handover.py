"""The job that a build sends to a worker, and the build's answers to the worker's requests."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from tracecore.running.dependencies import Code
from tracecore.running.erasure_filter import ErasureFilter
from tracecore.running.external_files import Intake
from tracecore.running.recorder import Progress, Recorder
from tracecore.running.task import Task
from tracecore.running.worker.jobs import Job, shape_of
from tracecore.running.worker.process import worker_environment
from tracecore.running.worker.workers import Answer
from tracecore.stage import SourceFile
from tracecore.system.failures import clear_disk_errors
from tracecore.workspace import Workspace
from tracecore_schemas.canonical import JSON
from tracecore_schemas.run import Run

__all__ = ["answers", "job_for"]

_log = logging.getLogger(__name__)


def job_for(
    task: Task,
    run: Run,
    params: BaseModel,
    found: Mapping[str, Sequence[SourceFile]],
    withdrawn: ErasureFilter,
    workspace: Workspace,
    scratch: Path,
    *,
    listened: bool,
) -> Job:
    """Return the job for a run's worker: stage, parameters, inputs and environment; `listened` is whether to report progress."""
    stage = task.stage.stage_class
    return Job(
        module=stage.__module__,
        name=stage.__qualname__,
        asset=task.asset,
        job=task.job,
        run_id=run.id,
        params=task.params,
        shape=shape_of(stage, params),
        seed=task.seed,
        threads=task.threads,
        inputs={name: supplied.artifact for name, supplied in task.inputs.items()},
        found=found,
        withdrawn=withdrawn,
        workspace=workspace,
        scratch=scratch,
        started_ns=time.time_ns(),
        hashed=Code().hashed,
        import_path=tuple(os.path.abspath(each) for each in sys.path),  # noqa: PTH100  # '' means the working directory
        environment=worker_environment(os.environ, task.threads),
        folder=os.getcwd(),  # noqa: PTH109  # as text
        levels=(logging.root.getEffectiveLevel(), logging.getLogger(f"tracecore.run.{task.job}").getEffectiveLevel()),
        listened=listened,
    )


def answers(
    adoptions: Intake, recorder: Recorder, root: Path, finish: Callable[[str, Mapping[str, JSON]], Mapping[str, JSON]], progress: Progress | None
) -> dict[str, Answer]:
    """Return functions that handle a worker's messages, by message type; `finish` validates facets of an external file named `<kind>/<name>`."""

    def adopt(asked: Mapping[str, Any]) -> str:
        with clear_disk_errors(root):
            file, kind, name, unknowns = _source_file(asked["file"]), asked["kind"], asked["name"], asked["unknowns"]
            return str(adoptions.adopt(file, kind=kind, name=name, facets=finish(f"{kind}/{name}", asked["facets"]), unknowns=unknowns))

    def show(message: Mapping[str, Any]) -> None:
        if progress is None:
            return
        try:
            progress(message["done"], message["total"], message["note"])
        except Exception:  # noqa: BLE001  # a listener can't disturb a run
            _log.warning("Progress could not be shown.", exc_info=True)

    return {
        "adopt": adopt,
        "quarantine": lambda message: adoptions.quarantine(_source_file(message["file"]), message["reason"]),
        "trace": lambda asked: recorder.trace(asked["ref"]),
        "facets": lambda asked: recorder.facets(asked["ref"]),
        "progress": show,
    }


def _source_file(plain: Sequence[Any]) -> SourceFile:
    """Return the file that a worker sent as a list: path, name, digest, size and the input port that it came from, if any."""
    path, name, digest, size, part_of = plain
    return SourceFile(Path(path), name, digest, size, part_of)
