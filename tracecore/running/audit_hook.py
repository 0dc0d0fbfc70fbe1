"""Recording the files that Python code opens and the hosts it connects to while a stage runs, by a process-wide audit hook.

The hook can't be removed, so it is installed with the first stage and returns at once while nothing is watched. Stages are distinguished by thread:
their own, and those started from it through `threading`, so accesses of Dagster, progress bars or the record in other threads are not attributed to
a stage. Not seen are files opened by native code (Arrow, Delta, torch, SQLite) and by child processes; starting a child process is seen.
"""

from __future__ import annotations

import os
import stat
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import wraps
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from tracecore.running.allowed_paths import AllowedPaths, code_folders

__all__ = ["Access", "Watch"]

_WRITE_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_READ_MODES = frozenset({"r", "rb", "rt"})
_MOST = 1000
"""Maximum number of different accesses remembered per stage; further ones are only counted."""
_MOST_FOLDERS = 10_000
_UNPLACED = frozenset({"connect", "start"})
"""Verbs of accesses other than to files, which are never allowed."""
_LISTERS = frozenset({"fc-list", "ldconfig"})
"""Programs that matplotlib and ctypes run to list system fonts and libraries, which are not an input."""
_NO_NAMES = frozenset({"", ".", ".."})


@dataclass(frozen=True, slots=True)
class Access:
    """An access by a stage: `read`, `write`, `connect` or `start` of a path, address or program.

    `where` is the line of the plugin that requested it (`run.py:12`), empty if unknown.
    """

    verb: str
    target: str
    where: str


class Watch:
    """The accesses of one run of a stage that are not among the allowed `places`, which may grow during the run.

    `package` is the top-level package of the stage, to find the line that made an access.
    """

    def __init__(self, package: str, places: AllowedPaths) -> None:
        self.package = package
        self.places = places
        self.uncounted = 0
        self._seen: dict[tuple[str, str], tuple[Access, str, bool]] = {}  # with the real path, and whether the kernel made it
        self._real: dict[str, str] = {}
        self._readable: dict[str, bool] = {}
        self._version = -1
        self._code: frozenset[str] | None = None
        self._open = False

    @contextmanager
    def on(self) -> Iterator[None]:
        """Context manager that records the accesses to files, hosts and programs by this thread and the threads that it starts."""
        _install_hook()
        ident = threading.get_ident()
        self._open = True
        _WATCHED[ident] = self
        try:
            yield
        finally:
            self._open = False
            del _WATCHED[ident]

    @contextmanager
    def kernel(self) -> Iterator[None]:
        """Context manager during which this thread's accesses count as made by tracecore itself, not by the stage."""
        before = getattr(_KERNEL, "depth", 0)
        _KERNEL.depth = before + 1
        try:
            yield
        finally:
            _KERNEL.depth = before

    def strays(self) -> list[Access]:
        """Return the stage's accesses that are not allowed, each once, in order of first occurrence; those allowed later are left out."""
        code = code_folders() if self._seen else frozenset()  # with what was imported since
        return [
            access
            for access, path, in_kernel in list(self._seen.values())
            if access.verb in _UNPLACED or not self.places.covers(access.verb, path, code, in_kernel=in_kernel)
        ]

    def note(self, verb: str, target: str, *, in_kernel: bool) -> None:
        """Record a stage's access to a path, address or program unless it is allowed; `verb` is `read`, `write`, `connect` or `start`."""
        if not self._open:
            return
        if verb in _UNPLACED:
            if not in_kernel:
                self._remember(verb, target, target, in_kernel=False)
            return
        path = self._resolved(target)
        if verb == "read" and self._lies_in_readable(path):
            return
        if self._code is None:
            self._code, self._version = code_folders(), -1
        if self.places.covers(verb, path, self._code, in_kernel=in_kernel):
            return
        if verb == "read" and not os.path.lexists(path):
            return  # an open that fails reads nothing
        self._remember(verb, target, path, in_kernel=in_kernel)

    def _remember(self, verb: str, target: str, path: str, *, in_kernel: bool) -> None:
        if (verb, target) in self._seen:
            return
        if len(self._seen) >= _MOST:
            self.uncounted += 1
            return
        self._seen[verb, target] = Access(verb, target, self._where()), path, in_kernel

    def _resolved(self, path: str) -> str:
        """Return a path with symbolic links resolved; the result for its folder is cached, since a stage may open 100,000 files in one."""
        folder, _, name = path.rpartition("/")
        known = self._real.get(folder)
        if name in _NO_NAMES:
            return os.path.realpath(path)
        if known is None:
            if len(self._real) >= _MOST_FOLDERS:
                self._real.clear()
            known = self._real[folder] = os.path.realpath(folder or "/").rstrip("/")
        whole = f"{known}/{name}"
        try:
            mode = os.lstat(whole).st_mode
        except OSError:
            return whole
        return os.path.realpath(whole) if stat.S_ISLNK(mode) else whole

    def _lies_in_readable(self, path: str) -> bool:
        """Whether the stage may read everything in a file's folder; the answer is cached until the allowed paths change."""
        if self._version != self.places.version:
            self._version = self.places.version
            self._readable = {}
        folder = path.rpartition("/")[0]
        known = self._readable.get(folder)
        if known is None:
            known = self._readable[folder] = self.places.covers("read", folder, self._code or frozenset(), in_kernel=False)
        return known

    def _where(self) -> str:
        """Return the plugin's innermost line on the call stack as `run.py:12`, or an empty text if none of its lines is on the stack."""
        for frame, line in traceback.walk_stack(sys._getframe(1)):
            if (frame.f_globals.get("__name__") or "").partition(".")[0] == self.package:
                return f"{Path(frame.f_code.co_filename).name}:{line}"
        return ""


_WATCHED: dict[int, Watch] = {}
"""The active watch by thread id."""
_STARTED: WeakKeyDictionary[threading.Thread, tuple[Watch, bool]] = WeakKeyDictionary()
"""Threads started from a watched one, with its watch and whether the kernel started them on its behalf."""
_KERNEL = threading.local()
_LOCK = threading.Lock()
_UP: list[bool] = []
_CHILD = "tracecore.multiprocessing"
"""Audit event raised when a process is started through `multiprocessing`."""


def _install_hook() -> None:
    """Install the audit hook that records stages' accesses, and patch the start of threads and processes to record them too; once per process."""
    with _LOCK:
        if _UP:
            return
        sys.addaudithook(_hook)
        start = threading.Thread.start

        @wraps(start)
        def noted(thread: threading.Thread) -> None:
            if _WATCHED:
                with suppress(TypeError):  # a class of threads without weak references
                    _remember_child(thread)
            start(thread)

        threading.Thread.start = noted  # type: ignore[assignment,method-assign]  # stays for the life of the process, as the hook does
        begin = BaseProcess.start

        @wraps(begin)
        def begun(process: BaseProcess) -> None:
            sys.audit(_CHILD)  # a spawned one makes no event of its own
            looking, _KERNEL.looking = getattr(_KERNEL, "looking", False), True  # a forked one makes one
            try:
                begin(process)
            finally:
                _KERNEL.looking = looking

        BaseProcess.start = begun  # type: ignore[assignment,method-assign]  # likewise
        _UP.append(True)


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    """Record the access that a Python audit event reports, if a stage's `Watch` (record of its accesses) covers the current thread."""
    if not _WATCHED:
        return  # the common case: no stage runs
    readers = _READERS.get(event)
    if readers is None:
        return
    ident = threading.get_ident()
    watch, in_kernel = _WATCHED.get(ident), False
    if watch is None:
        if not _STARTED:
            return
        # Not current_thread(): that makes a thread object where there is none.
        thread = threading._active.get(ident)  # type: ignore[attr-defined]  # no public way asks without making one
        started = None if thread is None else _STARTED.get(thread)
        if started is None:
            return
        watch, in_kernel = started
    if getattr(_KERNEL, "looking", False):
        return  # what the hook itself asks of the disk
    _KERNEL.looking = True
    try:
        for reader in readers:
            found = reader(arguments)
            if found is not None:
                watch.note(*found, in_kernel=in_kernel or bool(getattr(_KERNEL, "depth", 0)))
    except Exception:  # noqa: BLE001  # what a hook raises would end what it only looks at
        watch.uncounted += 1
    finally:
        _KERNEL.looking = False


def _remember_child(thread: threading.Thread) -> None:
    """Assign the `Watch` (record of a stage's accesses) of the current thread, if it has one, to a thread that it is about to start."""
    ident = threading.get_ident()
    watch = _WATCHED.get(ident)
    if watch is not None:
        _STARTED[thread] = (watch, bool(getattr(_KERNEL, "depth", 0)))
    elif _STARTED:
        started = _STARTED.get(threading.current_thread())
        if started is not None:
            _STARTED[thread] = started


def _access_of_open(arguments: tuple[Any, ...]) -> tuple[str, str] | None:
    """Return (`read` or `write`, absolute path) for an `open` audit event; None if it opens only a folder or an existing descriptor."""
    path, mode, flags = arguments
    if mode in _READ_MODES and type(path) is str and path.startswith("/"):
        return "read", path  # nearly all there are
    if not isinstance(path, str | bytes | os.PathLike):
        return None  # a descriptor: its opening was seen
    writes = any(letter in mode for letter in "wax+") if isinstance(mode, str) else bool((flags or 0) & _WRITE_FLAGS)
    whole = _absolute(path)
    if mode is None and not writes and os.path.isdir(whole):  # noqa: PTH112  # as in _absolute
        return None  # a folder's descriptor reads nothing; a path relative to another folder's would be taken for one in the working directory
    return ("write" if writes else "read"), whole


def _access_of_listing(arguments: tuple[Any, ...]) -> tuple[str, str] | None:
    path = arguments[0] if arguments else None
    return None if isinstance(path, int) else ("read", _absolute(path or "."))


def _access_of_change(arguments: tuple[Any, ...]) -> tuple[str, str] | None:
    """Return (`write`, absolute path) for an audit event that creates, changes or removes a path; None if it names no path."""
    # The last path is what comes to be; of a removal the only one. The folder's descriptor that a relative one starts from comes last of all.
    paths = [each for each in arguments[:2] if isinstance(each, str | bytes | os.PathLike)]
    return ("write", _absolute(paths[-1], arguments[-1] if isinstance(arguments[-1], int) else -1)) if paths else None


def _access_of_source(arguments: tuple[Any, ...]) -> tuple[str, str] | None:
    """Return (`read`, absolute path of the source) for an audit event that moves or links a file."""
    return ("read", _absolute(arguments[0], arguments[2]))  # what is moved or linked brings its content along


def _access_of_connection(arguments: tuple[Any, ...]) -> tuple[str, str] | None:
    address = arguments[1] if len(arguments) > 1 else None
    return ("connect", f"{address[0]}:{address[1]}") if isinstance(address, tuple) and len(address) > 1 else None


def _access_of_database(arguments: tuple[Any, ...]) -> tuple[str, str] | None:
    path = arguments[0] if arguments else None
    if not isinstance(path, str | bytes | os.PathLike) or not path or path == ":memory:" or os.fsdecode(path).startswith("file:"):
        return None
    return "read", _absolute(path)


def _access_of_process(arguments: tuple[Any, ...]) -> tuple[str, str] | None:
    program = arguments[0] if arguments else None
    if not isinstance(program, str | bytes | os.PathLike):
        return "start", "a copy of its own process"
    text = "python" if program == sys.executable else os.fsdecode(program)  # where it lies differs from machine to machine
    return None if text.rpartition("/")[2] in _LISTERS else ("start", text)


_READERS: dict[str, tuple[Callable[[tuple[Any, ...]], tuple[str, str] | None], ...]] = {
    "open": (_access_of_open,),
    "os.truncate": (lambda arguments: _access_of_change(arguments[:1]),),  # the second is a length
    "os.rename": (_access_of_source, lambda arguments: ("write", _absolute(arguments[0], arguments[2])), _access_of_change),
    "os.link": (_access_of_source, _access_of_change),
    "sqlite3.connect": (_access_of_database,),
    **dict.fromkeys(("socket.connect", "socket.sendto"), (_access_of_connection,)),
    **dict.fromkeys(("os.listdir", "os.scandir"), (_access_of_listing,)),
    "os.system": (lambda _: ("start", "/bin/sh"),),
    **dict.fromkeys(("subprocess.Popen", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty", _CHILD), (_access_of_process,)),
    **dict.fromkeys(("os.remove", "os.mkdir", "os.rmdir", "os.symlink", "os.chmod"), (_access_of_change,)),
}


def _absolute(path: str | bytes | os.PathLike[Any], folder: int = -1) -> str:
    """Return a path made absolute; a relative one starts from the open folder with the descriptor `folder`, -1 for the working directory."""
    # Not Path.absolute: the hook must do as little as it can.
    text = os.fsdecode(path)
    if text.startswith("/"):
        return text
    return f"{os.getcwd() if folder < 0 else os.readlink(f'/proc/self/fd/{folder}')}/{text}"  # noqa: PTH109, PTH115  # as above
