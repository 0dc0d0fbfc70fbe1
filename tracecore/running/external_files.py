"""Files from outside the record: finding and hashing them before a run, and keeping and recording them with their declared origin."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from tracecore.errors import RunFailed, UsageError
from tracecore.running.erasure_filter import ErasureFilter
from tracecore.running.recorder import Recorder
from tracecore.running.staleness import adoption_key
from tracecore.stage import Files, SourceFile
from tracecore.store import Store
from tracecore.system.failures import tellable
from tracecore.system.locks import hold_key, hold_run
from tracecore.workspace import holds_workspace
from tracecore_schemas.canonical import JSON, digest_file
from tracecore_schemas.facets import count
from tracecore_schemas.kinds import ArtifactKind, Media
from tracecore_schemas.run import Artifact, Origin, Parent, Run, RunInput, Unknown

__all__ = ["Intake", "find_files", "read_sources"]

_GLOB = frozenset("*?[")
_NAMED = 5  # files of one kind; the others are counted
_RUNS = frozenset({"classify", "detect", "obb", "pose", "predict", "segment", "train", "val"})  # of Ultralytics' tools


def _path_list(value: Any, port: Files) -> list[str]:
    """Return the value of a port's file parameter, None, one path or several, as a list of texts; raises UsageError for another value."""
    listed = [value] if isinstance(value, str | Path) else value
    if listed is None:
        return []
    listed = list(listed) if isinstance(listed, Iterable) else [listed]
    if not all(isinstance(each, str | Path) for each in listed):
        raise UsageError(f"The parameter '{port.param}' expects a list of files, folders or globs, found {value!r}.")
    return [str(each) for each in listed]


def find_files(port: Files, params: Mapping[str, Any], base: Path) -> list[Path]:
    """Return the files that a port's parameter names, each once and unread; raises UsageError if a path, folder or glob in it matches no file."""
    return [path for path, _ in _find_named(port, params, base)[0]]


def _find_named(port: Files, params: Mapping[str, Any], base: Path) -> tuple[list[tuple[Path, str]], list[str]]:
    """Return (path, name to record) of each file that a port's parameter names, and the names of unaccepted files in the searched folders."""
    found: dict[Path, tuple[Path, str]] = {}
    besides: dict[Path, str] = {}
    for text in _path_list(params.get(port.param), port):
        for path, folder, accepted in _expand(text, port, base):
            name = path.name if folder is None else Path(folder.resolve().name, path.relative_to(folder)).as_posix()
            if not accepted:
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
    """Return the files of a file port with their digests, and a summary of the files in the searched folders that the port does not accept.

    The files are sorted by (name, digest), not by folder. The summary counts the unaccepted files by suffix
    (`drive file: 2 .bag (d/a.bag, d/b.bag), 1 .mp4 (d/c.mp4)`); it is empty if there are none, or if the port is not `surveyed`.

    Raises:
        UsageError: a path, folder or glob has no accepted file, or a file can't be read.
    """
    found, besides = _find_named(port, params, base)
    return sorted((_hashed_file(path, name, port) for path, name in found), key=lambda file: (file.name, file.digest)), _by_kind(port, besides)


def _by_kind(port: Files, besides: Sequence[str]) -> str:
    """Return a summary of files that a port does not accept: number and first names by suffix; empty if the port is not `surveyed`."""
    kinds: dict[str, list[str]] = {}
    for name in besides if port.surveyed else ():
        kinds.setdefault("folder" if name.endswith("/") else PurePosixPath(name).suffix.lower() or "without a suffix", []).append(name)
    counted = [f"{len(names)} {kind} ({', '.join(names[:_NAMED])}{', …' if len(names) > _NAMED else ''})" for kind, names in sorted(kinds.items())]
    return f"{port.note}: {', '.join(counted)}" if counted else ""


def _expand(text: str, port: Files, base: Path) -> Iterator[tuple[Path, Path | None, bool]]:
    """Yield (path, searched folder or None if `text` is a file path, whether the port accepts it) of each file that the path or glob `text` names."""
    path = base / Path(text).expanduser()
    if path.is_file():
        yield path, None, True
    elif path.is_dir():
        inside = _inside(path, port)
        if not any(accepted for _, accepted in inside):
            raise UsageError(f"The folder '{path}' holds no {port.note} ({', '.join(port.suffixes)}){_listed_instead(path, inside)}.")
        yield from ((each, path, accepted) for each, accepted in inside)
    elif any(character in text for character in _GLOB):
        pattern = Path(text).expanduser()
        start = Path(pattern.anchor) if pattern.is_absolute() else base
        below = pattern.relative_to(pattern.anchor) if pattern.is_absolute() else pattern
        fixed = list(itertools.takewhile(_GLOB.isdisjoint, below.parts))
        # A file found by a glob gets the name that it would have if its folder were listed.
        folder = start.joinpath(*fixed)
        matched = sorted(start.glob(str(below)))
        files: list[tuple[Path, Path | None, bool]] = [(each, folder, True) for each in matched if each.is_file()]
        for each in (each for each in matched if each.is_dir()):
            files.extend((file, each, accepted) for file, accepted in _inside(each, port))
        if not any(accepted for *_, accepted in files):
            raise UsageError(f"No {port.note} matches '{path}'.")
        yield from files
    else:
        raise UsageError(f"The {port.note} '{path}' does not exist: put it there, or correct the path.")


def _listed_instead(folder: Path, inside: Sequence[tuple[Path, bool]]) -> str:
    """Return the end of an error message about a folder without accepted files: the names of its first files, or an empty text."""
    names = [tellable(path.relative_to(folder).as_posix()) for path, _ in inside]
    return f"; it lists {', '.join(names[:_NAMED])}{', …' if len(names) > _NAMED else ''}" if names else ""


def _inside(folder: Path, port: Files) -> list[tuple[Path, bool]]:
    """Return (path, whether the port accepts it) of each file below a folder, sorted; raises UsageError for an unreadable folder.

    Hidden entries are skipped. A link to a folder, or (unless `port.outputs`) a training tool's output folder, is not accepted and not searched.
    """

    def refuse(error: OSError) -> None:
        raise UsageError(f"The folder '{error.filename}' can't be read: {(error.strerror or str(error)).lower()}.") from error

    found: list[tuple[Path, bool]] = []
    for place, folders, names in os.walk(folder, onerror=refuse):
        here = Path(place)
        for name in [*folders]:
            if name.startswith("."):
                folders.remove(name)
            elif (here / name).is_symlink() or (not port.outputs and _is_tool_output(here / name, folder)):
                folders.remove(name)
                found.append((here / name, False))
        files = (here / name for name in names if not name.startswith("."))
        found.extend((path, path.is_file() and any(_is_accepted(path, suffix) for suffix in port.suffixes)) for path in files)
    return sorted(found)


def _is_tool_output(folder: Path, named: Path) -> bool:
    """Whether `folder`, below the searched folder `named`, is a training tool's output (`runs/detect`, `runs/train`) or a tracecore workspace."""
    return (folder.parent != named and folder.parent.name == "runs" and folder.name in _RUNS) or holds_workspace(folder)


def _is_accepted(path: Path, suffix: str) -> bool:
    """Whether `suffix` is a path's suffix, its file name, or a glob pattern that it matches; case is ignored except in patterns."""
    return path.match(suffix) if "*" in suffix else suffix.lower() in (path.suffix.lower(), path.name.lower())


def _hashed_file(path: Path, name: str, port: Files) -> SourceFile:
    """Return a file with its digest and size, to be recorded under `name`; raises UsageError if it can't be read."""
    try:
        return SourceFile(path=path.absolute(), name=name, digest=digest_file(path), size_bytes=path.stat().st_size)
    except OSError as error:
        raise UsageError(f"The {port.note} '{path}' can't be read: {(error.strerror or str(error)).lower()}.") from error


_EXTERNAL_NAMESPACE = "file"


@dataclass
class Intake:
    """The external files of one run: adopted, quarantined, or only read.

    It gets the files found before the run by file port, the run's inputs by port, whose members may be adopted, and summaries of the other files in
    the searched folders.
    """

    _run: Run
    _store: Store
    _recorder: Recorder
    _locks: Path
    _found: Mapping[str, Sequence[SourceFile]]
    _ports: Mapping[str, Files]
    _supplied: Mapping[str, RunInput]
    _withdrawn: ErasureFilter
    _not_taken: Sequence[str]
    _by_name: dict[tuple[str, str], tuple[SourceFile, RunInput]] = field(default_factory=dict)
    _quarantined: dict[tuple[str, str], tuple[SourceFile, str]] = field(default_factory=dict)

    def adopt(self, file: SourceFile, *, kind: str, name: str, facets: Mapping[str, JSON], unknowns: Sequence[tuple[str, str]]) -> Path:
        """Store a file, record it as the artifact `<kind>/<name>`, and return its path in the store; the same file and name are recorded once.

        Raises:
            UsageError: `kind` is not `drive_log` or, for a file from outside, `external`; file or drive is withdrawn; or two files claim one name.
            RunFailed: the file changed after it was found.
        """
        if kind not in {ArtifactKind.DRIVE_LOG, ArtifactKind.EXTERNAL}:
            raise UsageError(f"'{file.name}' can't be adopted as a '{kind}': a file is adopted as a 'drive_log' or as 'external'.")
        if file.part_of and kind == ArtifactKind.EXTERNAL:
            raise UsageError(f"'{file.name}' is part of the input '{file.part_of}', so it is not from outside: adopt it as a 'drive_log'.")
        reason = self._withdrawn.files.get(file.digest) or (self._withdrawn.drives.get(name) if kind == ArtifactKind.DRIVE_LOG else None)
        if reason is not None:
            raise UsageError(f"The {self._note(file)} '{file.name}' can't be taken in as {kind}/{name}: {reason} Leave it out.")
        before = self._by_name.get((kind, name))
        if before is not None:
            other, known = before
            if other.digest != file.digest:
                raise UsageError(
                    f"Two different files claim the name '{name}': '{other.path}' and '{file.path}'. Leave one out, or give them different names."
                )
            return self._path(known.artifact)
        stored = self._store.put_file(file.path, run_id=self._run.id)
        if stored.digest != file.digest:
            raise RunFailed(f"The {self._note(file)} '{file.path}' changed while it was read: run the same again when nothing writes to it.")
        artifact = Artifact(
            kind=kind,
            name=name,
            digest=stored.digest,
            media=Media.FILE,
            location=stored.location,
            size_bytes=stored.size_bytes,
            origin=None if file.part_of else Origin(file.name, file.digest, file.size_bytes, self._note(file)),
            unknowns=tuple(Unknown(*each) for each in unknowns),
            facets=dict(facets),
            namespace=_EXTERNAL_NAMESPACE if kind == ArtifactKind.EXTERNAL else None,
        )
        role, run = (self._role(file), None) if kind == ArtifactKind.EXTERNAL else (kind, self._record(artifact, file))
        self._by_name[kind, name] = (file, RunInput(role, artifact, run))
        return self._path(artifact)

    def quarantine(self, file: SourceFile, reason: str) -> None:
        """Leave out a damaged file; its name, digest and the reason are recorded with the run when it completes."""
        self._quarantined[file.name, file.digest] = (file, reason)

    @property
    def inputs(self) -> list[RunInput]:
        """The run's external inputs: files stored as artifacts, and files that were only read, of which only the digest is recorded."""
        adopted = [taken for _, taken in self._by_name.values()]
        known = {taken.artifact.digest for taken in adopted} | {digest for _, digest in self._quarantined}
        seen: set[tuple[str, str]] = set()
        looked_at: list[RunInput] = []
        for file in (each for found in self._found.values() for each in found):
            if file.digest in known or (file.name, file.digest) in seen:
                continue
            seen.add((file.name, file.digest))
            origin = Origin(file.name, file.digest, file.size_bytes, self._note(file))
            artifact = Artifact(
                ArtifactKind.EXTERNAL,
                file.name,
                file.digest,
                media=Media.NONE,
                size_bytes=file.size_bytes,
                origin=origin,
                unknowns=(Unknown("bytes", "the run read this file without keeping it; its digest alone is recorded"),),
                namespace=_EXTERNAL_NAMESPACE,
            )
            looked_at.append(RunInput(self._role(file), artifact))
        return adopted + looked_at

    @property
    def unknowns(self) -> list[Unknown]:
        """Statements on missing data for every output's trace: each file left out with its reason, and summaries of files that no port accepts."""
        quarantined = [Unknown(f"{self._note(file)} not ingested", f"{file.name}: {reason}") for file, reason in self._quarantined.values()]
        return [*quarantined, *(Unknown("files not taken", f"listed beside each {summary}") for summary in self._not_taken)]

    @property
    def facets(self) -> dict[str, JSON]:
        """Mapping with the run facet `tracecore_quarantine`: files left out and summaries of those not accepted; empty if there are neither."""
        if not self._quarantined and not self._not_taken:
            return {}
        files: list[JSON] = [
            {"name": file.name, "digest": file.digest, "size_bytes": file.size_bytes, "reason": reason} for file, reason in self._quarantined.values()
        ]
        besides: dict[str, JSON] = {"not_taken": list(self._not_taken)} if self._not_taken else {}
        summary = f"{count(len(files), 'file')} left out{', others not taken' if besides else ''}"
        return {"tracecore_quarantine": {"summary": summary, "files": files, **besides}}

    def _record(self, artifact: Artifact, file: SourceFile) -> str:
        """Record a stored file as an artifact by a child run and return its id, or the id of an earlier run that recorded the file, if not erased."""
        made_from = (self._supplied[file.part_of],) if file.part_of else ()
        unknowns = [(unknown.what, unknown.why) for unknown in artifact.unknowns]
        source = made_from[0].artifact.ref if made_from else None
        key = adoption_key(artifact.kind, artifact.name, artifact.digest, artifact.facets, unknowns, source)
        with hold_key(self._locks, key):
            known = next(iter(self._recorder.reusable(key)), None)
            recorded = known is not None and any(each.ref == artifact.ref for each in known.outputs.values())
            # Where the bytes had been erased, that they are back is news: the record has to say it.
            if known is not None and recorded and self._recorder.erased(artifact) is None:
                return known.id
            child = Run(
                id=self._recorder.new_run_id(),
                job=f"{self._run.job}.{artifact.kind}",
                started_at=datetime.now(UTC),
                stage=self._run.stage,
                plugin=self._run.plugin,
                key=key,
                environment=self._run.environment,
                host=self._run.host,
                parent=Parent(self._run.id, self._run.job, self._recorder.namespace),
                code=self._run.code,
                description=f"Keeps the {self._note(file)} {artifact.name} as it was found.",
            )
            with hold_run(self._locks, child.id):
                self._recorder.start(child)
                self._recorder.complete(child, made_from, {str(artifact.kind): artifact})
            return child.id

    def _path(self, artifact: Artifact) -> Path:
        opened = self._store.open(artifact)
        assert isinstance(opened, Path)  # a file's bytes open as their path
        return opened

    def _note(self, file: SourceFile) -> str:
        """Return a noun for a file, for messages: the note of its file port (such as `drive file`), `file of the input '<port>'`, or `file`."""
        port = next((self._ports[name] for name, found in self._found.items() if file in found), None)
        if port is not None:
            return port.note
        return f"file of the input '{file.part_of}'" if file.part_of else "file"

    def _role(self, file: SourceFile) -> str:
        """Return the role of a file as an input of the run: the noun for it in snake_case, such as `drive_file`."""
        return self._note(file).replace(" ", "_")
