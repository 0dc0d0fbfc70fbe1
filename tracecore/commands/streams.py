"""The standard streams of a command whose readers may close them: what is not read is dropped, and the exit code stays the command's own answer."""

from __future__ import annotations

import codecs
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ["open_standard_streams", "readers_may_leave", "understand_utf_8"]

_UTF_8_MODE = "PYTHONUTF8"
_STREAMS = "PYTHONIOENCODING"
_PLAIN = {"·": "|", "…": "...", "—": "-", "\N{MULTIPLICATION SIGN}": "x", "✓": "ok", "✗": "x"}
"""Replacements for characters of our own messages that a terminal lacks."""


class _Whole(io.RawIOBase):
    """A file descriptor to which writing never fails in the ways that are named: such bytes are dropped.

    Args:
        descriptor: stays open when this is closed.
        forgiven: errors that are the reader's affair.
    """

    def __init__(self, descriptor: int, forgiven: type[OSError]) -> None:
        self._descriptor = descriptor
        self._forgiven = forgiven

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return os.write(self._descriptor, data)
        except self._forgiven:
            return memoryview(data).nbytes


@contextmanager
def readers_may_leave() -> Iterator[None]:
    """Within it, what a reader does not take any more ends no command: `tracecore verify | head -1` still exits with 1 where bytes are wrong.

    On stderr every failure to write is forgiven (it could not be reported anyway), on stdout only a reader that is gone: a full disk under
    `> answer.json` is an error. What was put in a stream's place, as by a test runner or a notebook, is left as it is.
    """
    own = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _forgiving(own[0], 1, BrokenPipeError), _forgiving(own[1], 2, OSError)
    try:
        yield
        if sys.stdout is not own[0]:
            sys.stdout.flush()
    finally:
        if sys.stdout is not own[0]:
            with suppress(OSError):
                sys.stdout.flush()
        sys.stdout, sys.stderr = own


def _forgiving(stream: TextIO, descriptor: int, forgiven: type[OSError]) -> TextIO:
    try:
        if stream.fileno() != descriptor:
            return stream
        stream.flush()
    except (AttributeError, OSError, ValueError):  # None, no file, closed
        return stream
    raw = _Whole(descriptor, forgiven)
    by_line = forgiven is OSError or raw.isatty()
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding=stream.encoding, errors=stream.errors, line_buffering=by_line)


def understand_utf_8() -> None:
    """Begin this process again in Python's UTF-8 mode where its locale is another one (ASCII, Latin-1); the terminal keeps its encoding.

    Else a file's name, a person's and every argument would be read as what they are not, and recorded so.
    """
    if sys.getfilesystemencoding() == "utf-8" or os.environ.get(_UTF_8_MODE) == "1" or not sys.executable:
        return
    streams = os.environ.get(_STREAMS) or f"{sys.stdout.encoding if sys.stdout else 'utf-8'}:surrogateescape"
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, _UTF_8_MODE: "1", _STREAMS: streams})  # noqa: S606  # itself


def open_standard_streams() -> None:
    """Open the null device in place of each standard stream that the process was started without (`2>&-`).

    Else the next file that is opened gets the number, and what a library prints goes into an artifact. What a stream's encoding lacks (a terminal of
    ASCII, bytes of a file name that are not UTF-8) is printed by its number, or as plain letters where the sign is our own: no command ends for that.
    """
    for descriptor, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number: this one
            setattr(sys, name, os.fdopen(descriptor, mode, encoding="utf-8", closefd=False))
    codecs.register_error("tracecore-plain", _plain)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="tracecore-plain")


def _plain(error: UnicodeError) -> tuple[str | bytes, int]:
    if isinstance(error, UnicodeEncodeError) and (plain := _PLAIN.get(error.object[error.start])):
        return plain, error.start + 1
    return codecs.backslashreplace_errors(error)
