"""Progress of a build: assets made and reused, and the running stage."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from tracecore.running.task import Outcome
from tracecore_lineage.present.words import short_ref

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

__all__ = ["Console", "Progress"]

_SECONDS_BETWEEN_LINES = 15.0


class Progress:
    """Progress of a build as lines of text, at most one every 15 s for a running stage; `line` writes a line."""

    def __init__(self, line: Callable[[str], None]) -> None:
        self._line = line
        self._job = ""
        self._began = self._written = 0.0

    def begin(self, job: str, stage: str) -> None:
        """Start the timer of a job (`<program>.<asset>`); later progress lines show the job and its stage."""
        self._job = f"{job} ({stage})"
        self._began = self._written = time.monotonic()

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Write a line with the running stage's progress, if the last line is more than 15 s old. `total` is 0 if not known."""
        now = time.monotonic()
        if now - self._written > _SECONDS_BETWEEN_LINES:
            self._written = now
            left = ""
            if 0 < done < total:
                minutes, seconds = divmod(round((now - self._began) * (total - done) / done), 60)
                left = f"about {minutes}:{seconds:02} left"
            shown = (f"{done} of {total}" if total else "", note, left)
            self._line(f"  ...      {self._job}: " + " · ".join(text for text in shown if text))

    def stopped(self) -> None:
        """Write a line that the current job failed, with its duration but without the reason."""
        self._line(f"  failed   {self._job}  {time.monotonic() - self._began:.1f} s")

    def outcome(self, outcome: Outcome) -> None:
        """Write a line for each output of the finished job (made, reused or rejected) and for each failed check."""
        seconds = "" if outcome.reused else f"  {time.monotonic() - self._began:.1f} s"
        for artifact in outcome.outputs.values():
            word = "rejected" if artifact.ref in outcome.rejected else "reused" if outcome.reused else "made"
            rows = f" ({artifact.rows:,} rows)" if artifact.rows is not None else ""
            self._line(f"  {word:<8} {short_ref(artifact.ref)}{rows}{seconds}")
        for check in outcome.checks:
            if not check.success:
                self._line(f"           check {check.name} failed ({check.severity.value}): {check.message}")


class Console(Progress):
    """Progress as lines on stderr and, on a terminal, a bar.

    Dagster redirects the standard streams of its steps to files; a duplicate of stderr made before still writes to the terminal.
    """

    def __init__(self) -> None:
        super().__init__(self.line)
        self._stream = sys.stderr
        self._bar: Bar | None = None
        self._task: TaskID | None = None
        with contextlib.suppress(io.UnsupportedOperation):  # stderr is not a file under a test runner
            self._stream = os.fdopen(os.dup(sys.stderr.fileno()), "w", encoding="utf-8", buffering=1)

    def __enter__(self) -> Self:
        from rich.console import Console as RichConsole
        from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        if self._stream.isatty():
            self._bar = Bar(
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
        if self._stream is not sys.stderr:
            with contextlib.suppress(OSError):  # closing flushes, and the reader of a pipe may have ended
                self._stream.close()

    def line(self, text: str) -> None:
        """Write a line of text to stderr, above the progress bar if one is shown."""
        with contextlib.suppress(OSError):  # a reader that has ended (`2>&1 | head`) must not stop the build
            if self._bar is not None:
                self._bar.console.print(text, markup=False)
            else:
                self._stream.write(text + "\n")
                self._stream.flush()

    def begin(self, job: str, stage: str) -> None:
        """Start the timer of a job (`<program>.<asset>`); on a terminal, show a new progress bar for it."""
        super().begin(job, stage)
        if self._bar is not None:
            self._remove_bar()
            self._task = self._bar.add_task(f"{job} ({stage})", total=None, note="")

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Update the progress bar; without a terminal, write a line if the last one is more than 15 s old. `total` is 0 if not known."""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done, total=total or None, note=note)
        else:
            super().__call__(done, total, note)

    def stopped(self) -> None:
        """Remove the progress bar and write a line that the current job failed."""
        self._remove_bar()
        super().stopped()

    def outcome(self, outcome: Outcome) -> None:
        """Remove the progress bar and write a line for each output of the finished job and for each failed check."""
        self._remove_bar()
        super().outcome(outcome)

    def _remove_bar(self) -> None:
        if self._bar is not None and self._task is not None:
            self._bar.remove_task(self._task)
            self._task = None
