"""A process that records drives for another one: `python -m tracecore_simulation.worker`, tasks on its input, what is true of them on its output.

Not `multiprocessing`: a forked process would have the locks of Dagster's and Arrow's threads as they were, and a spawned one would run the main
script of whoever calls once more.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from tracecore_simulation.drive import Drive, Settings, record_drive
from tracecore_simulation.plan import DrivePlan

__all__ = ["Worker", "WorkerGone", "worker"]

Task = tuple[Path, DrivePlan, Settings]
"""What `record_drive` takes."""


class WorkerGone(Exception):
    """The process ended before it answered; its own words are on standard error."""


class Worker:
    """Hands tasks to one process, one after another."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def record(self, task: Task) -> Drive:
        """Record one drive there.

        Raises:
            WorkerGone: the process ended.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            pickle.dump(task, self._process.stdin)
            self._process.stdin.flush()
            answer = pickle.load(self._process.stdout)  # noqa: S301  # from the process that we started
        except (OSError, EOFError, pickle.UnpicklingError) as problem:
            raise WorkerGone(str(problem)) from problem
        assert isinstance(answer, Drive)
        return answer


@contextmanager
def worker() -> Iterator[Worker]:
    """Start a process, and end it when the block is left."""
    command = [sys.executable, "-P", "-m", "tracecore_simulation.worker"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:  # noqa: S603  # this Python and this module
        try:
            yield Worker(process)
        finally:
            process.kill()  # between two tasks, or after one that failed: files are written whole or not at all
            assert process.stdin is not None
            with suppress(BrokenPipeError):  # part of a task that a dead process never took
                process.stdin.close()


def _serve(tasks: BinaryIO, answers: BinaryIO) -> None:
    while True:
        try:
            path, plan, settings = pickle.load(tasks)  # noqa: S301  # from the process that started this one
        except EOFError:
            return
        pickle.dump(record_drive(path, plan, settings), answers)
        answers.flush()


if __name__ == "__main__":
    own_output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not lie between answers
    _serve(sys.stdin.buffer, own_output)
