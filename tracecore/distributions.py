"""Digests of installed distributions: what code a run ran on, the same for every clone and every machine folder it lies in.

Each file counts as (path inside site-packages, SHA-256, size). For an ordinary distribution these are its RECORD lines; for an editable one, whose
RECORD names only the path of the checkout, they are taken from its packages' source files. What differs between two installations of the same thing
stays out: direct_url.json, INSTALLER, REQUESTED, RECORD itself, scripts outside site-packages, byte code.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import importlib.util
import json
import tomllib
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote, urlsplit

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from tracecore_schemas.canonical import JSON, digest_json

__all__ = ["FileRecord", "closure_digest", "distribution_digest", "installed", "package_folders", "project_folder", "source_digest"]

FileRecord = tuple[str, str, int]
"""(POSIX path inside site-packages, SHA-256 hex, size in bytes)."""

_INSTALL_FILES = frozenset({"direct_url.json", "INSTALLER", "REQUESTED", "RECORD"})
_BYTE_CODE = (".pyc", ".pyo")


@cache
def installed() -> dict[str, metadata.Distribution]:
    """Find every installed distribution by its normalized name; of two with one name the first on the path counts, as for imports."""
    found: dict[str, metadata.Distribution] = {}
    for distribution in metadata.distributions():
        name = distribution.metadata["Name"]
        if name:
            found.setdefault(canonicalize_name(name), distribution)
    return dict(sorted(found.items()))


def _is_source(relative: str) -> bool:
    parts = relative.split("/")
    return not relative.endswith(_BYTE_CODE) and "__pycache__" not in parts and not any(part.startswith(".") for part in parts)


def project_folder(distribution: metadata.Distribution) -> Path | None:
    """Give the project folder of an editable installation (PEP 610), None for an ordinary one."""
    try:
        origin = json.loads(distribution.read_text("direct_url.json") or "{}")
    except ValueError:
        return None
    if not origin.get("dir_info", {}).get("editable"):
        return None
    return Path(unquote(urlsplit(origin.get("url", "")).path))


def _record_lines(distribution: metadata.Distribution) -> Iterator[tuple[str, str, str]]:
    for line in csv.reader((distribution.read_text("RECORD") or "").splitlines()):
        if len(line) == 3:
            yield line[0], line[1], line[2]


def _from_record(distribution: metadata.Distribution) -> Iterator[FileRecord]:
    """Read the RECORD lines that lie inside site-packages."""
    for path, digest, size in _record_lines(distribution):
        inside = not path.startswith(("../", "/")) and ":" not in path
        info, _, name = path.rpartition("/")
        if not inside or not digest.startswith("sha256=") or not _is_source(path) or (info.endswith(".dist-info") and name in _INSTALL_FILES):
            continue
        encoded = digest.removeprefix("sha256=")
        raw = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
        yield path, raw.hex(), int(size or 0)


def _top_level(distribution: metadata.Distribution, project: Path) -> set[str]:
    """Name the import packages of an editable distribution: what it says of them itself, else its own name."""
    names = {line.strip() for line in (distribution.read_text("top_level.txt") or "").splitlines() if line.strip()}
    names |= {entry.module.partition(".")[0] for entry in distribution.entry_points} | _hatch_packages(project)
    return names or {canonicalize_name(distribution.metadata["Name"]).replace("-", "_")}


def _hatch_packages(project: Path) -> set[str]:
    """Read the packages that hatchling ships from pyproject.toml: entry points name only some of them."""
    try:
        settings = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return set()
    wheel = settings.get("tool", {}).get("hatch", {}).get("build", {}).get("targets", {}).get("wheel", {})
    return {Path(package).name for package in wheel.get("packages", [])}


def package_folders(distribution: metadata.Distribution) -> list[Path]:
    """Find where an editable distribution's packages (folders) and single modules (files) lie, without importing them; none for an ordinary one."""
    project = project_folder(distribution)
    found: dict[str, Path] = {}
    for name in _top_level(distribution, project) if project is not None else ():
        try:
            spec = importlib.util.find_spec(name)
        except (ImportError, ValueError):
            continue
        if spec is None:
            continue
        if spec.submodule_search_locations:
            found[name] = Path(next(iter(spec.submodule_search_locations)))
        elif spec.origin and spec.has_location:
            found[name] = Path(spec.origin)
    return [found[name] for name in sorted(found)]


def _hashed(relative: str, path: Path) -> FileRecord:
    data = path.read_bytes()
    return relative, hashlib.sha256(data).hexdigest(), len(data)


def _from_sources(distribution: metadata.Distribution) -> Iterator[FileRecord]:
    """Hash the source files that lie in an editable distribution's packages, named as they would be in site-packages."""
    for top in package_folders(distribution):
        files: Iterable[Path] = [top] if top.is_file() else sorted(path for path in top.rglob("*") if path.is_file())
        for path in files:
            relative = path.relative_to(top.parent).as_posix()
            if _is_source(relative):
                yield _hashed(relative, path)


def _from_site_packages(distribution: metadata.Distribution) -> Iterator[FileRecord]:
    """Hash an ordinary distribution's own files where they lie, its metadata apart; a file that is gone counts as empty."""
    for path, _, _ in _from_record(distribution):
        if not path.partition("/")[0].endswith(".dist-info"):
            place = Path(str(distribution.locate_file(path)))
            yield _hashed(path, place) if place.is_file() else (path, "", 0)


def _digest(files: Iterable[FileRecord]) -> str:
    listed: list[JSON] = [[path, digest, size] for path, digest, size in sorted(set(files))]
    return digest_json({"v": 1, "type": "tracecore.files", "files": listed})


@cache
def source_digest(name: str) -> str:
    """Give the digest of a distribution's own source files as they lie on disk now: edited site-packages show.

    Args:
        name: normalized name of an installed distribution.
    """
    distribution = installed()[name]
    return _digest(_from_site_packages(distribution) if project_folder(distribution) is None else _from_sources(distribution))


@cache
def distribution_digest(name: str) -> str:
    """Give the digest of all that a distribution brings: its RECORD lines, of an editable one its source files.

    Args:
        name: normalized name of an installed distribution.
    """
    distribution = installed()[name]
    return _digest(_from_record(distribution) if project_folder(distribution) is None else _from_sources(distribution))


def _requirements(name: str, extras: frozenset[str]) -> Iterator[tuple[str, frozenset[str]]]:
    """Give what one distribution requires here: (normalized name, extras)."""
    for text in installed()[name].requires or ():
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue
        wanted = requirement.marker is None or any(requirement.marker.evaluate({"extra": extra}) for extra in {"", *extras})
        if wanted:
            yield canonicalize_name(requirement.name), frozenset(requirement.extras)


@cache
def closure_digest(name: str) -> str:
    """Give the digest of a distribution and all it requires, transitively: the part of the environment that can change what it makes.

    Installing something that it does not need leaves it as it was. A requirement that is not installed counts as missing.

    Args:
        name: normalized name of an installed distribution.
    """
    seen: set[tuple[str, frozenset[str]]] = set()
    waiting: list[tuple[str, frozenset[str]]] = [(name, frozenset())]
    names: set[str] = set()
    while waiting:
        item = waiting.pop()
        if item in seen:
            continue
        seen.add(item)
        names.add(item[0])
        if item[0] in installed():
            waiting.extend(_requirements(*item))
    listed: list[JSON] = [
        [each, installed()[each].version, distribution_digest(each)] if each in installed() else [each, None, None] for each in sorted(names)
    ]
    return digest_json({"v": 1, "type": "tracecore.closure", "distributions": listed})
