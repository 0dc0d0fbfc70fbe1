"""Watching what Python code opens while a stage runs: a `sys.addaudithook` hook, which can't be taken away again, so it lives in a child process.

What a library opens in native code (Arrow, Delta, torch) is not seen; DESIGN.md 11 promises Python-level access.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Access", "Allowed", "Watch", "code_folders"]

_LISTS = frozenset({"os.listdir", "os.scandir"})
_CHANGES = frozenset({"os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.truncate", "os.link", "os.symlink", "os.chmod"})
_WRITE_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_SYSTEM = ("/usr/lib", "/usr/lib64", "/usr/share", "/usr/local", "/lib", "/lib64", "/opt", "/proc", "/sys", "/dev",
           "/etc/ld.so.cache", "/etc/localtime", "/etc/fonts", "/etc/ssl", "/etc/nsswitch.conf", "/etc/mime.types",
           "/usr/X11", "/usr/X11R6", str(Path.home() / ".fonts"), str(Path.home() / ".local" / "share" / "fonts"))  # fmt: skip
"""What libraries read to load themselves, of the operating system, its fonts among it: no input of anything."""


@dataclass(frozen=True, slots=True)
class Access:
    """One access: `read`, `write` or `connect`; where (a path or an address), and the line of the plugin that asked for it."""

    verb: str
    target: str
    where: str
    in_kernel: bool


@dataclass
class Allowed:
    """Which places a stage may touch: what its context handed out, and temporary files.

    Attributes:
        reads: files and folders to read.
        writes: files and folders to write; they may be read too.
        kernel: where the kernel itself reads and writes on the stage's behalf.
    """

    reads: set[str] = field(default_factory=set)
    writes: set[str] = field(default_factory=set)
    kernel: set[str] = field(default_factory=set)

    def read(self, *paths: Path | str) -> None:
        """Let these be read, and what lies in them."""
        self.reads.update(os.path.realpath(path) for path in paths)

    def write(self, *paths: Path | str) -> None:
        """Let these be written."""
        self.writes.update(os.path.realpath(path) for path in paths)

    def covers(self, access: Access, code: Iterable[str]) -> bool:
        """Say whether an access is the stage's to have."""
        if access.verb == "connect":
            return False
        path = os.path.realpath(access.target)
        if _inside(path, self.writes) or (access.in_kernel and _inside(path, self.kernel)) or path == os.devnull:
            return True
        return access.verb == "read" and (_inside(path, self.reads) or _inside(path, code) or _inside(path, _SYSTEM) or _metadata(path))


def _inside(path: str, folders: Iterable[str]) -> bool:
    return any(path == folder or path.startswith(folder.rstrip("/") + "/") for folder in folders)


def _metadata(path: str) -> bool:
    """Say whether a path belongs to the machinery of imports: a folder on the import path itself, or a distribution's metadata.

    Of a distribution that is installed from its folder, pyproject.toml is metadata too: which packages it ships stands there.
    """
    if any(part.endswith((".dist-info", ".egg-info")) for part in Path(path).parts):
        return True
    folder = str(Path(path).parent) if path.endswith("/pyproject.toml") else path
    return folder in {os.path.realpath(each) for each in sys.path if each}


def code_folders() -> set[str]:
    """Give where this process's code lies: the interpreter, site-packages, and every package that was imported."""
    import site

    folders = {sys.prefix, sys.base_prefix, sys.exec_prefix, site.getusersitepackages(), *site.getsitepackages()}
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and "." not in name:
            path = Path(file)
            folders.add(str(path.parent) if path.stem == "__init__" else file)
        elif file is None and "." not in name:
            folders.update(str(each) for each in getattr(module, "__path__", ()))
    # A base prefix of / or /usr would allow the whole disk.
    return {os.path.realpath(folder) for folder in folders if len(Path(folder).parts) > 2}


class Watch:
    """The hook, and what it saw while it was on.

    Args:
        package: of the plugin, to say which of its lines asked.
    """

    def __init__(self, package: str) -> None:
        self.package = package
        self.seen: list[Access] = []
        self._on = False
        self._kernel = threading.local()
        sys.addaudithook(self._hook)

    @contextmanager
    def on(self) -> Iterator[list[Access]]:
        """Watch for the length of the block, in every thread."""
        self.seen = []
        self._on = True
        try:
            yield self.seen
        finally:
            self._on = False

    @contextmanager
    def kernel(self) -> Iterator[None]:
        """Mark what the kernel does on the stage's behalf."""
        before = getattr(self._kernel, "depth", 0)
        self._kernel.depth = before + 1
        try:
            yield
        finally:
            self._kernel.depth = before

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._on:
            return
        found = _access(event, arguments)
        if found is not None:
            verb, target = found
            self.seen.append(Access(verb, target, self._where(), bool(getattr(self._kernel, "depth", 0))))

    def _where(self) -> str:
        frame = sys._getframe(2)  # the documented way to the caller's frame
        while frame is not None:
            if (frame.f_globals.get("__name__") or "").partition(".")[0] == self.package:
                return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
            if frame.f_back is None:
                break
            frame = frame.f_back
        return ""


def _access(event: str, arguments: tuple[Any, ...]) -> tuple[str, str] | None:
    """Read an audit event as an access; None where it is none."""
    reader = _READERS.get(event)
    return None if reader is None else reader(arguments)


def _opened(arguments: tuple[Any, ...]) -> tuple[str, str] | None:
    path, mode, flags = (*arguments, None, None)[:3]
    if not isinstance(path, str | bytes | os.PathLike):
        return None  # a descriptor: whoever opened it was seen
    writes = any(letter in mode for letter in "wax+") if isinstance(mode, str) else bool((flags or 0) & _WRITE_FLAGS)
    return ("write" if writes else "read"), _absolute(path)


def _listed(arguments: tuple[Any, ...]) -> tuple[str, str] | None:
    path = arguments[0] if arguments else None
    return None if isinstance(path, int) else ("read", _absolute(path or "."))


def _changed(arguments: tuple[Any, ...]) -> tuple[str, str] | None:
    # The last path is what comes to be; of a removal the only one.
    paths = [each for each in arguments[:2] if isinstance(each, str | bytes | os.PathLike)]
    return ("write", _absolute(paths[-1])) if paths else None


def _connected(arguments: tuple[Any, ...]) -> tuple[str, str] | None:
    address = arguments[1] if len(arguments) > 1 else None
    return ("connect", f"{address[0]}:{address[1]}") if isinstance(address, tuple) and len(address) > 1 else None


_READERS: dict[str, Callable[[tuple[Any, ...]], tuple[str, str] | None]] = {
    "open": _opened,
    "socket.connect": _connected,
    **dict.fromkeys(_LISTS, _listed),
    **dict.fromkeys(_CHANGES, _changed),
}


def _absolute(path: str | bytes | os.PathLike[Any]) -> str:
    # Not Path.absolute: the hook must do as little as it can, and raise nothing.
    text = os.fsdecode(path)
    return text if text.startswith("/") else f"{os.getcwd()}/{text}"  # noqa: PTH109  # as above
