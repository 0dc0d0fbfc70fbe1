"""The dependencies of a run, from what its worker loaded, and what has changed since they were recorded; source texts are kept in the store.

A deterministic run loads the same first dependency every time, and each next one depends only on what was loaded before. So if no recorded dependency
changed, the run would load and make the same, as compiler caches reason about include files.
"""

from __future__ import annotations

import difflib
import re
import sys
import sysconfig
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from tracecore.running.worker.load_observer import ABSENT_DISTRIBUTION, KERNEL, Loaded
from tracecore.system.distributions import Installed, file_sha256, installed, owners
from tracecore.system.failures import inside_package
from tracecore_schemas.canonical import DATA_FORMAT, JSON, blob_location, digest_bytes, digest_json, hex_of
from tracecore_schemas.facets import count, summarize
from tracecore_schemas.kinds import Media
from tracecore_schemas.run import Artifact, Dependencies, Environment

if TYPE_CHECKING:
    from tracecore.store import Store

__all__ = ["FACET", "KIND", "Change", "Code", "KeptSources", "code_patch", "facet", "kept_text", "source_artifacts", "text_size"]

KIND = "source"
"""First segment of the ref by which errors name a kept source, which is not a recorded artifact."""
_LONGEST = 1 << 20


def text_size(path: str) -> int | None:
    """Return the size in bytes of a file whose text is to be stored (Python or UTF-8, at most 1 MiB); None if only its digest is recorded."""
    try:
        data = Path(path).read_bytes()
        if len(data) > _LONGEST or b"\0" in data:
            return None
        if not path.endswith(".py"):
            data.decode()
    except (OSError, UnicodeDecodeError):
        return None
    return len(data)


class KeptSources:
    """Stores the source texts of runs; remembers which digests are kept already."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: dict[str, int] = {}

    def keep(self, found: Dependencies, places: Mapping[str, str], run_id: str, withdrawn: Collection[str]) -> tuple[Dependencies, list[str]]:
        """Store the texts of the source files that a run loaded.

        Args:
            places: absolute path of each source file by the name under which it is recorded.
            withdrawn: `sha256:` digests that must not be stored.

        Returns:
            The dependencies with the size of each stored text added, and the names of files that changed since they were loaded.
        """
        sources: list[tuple[str, str, int | None]] = []
        changed: list[str] = []
        for file, digest, _ in found.sources:
            size = self._kept.get(digest)
            if size is None and f"sha256:{digest}" not in withdrawn:
                size = text_size(places[file])
                if size is not None and self._store.put_file(Path(places[file]), run_id=run_id).digest != f"sha256:{digest}":
                    changed.append(file)
            sources.append((file, digest, size))
        return replace(found, sources=tuple(sources)), changed

    def remember(self, found: Dependencies) -> None:
        """Remember that a completed run's source texts are stored, so that later runs skip them; not for failed runs, whose texts may be pruned."""
        self._kept |= {digest: size for _, digest, size in found.sources if size is not None}


def source_artifacts(dependencies: Dependencies) -> Iterator[Artifact]:
    """Yield an artifact, which the store can open, for each source file of a run whose text was stored."""
    for file, digest, size in dependencies.sources:
        if size is not None:
            yield Artifact(KIND, file, f"sha256:{digest}", Media.FILE, location=blob_location(f"sha256:{digest}"), size_bytes=size)


def kept_text(store: Store, digest: str) -> bytes | None:
    """Return the stored text of a source file, as bytes, by its hex SHA-256; None if it is missing or corrupted."""
    data = store.read(blob_location(f"sha256:{digest}"))
    return data if data is not None and digest_bytes(data) == f"sha256:{digest}" else None


FACET = "tracecore_dependencies"
_OURS = "tracecore"
_PYTHON = tuple(f"{folder}/" for folder in (sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"), f"{sys.base_prefix}/lib"))
_SYSTEM = ("/lib/", "/lib64/", "/usr/lib/", "/usr/lib64/")


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between what an output was made from and the present: `then` and `now` are digests or versions, None if there is none.

    `part` is `code`, `dependency`, `parameter`, `input` or `format`.
    """

    part: str
    name: str
    then: str | None
    now: str | None


class Code:
    """A snapshot of the installed code: which distribution a file belongs to, and which code is recorded file by file."""

    def __init__(self) -> None:
        self._installed = installed()
        self._owners = owners()
        self._roots = sorted({str(each.root) for each in self._installed.values()}, key=len, reverse=True)
        # Cached, since each is asked for all candidates of a key.
        self._files_of = cache(lambda each: each.files)
        self._state = cache(self._current_state)
        self._is_there = cache(self._find)
        self._hash = cache(lambda part, name: file_sha256(self.place(name) if part == "code" else name))

    @cached_property
    def _editable(self) -> dict[str, str]:
        """Names of the editable distributions, by the path of each of their package folders and module files."""
        return {str(folder): each.name for each in self._installed.values() if each.project is not None for folder in each.folders}

    @cached_property
    def hashed(self) -> tuple[str, ...]:
        """Sorted paths of packages and modules whose loaded files are recorded one by one: of editable distributions and plugins except tracecore."""
        plugins = (each for each in self._installed.values() if each.project is None and each.is_plugin and each.name != _OURS)
        own = [folder for folder, name in self._editable.items() if name != _OURS]
        return tuple(sorted([*own, *(f"{each.root}/{top}" for each in plugins for top in each.tops)]))

    def owner(self, path: str) -> Installed | None:
        """Return the installed distribution whose RECORD lists a file, or None if there is none, as for editable installs."""
        for root in self._roots:
            if path.startswith(f"{root}/"):
                relative = path[len(root) + 1 :]
                for each in self._owners.get((root, relative.partition("/")[0]), ()):
                    if relative in self._files_of(each):
                        return each
        return None

    def dependencies(self, loaded: Loaded) -> tuple[Dependencies, dict[str, str]]:
        """Return a run's dependencies, from the code that it loaded, and the absolute path of each source file by the name recorded for it."""
        used: dict[str, Installed] = {}
        places: dict[str, str] = {}
        natives: dict[str, str] = {}
        for path in {*loaded.modules.values(), *loaded.hashed}:
            owner = self.owner(path)
            if owner is not None and not owner.is_plugin:
                used[owner.name] = owner
            if (owner is None or owner.is_plugin or path in loaded.hashed) and not self._is_kernel(path) and not _of_python(path):
                places[self.name(path)] = path
        for path in loaded.natives:
            owner = self.owner(path)
            if owner is not None and owner.is_plugin:
                places[self.name(path)] = path
            elif owner is not None:
                used[owner.name] = owner
            elif not path.startswith(_SYSTEM) and not _of_python(path) and path not in loaded.modules.values():
                natives[path] = file_sha256(path)
        for name in loaded.named:
            found = self._installed.get(canonicalize_name(name))
            if found is not None and found.name != _OURS:
                used[found.name] = found
        dependencies = Dependencies(
            distributions=tuple((name, each.version, hex_of(self._state(each))) for name, each in sorted(used.items())),
            sources=tuple((name, loaded.hashed.get(path) or file_sha256(path), None) for name, path in sorted(places.items())),
            natives=tuple(sorted(natives.items())),
            absent=tuple(sorted(name for name in loaded.absent if self._absence_matters(name, loaded))),
            data_format=DATA_FORMAT,
        )
        return dependencies, places

    def files(self) -> dict[str, str]:
        """Return the current hex SHA-256 of each source file of the editable distributions except tracecore's, by path."""
        return {path: digest for each in self._installed.values() if each.name != _OURS for path, digest in each.editable_files()}

    def changed(self, loaded: Loaded, found: Dependencies, environment: Environment, files: Mapping[str, str]) -> list[str]:
        """Return the sorted names of source files and distributions that changed since `environment` and `files` were read at the run's start."""
        before = {name: (version, digest) for name, version, digest in environment.distributions}
        replaced = [name for name, version, _ in found.distributions if not self._is_unchanged(self._installed[name], before.get(name), version)]
        touched = (path for path in loaded.touched if self._before(path, files) != (loaded.hashed.get(path) or file_sha256(path)))
        return sorted({*(self.name(path) for path in (*loaded.changed, *touched)), *replaced})

    def _is_unchanged(self, each: Installed, before: tuple[str, str] | None, version: str) -> bool:
        """Whether a distribution has the (version, digest) `before`; if its files are recorded one by one, only the version is compared."""
        return before is not None and before == (version, before[1] if each.is_by_file else each.digest)

    def _before(self, path: str, files: Mapping[str, str]) -> str:
        """Return the hex SHA-256 of a file at a run's start, from `files` or its distribution's RECORD; empty if neither lists it."""
        owner = self.owner(path)
        return files.get(path) or ("" if owner is None else owner.files[path[len(str(owner.root)) + 1 :]][1])

    def changes(self, then: Dependencies) -> Iterator[Change]:
        """Yield each difference between a run's recorded dependencies and the code that is installed now."""
        yield from self._replaced(then)
        files = [("code", file, digest) for file, digest, _ in then.sources] + [("dependency", path, digest) for path, digest in then.natives]
        for part, name, digest in files:
            now = self._hash(part, name)
            if now != digest:
                yield Change(part, name, digest, now or None)
        yield from (Change("dependency", name, None, "found") for name in then.absent if self._is_there(name))
        if then.data_format != DATA_FORMAT:
            yield Change("format", "data format", str(then.data_format), str(DATA_FORMAT))

    def _replaced(self, then: Dependencies) -> Iterator[Change]:
        """Yield a change for each recorded distribution that is now missing, or has another version or other files."""
        for name, version, digest in then.distributions:
            each = self._installed.get(name)
            if each is None:
                yield Change("dependency", name, version, None)
            elif hex_of(self._state(each)) != digest:
                yield Change("dependency", name, version, each.version if each.version != version else f"{version} (other files)")

    def name(self, path: str) -> str:
        """Return the name under which a source file is recorded: its path from its package's folder on, the same on every machine."""
        roots = [*(str(Path(each).parent) for each in self.hashed), *(each for each in sys.path if each)]
        fitting = [each for each in roots if path.startswith(f"{each}/")]
        return path[len(max(fitting, key=len)) + 1 :] if fitting else inside_package(path)

    def place(self, file: str) -> str:
        """Return the current path of the source file that is recorded as `file`, such as `package/module.py`; empty if its package is missing."""
        top = file.partition("/")[0]
        known = next((str(Path(each).parent) for each in self.hashed if Path(each).name == top), None)
        folders = [known] if known is not None else [each or "." for each in sys.path]
        return next((f"{folder}/{file}" for folder in folders if Path(folder, top).exists()), "")

    def text(self, file: str) -> bytes | None:
        """Return the current content of the source file that is recorded as `file`, such as `package/module.py`; None if it is missing."""
        try:
            return Path(self.place(file)).read_bytes()
        except OSError:
            return None

    def _current_state(self, each: Installed) -> str:
        """Return the digest of a distribution, including files edited after installation.

        For a plugin or an editable distribution it covers only name and version, since their loaded files are recorded one by one.
        """
        edited: list[JSON] = [] if each.is_by_file else [list(one) for one in each.edited()]
        own = digest_json({"name": each.name, "version": each.version}) if each.is_by_file else each.digest
        return digest_json({"record": own, "edited": edited}) if edited else own

    def _is_kernel(self, path: str) -> bool:
        """Whether a file belongs to tracecore's own distribution."""
        owner = self.owner(path)
        return (owner is not None and owner.name == _OURS) or any(
            path == folder or path.startswith(f"{folder}/") for folder, name in self._editable.items() if name == _OURS
        )

    def _absence_matters(self, name: str, loaded: Loaded) -> bool:
        """Whether to record that a module was not found; False for modules of tracecore, the standard library and packages recorded by one digest."""
        top, dot, _ = name.partition(".")
        if name in loaded.modules or top in KERNEL or top in sys.stdlib_module_names:
            return False
        file = loaded.modules.get(top)
        return not dot or name.startswith(ABSENT_DISTRIBUTION) or file is None or file in loaded.hashed

    def _find(self, name: str) -> bool:
        """Whether a module, or the distribution in `distribution <name>`, is installed now, found without importing it."""
        if name.startswith(ABSENT_DISTRIBUTION):
            return canonicalize_name(name.removeprefix(ABSENT_DISTRIBUTION)) in self._installed
        path: Iterable[str] | None = None
        for depth in range(1, name.count(".") + 2):
            spec = _find(".".join(name.split(".")[:depth]), path)
            if spec is None:
                return False
            path = spec.submodule_search_locations or ()
        return True


def code_patch(store: Store, code: Code, change: Change) -> str | None:
    """Return the unified diff of a source file from when a run loaded it to now; None if `change` is not of a source file or a text is missing."""
    if change.part != "code" or change.then is None or not re.fullmatch(r"[0-9a-f]{64}", change.then):
        return None
    then, now = kept_text(store, change.then), code.text(change.name)
    if then is None or now is None:
        return None
    before, after = (data.decode(errors="replace").splitlines() for data in (then, now))
    return "\n".join(difflib.unified_diff(before, after, f"then/{change.name}", f"now/{change.name}", lineterm=""))


def facet(found: Dependencies) -> dict[str, JSON]:
    """Return a run's dependencies as the value of its run facet `tracecore_dependencies`."""
    listed = ((found.distributions, "distribution"), (found.sources, "source file"), (found.natives, "native library"))
    return {
        "summary": summarize(*(count(len(each), noun) for each, noun in listed if each)) or "nothing but the kernel",
        "distributions": [{"name": name, "version": version, "record_sha256": digest} for name, version, digest in found.distributions],
        "sources": [{"file": file, "sha256": digest, "size_bytes": size} for file, digest, size in found.sources],
        "natives": [{"file": file, "sha256": digest} for file, digest in found.natives],
        "absent": list(found.absent),
        "data_format": found.data_format,
    }


def _find(name: str, path: Iterable[str] | None) -> ModuleSpec | None:
    """Return a module's import spec, without importing it or its package; None if it is not in the folders `path` (None for `sys.path`)."""
    places = None if path is None else list(path)
    for finder in sys.meta_path:
        find = getattr(finder, "find_spec", None)
        spec: ModuleSpec | None = None if find is None else find(name, places, None)
        if spec is not None:
            return spec
    return None


def _of_python(path: str) -> bool:
    """Whether a path is below the library folders of the Python interpreter (its standard library)."""
    return path.startswith(_PYTHON)
