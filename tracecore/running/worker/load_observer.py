"""Observation of what a process loads, opens and fails to find, from its first import on: the dependencies of its run.

Plugin source is compiled from the bytes that are hashed, never from `__pycache__`, whose entries are matched only by time and size, which an edit
within a second may keep. This module must not import tracecore: it is loaded by path before the package.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

__all__ = ["ABSENT_DISTRIBUTION", "KERNEL", "Loaded", "Observer"]

KERNEL = frozenset({"tracecore", "tracecore_schemas", "tracecore_lineage", "tracecore_assets", "tracecore_graphql"})
"""Packages of the distribution `tracecore`, represented in dependencies by the data-format version."""

_READ_MODES = frozenset({"r", "rb", "rt"})
ABSENT_DISTRIBUTION = "distribution "


@dataclass(frozen=True, slots=True)
class Loaded:
    """Modules, files and libraries that a worker loaded or opened, and names that it searched for in vain.

    Attributes:
        modules: file by module name.
        hashed: SHA-256 by path, when loaded, of the source and data files that are recorded one by one.
        named: distributions whose metadata was read by name.
        absent: modules and distributions that were not found.
        changed: loaded files that have changed since.
        touched: unchanged files that may have been written between the start of the run and loading.
    """

    modules: Mapping[str, str]
    hashed: Mapping[str, str]
    natives: tuple[str, ...]
    named: tuple[str, ...]
    absent: tuple[str, ...]
    changed: tuple[str, ...]
    touched: tuple[str, ...]


class Observer:
    """Records what this process and its forks load; one per process, installed before anything else is imported."""

    def __init__(self) -> None:
        self._hashed: dict[str, str] = {}
        self._written_ns: dict[str, int] = {}
        self._absent: set[str] = set()
        self._named: set[str] = set()
        self._roots: tuple[str, ...] = ()
        self._trusted = tuple(f"{os.path.realpath(each)}/" for each in {sys.prefix, sys.base_prefix, sys.exec_prefix})
        self._preloaded: frozenset[str] = frozenset()
        self._since_ns = 0
        self._looking = False

    def install(self) -> None:
        """Install the hooks that record what this process imports, opens and fails to find, for the life of the process."""
        load = SourceFileLoader.get_code
        find = metadata.Distribution.from_name.__func__  # type: ignore[attr-defined]  # a class method's own function

        def get_code(loader: SourceFileLoader, name: str) -> CodeType | None:
            path = os.path.abspath(loader.get_filename(name))  # noqa: PTH100  # as text: this is called for each module
            if name.partition(".")[0] in KERNEL or not self._is_hashed(path):
                return load(loader, name)
            self._written_ns.setdefault(path, _written_ns(path))
            data = loader.get_data(path)
            self._hashed[path] = hashlib.sha256(data).hexdigest()
            if "." not in name and path.endswith("/__init__.py") and not self._below_a_root(path):
                # A top-level package outside any distribution: its data files are hashed too.
                self._roots += (path.removesuffix("/__init__.py"),)
            return loader.source_to_code(data, path)

        def from_name(owner: type[metadata.Distribution], name: str) -> metadata.Distribution:
            found: metadata.Distribution = find(owner, name)
            self._named.add(name)
            return found

        SourceFileLoader.get_code = get_code  # type: ignore[assignment,method-assign]  # for the life of this process
        metadata.Distribution.from_name = classmethod(from_name)  # type: ignore[assignment,method-assign]  # likewise
        sys.meta_path.append(_Last(self._absent))  # asked after all others
        sys.addaudithook(self._opened)

    def preloaded(self, at_ns: int) -> None:
        """Note the modules that are loaded now as those that all workers inherit; loading began at the time `at_ns` (in ns)."""
        self._preloaded = frozenset(_files().values())
        self._since_ns = at_ns

    def begin(self, hashed: Sequence[str]) -> None:
        """Start to record the SHA-256 of each file that is opened below the folders `hashed`."""
        self._roots = tuple(hashed)

    def loaded(self, started_ns: int) -> Loaded:
        """Return what this process loaded, what of it changed since, and what may have been written after the run's start `started_ns` (in ns)."""
        modules, natives = _files(), tuple(sorted(_natives()))
        changed = {path for path, digest in self._hashed.items() if _digest(path) != digest}
        touched: set[str] = set()
        for path in {*modules.values(), *self._hashed, *natives} - changed:
            since = self._since_ns if path in self._preloaded else started_ns
            now = _written_ns(path)
            if not now:
                changed.add(path)  # it was removed, or lies in an archive
            elif now > since and self._written_ns.get(path, now) > since:
                touched.add(path)
        return Loaded(modules, dict(self._hashed), natives, *(tuple(sorted(each)) for each in (self._named, self._absent, changed, touched)))

    def _is_hashed(self, path: str) -> bool:
        return self._below_a_root(path) or not os.path.realpath(path).startswith(self._trusted)

    def _below_a_root(self, path: str) -> bool:
        return any(path == root or path.startswith(f"{root}/") for root in self._roots)

    def _opened(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Audit hook that records the SHA-256 of a file that an `open` event reads, if it is below a folder whose files are recorded."""
        if event != "open" or self._looking or not self._roots:
            return
        path, mode, flags = arguments
        if not isinstance(path, str | bytes | os.PathLike) or not (mode in _READ_MODES or (mode is None and not (flags or 0) & os.O_ACCMODE)):
            return
        text = os.path.abspath(os.fsdecode(path))  # noqa: PTH100  # as text: this is called for each file
        if text in self._hashed or not self._below_a_root(text) or "/__pycache__/" in text:
            return
        self._looking = True
        try:
            if os.path.isfile(text):  # noqa: PTH113  # as above
                self._written_ns.setdefault(text, _written_ns(text))
                self._hashed[text] = _digest(text)
        finally:
            self._looking = False


class _Last:
    """The last meta path finder, which records what no other finder has found."""

    def __init__(self, absent: set[str]) -> None:
        self._absent = absent

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:  # noqa: ARG002  # importlib's own signature
        self._absent.add(name)
        return None

    def find_distributions(self, context: metadata.DistributionFinder.Context | None = None) -> Iterator[metadata.Distribution]:
        if context is not None and context.name:
            self._absent.add(f"{ABSENT_DISTRIBUTION}{context.name}")
        return iter(())


def _files() -> dict[str, str]:
    """Return the file of each loaded module that has one, by module name, without tracecore's modules and `__main__`."""
    found: dict[str, str] = {}
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in KERNEL or name == "__main__":
            continue
        spec = getattr(module, "__spec__", None)
        located = isinstance(spec, ModuleSpec) and spec.has_location
        file = spec.origin if isinstance(spec, ModuleSpec) and located else getattr(module, "__file__", None)
        if isinstance(file, str) and (located or os.path.exists(file)):  # noqa: PTH110  # as text: there are thousands
            found[name] = os.path.abspath(file)  # noqa: PTH100  # as above
    return found


def _natives() -> set[str]:
    """Return the paths of the shared libraries that this process has mapped for execution."""
    lines = (line.split(maxsplit=5) for line in Path("/proc/self/maps").read_text(encoding="utf-8", errors="surrogateescape").splitlines())
    # Linux appends " (deleted)" to the path of a library that was replaced meanwhile.
    mapped = (parts[5].removesuffix(" (deleted)") for parts in lines if len(parts) == 6 and "x" in parts[1])
    return {path for path in mapped if ".so" in path.rpartition("/")[2] and path.startswith("/")}


def _written_ns(path: str) -> int:
    """Return a file's ctime in ns (last change of its content, name or mode); 0 if it does not exist."""
    try:
        return os.stat(path).st_ctime_ns  # noqa: PTH116  # as text: there are thousands
    except OSError:
        return 0


def _digest(path: str) -> str:
    try:
        with open(path, "rb") as file:  # noqa: PTH123  # called from an audit hook: it must do as little as it can
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""
