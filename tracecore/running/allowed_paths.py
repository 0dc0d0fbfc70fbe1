"""The paths that a running stage may access: those that its context provides, its own temporary files, and what code loading needs."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Collection, Iterator
from functools import lru_cache
from pathlib import Path

__all__ = ["AllowedPaths", "code_folders"]

_SYSTEM = frozenset({
    "/usr/lib", "/usr/lib64", "/usr/share", "/usr/local", "/lib", "/lib64", "/proc", "/sys", "/dev",
    "/etc/ld.so.cache", "/etc/localtime", "/etc/fonts", "/etc/ssl", "/etc/nsswitch.conf", "/etc/mime.types",
    "/usr/X11", "/usr/X11R6", str(Path.home() / ".fonts"), str(Path.home() / ".local" / "share" / "fonts"),
})  # fmt: skip
"""System paths that libraries read to load themselves or find fonts; not an input."""

_SHARED_MEMORY = frozenset({"/dev/shm"})  # noqa: S108  # a place for files like any other, though it lies among devices


class AllowedPaths:
    """The paths that a stage may access; `version` is incremented when a path is added, to invalidate cached answers."""

    def __init__(self) -> None:
        self.version = 0
        self._reads: set[str] = set()
        self._writes: set[str] = set()
        self._kernel: set[str] = set()
        self._made: set[str] = set()
        self._temporary = frozenset(os.path.realpath(folder) for folder in {tempfile.gettempdir(), os.environ.get("TMPDIR") or "/tmp"})  # noqa: S108  # to allow what is made there
        caches, self._parents = _font_caches()
        self._writes.update(caches)

    def read(self, *paths: Path | str) -> None:
        """Allow the stage to read these paths and everything below them."""
        self._reads.update(os.path.realpath(path) for path in paths)
        self.version += 1

    def write(self, *paths: Path | str) -> None:
        """Allow the stage to read and write these paths and everything below them."""
        self._writes.update(os.path.realpath(path) for path in paths)
        self.version += 1

    def kernel(self, *paths: Path | str) -> None:
        """Allow tracecore itself, when the stage calls it, to read and write these paths and everything below them."""
        self._kernel.update(os.path.realpath(path) for path in paths)

    def covers(self, verb: str, path: str, code: Collection[str], *, in_kernel: bool) -> bool:
        """Whether a stage's access to a path is allowed.

        Args:
            verb: `read` or `write`; a temporary file that the stage creates is allowed from then on.
            path: absolute path without symbolic links.
            code: the process's code folders, from `code_folders`.
            in_kernel: whether tracecore itself, called by the stage, made the access.
        """
        if _inside(path, self._writes) or (in_kernel and _inside(path, self._kernel)) or path == os.devnull or _inside(path, self._made):
            return True
        if verb == "write":
            return path in self._parents or self._make_temporary(path) or _cached_bytecode(path, code)
        of_the_system = _inside(path, _SYSTEM) and not _inside(path, _SHARED_MEMORY)
        return _inside(path, self._reads) or _inside(path, code) or of_the_system or _metadata(path)

    def _make_temporary(self, path: str) -> bool:
        """Whether a path is below a system temporary folder; if it does not exist yet, the stage is also allowed to access it later."""
        if path in self._temporary or not _inside(path, self._temporary):
            return False
        if not os.path.lexists(path):
            self._made.add(path)
            self.version += 1
        return True


def _font_caches() -> tuple[frozenset[str], frozenset[str]]:
    """Return (font cache folders of matplotlib and fontconfig, their parent folders); a stage may write to the caches and create the parents.

    A stage may not read other caches, since weights that were downloaded to one are an input.
    """
    homes = [Path(os.environ.get(name) or Path.home() / default) for name, default in (("XDG_CONFIG_HOME", ".config"), ("XDG_CACHE_HOME", ".cache"))]
    own = os.environ.get("MPLCONFIGDIR")
    caches: list[Path] = [*(home / library for home in homes for library in ("matplotlib", "fontconfig")), *([Path(own)] if own else [])]
    return frozenset(os.path.realpath(each) for each in caches), frozenset(os.path.realpath(home) for home in homes)


def _inside(path: str, folders: Collection[str]) -> bool:
    """Whether a path is one of `folders` or below one; the time does not depend on the number of folders."""
    while path:
        if path in folders:
            return True
        path = path[: path.rfind("/")]
    return False


def _cached_bytecode(path: str, code: Collection[str]) -> bool:
    """Whether a path is where Python caches bytecode: below `sys.pycache_prefix`, or in `__pycache__` of one of the code folders."""
    prefix = sys.pycache_prefix
    if prefix is not None and _inside(path, {os.path.realpath(prefix)}):
        return True
    return ("/__pycache__/" in path or path.endswith("/__pycache__")) and _inside(path, code)


def _metadata(path: str) -> bool:
    """Whether a path is an entry of `sys.path`, an entry's `pyproject.toml` (of an editable install), or a distribution's metadata."""
    if ".dist-info" in path or ".egg-info" in path:
        return any(part.endswith((".dist-info", ".egg-info")) for part in path.split("/"))
    return path.removesuffix("/pyproject.toml") in _import_path(tuple(sys.path))


@lru_cache(maxsize=4)
def _import_path(folders: tuple[str, ...]) -> frozenset[str]:
    """Return the folders of an import path (`sys.path`), with symbolic links resolved and empty entries left out."""
    return frozenset(os.path.realpath(each) for each in folders if each)


def code_folders() -> frozenset[str]:
    """Return the real paths of this process's code: folders of the interpreter and site-packages, and each imported package or module file."""
    # A base prefix of / or /usr would allow the whole disk.
    return frozenset(real for folder in set(_code()) if len(Path(real := os.path.realpath(folder)).parts) > 2)


def _code() -> Iterator[str]:
    """Yield the folders of the Python interpreter and site-packages, and the folder or file of each imported top-level module."""
    import site

    yield from (sys.prefix, sys.base_prefix, sys.exec_prefix, site.getusersitepackages(), *site.getsitepackages())
    for name, module in list(sys.modules.items()):
        if "." in name:
            continue
        file = getattr(module, "__file__", None)
        if file:
            path = Path(file)
            yield str(path.parent) if path.stem == "__init__" else file
        else:
            path_ = getattr(module, "__path__", ())
            # Going through a namespace package's path looks for more of it, on every folder of the import path.
            yield from (str(each) for each in getattr(path_, "_path", path_))
