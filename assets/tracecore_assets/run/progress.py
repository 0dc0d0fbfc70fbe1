"""Progress of a build on stderr: assets made and reused, and the running stage."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self, TextIO

from tracecore.running.task import Outcome
from tracecore_schemas.run import Artifact

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

__all__ = ["Console", "Lines", "Progress", "describe", "remaining"]

_SECONDS_BETWEEN_LINES = 15.0


def describe(artifact: Artifact) -> str:
    """Return a short description of an artifact: `dataset/reference.drives.frames@d09c41 (468 rows)`."""
    rows = f" ({artifact.rows:,} rows)" if artifact.rows is not None else ""
    head, _, digest = artifact.ref.rpartition("@")
    return f"{head}@{digest[:6]}{rows}"


def remaining(done: int, total: int, seconds: float) -> str:
    """Return the extrapolated remaining time: `about 1:40 left`; empty if it can't be estimated."""
    if not 0 < done < total:
        return ""
    minutes, rest = divmod(round(seconds * (total - done) / done), 60)
    return f"about {minutes}:{rest:02} left"


class Progress(Protocol):
    """Receives the progress of a build, asset by asset."""

    def begin(self, job: str, stage: str) -> None:
        """Report that a job (`<program>.<asset>`) begins."""

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Report the progress of the running stage; `total` is 0 if unknown."""

    def stopped(self) -> None:
        """Report that the job failed or was interrupted."""

    def outcome(self, outcome: Outcome) -> None:
        """Report the outcome of the job."""


class Lines:
    """Progress as lines of text; at most one every 15 s for a running stage.

    Args:
        line: writes a line.
    """

    def __init__(self, line: Callable[[str], None]) -> None:
        self._line = line
        self._job = ""
        self._began = self._written = 0.0

    def begin(self, job: str, stage: str) -> None:
        """Begin a job."""
        self._job = f"{job} ({stage})"
        self._began = self._written = time.monotonic()

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Write a line if the last one is old enough."""
        if time.monotonic() - self._written > _SECONDS_BETWEEN_LINES:
            self._written = time.monotonic()
            shown = (f"{done} of {total}" if total else "", note, remaining(done, total, time.monotonic() - self._began))
            self._line(f"  ...      {self._job}: " + " · ".join(text for text in shown if text))

    def stopped(self) -> None:
        """Write that the job failed; the error gives the reason."""
        self._line(f"  failed   {self._job}  {time.monotonic() - self._began:.1f} s")

    def outcome(self, outcome: Outcome) -> None:
        """Write the outputs of the job and its failed checks."""
        seconds = "" if outcome.reused else f"  {time.monotonic() - self._began:.1f} s"
        for artifact in outcome.outputs.values():
            word = "rejected" if artifact.ref in outcome.rejected else "reused" if outcome.reused else "made"
            self._line(f"  {word:<8} {describe(artifact)}{seconds}")
        for check in outcome.checks:
            if not check.success:
                self._line(f"           check {check.name} failed ({check.severity.value}): {check.message}")


def _copy_of_stderr() -> TextIO | None:
    """Return a duplicate of stderr; None if stderr is not a file, as under a test runner."""
    try:
        return os.fdopen(os.dup(sys.stderr.fileno()), "w", encoding="utf-8", buffering=1)
    except io.UnsupportedOperation:
        return None


class Console:
    """Progress lines and, on a terminal, a bar.

    Dagster redirects the standard streams of its steps to files; a duplicate of stderr made before still writes to the terminal.

    Args:
        stream: a duplicate of stderr by default.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._own = None if stream is not None else _copy_of_stderr()
        self._stream = stream or self._own or sys.stderr
        self._bar: Bar | None = None
        self._task: TaskID | None = None
        self._lines = Lines(self.line)

    def __enter__(self) -> Self:
        from rich.console import Console as RichConsole
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        if self._stream.isatty():
            self._bar = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                TextColumn("{task.fields[note]}", markup=False),
                TimeElapsedColumn(),
                TimeRemainingColumn(compact=True),
                console=RichConsole(file=self._stream, highlight=False, emoji=False),
                transient=True,
                redirect_stdout=False,  # Dagster captures the standard streams itself
                redirect_stderr=False,
            )
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()
        if self._own is not None:
            with contextlib.suppress(OSError):  # closing flushes, and the reader of a pipe may have ended
                self._own.close()

    def line(self, text: str) -> None:
        """Write a line above the bar."""
        with contextlib.suppress(OSError):  # a reader that has ended (`2>&1 | head`) must not stop the build
            if self._bar is not None:
                self._bar.console.print(text, markup=False)
            else:
                self._stream.write(text + "\n")
                self._stream.flush()

    def begin(self, job: str, stage: str) -> None:
        """Begin a job."""
        self._lines.begin(job, stage)
        if self._bar is not None:
            self._drop()
            self._task = self._bar.add_task(f"{job} ({stage})", total=None, note="")

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Move the bar; without a terminal, write a line from time to time."""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done, total=total or None, note=note)
        else:
            self._lines(done, total, note)

    def stopped(self) -> None:
        """Write that the job failed; the error gives the reason."""
        self._drop()
        self._lines.stopped()

    def outcome(self, outcome: Outcome) -> None:
        """Write the outputs of the job and its failed checks."""
        self._drop()
        self._lines.outcome(outcome)

    def _drop(self) -> None:
        if self._bar is not None and self._task is not None:
            self._bar.remove_task(self._task)
            self._task = None
