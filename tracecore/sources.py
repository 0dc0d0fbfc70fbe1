"""Files from outside the record: found by path, folder or glob before a run starts, with the digests that its staleness key needs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tracecore.errors import UsageProblem
from tracecore.failure import tellable
from tracecore.stage import Files, SourceFile
from tracecore_schemas.canonical import digest_file

__all__ = ["find_files", "read_sources"]

_GLOB = frozenset("*?[")


def _paths(value: Any, port: Files) -> list[str]:
    """Read a file parameter's value: one path or a list of them."""
    listed = [value] if isinstance(value, str | Path) else value
    if listed is None:
        return []
    listed = list(listed) if isinstance(listed, Iterable) else [listed]
    if not all(isinstance(each, str | Path) for each in listed):
        raise UsageProblem(f"The parameter '{port.param}' expects a list of files, folders or globs, found {value!r}.")
    return [str(each) for each in listed]


def find_files(port: Files, params: Mapping[str, Any], base: Path) -> list[Path]:
    """Find the files that a stage's file port is to get, without reading them.

    Args:
        port: says which parameter holds the paths, which suffixes count in a folder, and whether there may be none.
        params: the stage's parameters; files, folders (searched to the bottom) and globs; a file named outright is taken whatever its suffix.
        base: where relative paths start.

    Returns:
        Each file once, however often it was named.

    Raises:
        UsageProblem: a path that is not there, or a folder or glob without any such file; it is named.
    """
    return [path for path, _ in _find(port, params, base)]


def _find(port: Files, params: Mapping[str, Any], base: Path) -> list[tuple[Path, str]]:
    """Give the files and what they are called."""
    found: dict[Path, tuple[Path, str]] = {}
    for text in _paths(params.get(port.param), port):
        for path, folder in _expand(text, port, base):
            if tellable(str(path)) != str(path):
                raise UsageProblem(f"The name of the {port.note} '{tellable(str(path))}' is not UTF-8, so it can't be recorded: rename it.")
            name = path.name if folder is None or not port.nested else Path(folder.resolve().name, path.relative_to(folder)).as_posix()
            found.setdefault(path.resolve(), (path, name))
    if not found and not port.optional:
        raise UsageProblem(f"The parameter '{port.param}' names no {port.note}: give files, folders or globs.")
    return list(found.values())


def read_sources(port: Files, params: Mapping[str, Any], base: Path) -> list[SourceFile]:
    """Find and hash the files of a file port.

    Returns:
        Sorted by (name, digest): the same files give the same list wherever they lie.

    Raises:
        UsageProblem: as `find_files`, or a file that can't be read.
    """
    return sorted((_source(path, name, port) for path, name in _find(port, params, base)), key=lambda file: (file.name, file.digest))


def _expand(text: str, port: Files, base: Path) -> Iterator[tuple[Path, Path | None]]:
    """Give each file with the folder it was found in, None where it was named outright."""
    path = base / Path(text).expanduser()
    if path.is_file():
        yield path, None
    elif path.is_dir():
        inside = _inside(path, port)
        if not inside:
            raise UsageProblem(f"The folder '{path}' holds no {port.note} ({', '.join(port.suffixes)}).")
        yield from ((each, path) for each in inside)
    elif any(character in text for character in _GLOB):
        pattern = Path(text).expanduser()
        start = Path(pattern.anchor) if pattern.is_absolute() else base
        matched = sorted(start.glob(str(pattern.relative_to(pattern.anchor) if pattern.is_absolute() else pattern)))
        files: list[tuple[Path, Path | None]] = [(each, None) for each in matched if each.is_file()]
        for folder in (each for each in matched if each.is_dir()):
            files.extend((each, folder) for each in _inside(folder, port))
        if not files:
            raise UsageProblem(f"No {port.note} matches '{path}'.")
        yield from files
    else:
        raise UsageProblem(f"The {port.note} '{path}' does not exist: put it there, or correct the path.")


def _inside(folder: Path, port: Files) -> list[Path]:
    """Return the files below a folder that a port means; one that may not be read is an error, never a folder without files."""

    def refuse(error: OSError) -> None:
        raise UsageProblem(f"The folder '{error.filename}' can't be read: {(error.strerror or str(error)).lower()}.") from error

    found = (Path(place, name) for place, _, names in os.walk(folder, onerror=refuse) for name in names)
    return sorted(path for path in found if _fits(path, folder, port))


def _fits(path: Path, folder: Path, port: Files) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
    return not hidden and path.is_file() and any(_meant(path, suffix) for suffix in port.suffixes)


def _meant(path: Path, suffix: str) -> bool:
    """Whether a path has a suffix or a whole name, or matches a pattern of its last parts."""
    return path.match(suffix) if "*" in suffix else suffix.lower() in (path.suffix.lower(), path.name.lower())


def _source(path: Path, name: str, port: Files) -> SourceFile:
    try:
        return SourceFile(path=path.absolute(), name=name, digest=digest_file(path), size_bytes=path.stat().st_size)
    except OSError as error:
        raise UsageProblem(f"The {port.note} '{path}' can't be read: {(error.strerror or str(error)).lower()}.") from error
