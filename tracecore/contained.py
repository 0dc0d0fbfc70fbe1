"""Keeping a stage from leaving the process otherwise than it found it: a forked copy of the executor itself, or another working directory."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress

__all__ = ["contained"]


@contextmanager
def contained() -> Iterator[None]:
    """Let a stage run, and come out of it as the process that went in, in the directory that it was in.

    A child that a stage forked and that then returns, raises or calls `sys.exit` ends here. It would else go on as a second executor of the same run:
    put outputs, empty the staging folder, record the run's end, and let go of its lock.
    """
    process, folder = os.getpid(), _folder()
    try:
        yield
    except BaseException as error:
        if os.getpid() != process:
            _end(error)
        raise
    finally:
        if os.getpid() != process:
            _end(None)
        if folder is not None and _folder() != folder:
            with suppress(OSError):  # it was removed meanwhile
                os.chdir(folder)


def _folder() -> str | None:
    try:
        return os.getcwd()  # noqa: PTH109  # as text, to be compared
    except OSError:
        return None


def _end(error: BaseException | None) -> None:
    """End a child as Python would have, without running what belongs to its parent."""
    code: object = 0
    if isinstance(error, SystemExit):
        code = 0 if error.code is None else error.code if isinstance(error.code, int) else 1
    elif error is not None:
        traceback.print_exception(error)
        code = 1
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    os._exit(int(str(code)) & 0xFF)
