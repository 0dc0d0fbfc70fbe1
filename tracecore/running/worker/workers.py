"""The build's side of workers: starts them, answers their requests, and ends them."""

from __future__ import annotations

import json
import logging
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from tracecore.errors import RunFailed, TracecoreError, UsageError
from tracecore.running.worker.jobs import Job, StageRaised, StageResult, error_class
from tracecore.running.worker.process import server_environment
from tracecore.running.worker.server import FORK, STATUS
from tracecore.system import locks
from tracecore.system.failures import reason_of

__all__ = ["Workers"]

_BOOT = """
import json, sys, types
sys.path[:] = json.loads(sys.argv[1])
sys.modules["tracecore.running.worker.load_observer"] = observing = types.ModuleType("tracecore.running.worker.load_observer")
observing.__file__ = sys.argv[3]
exec(compile(open(sys.argv[3], "rb").read(), sys.argv[3], "exec"), vars(observing))
import time
began, observer = time.time_ns(), observing.Observer()
observer.install()
from tracecore.running.worker.server import serve
serve(observer, int(sys.argv[2]), began)
"""
_PATIENCE_S = 5.0

Answer = Callable[[Mapping[str, Any]], Any]


class Workers:
    """The workers of one build, forked from a server that is started with the first one; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._control: socket.socket | None = None
        self._end: Callable[[], object] = int

    def run(self, job: Job, answers: Mapping[str, Answer]) -> StageResult:
        """Run a job's stage in a new worker process and return the result; `answers` are handlers by message type, called with a message's members.

        Raises StageRaised if the stage failed, was stopped, or ended its process, and UsageError if a parameter can't be pickled.
        """
        try:
            data = pickle.dumps(job)
        except Exception as error:
            raise UsageError(f"A parameter of asset '{job.asset}' can't be handed to a worker: {reason_of(error)}.") from error
        ours, theirs = socket.socketpair()
        ended, ending = os.pipe()
        try:
            with theirs:
                self._fork(theirs.fileno(), ending)
        finally:
            os.close(ending)
        with Connection(ours.detach()) as connection, os.fdopen(ended, "rb", buffering=0) as status:
            return _Worker(connection, status).run(data, answers)

    def close(self) -> None:
        """End the worker server and any running worker."""
        with self._lock:
            self._end()
            self._control = None

    def _fork(self, connection: int, status: int) -> None:
        with self._lock:
            descriptors = [connection, status, _stderr(), *locks.held()]
            for again in (True, False):
                if self._control is None:
                    self._control, server = _start()
                    self._end = weakref.finalize(self, _end_server, self._control, server)
                try:
                    socket.send_fds(self._control, [FORK], descriptors)
                except OSError:
                    self._end()  # it was killed; nothing was lost with it
                    self._control = None
                    if not again:
                        raise
                else:
                    return


_OURS: weakref.WeakSet[socket.socket] = weakref.WeakSet()


def _close_controls_in_child() -> None:
    for control in list(_OURS):
        control.close()


# A child that this process forks and that lives on may not keep a server alive.
os.register_at_fork(after_in_child=_close_controls_in_child)


def _start() -> tuple[socket.socket, subprocess.Popen[bytes]]:
    """Start a worker server, and return the socket for sending it requests and its process; raises RunFailed if it does not start."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    _OURS.add(ours)
    with theirs:
        server = subprocess.Popen(  # noqa: S603  # this interpreter, on code of ours
            [sys.executable, "-c", _BOOT, json.dumps(sys.path), str(theirs.fileno()), str(Path(__file__).with_name("load_observer.py"))],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env=server_environment(os.environ),
            start_new_session=True,  # Ctrl-C goes only to the build
        )
    # Only then is it handed anything: what waits in its socket, the build's locks among it, would outlive a build that is killed meanwhile.
    if not ours.recv(len(FORK)):
        server.wait()
        raise RunFailed("No worker can be started: see what their server wrote to stderr.")
    return ours, server


def _end_server(control: socket.socket, server: subprocess.Popen[bytes]) -> None:
    control.close()
    server.wait()


def _stderr() -> int:
    try:
        return sys.stderr.fileno()
    except (AttributeError, OSError, ValueError):  # replaced by a notebook or a test
        return 2


class _Worker:
    """The connection to one running worker."""

    def __init__(self, connection: Connection, status: Any) -> None:
        self._connection = connection
        self._status = status
        self._pid = 0
        self._ended: int | None = None
        self._made: StageResult | None = None
        self._raised: StageRaised | None = None

    def run(self, data: bytes, answers: Mapping[str, Answer]) -> StageResult:
        try:
            with suppress(BrokenPipeError, ConnectionResetError):  # it has ended already; `_ending_in_words` reports it
                self._connection.send_bytes(data)
            return self._listen(answers)
        finally:
            self._stop()

    def _listen(self, answers: Mapping[str, Answer]) -> StageResult:
        """Handle the worker's messages until the worker and its children have ended; return the stage's result. Raises StageRaised if it has none."""
        sources = [self._connection, self._status]
        while self._ended is None:
            ready = wait(sources)
            if self._connection not in ready:
                self._take_status()
            elif not self._take_message(answers):
                sources.remove(self._connection)
        while self._connection in sources and self._connection.poll(0) and self._take_message(answers):
            pass
        if self._made is None:
            raise self._raised or StageRaised(self._ending_in_words())
        return self._made

    def _take_message(self, answers: Mapping[str, Answer]) -> bool:
        """Receive and handle one message of the worker, and return True; False if the connection is closed."""
        try:
            message: dict[str, Any] = json.loads(self._connection.recv_bytes())
        except (EOFError, OSError):
            return False
        what = message.pop("what")
        if what == "made":
            self._made = StageResult.read(message["made"])
        elif what == "raised":
            self._raised = StageRaised(**message)
        else:
            self._answer(what, message, answers)
        return True

    def _answer(self, what: str, message: dict[str, Any], answers: Mapping[str, Answer]) -> None:
        """Log a worker's log record, or call the handler of its message in `answers` and, if the worker waits for a result, send that back."""
        if what == "log":
            _log_record(message)
        elif what in {"trace", "facets", "adopt"}:
            try:
                reply = {"value": answers[what](message)}
            except TracecoreError as error:
                reply = {"raised": error_class(error), "message": str(error)}
            with suppress(BrokenPipeError, ConnectionResetError):
                self._connection.send_bytes(json.dumps(reply).encode())
        else:
            answers[what](message)

    def _take_status(self) -> None:
        """Read one status message of the worker server: the first is the worker's process id, the second its wait status (how it ended)."""
        data = self._status.read(STATUS.size)
        if not data:
            self._ended = -1  # the server was killed, and its workers with it
        elif not self._pid:
            (self._pid,) = STATUS.unpack(data)
        else:
            (self._ended,) = STATUS.unpack(data)

    def _ending_in_words(self) -> str:
        """Return words on how the worker's process ended (exit code or signal), for an error message."""
        if self._ended is None or self._ended == -1:
            return "its worker was killed with the server of this build's workers"
        code = os.waitstatus_to_exitcode(self._ended)
        if code >= 0:
            return f"its process ended with exit code {code} before the stage was done"
        number = signal.Signals(-code)
        return f"its process was ended by {number.name} ({(signal.strsignal(number) or 'a signal').lower()})"

    def _stop(self) -> None:
        """End the worker process if it still runs: by SIGTERM, then by SIGKILL after 5 s or on a second Ctrl-C."""
        until = time.monotonic() + _PATIENCE_S
        while self._ended is None:
            try:
                self._end_process(until)
            except KeyboardInterrupt:
                until = 0.0

    def _end_process(self, until: float) -> None:
        """Send the worker SIGTERM, and SIGKILL after the time `until` (monotonic clock, in s), and wait until it has ended."""
        asked = False
        while self._ended is None:
            if self._pid and not asked:
                self._signal(signal.SIGTERM)
                asked = True
            left = until - time.monotonic()
            if left <= 0 and self._pid:
                self._signal(signal.SIGKILL)
                left = _PATIENCE_S
            if not wait([self._status], max(left, 0.1)):
                continue
            self._take_status()

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.kill(self._pid, number)


def _log_record(message: Mapping[str, Any]) -> None:
    logger = logging.getLogger(message["name"])
    if logger.isEnabledFor(message["level"]):
        record = logger.makeRecord(message["name"], message["level"], "", 0, message["message"], (), None)
        record.exc_text = message["trace"] or None
        logger.handle(record)
