"""Installed distributions: their files, which one a file belongs to, and digests that are independent of machine and install location.

Each file counts as (path inside site-packages, SHA-256, size). For an ordinary distribution these are its RECORD lines; for an editable one, whose
RECORD names only the checkout, they are computed from its packages' source files. Files that differ between two installations of the same version
are omitted: direct_url.json, INSTALLER, REQUESTED, RECORD, scripts outside site-packages, bytecode. Caches are invalidated when the files change.
"""

from __future__ import annotations

import ast
import base64
import csv
import hashlib
import importlib.util
import json
import os
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote, urlsplit

from packaging.utils import canonicalize_name

from tracecore_schemas.canonical import JSON, digest_json

__all__ = [
    "FileRecord",
    "Installed",
    "file_sha256",
    "installed",
    "module_digest",
    "owners",
    "package_folders",
    "project_folder",
]

FileRecord = tuple[str, str, int]
"""(POSIX path inside site-packages, SHA-256 hex, size in bytes)."""

_INSTALL_FILES = frozenset({"direct_url.json", "INSTALLER", "REQUESTED", "RECORD"})
_BYTE_CODE = (".pyc", ".pyo")
_CODE = (".py", ".so")
_INFO = re.compile(r"(?P<name>[^-]+)-(?P<version>.+)\.dist-info")
Stamp = tuple[int, ...]

PLUGINS = "tracecore"
"""Entry-point group of plugins."""


@dataclass(frozen=True)  # no slots: what is read of it is cached on the instance
class Installed:
    """An installed distribution; `name` is normalized, `info` its metadata folder."""

    name: str
    version: str
    info: Path

    @cached_property
    def distribution(self) -> metadata.Distribution:
        """The metadata object (`importlib.metadata`) of the installed distribution."""
        return metadata.Distribution.at(self.info)

    @property
    def root(self) -> Path:
        """The distribution's site-packages folder, from which the paths in its RECORD start."""
        return self.info.parent

    @cached_property
    def project(self) -> Path | None:
        """The project folder of an editable distribution, else None."""
        return project_folder(self.distribution)

    @cached_property
    def folders(self) -> list[Path]:
        """Paths of the packages and single modules of an editable distribution; empty for an ordinary one."""
        return package_folders(self.distribution)

    @cached_property
    def is_plugin(self) -> bool:
        """Whether the installed distribution is a plugin: it has an entry point in the group `tracecore`."""
        return any(entry.group == PLUGINS for entry in self.distribution.entry_points)

    @property
    def is_by_file(self) -> bool:
        """Whether runs record the distribution's loaded files one by one, as for plugins and editable ones, instead of one digest."""
        return self.is_plugin or self.project is not None

    @property
    def files(self) -> Mapping[str, FileRecord]:
        """The distribution's files inside site-packages, from its RECORD: (path, SHA-256 hex, size) by path."""
        return _record(self.info, _stamp(self.info / "RECORD"))

    @property
    def tops(self) -> list[str]:
        """Names of the distribution's top-level packages and module files in site-packages, sorted, without its metadata folder."""
        return sorted({path.partition("/")[0] for path in self.files if not path.startswith(self.info.name)})

    @property
    def digest(self) -> str:
        """Digest of the distribution, over the files in its RECORD; of an editable one, over its source files."""
        if self.project is None:
            return _record_digest(self.info, _stamp(self.info / "RECORD"))
        return _digest(_from_sources(self.folders))

    @property
    def source_digest(self) -> str:
        """Digest over the distribution's files as they are on disk now, without metadata, so that edits in site-packages change it."""
        if self.project is not None:
            return _digest(_from_sources(self.folders))
        found = ((path, self.root / path) for path in self.files if not path.startswith(self.info.name))
        return _digest(_hashed(path, place) if place.is_file() else (path, "", 0) for path, place in found)

    def editable_files(self) -> Iterator[tuple[str, str]]:
        """Yield (path, SHA-256) of each source file of an editable distribution; nothing for an ordinary one."""
        for top in self.folders:
            for relative, digest, _ in _from_sources([top]):
                yield str(top.parent / relative), digest

    def edited(self) -> list[tuple[str, str]]:
        """Return (path, current SHA-256 or empty if missing) of the distribution's code files that differ from its RECORD.

        Only files newer than RECORD or of another size are hashed.
        """
        since = (self.info / "RECORD").stat().st_mtime_ns
        found: list[tuple[str, str]] = []
        for path, digest, size in self.files.values():
            if not path.endswith(_CODE):
                continue
            place = f"{self.root}/{path}"
            try:
                status = os.stat(place)  # noqa: PTH116  # as text: there are thousands
            except OSError:
                found.append((path, ""))
                continue
            if (status.st_mtime_ns > since or status.st_size != size) and (now := file_sha256(place)) != digest:
                found.append((path, now))
        return found


def owners() -> Mapping[tuple[str, str], Sequence[Installed]]:
    """Return the distributions that install a top-level package or module, by (site-packages folder, name of the package or module)."""
    return _owners(tuple((each, _stamp(each.info / "RECORD")) for each in installed().values()))


@lru_cache(maxsize=2)
def _owners(stamped: tuple[tuple[Installed, Stamp], ...]) -> Mapping[tuple[str, str], Sequence[Installed]]:
    found: dict[tuple[str, str], list[Installed]] = {}
    for each, _ in stamped:
        for top in each.tops:
            found.setdefault((str(each.root), top), []).append(each)
    return found


def installed() -> dict[str, Installed]:
    """Return all installed distributions by normalized name, sorted; for duplicates, the first on the import path."""
    return _installed(tuple((entry, _stamp(Path(entry or "."))) for entry in sys.path))


def _stamp(place: Path) -> Stamp:
    """Return (inode, size, mtime, ctime) of a file or folder, to detect that it changed; empty if it does not exist."""
    try:
        status = place.stat()
    except OSError:
        return ()
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


@lru_cache(maxsize=2)
def _installed(folders: tuple[tuple[str, Stamp], ...]) -> dict[str, Installed]:
    found: dict[str, Installed] = {}
    for folder, stamp in folders:
        if not stamp or not Path(folder or ".").is_dir():
            continue
        for info in sorted(Path(folder or ".").glob("*-info")):
            named = _INFO.fullmatch(info.name)
            if named is not None:
                name, version = named["name"], named["version"]
            elif info.suffix == ".egg-info":
                headers = metadata.Distribution.at(info).metadata
                name, version = headers["Name"] or "", headers["Version"] or ""
            else:
                continue
            if name:
                found.setdefault(canonicalize_name(name), Installed(canonicalize_name(name), version, info))
    return dict(sorted(found.items()))


@lru_cache(maxsize=1024)
def _record(info: Path, stamp: Stamp) -> dict[str, FileRecord]:  # noqa: ARG001  # what the answer is remembered by
    return {path: (path, digest, size) for path, digest, size in _from_record(info)}


@lru_cache(maxsize=1024)
def _record_digest(info: Path, stamp: Stamp) -> str:
    return _digest(_record(info, stamp).values())


@lru_cache(maxsize=4096)
def _sha256(path: str, stamp: Stamp) -> str:  # noqa: ARG001  # what the answer is remembered by
    with open(path, "rb") as file:  # noqa: PTH123  # as text: there may be thousands
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_sha256(path: str) -> str:
    """Return the hex SHA-256 of a file; empty if it can't be read."""
    stamp = _stamp(Path(path))
    try:
        return _sha256(path, stamp) if stamp else ""
    except OSError:
        return ""


def _is_source(relative: str) -> bool:
    parts = relative.split("/")
    return not relative.endswith(_BYTE_CODE) and "__pycache__" not in parts and not any(part.startswith(".") for part in parts)


def project_folder(distribution: metadata.Distribution) -> Path | None:
    """Return the project folder of an editable installation (PEP 610), or None for another installation."""
    try:
        origin = json.loads(distribution.read_text("direct_url.json") or "{}")
    except ValueError:
        return None
    if not origin.get("dir_info", {}).get("editable"):
        return None
    return Path(unquote(urlsplit(origin.get("url", "")).path))


def _from_record(info: Path) -> Iterator[FileRecord]:
    """Yield (path, SHA-256 hex, size) of each file inside site-packages in a distribution's RECORD; `info` is its metadata folder."""
    try:
        lines = (info / "RECORD").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in csv.reader(lines):
        if len(line) != 3:
            continue
        path, digest, size = line
        inside = not path.startswith(("../", "/")) and ":" not in path
        folder, _, name = path.rpartition("/")
        if not inside or not digest.startswith("sha256=") or not _is_source(path) or (folder.endswith(".dist-info") and name in _INSTALL_FILES):
            continue
        encoded = digest.removeprefix("sha256=")
        raw = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
        yield path, raw.hex(), int(size or 0)


def _top_level(distribution: metadata.Distribution, project: Path) -> set[str]:
    """Return the names of an editable distribution's top-level packages, from its metadata, else guessed from its name."""
    names = {line.strip() for line in (distribution.read_text("top_level.txt") or "").splitlines() if line.strip()}
    names |= {entry.module.partition(".")[0] for entry in distribution.entry_points} | _hatch_packages(project)
    return names or {canonicalize_name(distribution.metadata["Name"]).replace("-", "_")}


def _hatch_packages(project: Path) -> set[str]:
    """Return the names of the packages that a project's pyproject.toml lists for hatchling's wheel; empty without such a list."""
    try:
        settings = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return set()
    wheel = settings.get("tool", {}).get("hatch", {}).get("build", {}).get("targets", {}).get("wheel", {})
    return {Path(package).name for package in wheel.get("packages", [])}


def package_folders(distribution: metadata.Distribution) -> list[Path]:
    """Return the paths of an editable distribution's packages and single modules, without importing them; empty for an ordinary one."""
    project = project_folder(distribution)
    found: list[Path] = []
    for name in sorted(_top_level(distribution, project)) if project is not None else ():
        try:
            spec = importlib.util.find_spec(name)
        except (ImportError, ValueError):
            continue
        if spec is not None and spec.submodule_search_locations:
            found.append(Path(next(iter(spec.submodule_search_locations))))
        elif spec is not None and spec.origin and spec.has_location:
            found.append(Path(spec.origin))
    return found


def _hashed(relative: str, path: Path) -> FileRecord:
    return relative, file_sha256(str(path)), path.stat().st_size


def _from_sources(folders: Iterable[Path]) -> Iterator[FileRecord]:
    """Yield (path as in site-packages, SHA-256 hex, size) of each source file in the packages and single modules `folders`."""
    for top in folders:
        if top.is_file():
            yield _hashed(top.name, top)
        else:
            yield from sorted(_below(str(top), top.name))


def _below(folder: str, relative: str) -> Iterator[FileRecord]:
    """Yield (path, SHA-256 hex, size) of each source file below a folder; paths start with `relative`, the folder's path in site-packages."""
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        if not _is_source(entry.name):
            continue
        path = f"{relative}/{entry.name}"
        if entry.is_dir(follow_symlinks=False):
            yield from _below(entry.path, path)
        elif entry.is_file():
            yield path, file_sha256(entry.path), entry.stat().st_size


def _digest(files: Iterable[FileRecord]) -> str:
    return _digest_of(tuple(sorted(set(files))))


@lru_cache(maxsize=1024)
def _digest_of(files: tuple[FileRecord, ...]) -> str:
    listed: list[JSON] = [[path, digest, size] for path, digest, size in files]
    return digest_json({"v": 1, "type": "tracecore.files", "files": listed})


def module_digest(name: str) -> str:
    """Return one digest of the source of a module and of the modules in the same top-level package that it imports, directly or indirectly.

    The module, given by its dotted name, is not imported; its package is.
    """
    found: dict[str, FileRecord] = {}
    waiting = [name]
    while waiting:
        module = waiting.pop()
        spec = importlib.util.find_spec(module) if module not in found else None
        if spec is None or not spec.origin or not spec.origin.endswith(".py"):
            continue
        found[module] = _hashed(f"{module.replace('.', '/')}.py", Path(spec.origin))
        waiting += _imported(spec.origin, name.partition(".")[0])
    return _digest(found.values())


def _imported(file: str, package: str) -> Iterator[str]:
    """Yield the dotted names of the modules of a top-level package that a source file imports absolutely."""
    for node in ast.walk(ast.parse(Path(file).read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith(f"{package}."))
        elif isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").startswith(f"{package}."):
            yield str(node.module)
