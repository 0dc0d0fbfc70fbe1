"""Standard streams that tolerate closed readers, missing descriptors and characters that their encoding lacks."""

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
"""ASCII replacements for characters in tracecore's messages."""


class _TolerantRaw(io.RawIOBase):
    """A raw stream on a file descriptor, which stays open, that silently drops data when writing fails with an error of the type `forgiven`."""

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
    """Context manager in which closed pipes on stdout or stderr raise no error: `tracecore verify | head -1` exits with the command's code.

    On stderr every write error is ignored, on stdout only a broken pipe: a full disk under `> answer.json` is an error. A stream that was replaced,
    as by a test runner or a notebook, is not changed.
    """
    own = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _tolerant_stream(own[0], 1, BrokenPipeError), _tolerant_stream(own[1], 2, OSError)
    try:
        yield
        if sys.stdout is not own[0]:
            sys.stdout.flush()
    finally:
        if sys.stdout is not own[0]:
            with suppress(OSError):
                sys.stdout.flush()
        sys.stdout, sys.stderr = own


def _tolerant_stream(stream: TextIO, descriptor: int, forgiven: type[OSError]) -> TextIO:
    """Return a text stream on `descriptor` that drops data if writing raises `forgiven`; `stream` itself if it is not on `descriptor`."""
    try:
        if stream.fileno() != descriptor:
            return stream
        stream.flush()
    except (AttributeError, OSError, ValueError):  # None, no file, closed
        return stream
    raw = _TolerantRaw(descriptor, forgiven)
    by_line = forgiven is OSError or raw.isatty()
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding=stream.encoding, errors=stream.errors, line_buffering=by_line)


def understand_utf_8() -> None:
    """Re-execute the process in Python's UTF-8 mode if its locale has another encoding; the terminal keeps its encoding.

    Otherwise file names and arguments would be decoded, and recorded, wrongly.
    """
    if sys.getfilesystemencoding() == "utf-8" or os.environ.get(_UTF_8_MODE) == "1" or not sys.executable:
        return
    streams = os.environ.get(_STREAMS) or f"{sys.stdout.encoding if sys.stdout else 'utf-8'}:surrogateescape"
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, _UTF_8_MODE: "1", _STREAMS: streams})  # noqa: S606  # itself


def open_standard_streams() -> None:
    """Open the null device for each standard stream that is closed (`2>&-`), and make stdout and stderr encode any text.

    A closed descriptor would be reused by the next opened file, so a library's output would go into an artifact. Characters that the encoding lacks
    are printed as ASCII replacements (`_PLAIN`) or backslash escapes.
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
