"""Progress of a build on stderr: what is made, what is used again, how far a stage is."""

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
    """Say in a few words what was made: `dataset/reference.drives.frames@d09c41 (468 rows)`."""
    rows = f" ({artifact.rows:,} rows)" if artifact.rows is not None else ""
    head, _, digest = artifact.ref.rpartition("@")
    return f"{head}@{digest[:6]}{rows}"


def remaining(done: int, total: int, seconds: float) -> str:
    """Return how long the rest takes if it goes on as before: `about 1:40 left`; empty where nobody can know."""
    if not 0 < done < total:
        return ""
    minutes, rest = divmod(round(seconds * (total - done) / done), 60)
    return f"about {minutes}:{rest:02} left"


class Progress(Protocol):
    """Shown how far a build is: one asset after the other, and how far the running stage is."""

    def begin(self, job: str, stage: str) -> None:
        """See that a job (`<program>.<asset>`) is looked at."""

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """See how far the running stage is; `total` 0 says that nobody knows how much there is."""

    def stopped(self) -> None:
        """See that the job came to no outcome."""

    def outcome(self, outcome: Outcome) -> None:
        """See what became of the job."""


class Lines:
    """Progress as lines for whatever takes them, a running stage now and then only.

    Args:
        line: takes a line.
    """

    def __init__(self, line: Callable[[str], None]) -> None:
        self._line = line
        self._job = ""
        self._began = self._told = 0.0

    def begin(self, job: str, stage: str) -> None:
        """See that a job is looked at."""
        self._job = f"{job} ({stage})"
        self._began = self._told = time.monotonic()

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Print a line now and then."""
        if time.monotonic() - self._told > _SECONDS_BETWEEN_LINES:
            self._told = time.monotonic()
            shown = (f"{done} of {total}" if total else "", note, remaining(done, total, time.monotonic() - self._began))
            self._line(f"  ...      {self._job}: " + " · ".join(text for text in shown if text))

    def stopped(self) -> None:
        """See that the job came to no outcome; why is told by the error."""
        self._line(f"  failed   {self._job}  {time.monotonic() - self._began:.1f} s")

    def outcome(self, outcome: Outcome) -> None:
        """Print what became of an asset's outputs, and which of its checks failed."""
        seconds = "" if outcome.reused else f"  {time.monotonic() - self._began:.1f} s"
        for artifact in outcome.outputs.values():
            word = "rejected" if artifact.ref in outcome.rejected else "reused" if outcome.reused else "made"
            self._line(f"  {word:<8} {describe(artifact)}{seconds}")
        for check in outcome.checks:
            if not check.success:
                self._line(f"           check {check.name} failed ({check.severity.value}): {check.message}")


def _copy_of_stderr() -> TextIO | None:
    """Open stderr's file a second time; None where it is none, as under a test runner: it is written to as it is."""
    try:
        return os.fdopen(os.dup(sys.stderr.fileno()), "w", encoding="utf-8", buffering=1)
    except io.UnsupportedOperation:
        return None


class Console:
    """Progress lines and, on a terminal, a bar.

    Dagster captures the standard streams of its steps into files; this writes to a copy of stderr taken before, so that it stays on the terminal.

    Args:
        stream: where to; a copy of stderr where None, or stderr itself where it is no file.
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
            with contextlib.suppress(OSError):  # closing flushes, to a reader that may be gone
                self._own.close()

    def line(self, text: str) -> None:
        """Print one line above the bar."""
        with contextlib.suppress(OSError):  # whoever read the lines may be gone (`2>&1 | head`): the build is not theirs to stop
            if self._bar is not None:
                self._bar.console.print(text, markup=False)
            else:
                self._stream.write(text + "\n")
                self._stream.flush()

    def begin(self, job: str, stage: str) -> None:
        """See that a job is looked at."""
        self._lines.begin(job, stage)
        if self._bar is not None:
            self._drop()
            self._task = self._bar.add_task(f"{job} ({stage})", total=None, note="")

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Move the bar; away from a terminal print a line now and then."""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done, total=total or None, note=note)
        else:
            self._lines(done, total, note)

    def stopped(self) -> None:
        """See that the job came to no outcome; why is told by the error."""
        self._drop()
        self._lines.stopped()

    def outcome(self, outcome: Outcome) -> None:
        """Print what became of an asset's outputs, and which of its checks failed."""
        self._drop()
        self._lines.outcome(outcome)

    def _drop(self) -> None:
        if self._bar is not None and self._task is not None:
            self._bar.remove_task(self._task)
            self._task = None
