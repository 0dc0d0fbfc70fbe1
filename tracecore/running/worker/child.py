"""The worker process: runs one stage and exits. It imports the stage, reads inputs itself, and writes only to staging."""

from __future__ import annotations

import contextlib
import importlib
import json
import logging
import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, NoReturn, cast

# So that a worker has them when it begins.
import pyarrow.compute
import pyarrow.dataset
import pyarrow.parquet  # noqa: F401  # preloaded

from tracecore.errors import TracecoreError, UsageError
from tracecore.running.context import RunContext
from tracecore.running.worker.jobs import Job, StageResult, error_class, make_error, shape_of
from tracecore.running.worker.load_observer import Observer
from tracecore.running.worker.process import end_with_parent, process_guard
from tracecore.stage import SourceFile, Stage
from tracecore.store import local, parquet  # noqa: F401  # preloaded
from tracecore.system import locks
from tracecore.system.failures import disk_problem, failure_trace, reason_of
from tracecore_schemas.canonical import JSON

__all__ = ["main"]


def main(observer: Observer, server: int, connection: int, status: int, output: int, *held: int) -> NoReturn:
    """Run one stage as the worker of a build, in a newly forked process, and exit.

    Args:
        server: process id of the parent, the worker server.
        connection: file descriptor of the connection to the build.
        status: descriptor of the server's status pipe, which is closed here.
        output: descriptor that receives stdout and stderr.
        held: descriptors of the build's locks, which stay locked until this process ends.
    """
    code = 1
    try:
        os.setpgid(0, 0)
        end_with_parent(server)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that a stage's `finally` is run
        os.close(status)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        # A command's stdout is its answer, and nothing else.
        os.dup2(output, 1)
        os.dup2(output, 2)
        locks.keep_open(held)
        for descriptor in (connection, *held):
            os.set_inheritable(descriptor, False)
        _run_job(observer, _Channel(Connection(connection)))
        code = 0
    except BaseException:  # noqa: BLE001  # the build reads it on stderr, and sees that the worker ended
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        # Threads that a stage left, or libraries' own ends, would keep a process alive that has nothing more to do.
        os._exit(code)


class _Channel:
    """The connection to the build, which answers queries to the record and takes in external files: JSON messages, one at a time from any thread."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.RLock()

    def job(self) -> Job:
        """Receive and return the job (the stage to run and its inputs), the only message from the build that the worker unpickles."""
        return cast("Job", pickle.loads(self._connection.recv_bytes()))  # noqa: S301  # made by the build that this process belongs to

    def send(self, what: str, **members: Any) -> None:
        """Send the build a message of the type `what` with these members; it gets no answer."""
        data = json.dumps({"what": what, **members}).encode()
        with self._lock:
            self._connection.send_bytes(data)

    def ask(self, what: str, **asked: Any) -> Any:
        """Send the build a request of type `what` with the members `asked` and return the answer; raises the TracecoreError that the build raised."""
        with self._lock:
            self.send(what, **asked)
            answer = json.loads(self._connection.recv_bytes())
        if "raised" in answer:
            raise make_error(answer["raised"], answer["message"])
        return answer["value"]

    def trace(self, ref: str) -> Mapping[str, Any]:
        return cast("Mapping[str, Any]", self.ask("trace", ref=str(ref)))

    def facets(self, ref: str) -> Mapping[str, JSON]:
        return cast("Mapping[str, JSON]", self.ask("facets", ref=str(ref)))

    def adopt(self, file: SourceFile, *, kind: str, name: str, facets: Mapping[str, JSON], unknowns: Sequence[tuple[str, str]]) -> Path:
        stated = [[str(what), str(why)] for what, why in unknowns]
        return Path(self.ask("adopt", file=_file_as_json(file), kind=str(kind), name=str(name), facets=dict(facets), unknowns=stated))

    def quarantine(self, file: SourceFile, reason: str) -> None:
        self.send("quarantine", file=_file_as_json(file), reason=str(reason))


class _Log(logging.Handler):
    """Logging handler that sends records to the build's loggers."""

    def __init__(self, channel: _Channel) -> None:
        super().__init__()
        self._channel = channel

    def emit(self, record: logging.LogRecord) -> None:
        try:
            trace = "".join(traceback.format_exception(*record.exc_info)) if record.exc_info and record.exc_info[0] else ""
            self._channel.send("log", name=record.name, level=record.levelno, message=record.getMessage(), trace=trace)
        except Exception:  # noqa: BLE001  # logging's own way with what can't be logged
            self.handleError(record)


def _file_as_json(file: SourceFile) -> list[Any]:
    return [str(file.path), str(file.name), str(file.digest), int(file.size_bytes), str(file.part_of)]


def _run_job(observer: Observer, channel: _Channel) -> None:
    """Receive a job from the build, run its stage, and send the result or the exception to the build."""
    process = os.getpid()
    job = channel.job()
    trial: dict[str, Any] = {}
    try:
        _set_up_process(job, channel)
        made = _run_stage(observer, job, channel, trial)
        channel.send("made", made=made.document())
    except BaseException as error:  # whatever a stage raises, its exit too, is the build's to record
        if os.getpid() != process:
            raise
        disk = disk_problem(error, job.workspace.root) if isinstance(error, Exception) else None
        channel.send(
            "raised",
            reason=str(error) if isinstance(error, TracecoreError) else reason_of(error),
            trace=failure_trace(error),
            text="".join(traceback.format_exception(error)),
            known=error_class(error),
            disk="" if disk is None else str(disk),
            interrupt=not isinstance(error, Exception | SystemExit),
            trial=trial,
        )


def _set_up_process(job: Job, channel: _Channel) -> None:
    """Set this worker process's import path, environment, working directory and logging to those of the build."""
    sys.path[:] = job.import_path
    importlib.invalidate_caches()
    os.environ.clear()
    os.environ.update(job.environment)
    os.chdir(job.folder)
    root, own = job.levels
    logging.root.handlers[:] = [_Log(channel)]
    logging.root.setLevel(root)
    logging.getLogger(f"tracecore.run.{job.job}").setLevel(own)


def _run_stage(observer: Observer, job: Job, channel: _Channel, trial: dict[str, Any]) -> StageResult:
    """Run a job's stage in this process and return its result; in a trial (test of a plugin's stage), the trial's results are added to `trial`."""
    observer.begin(job.hashed)
    stage = _import_stage(job)
    params = stage.Params.model_validate(dict(job.params))
    if shape_of(stage, params) != job.shape:
        raise UsageError(
            f"Stage '{stage.name}' of asset '{job.asset}' was edited since this process read it: its ports or parameters are others now. "
            "Start it again."
        )

    def listen(done: int, total: int, note: str = "") -> None:
        channel.send("progress", done=int(done), total=int(total), note=str(note))

    def context_of(run_id: str) -> RunContext:
        return RunContext(stage, job, run_id, channel, listen if job.listened else None)

    context = context_of(job.run_id)
    with process_guard(), context.watch.on():
        if job.around is None:
            stage().run(context, params)
        else:
            resolve_name(job.around)(stage, context, params, job.asked, trial, lambda: context_of(f"{job.run_id}-again"))
    return StageResult(
        context.tables,
        context.folders,
        context.facets,
        tuple(context.unknowns),
        tuple(context.watch.strays()),
        context.watch.uncounted,
        observer.loaded(job.started_ns),
        trial,
    )


def _import_stage(job: Job) -> type[Stage]:
    """Return the stage class that a job names; raises UsageError if its module has no stage class of that name."""
    found: Any = importlib.import_module(job.module)
    for part in job.name.split("."):
        found = getattr(found, part, None)
    if not isinstance(found, type) or not issubclass(found, Stage):
        raise UsageError(
            f"The stage of asset '{job.asset}' can't be imported as {job.module}:{job.name}, so that no worker can run it: "
            "define its class in a module, by its own name."
        )
    return found
