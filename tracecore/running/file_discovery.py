"""Finding and hashing external input files by path, folder or glob, before a run starts."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from tracecore.errors import UsageError
from tracecore.stage import Files, SourceFile
from tracecore.system.failures import tellable
from tracecore.workspace import holds_workspace
from tracecore_schemas.canonical import digest_file

__all__ = ["find_files", "read_sources"]

_GLOB = frozenset("*?[")
_NAMED = 5  # files of one kind; the others are counted
_RUNS = frozenset({"classify", "detect", "obb", "pose", "predict", "segment", "train", "val"})  # of Ultralytics' tools


def _paths(value: Any, port: Files) -> list[str]:
    """Return a file parameter's value, one path or a list of them, as a list."""
    listed = [value] if isinstance(value, str | Path) else value
    if listed is None:
        return []
    listed = list(listed) if isinstance(listed, Iterable) else [listed]
    if not all(isinstance(each, str | Path) for each in listed):
        raise UsageError(f"The parameter '{port.param}' expects a list of files, folders or globs, found {value!r}.")
    return [str(each) for each in listed]


def find_files(port: Files, params: Mapping[str, Any], base: Path) -> list[Path]:
    """Return the files of a file port, each once, unread; raises UsageError if a path is missing, or a folder or glob has no matching file."""
    return [path for path, _ in _find(port, params, base)[0]]


def _find(port: Files, params: Mapping[str, Any], base: Path) -> tuple[list[tuple[Path, str]], list[str]]:
    """Return (path, name) of each file of a port, and the names of other files in the searched folders."""
    found: dict[Path, tuple[Path, str]] = {}
    besides: dict[Path, str] = {}
    for text in _paths(params.get(port.param), port):
        for path, folder, meant in _expand(text, port, base):
            name = path.name if folder is None else Path(folder.resolve().name, path.relative_to(folder)).as_posix()
            if not meant:
                besides[path.absolute()] = tellable(f"{name}/" if path.is_dir() else name)
                continue
            if tellable(str(path)) != str(path):
                raise UsageError(f"The name of the {port.note} '{tellable(str(path))}' is not UTF-8, so it can't be recorded: rename it.")
            for ending in ("", *port.companions):
                each = path.with_name(path.name + ending)
                if not ending or each.is_file():
                    found.setdefault(each.resolve(), (each, (name if port.nested else path.name) + ending))
    if not found and not port.optional:
        raise UsageError(f"The parameter '{port.param}' names no {port.note}: give files, folders or globs.")
    taken = {path.absolute() for path, _ in found.values()}
    return list(found.values()), sorted(name for path, name in besides.items() if path not in taken)


def read_sources(port: Files, params: Mapping[str, Any], base: Path) -> tuple[list[SourceFile], str]:
    """Return the hashed files of a file port, and a summary of the other files in the searched folders.

    The files are sorted by (name, digest), independent of where they are. The summary counts by suffix
    (`drive file: 2 .bag (d/a.bag, d/b.bag), 1 .mp4 (d/c.mp4)`); it is empty if there are none, or if the port is not `surveyed`.

    Raises:
        UsageError: as `find_files`, or a file can't be read.
    """
    found, besides = _find(port, params, base)
    return sorted((_source(path, name, port) for path, name in found), key=lambda file: (file.name, file.digest)), _by_kind(port, besides)


def _by_kind(port: Files, besides: Sequence[str]) -> str:
    """Return a summary of other files: their number by suffix, with the first names; empty if the port is not `surveyed`."""
    kinds: dict[str, list[str]] = {}
    for name in besides if port.surveyed else ():
        kinds.setdefault("folder" if name.endswith("/") else PurePosixPath(name).suffix.lower() or "without a suffix", []).append(name)
    counted = [f"{len(names)} {kind} ({', '.join(names[:_NAMED])}{', …' if len(names) > _NAMED else ''})" for kind, names in sorted(kinds.items())]
    return f"{port.note}: {', '.join(counted)}" if counted else ""


def _expand(text: str, port: Files, base: Path) -> Iterator[tuple[Path, Path | None, bool]]:
    """Yield (path, folder it was found in, or None if named directly, whether the port accepts it) for a path, folder or glob."""
    path = base / Path(text).expanduser()
    if path.is_file():
        yield path, None, True
    elif path.is_dir():
        inside = _inside(path, port)
        if not any(meant for _, meant in inside):
            raise UsageError(f"The folder '{path}' holds no {port.note} ({', '.join(port.suffixes)}){_instead(path, inside)}.")
        yield from ((each, path, meant) for each, meant in inside)
    elif any(character in text for character in _GLOB):
        pattern = Path(text).expanduser()
        start = Path(pattern.anchor) if pattern.is_absolute() else base
        below = pattern.relative_to(pattern.anchor) if pattern.is_absolute() else pattern
        fixed = list(itertools.takewhile(_GLOB.isdisjoint, below.parts))
        # What a glob finds is called as its folder would have called it.
        folder = start.joinpath(*fixed)
        matched = sorted(start.glob(str(below)))
        files: list[tuple[Path, Path | None, bool]] = [(each, folder, True) for each in matched if each.is_file()]
        for each in (each for each in matched if each.is_dir()):
            files.extend((file, each, meant) for file, meant in _inside(each, port))
        if not any(meant for *_, meant in files):
            raise UsageError(f"No {port.note} matches '{path}'.")
        yield from files
    else:
        raise UsageError(f"The {port.note} '{path}' does not exist: put it there, or correct the path.")


def _instead(folder: Path, inside: Sequence[tuple[Path, bool]]) -> str:
    """Return the end of an error message: the first files that the folder has instead."""
    names = [tellable(path.relative_to(folder).as_posix()) for path, _ in inside]
    return f"; it lists {', '.join(names[:_NAMED])}{', …' if len(names) > _NAMED else ''}" if names else ""


def _inside(folder: Path, port: Files) -> list[tuple[Path, bool]]:
    """Return (path, whether the port accepts it) of each file below a folder, sorted; raises UsageError for an unreadable folder.

    Hidden entries are skipped. Links to folders and folders written by tools are returned as such, not accepted and not searched.
    """

    def refuse(error: OSError) -> None:
        raise UsageError(f"The folder '{error.filename}' can't be read: {(error.strerror or str(error)).lower()}.") from error

    found: list[tuple[Path, bool]] = []
    for place, folders, names in os.walk(folder, onerror=refuse):
        here = Path(place)
        for name in [*folders]:
            if name.startswith("."):
                folders.remove(name)
            elif (here / name).is_symlink() or (not port.outputs and _written_by_a_project(here / name, folder)):
                folders.remove(name)
                found.append((here / name, False))
        files = (here / name for name in names if not name.startswith("."))
        found.extend((path, path.is_file() and any(_meant(path, suffix) for suffix in port.suffixes)) for path in files)
    return sorted(found)


def _written_by_a_project(folder: Path, named: Path) -> bool:
    """Whether a folder below the named one is a training tool's output (`runs/detect`, `runs/train`) or a workspace."""
    return (folder.parent != named and folder.parent.name == "runs" and folder.name in _RUNS) or holds_workspace(folder)


def _meant(path: Path, suffix: str) -> bool:
    """Whether a path has a suffix or file name, or matches a glob pattern; case is ignored except in patterns."""
    return path.match(suffix) if "*" in suffix else suffix.lower() in (path.suffix.lower(), path.name.lower())


def _source(path: Path, name: str, port: Files) -> SourceFile:
    try:
        return SourceFile(path=path.absolute(), name=name, digest=digest_file(path), size_bytes=path.stat().st_size)
    except OSError as error:
        raise UsageError(f"The {port.note} '{path}' can't be read: {(error.strerror or str(error)).lower()}.") from error
